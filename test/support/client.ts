import { adopt, type Scope } from './dispose'
import { loadPlugin, loadPrimus, type SocketConstructor, type SocketUnderTest } from './primus-types'
import { deadline, eventually } from './wait'

const patience = 5000
const constructors = new Map<string, SocketConstructor>()
const clients = new Set<Client>()

/** How a client connects. */
export interface ClientOptions {
  /** One of Primus's transformers; the server's. @default 'websockets' */
  transformer?: string
  /** One of Primus's parsers; the server's. @default Primus's own default, JSON */
  parser?: string
  /** Whether it loads the client half of the plugin. @default false */
  half?: boolean
  /** Options of Primus's client, `{ strategy: false }` to never reconnect for instance. @default none */
  options?: Record<string, unknown>
  /** Until when it lives. @default 'test' */
  scope?: Scope
}

/**
 * Connects a real Primus client.
 *
 * Resolves when it is open and knows its spark id. It reconnects as Primus does by
 * default. Inside a test it closes by itself when the test ends.
 *
 * @throws When it is not open within 5 seconds, with the last error of the connection.
 *
 * @example
 * const client = await openClient(server.url)
 * await server.call('forward.spark', client.id, 'hello')
 * assume(await client.next()).equals('hello')
 */
export async function openClient(url: string, options: ClientOptions = {}): Promise<Client> {
  const { transformer = 'websockets', parser, half = false } = options
  const Socket = constructorFor({ transformer, ...(parser !== undefined && { parser }) }, half)
  const client = new Client(new Socket(url, options.options))
  clients.add(client)
  adopt(() => client.close(), options.scope)
  try {
    await client.open(url)
    return client
  } catch (error) {
    await client.close()
    throw error
  }
}

/** Closes every client that is still open, of each scope. */
export async function closeAll(): Promise<void> {
  await Promise.all([...clients].map(client => client.close()))
}

/** A connected Primus client, and all it has been sent. Get one from `openClient`. */
export class Client {
  /** Everything received so far, oldest first. */
  readonly messages: unknown[] = []

  #id = ''
  #taken = 0

  /** Use `openClient` instead, which also waits until it is open. */
  constructor(/** Primus's own client. */ readonly socket: SocketUnderTest) {
    socket.on('data', message => this.messages.push(message))
  }

  /** The id of its spark on the server, as it was when it was opened; see `identify`. */
  get id(): string {
    return this.#id
  }

  /** Waits until the connection is open and has an id. `openClient` calls this. */
  async open(url: string): Promise<void> {
    let failure: unknown
    const fail = (error: unknown): void => {
      failure = error
    }
    this.socket.on('error', fail)
    const opened = new Promise<void>((resolve, reject) => {
      this.socket.on('open', () => resolve())
      // It ends at once when it must not reconnect.
      this.socket.on('end', () => reject(new Error('the connection ended')))
    })
    try {
      await deadline(opened, patience, 'the open connection')
      await this.identify()
    } catch (error) {
      throw new Error(`no connection to ${url}: ${((failure ?? error) as Error).message}`, { cause: failure ?? error })
    } finally {
      this.socket.removeListener('error', fail)
    }
  }

  /** Asks the server for the id of its spark: after a reconnect it is another one. Sets `id`. */
  async identify(): Promise<string> {
    this.#id = await deadline(
      new Promise<string>(resolve => {
        this.socket.id(resolve)
      }),
      patience,
      'the id of a spark'
    )
    return this.#id
  }

  /**
   * Resolves with the next message that no `next()` has taken yet, which may be there already.
   *
   * @param options.within - Milliseconds until it is given up, with an error. @default 5000
   */
  async next(options: { within?: number } = {}): Promise<unknown> {
    const index = this.#taken++
    try {
      await eventually(() => this.messages.length > index, { ...options, what: `message ${index + 1} of a client` })
    } catch (error) {
      this.#taken--
      throw error
    }
    return this.messages[index]
  }

  /**
   * Resolves with all messages once at least `n` have arrived since it was opened.
   *
   * @param options.within - Milliseconds until it is given up, with an error. @default 5000
   */
  async count(n: number, options: { within?: number } = {}): Promise<unknown[]> {
    await eventually(() => this.messages.length >= n, { ...options, what: `${n} messages of a client` })
    return this.messages
  }

  /** Closes it for good. Harmless when called twice. */
  async close(): Promise<void> {
    if (!clients.delete(this)) return
    this.socket.end()
    // Let the closing handshake leave before the caller ends the server, for instance.
    await new Promise(resolve => setImmediate(resolve))
  }
}

function constructorFor(how: { transformer: string; parser?: string }, half: boolean): SocketConstructor {
  const key = JSON.stringify([how, half])
  let Socket = constructors.get(key)
  if (!Socket) {
    Socket = loadPrimus().createSocket(half ? { ...how, plugin: { metroplex: loadPlugin('../../index') } } : how)
    constructors.set(key, Socket)
  }
  return Socket
}
