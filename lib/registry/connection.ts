import type { Redis } from 'ioredis'
import { ignore } from '../common/callback'
import { now, withTimeout } from '../common/async'
import { asError, isReply, MetroplexError } from '../common/errors'
import { connectionName } from '../redis/connection-name'
import { MasterConnection } from '../redis/master-connection'
import {
  describeLoss,
  describeRetry,
  explainRefusal,
  isAnswer,
  needsNewConnection,
  ReportedFailures,
  withoutArguments,
  wordsOf
} from '../redis/refusal'
import { evictionOf, readInfo, replicaOf } from '../redis/server-info'
import type { RedisClient } from '../common/types'
import type { Script } from './scripts/script'

type Arguments = readonly (string | number)[]

/** Limits of a connection, in ms. */
export interface ConnectionOptions {
  /** The deadline of a command, and of the wait for the connection. */
  readonly timeout: number
  /** The name of this process for operators, as in `CLIENT LIST`. */
  readonly name: string
  /** For how long the role and the settings of Redis are not asked for again. @default 60000 */
  readonly inspection?: number
}

/** The events of a connection. */
export interface ConnectionEvents {
  /** It can be used, for the first time or again. */
  ready(): void
  /**
   * It broke, could not be opened, or Redis refused it. It keeps retrying. Each kind of failure is reported once, until
   * Redis has answered a command again.
   *
   * @param again whether it broke before, was reported so, and has worked for less than three seconds since
   */
  lost(error: MetroplexError, again: boolean): void
  /** The settings of Redis endanger the registry. Reported once, until they are corrected. */
  endangered(error: MetroplexError): void
  /** The settings of Redis do not endanger the registry any more. */
  secured(): void
}

/**
 * A connection of our own to Redis, which the first command opens.
 *
 * It never repeats a command and never queues one while it is down, because a stale command would write old truth over
 * new. A command waits until the connection is ready; the wait and the answer share one deadline. A connection without
 * any answer by that deadline is replaced. It reconnects for ever. On Redis Cluster all commands go to the master that
 * has the key of the first command.
 *
 * @example
 * const connection = new Connection(new Redis(), scripts, { timeout: 5000, name: 'web-1' }, events)
 * await connection.run('HGET', ['metroplex:sparks', id])
 * connection.close()
 */
export class Connection {
  readonly #connection: MasterConnection
  /** The client that sends commands; `undefined` while the connection is down. */
  #client: Redis | undefined
  /** Resolves when the connection is ready or closed. */
  #opening: Promise<void> | undefined
  #resolveOpening: (() => void) | undefined
  /** When the last answer came. */
  #lastAnswer = 0
  /** When Redis was last asked for its role and its settings. */
  #inspected = 0
  #started = false
  readonly #reported = new ReportedFailures()
  /** How the settings of Redis endanger the registry, as last reported. */
  #danger: string | undefined
  /** Whether the last server was left because it refused writes. It may still answer reads. */
  #writesRefused = false
  /** Since when the connection is ready. */
  #readySince = 0
  #closed = false
  /** Why the connection is down. */
  #cause: Error | undefined

  constructor(
    user: RedisClient,
    private readonly scripts: Readonly<Record<string, Script>>,
    private readonly options: ConnectionOptions,
    private readonly events: ConnectionEvents
  ) {
    const prepare = (client: Redis): void => {
      for (const [name, script] of Object.entries(scripts)) client.defineCommand(scriptName(name), script)
    }
    this.#connection = new MasterConnection(user, options.timeout, connectionName(options.name, 'commands'), prepare, {
      ready: client => {
        this.#becameReady(client)
      },
      lost: cause => {
        this.#lost(cause)
      }
    })
  }

  /** Whether a command would be sent at once. */
  get ready(): boolean {
    return this.#client !== undefined
  }

  /** Why no command can be sent now, in a sentence; `undefined` while one can. */
  get trouble(): string | undefined {
    return this.#client === undefined ? this.#explained(describeLoss('', this.#cause), this.#cause) : undefined
  }

  /**
   * Check whether Redis is a master, and whether its settings endanger the registry. A Redis that does not say so is
   * a safe master. A replica is left, as one that refuses writes is.
   *
   * @returns what to change, in a sentence; the last result while Redis does not answer
   */
  async danger(): Promise<string | undefined> {
    const client = this.#client
    if (client === undefined) return this.#danger
    this.#inspected = now()
    const { timeout } = this.options
    const info = await Promise.all([
      readInfo(client, 'replication', timeout),
      readInfo(client, 'memory', timeout)
    ]).catch(ignore)
    if (this.#closed) return undefined
    if (info === undefined || client !== this.#client) return this.#danger
    const [replication, memory] = info
    const replica = replicaOf(replication)
    if (replica !== undefined) this.#connection.drop(client, replica)
    const danger = memory === '' ? this.#danger : evictionOf(memory)
    const before = this.#danger
    this.#danger = danger
    if (danger === undefined) {
      if (before !== undefined) this.events.secured()
    } else if (before === undefined) {
      this.events.endangered(new MetroplexError('EREGISTRY', danger))
    }
    return danger
  }

  /**
   * Run a command, or one of our scripts by its name.
   *
   * @param args the first is a key, or the number of keys if the script takes any number of them
   * @throws MetroplexError `EREGISTRY`, with the client's error as `cause`; `ECLOSED` after `close`
   */
  async run(name: string, args: Arguments): Promise<unknown> {
    return this.#send(name, typeof args[0] === 'number' ? args[1] : args[0], client => {
      if (!(name in this.scripts)) return client.call(name, ...(args as string[]))
      const script = (client as unknown as Record<string, (...args: Arguments) => Promise<unknown>>)[scriptName(name)]
      return script?.apply(client, [...args]) ?? Promise.reject(new Error(`There is no script ${name}.`))
    })
  }

  /** The values of many fields of a hash, as bytes: it copies hundreds of arguments fewer times than `run`. */
  fields(key: string, fields: readonly string[]): Promise<(Buffer | null)[]> {
    return this.#send('HMGET', key, client => client.hmgetBuffer(key, ...fields))
  }

  /** Run several commands in one round trip. Rejects when one of them fails. */
  async pipeline(commands: readonly (readonly [name: string, ...args: (string | number)[]])[]): Promise<unknown[]> {
    if (commands.length === 0) return []
    return this.#send('pipeline', commands[0]?.[1], async client => {
      const pipeline = client.pipeline()
      for (const [name, ...args] of commands) pipeline.call(name, ...(args as string[]))
      const answers = await pipeline.exec()
      return (answers ?? []).map(([error, value]) => {
        if (error !== null) throw error
        return value
      })
    })
  }

  /** Close the connection for good. Commands in flight fail with `ECLOSED`. A second call does nothing. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#client = undefined
    this.#resolveOpening?.()
    this.#connection.close()
  }

  /** Send a command. Waiting for the connection and for the answer share one deadline. */
  async #send<T>(what: string, key: string | number | undefined, command: (client: Redis) => Promise<T>): Promise<T> {
    const { timeout } = this.options
    const began = now()
    const waiting = this.#client === undefined
    const client = this.#client ?? (await this.#whenReady(String(key)))
    const sent = now()
    const late = (): MetroplexError => {
      const error = new MetroplexError('EREGISTRY', `Redis did not answer ${what} within ${timeout} ms.`)
      // A command that waited for the connection did not give it the whole time to answer.
      if (!waiting && this.#lastAnswer < sent) this.#connection.drop(client, error)
      return error
    }
    try {
      const answer = await withTimeout(command(client), began + timeout - sent, late)
      this.#answered()
      return answer
    } catch (error) {
      if (this.#closed) throw closed()
      const failure = this.#refused(error)
      const { cause } = failure
      if (cause instanceof Error && isReply(cause) && !needsNewConnection(cause)) this.#answered()
      throw failure
    }
  }

  async #whenReady(key: string): Promise<Redis> {
    if (this.#closed) throw closed()
    if (!this.#started) {
      this.#started = true
      this.#connection.open(key)
    }
    const { timeout } = this.options
    this.#opening ??= new Promise(resolve => {
      this.#resolveOpening = resolve
    })
    await withTimeout(
      this.#opening,
      timeout,
      () =>
        new MetroplexError(
          'EREGISTRY',
          this.#explained(
            `Redis could not be ${isAnswer(this.#cause) ? 'used' : 'reached'} within ${timeout} ms${this.#because()}.`,
            this.#cause
          ),
          { cause: this.#cause }
        )
    )
    if (this.#closed as boolean) throw closed()
    if (this.#client !== undefined) return this.#client
    const broken = isAnswer(this.#cause)
      ? describeLoss('', this.#cause)
      : `The connection to Redis broke again${this.#because()}.`
    const sentence = this.#explained(broken, this.#cause)
    throw new MetroplexError('EREGISTRY', sentence, { cause: this.#cause })
  }

  #becameReady(client: Redis): void {
    this.#client = client
    this.#readySince = now()
    this.#cause = undefined
    this.#resolveOpening?.()
    this.#opening = this.#resolveOpening = undefined
    this.events.ready()
    // This may be another Redis, with other settings.
    this.danger().catch(ignore)
  }

  /** Redis has answered, so earlier failures are over. After a refused write, that is certain only after a while. */
  #answered(): void {
    this.#lastAnswer = now()
    if (this.#lastAnswer - this.#inspected > (this.options.inspection ?? INSPECTION)) this.danger().catch(ignore)
    if (this.#writesRefused && this.#lastAnswer - this.#readySince < TRUSTED_AFTER) return
    this.#writesRefused = false
    this.#reported.worked()
    this.#connection.answered()
  }

  #lost(cause: Error | undefined): void {
    this.#client = undefined
    this.#cause = cause
    if (cause !== undefined && needsNewConnection(cause)) this.#writesRefused = true
    const judged = this.#closed ? 'known' : this.#reported.judge(cause, this.#connection.cluster)
    if (judged === 'known') return
    const sentence = this.#explained(describeRetry('', cause), cause)
    this.events.lost(new MetroplexError('EREGISTRY', sentence, { cause }), judged === 'again')
  }

  #explained(sentence: string, cause: Error | undefined): string {
    return explainRefusal(sentence, cause, this.#connection.cluster)
  }

  #refused(error: unknown): MetroplexError {
    if (error instanceof MetroplexError) return error
    const cause = withoutArguments(asError(error))
    const what = isReply(cause) ? 'Redis refused a command' : 'The connection to Redis broke'
    return new MetroplexError('EREGISTRY', this.#explained(`${what}: ${wordsOf(cause)}`, cause), { cause })
  }

  #because(): string {
    return this.#cause === undefined ? '' : `: ${this.#cause.message.replace(/\.$/, '')}`
  }
}

/** For how long the role and the settings of Redis are not asked for again, in ms. */
const INSPECTION = 60_000

/** How long a connection has to last to be trusted after a refused write, in ms. */
const TRUSTED_AFTER = 1000

/** The name of a script as a method of the ioredis client. The prefix keeps it apart from an application's scripts. */
function scriptName(name: string): string {
  return `metroplex2${name}`
}

function closed(): MetroplexError {
  return new MetroplexError(
    'ECLOSED',
    'metroplex was closed in this process: its server was destroyed, its plugin removed, or its client closed.'
  )
}
