import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { adopt, type Scope } from './dispose'
import { reservePort } from './ports'

const host = '127.0.0.1'

/** Where a proxy leads. */
export interface Target {
  port: number
  /** @default '127.0.0.1' */
  host?: string
}

/**
 * Starts a TCP proxy on 127.0.0.1 whose network can be made to fail.
 *
 * Inside a test it stops by itself when the test ends, unless `scope` is `'suite'`.
 *
 * @param options.at - Where it listens. @default a reserved port of 127.0.0.1
 *
 * @example
 * const proxy = await startProxy({ port: redis.port })
 * const client = new Redis(proxy.port)
 * proxy.freeze()
 */
export async function startProxy(
  target: Target,
  options: { scope?: Scope; at?: Required<Target> } = {}
): Promise<TcpProxy> {
  const proxy = new TcpProxy(target, options.at)
  await proxy.accept()
  adopt(() => proxy.stop(), options.scope)
  return proxy
}

/** A network between a client and a server. Get one from `startProxy`. */
export class TcpProxy {
  readonly #links = new Set<Link>()
  readonly #weather: Weather = { requests: false, replies: false, delay: 0, doomed: undefined, about: undefined }
  #server: Server | undefined
  #port = 0

  /** Use `startProxy` instead, which also listens. */
  constructor(
    private readonly target: Target,
    private readonly at: Required<Target> = { host, port: 0 }
  ) {
    this.#port = at.port
  }

  /** The port clients connect to; the same one for the whole life of the proxy. */
  get port(): number {
    return this.#port
  }

  /** How many clients are connected right now. */
  get connections(): number {
    return [...this.#links].filter(link => link.open).length
  }

  /**
   * How many of them have not said yet that they are done: one that has, may have to wait for the target to be done
   * too.
   */
  get held(): number {
    return [...this.#links].filter(link => link.held).length
  }

  /** Destroys all connections, to both sides. New ones are welcome. */
  cut(): void {
    for (const link of this.#links) link.destroy()
  }

  /**
   * Lets nothing pass any more, neither way; connections stay open.
   *
   * Also the end of a connection does not pass. As on a real network what was sent is
   * sent again: `thaw()` delivers it, unless the connection has been destroyed by then.
   * New connections are established, and then hear nothing.
   */
  freeze(): void {
    this.#weather.requests = this.#weather.replies = true
  }

  /** Like `freeze()`, but only for what comes from the target: it is heard and its answers vanish. */
  freezeReplies(): void {
    this.#weather.replies = true
  }

  /** Ends `freeze()` and `freezeReplies()`: what was held back is delivered now, in order. */
  thaw(): void {
    this.#weather.requests = this.#weather.replies = false
    for (const link of this.#links) link.flush()
  }

  /** Delays all that comes from now on by `ms` milliseconds, each way. `0` ends it. */
  delay(ms: number): void {
    this.#weather.delay = ms
  }

  /**
   * Loses the next answer of the target, on any of the connections.
   *
   * The target has done what it was asked, the client never learns of it. With `cut`
   * the client's connection is destroyed instead of the answer; otherwise that connection
   * stays open and mute, since the rest of a half lost answer would be nonsense.
   *
   * @param options.cut - Whether to destroy the connection. @default false
   */
  dropNextReply(options: { cut?: boolean } = {}): void {
    this.#weather.doomed = options.cut === true ? 'cut' : 'mute'
  }

  /**
   * Loses the answer to the next request that contains this text, and with it the connection. The target has done what
   * it was asked.
   */
  dropReplyTo(text: string): void {
    this.#weather.about = text
  }

  /** Refuses new connections (ECONNREFUSED) until `accept()`. Those there are stay. */
  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    // Its 'close' waits for the connections, which stay; the port is closed when this returns.
    server?.close()
    await Promise.resolve()
  }

  /** Accepts connections again, on the same port. */
  async accept(): Promise<void> {
    if (this.#server) return
    const server = createServer({ allowHalfOpen: true }, client => this.#link(client))
    this.#server = server
    // A reserved one: a port that the system has chosen may be another program's when connections are accepted again.
    server.listen(this.#port || (await reservePort()), this.at.host)
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
  }

  /** Ends it and all its connections. Harmless when called twice. */
  async stop(): Promise<void> {
    await this.refuse()
    this.cut()
  }

  #link(client: Socket): void {
    const link = new Link(client, this.target, this.#weather, () => this.#links.delete(link))
    this.#links.add(link)
  }
}

/** What all links of a proxy have in common; they look at it for each packet. */
interface Weather {
  /** Nothing of the client passes. */
  requests: boolean
  /** Nothing of the target passes. */
  replies: boolean
  /** Milliseconds. */
  delay: number
  /** What the next answer suffers. */
  doomed: 'cut' | 'mute' | undefined
  /** The answer to the next request with this text is lost. */
  about: string | undefined
}

/** One client and its connection to the target. */
class Link {
  readonly #target: Socket
  readonly #requests: Lane
  readonly #replies: Lane
  /** Whether this connection is lost with the next answer. */
  #doomed = false

  constructor(
    private readonly client: Socket,
    target: Target,
    weather: Weather,
    gone: () => void
  ) {
    this.#target = connect({ port: target.port, host: target.host ?? host, allowHalfOpen: true })
    // In a frozen network one side can be gone long before the other.
    let sides = 2
    for (const side of [client, this.#target])
      side.once('close', () => {
        if (--sides === 0) gone()
      })
    client.setNoDelay(true)
    this.#target.setNoDelay(true)
    this.#requests = new Lane(
      client,
      this.#target,
      () => weather.requests,
      () => weather.delay,
      chunk => {
        if (weather.about !== undefined && chunk.includes(weather.about)) {
          weather.about = undefined
          this.#doomed = true
        }
        return false
      }
    )
    this.#replies = new Lane(
      this.#target,
      client,
      () => weather.replies,
      () => weather.delay,
      () => {
        const fate = this.#doomed ? 'cut' : weather.doomed
        if (!this.#doomed) weather.doomed = undefined
        if (fate === 'cut') this.destroy()
        return fate !== undefined
      }
    )
  }

  /** Whether the client is still there. */
  get open(): boolean {
    return !this.client.destroyed
  }

  /** Whether the client may still say something. */
  get held(): boolean {
    return this.open && !this.client.readableEnded
  }

  flush(): void {
    this.#requests.flush()
    this.#replies.flush()
  }

  destroy(): void {
    this.#requests.stop()
    this.#replies.stop()
    this.client.destroy()
    this.#target.destroy()
  }
}

/** What a lane carries: bytes, the end of one side's sending, or the loss of the connection. */
type Cargo = Buffer | 'end' | 'close'

/** One direction of a link: a queue, so that nothing overtakes anything when a delay is changed. */
class Lane {
  readonly #queue: { cargo: Cargo; due: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #mute = false

  constructor(
    from: Socket,
    private readonly to: Socket,
    private readonly frozen: () => boolean,
    private readonly delay: () => number,
    private readonly lose: (chunk: Buffer) => boolean = () => false
  ) {
    from.on('data', (chunk: Buffer) => this.#take(chunk))
    from.on('end', () => this.#take('end'))
    from.on('error', () => undefined)
    from.on('close', () => this.#take('close'))
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (!this.frozen()) {
      const next = this.#queue[0]
      if (!next) return
      const wait = next.due - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(() => this.flush(), wait)
        return
      }
      this.#queue.shift()
      this.#deliver(next.cargo)
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
    this.#mute = true
  }

  #take(cargo: Cargo): void {
    if (this.#mute) return
    if (cargo instanceof Buffer && this.lose(cargo)) {
      this.stop()
      return
    }
    this.#queue.push({ cargo, due: performance.now() + this.delay() })
    this.flush()
  }

  #deliver(cargo: Cargo): void {
    if (cargo === 'close') this.to.destroy()
    else if (cargo === 'end') this.to.end()
    else if (this.to.writable) this.to.write(cargo)
  }
}
