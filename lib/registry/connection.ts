import type { Cluster, Redis } from 'ioredis'
import { within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { RedisClient } from '../types'
import type { Script } from './scripts/script'

/** The client we talk through: a duplicate of the user's. */
type Client = Redis | Cluster

type Arguments = readonly (string | number)[]

/** What happens to a connection. */
export interface ConnectionEvents {
  /** It can be used, for the first time or again. */
  ready(): void
  /** It was ready and broke, or could not be opened; told once until it is ready again. It goes on trying. */
  lost(error: MetroplexError): void
}

/**
 * A connection of our own to Redis, opened by the first command and closed by us alone.
 *
 * It never sends a command a second time by itself and never keeps one for later: a stale command
 * would write old truth over new. A command that finds it closed waits for it, up to the deadline.
 * A connection on which nothing comes back is given up at the deadline. It retries for ever.
 *
 * @example
 * const connection = new Connection(new Redis(), scripts, { timeout: 5000 }, events)
 * await connection.run('HGET', ['metroplex:sparks', id])
 * connection.close()
 */
export class Connection {
  #client: Client | undefined
  #opening: Promise<void> | undefined
  #opened: (() => void) | undefined
  #ready = false
  #told = false
  #closed = false
  #cause: Error | undefined

  constructor(
    private readonly user: RedisClient,
    private readonly scripts: Readonly<Record<string, Script>>,
    private readonly options: { readonly timeout: number },
    private readonly events: ConnectionEvents
  ) {}

  /** Whether a command would leave at once. */
  get ready(): boolean {
    return this.#ready
  }

  /**
   * Run a command, or one of our scripts by its name.
   *
   * @throws MetroplexError `EREGISTRY`, with the client's error as `cause`; `ECLOSED` after `close`
   */
  async run(name: string, args: Arguments): Promise<unknown> {
    const client = await this.#usable()
    const command = name in this.scripts
      ? (client as unknown as Record<string, (...args: Arguments) => Promise<unknown>>)[scriptName(name)]?.(...args)
      : client.call(name, ...args as string[])
    return this.#bounded(command as Promise<unknown>, name)
  }

  /** Run several commands in one round trip; one that fails fails all. */
  async pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]> {
    if (commands.length === 0) return []
    const client = await this.#usable()
    const pipeline = client.pipeline()
    for (const [name, ...args] of commands) pipeline.call(name, ...args as string[])
    const answers = await this.#bounded(pipeline.exec(), 'pipeline')
    return (answers ?? []).map(([error, value]) => {
      if (error !== null) throw refused(error)
      return value
    })
  }

  /** Close it for good; commands that are waiting fail with `ECLOSED`. */
  close(): void {
    this.#closed = true
    this.#ready = false
    this.#opened?.()
    this.#client?.disconnect()
  }

  async #usable(): Promise<Client> {
    if (this.#closed) throw closed()
    const client = this.#client ??= this.#open()
    if (!this.#ready) {
      this.#opening ??= new Promise(resolve => { this.#opened = resolve })
      await within(this.#opening, this.options.timeout, () => new MetroplexError(
        'EREGISTRY',
        `Redis could not be reached within ${this.options.timeout} ms${this.#cause === undefined ? '' : `: ${this.#cause.message}`}.`,
        { cause: this.#cause }
      ))
      if (this.#closed as boolean) throw closed()
    }
    return client
  }

  async #bounded<T>(answer: Promise<T>, name: string): Promise<T> {
    try {
      return await within(answer, this.options.timeout, () => new MetroplexError(
        'EREGISTRY', `Redis did not answer ${name} within ${this.options.timeout} ms.`
      ))
    } catch (error) {
      if (this.#closed) throw closed()
      throw refused(error)
    }
  }

  #open(): Client {
    const client = duplicate(this.user, this.options.timeout)
    for (const [name, script] of Object.entries(this.scripts)) client.defineCommand(scriptName(name), script)
    client.on('ready', () => {
      if (this.#closed) return
      this.#ready = true
      this.#told = false
      this.#opened?.()
      this.#opening = this.#opened = undefined
      this.events.ready()
    })
    client.on('close', () => this.#lost())
    client.on('error', (error: unknown) => {
      this.#cause = asError(error)
      if (!this.#ready) this.#lost()
    })
    client.connect().catch((error: unknown) => { this.#cause = asError(error) })
    return client
  }

  #lost(): void {
    this.#ready = false
    if (this.#told || this.#closed) return
    this.#told = true
    this.events.lost(new MetroplexError(
      'EREGISTRY',
      `The connection to Redis is down${this.#cause === undefined ? '' : `: ${this.#cause.message}`}. It is being retried.`,
      { cause: this.#cause }
    ))
  }
}

/** Our commands' names on a client, which may be shared with whoever duplicates it. */
function scriptName(name: string): string {
  return `metroplex2${name}`
}

/** Retry for ever, in growing and jittered pauses of at most a second: a cluster that starts again must not come all at once. */
function retry(times: number): number {
  return Math.min(50 * 2 ** Math.min(times, 10), 1000) * (0.5 + Math.random() / 2)
}

function duplicate(user: RedisClient, timeout: number): Client {
  const common = {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    enableAutoPipelining: false,
    connectTimeout: timeout,
    socketTimeout: timeout,
    // A connection that is closed while it never came would keep the process for two seconds otherwise.
    disconnectTimeout: 100
  }
  const alone = { lazyConnect: true, enableOfflineQueue: false }
  const client = user as unknown as Client
  if (!('isCluster' in client && client.isCluster)) {
    return (client as Redis).duplicate({ ...common, ...alone, retryStrategy: retry })
  }
  const { redisOptions } = (client as Cluster).options as { redisOptions?: object }
  return (client as Cluster).duplicate([], {
    ...alone,
    clusterRetryStrategy: retry,
    redisOptions: { ...redisOptions, ...common }
  })
}

function refused(error: unknown): MetroplexError {
  if (error instanceof MetroplexError) return error
  const cause = asError(error)
  return new MetroplexError('EREGISTRY', `Redis refused a command: ${cause.message}`, { cause })
}

function closed(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This metroplex has been closed: its server was destroyed or its plugin removed.')
}
