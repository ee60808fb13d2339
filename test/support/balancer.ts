import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { adopt, type Scope } from './dispose'

/** Chooses the port of the server that a new connection is led to, by the first line of its request. */
export type Choice = (request: string) => number

/**
 * Starts a load balancer on a free port of 127.0.0.1: it reads the request line of each connection, chooses a server,
 * and hands on everything from then on.
 *
 * Inside a test it stops when the test ends, unless `scope` is `'suite'`.
 *
 * @example
 * const balancer = await startBalancer(() => a.port)
 * const client = await openClient(balancer.url)
 * balancer.choose = () => b.port
 */
export async function startBalancer(choose: Choice, options: { scope?: Scope } = {}): Promise<Balancer> {
  const balancer = new Balancer(choose)
  await balancer.open()
  adopt(() => balancer.stop(), options.scope)
  return balancer
}

/** Leads clients to servers. Get one from `startBalancer`. */
export class Balancer {
  readonly #sockets = new Set<Socket>()
  readonly #server: Server = createServer(client => {
    this.#own(client).once('data', (first: Buffer) => {
      client.pause()
      const [request = ''] = first.toString('latin1').split('\r\n')
      const server = this.#own(connect(this.choose(request), '127.0.0.1'))
      server.write(first)
      client.pipe(server).pipe(client)
      client.once('close', () => server.destroy())
      server.once('close', () => client.destroy())
    })
  })

  /** Use `startBalancer` instead, which also listens. */
  constructor(
    /** Where new connections are led to from now on. */
    public choose: Choice
  ) {}

  /** Where clients connect. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Begins to listen. `startBalancer` calls this. */
  async open(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Ends it and all connections through it. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #own(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket
      .on('error', () => undefined)
      .once('close', () => {
        this.#sockets.delete(socket)
      })
  }
}
