import { parted, settle, type Callback } from '../callback'
import { answer } from '../result'
import type { AskOptions, Result, ResultCallback } from '../types'
import type { Forwarder } from './forward'

/**
 * What `primus.forward` is. Any JSON value is a message. With a callback a method returns `forward` (the function itself
 * returns primus); without one, a promise of the `Result`.
 *
 * A callback gets the first failure *and* the whole result. A promise rejects only when nothing could be tried:
 * `TypeError` for wrong arguments, `EMESSAGE` for what is no message, `EREGISTRY` when Redis cannot be asked.
 *
 * @example
 * const { send, failed } = await primus.forward.broadcast({ hello: 'everybody' })
 */
export interface Forward {
  /**
   * To these servers, one address or several, and to the sparks of our own: to all of them, or to `sparks`.
   * Prefer the methods below, which know where sparks are.
   */
  (servers: string | readonly string[], msg: unknown, sparks?: string | readonly string[] | null): Promise<Result>
  (servers: string | readonly string[], msg: unknown, sparks: string | readonly string[] | null | undefined, fn: ResultCallback): unknown
  (servers: string | readonly string[], msg: unknown, fn: ResultCallback): unknown
  /** To all sparks of the cluster. */
  broadcast(msg: unknown): Promise<Result>
  broadcast(msg: unknown, fn: ResultCallback): Forward
  /** To these sparks, wherever they are. Ids that nobody has are listed in `missing`, and `ok` is `true` all the same. */
  sparks(ids: readonly string[], msg: unknown): Promise<Result>
  sparks(ids: readonly string[], msg: unknown, fn: ResultCallback): Forward
  /** To this spark, wherever it is. For an id that nobody has the callback gets an error with code `ENOSPARK`. */
  spark(id: string, msg: unknown): Promise<Result>
  spark(id: string, msg: unknown, fn: ResultCallback): Forward
  /** To all sparks of the cluster but these. */
  except(ids: readonly string[], msg: unknown): Promise<Result>
  except(ids: readonly string[], msg: unknown, fn: ResultCallback): Forward
  /**
   * To all sparks of a user, or of several, wherever they are: see the option `user`. A user who has none is listed in `missing`, which is no error.
   *
   * What is sent to one user arrives in the order of the calls.
   */
  user(users: string | readonly string[], msg: unknown): Promise<Result>
  user(users: string | readonly string[], msg: unknown, fn: ResultCallback): Forward
  /**
   * Ask the client of this spark, wherever it is. Resolves with what it replies: a JSON value, `undefined` when that is empty; with binary in it where the parser carries
   * that. For clients that have loaded our client half, which Primus bundles into its library, and answer `primus.on('request', …)`; others never notice.
   *
   * Waits for `timeout` ms, by default as long as the option `timeout` says. When `signal` is aborted nobody waits any more; the client does not hear of that.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `ENOSPARK`, nobody has this spark; `EDEADLINE`, no reply in time; `EUNREACHABLE`, the client has not loaded our half,
   * or went away before it replied; `EREMOTE`, what listens there has thrown, or nothing does; `EMESSAGE`; and what else can go wrong on the way to its server
   *
   * @example
   * // in the client: primus.on('request', function (question, reply) { reply(confirm(question.text)) })
   * const sure = await primus.forward.request(spark.id, { text: 'Really?' }, { timeout: 30_000 })
   */
  request(id: string, msg: unknown, options?: RequestOptions): Promise<unknown>
  request(id: string, msg: unknown, fn: Callback<unknown>): Forward
  request(id: string, msg: unknown, options: RequestOptions | undefined, fn: Callback<unknown>): Forward
}

/** How long a reply is waited for. */
export type RequestOptions = Pick<AskOptions, 'timeout' | 'signal'>

/** Whoever asks clients. */
export interface Requester {
  request(id: unknown, msg: unknown, options: unknown): Promise<unknown>
}

/** The function with its methods, in both calling styles. `self` is what the function itself returns for chaining. */
export function surface(forwarder: Forwarder, requester: Requester, self: unknown): Forward {
  const forward = ((servers: unknown, msg: unknown, ...rest: unknown[]) => {
    const fn = (typeof rest[0] === 'function' ? rest[0] : rest[1]) as ResultCallback | undefined
    const sparks = typeof rest[0] === 'function' ? undefined : rest[0]
    return answer(forwarder.servers(servers, msg, sparks), fn, self)
  }) as Forward
  const methods: Pick<Forward, 'broadcast' | 'sparks' | 'spark' | 'except' | 'user' | 'request'> = {
    broadcast: ((msg: unknown, fn?: ResultCallback) => answer(forwarder.broadcast(msg), fn, forward)) as Forward['broadcast'],
    sparks: ((ids: unknown, msg: unknown, fn?: ResultCallback) => answer(forwarder.sparks(ids, msg), fn, forward)) as Forward['sparks'],
    spark: ((id: unknown, msg: unknown, fn?: ResultCallback) =>
      answer(forwarder.spark(id, msg), fn, forward, unfound)) as Forward['spark'],
    except: ((ids: unknown, msg: unknown, fn?: ResultCallback) => answer(forwarder.except(ids, msg), fn, forward)) as Forward['except'],
    user: ((users: unknown, msg: unknown, fn?: ResultCallback) => answer(forwarder.user(users, msg), fn, forward)) as Forward['user'],
    request: ((id: unknown, msg: unknown, ...rest: [options?: RequestOptions | Callback<unknown>, fn?: Callback<unknown>]) => {
      const [options, fn] = parted(rest)
      return settle(requester.request(id, msg, options), fn, forward)
    }) as Forward['request']
  }
  return Object.assign(forward, methods)
}

/** Of an id that nobody has, callers of 1.x read that it was not local. */
function unfound(result: Result): Result {
  return result.missing === undefined ? result : { ...result, local: false }
}
