import type { Redis } from 'ioredis'
import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { isAstray, Line } from '../redis/line'
import type { RedisClient } from '../types'
import type { Script } from './scripts/script'

type Arguments = readonly (string | number)[]

/** What happens to a connection. */
export interface ConnectionEvents {
  /** It can be used, for the first time or again. */
  ready(): void
  /** It was ready and broke, or could not be opened; told once until something has been answered again. It goes on trying. */
  lost(error: MetroplexError): void
}

/**
 * A connection of our own to Redis, opened by the first command and closed by us alone.
 *
 * It never sends a command a second time by itself and never keeps one for later: a stale command
 * would write old truth over new. A command that finds it closed waits for it; waiting and the answer share one deadline.
 * A connection on which nothing comes back is given up at the deadline. It retries for ever. On Redis Cluster all commands go
 * to the master that has the first key it was given.
 *
 * @example
 * const connection = new Connection(new Redis(), scripts, { timeout: 5000 }, events)
 * await connection.run('HGET', ['metroplex:sparks', id])
 * connection.close()
 */
export class Connection {
  readonly #line: Line
  /** What a command leaves on, while there is such a thing. */
  #client: Redis | undefined
  #opening: Promise<void> | undefined
  #opened: (() => void) | undefined
  /** When an answer came last. */
  #heard = 0
  #begun = false
  #told = false
  /** Whether we left the last server because it refused to write; it may answer questions all the same. */
  #astray = false
  /** Since when the connection is ready. */
  #since = 0
  #closed = false
  #cause: Error | undefined

  constructor(
    user: RedisClient,
    private readonly scripts: Readonly<Record<string, Script>>,
    private readonly options: { readonly timeout: number },
    private readonly events: ConnectionEvents
  ) {
    const prepare = (client: Redis): void => {
      for (const [name, script] of Object.entries(scripts)) client.defineCommand(scriptName(name), script)
    }
    this.#line = new Line(user, options.timeout, prepare, {
      ready: client => { this.#usableAgain(client) },
      lost: cause => { this.#lost(cause) }
    })
  }

  /** Whether a command would leave at once. */
  get ready(): boolean {
    return this.#client !== undefined
  }

  /**
   * Run a command, or one of our scripts by its name. The first argument is a key, or the number of keys where a script takes any number.
   *
   * @throws MetroplexError `EREGISTRY`, with the client's error as `cause`; `ECLOSED` after `close`
   */
  async run(name: string, args: Arguments): Promise<unknown> {
    return this.#ask(name, typeof args[0] === 'number' ? args[1] : args[0], client => {
      if (!(name in this.scripts)) return client.call(name, ...args as string[])
      const script = (client as unknown as Record<string, (...args: Arguments) => Promise<unknown>>)[scriptName(name)]
      return script?.apply(client, [...args]) ?? Promise.reject(new Error(`There is no script ${name}.`))
    })
  }

  /** The values of many fields of a hash, as bytes: hundreds are copied from list to list as seldom as can be. */
  fields(key: string, fields: readonly string[]): Promise<(Buffer | null)[]> {
    return this.#ask('HMGET', key, client => client.hmgetBuffer(key, ...fields))
  }

  /** Run several commands in one round trip; one that fails fails all. */
  async pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]> {
    if (commands.length === 0) return []
    return this.#ask('pipeline', commands[0]?.[1], async client => {
      const pipeline = client.pipeline()
      for (const [name, ...args] of commands) pipeline.call(name, ...args as string[])
      const answers = await pipeline.exec()
      return (answers ?? []).map(([error, value]) => {
        if (error !== null) throw error
        return value
      })
    })
  }

  /** Close it for good; commands that are waiting fail with `ECLOSED`. Harmless when called twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#client = undefined
    this.#opened?.()
    this.#line.close()
  }

  /** Ask something, and wait for a connection and for the answer: both together no longer than the deadline. */
  async #ask<T>(what: string, key: string | number | undefined, question: (client: Redis) => Promise<T>): Promise<T> {
    const { timeout } = this.options
    const began = now()
    const waiting = this.#client === undefined
    const client = this.#client ?? await this.#usable(String(key))
    const sent = now()
    const late = (): MetroplexError => {
      const error = new MetroplexError('EREGISTRY', `Redis did not answer ${what} within ${timeout} ms.`)
      // Who had to wait for the connection has not given it the whole time to answer.
      if (!waiting && this.#heard < sent) this.#line.drop(client, error)
      return error
    }
    try {
      const answer = await within(question(client), began + timeout - sent, late)
      this.#answered()
      return answer
    } catch (error) {
      if (this.#closed) throw closed()
      const failure = refused(error)
      const { cause } = failure
      if (cause instanceof Error && cause.name === 'ReplyError' && !isAstray(cause)) this.#answered()
      throw failure
    }
  }

  async #usable(key: string): Promise<Redis> {
    if (this.#closed) throw closed()
    if (!this.#begun) {
      this.#begun = true
      this.#line.open(key)
    }
    const { timeout } = this.options
    this.#opening ??= new Promise(resolve => { this.#opened = resolve })
    await within(this.#opening, timeout, () => new MetroplexError(
      'EREGISTRY', `Redis could not be reached within ${timeout} ms${this.#because()}.`, { cause: this.#cause }
    ))
    if (this.#closed as boolean) throw closed()
    if (this.#client !== undefined) return this.#client
    throw new MetroplexError('EREGISTRY', `The connection to Redis broke again${this.#because()}.`, { cause: this.#cause })
  }

  #usableAgain(client: Redis): void {
    this.#client = client
    this.#since = now()
    this.#cause = undefined
    this.#opened?.()
    this.#opening = this.#opened = undefined
    this.events.ready()
  }

  /** Redis has answered something: whatever was wrong before has been overcome, but for a refusal that the next write may meet again. */
  #answered(): void {
    this.#heard = now()
    if (this.#astray && this.#heard - this.#since < STEADY) return
    this.#astray = false
    this.#told = false
    this.#line.proven()
  }

  #lost(cause: Error | undefined): void {
    this.#client = undefined
    this.#cause = cause
    if (cause !== undefined && isAstray(cause)) this.#astray = true
    if (this.#told || this.#closed) return
    this.#told = true
    this.events.lost(new MetroplexError('EREGISTRY', `The connection to Redis is down${this.#because()}. It is being retried.`, { cause }))
  }

  #because(): string {
    return this.#cause === undefined ? '' : `: ${this.#cause.message.replace(/\.$/, '')}`
  }
}

/** How long a connection has to last to be trusted after a refusal, in ms. */
const STEADY = 1000

/** Our commands' names on a client, which may be shared with whoever duplicates it. */
function scriptName(name: string): string {
  return `metroplex2${name}`
}

function refused(error: unknown): MetroplexError {
  if (error instanceof MetroplexError) return error
  const cause = asError(error)
  return new MetroplexError('EREGISTRY', `Redis refused a command: ${cause.message}`, { cause })
}

function closed(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This metroplex has been closed: its server was destroyed or its plugin removed.')
}
