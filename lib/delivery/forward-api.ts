import type { Urgency } from '../common/async'
import { splitCallback, callbackify, type Callback } from '../common/callback'
import { forwardObserved } from './result-callback'
import type { AskOptions, GroupOptions, Result, ResultCallback } from '../common/types'
import type { ClientReply, ManyRequestsOptions, RequestTargets } from '../common/types'
import { forwardChannel, type ForwardTrace } from '../reporting/tracing'
import type { Forwarder } from './forwarder'
import type { GroupForwarder } from './group-forwarder'

/**
 * The type of `primus.forward`. A message is any value that the parser of Primus can encode. With a callback a method
 * returns `forward` (the function itself returns primus); without one, a promise of the `Result`.
 *
 * A callback gets the first failure *and* the whole result. A promise rejects only when nothing could be tried:
 * `TypeError` for wrong arguments, `EMESSAGE` for a value that is no message, `EREGISTRY` when Redis cannot be asked.
 *
 * @example
 * const { send, failed } = await primus.forward.broadcast({ hello: 'world' })
 */
export interface Forward {
  /**
   * To these servers, one address or several, and to local sparks: to all of them, or to `sparks`.
   * Prefer the methods below, which look sparks up.
   */
  (servers: string | readonly string[], msg: unknown, sparks?: string | readonly string[] | null): Promise<Result>
  (
    servers: string | readonly string[],
    msg: unknown,
    sparks: string | readonly string[] | null | undefined,
    fn: ResultCallback
  ): unknown
  (servers: string | readonly string[], msg: unknown, fn: ResultCallback): unknown
  /** To all sparks of the cluster. */
  broadcast(msg: unknown): Promise<Result>
  broadcast(msg: unknown, fn: ResultCallback): Forward
  /** To these sparks, on any server. Unknown ids are listed in `missing`, and leave `ok` true. */
  sparks(ids: readonly string[], msg: unknown): Promise<Result>
  sparks(ids: readonly string[], msg: unknown, fn: ResultCallback): Forward
  /** To this spark, on any server. For an unknown id the callback gets an error with code `ENOSPARK`. */
  spark(id: string, msg: unknown): Promise<Result>
  spark(id: string, msg: unknown, fn: ResultCallback): Forward
  /** To all sparks of the cluster except these. */
  except(ids: readonly string[], msg: unknown): Promise<Result>
  except(ids: readonly string[], msg: unknown, fn: ResultCallback): Forward
  /**
   * To all sparks of a user, or of several, on any server: see the option `user`. A user without sparks is listed in
   * `missing`: `ok` is false then, and a callback gets no error.
   *
   * Messages to one user arrive in the order of the calls.
   */
  user(users: string | readonly string[], msg: unknown): Promise<Result>
  user(users: string | readonly string[], msg: unknown, fn: ResultCallback): Forward
  /**
   * To all sparks that are in a group, or in one of several, on any server: to each of them once. `except` names ids
   * that do not get it. A group that no spark is in is listed in `missing`.
   *
   * Messages to one group arrive on each server in the order of the calls.
   *
   * @throws TypeError or RangeError for a value that is no name of a group, no id or no option
   */
  group(groups: string | readonly string[], msg: unknown, options?: GroupOptions): Promise<Result>
  group(groups: string | readonly string[], msg: unknown, fn: ResultCallback): Forward
  group(
    groups: string | readonly string[],
    msg: unknown,
    options: GroupOptions | undefined,
    fn: ResultCallback
  ): Forward
  /**
   * Ask the client of this spark, on any server. Resolves with its reply; `undefined` when that is empty. The client
   * must have loaded the client half, which Primus bundles into its library, and answer `primus.on('request', …)`.
   *
   * Waits for `timeout` ms; the default is the option `timeout`. Aborting `signal` ends the wait; the client is not
   * informed.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `ENOSPARK`: no server has this spark;
   * `EDEADLINE`: no reply in time; `EUNREACHABLE`: the client has not loaded the client half, or disconnected before it
   * replied; `EREMOTE`: the client's listener threw, or there is none; `EMESSAGE`; and the errors of the way to its
   * server
   *
   * @example
   * // in the client: primus.on('request', function (question, reply) { reply(confirm(question.text)) })
   * const sure = await primus.forward.request(spark.id, { text: 'Really?' }, { timeout: 30_000 })
   */
  request(id: string, msg: unknown, options?: RequestOptions): Promise<unknown>
  request(id: string, msg: unknown, fn: Callback<unknown>): Forward
  request(id: string, msg: unknown, options: RequestOptions | undefined, fn: Callback<unknown>): Forward
  /**
   * Ask many clients, on any servers: those of these sparks, of all sparks of a user or several, or of all sparks in a
   * group or several. Yields an entry for each spark as its reply comes: `{ spark, ok: true, value }`, or
   * `{ spark, ok: false, error }` with the errors of `request`. Each spark is asked once, however many of the groups it
   * is in. The clients are asked when the iteration begins; takes no callback.
   *
   * After `timeout` ms each client that has not replied is an entry with `EDEADLINE`. After `enough` replies that are
   * no failures, or when the iteration ends early, the others are given up.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EMESSAGE`; at the end, when not all sparks
   * could be found: `EREGISTRY`, or an AggregateError with an error for each server that could not be read; the reason
   * of the signal
   *
   * @example
   * const votes = primus.forward.requests({ group: 'jury' }, { vote: 7 }, { timeout: 30_000, enough: 3 })
   * for await (const { spark, ok, value } of votes) if (ok) console.log(spark, value)
   */
  requests(
    to: RequestTargets,
    msg: unknown,
    options?: ManyRequestsOptions
  ): AsyncGenerator<ClientReply, void, undefined>
}

/** How long to wait for a reply. */
export type RequestOptions = Pick<AskOptions, 'timeout' | 'signal'>

/** Asks clients. */
export interface Requester {
  request(id: unknown, msg: unknown, options: unknown): Promise<unknown>
  requests(to: unknown, msg: unknown, options: unknown): AsyncGenerator<ClientReply, void, undefined>
}

/** The function with its methods. `self` is the value that the function itself returns for chaining. */
export function forwardApi(
  forwarder: Forwarder,
  groupForwarder: Pick<GroupForwarder, 'group'>,
  requester: Requester,
  self: unknown
): Forward {
  const forward = ((servers: unknown, msg: unknown, ...rest: unknown[]) => {
    const fn = (typeof rest[0] === 'function' ? rest[0] : rest[1]) as ResultCallback | undefined
    const sparks = typeof rest[0] === 'function' ? undefined : rest[0]
    return forwardObserved(
      tracing('servers', servers, urgency => forwarder.servers(servers, msg, sparks, urgency)),
      fn,
      self,
      { msg, sparks }
    )
  }) as Forward
  const methods: { [Name in keyof Forward]: Forward[Name] } = {
    broadcast: ((msg: unknown, fn?: ResultCallback) =>
      forwardObserved(
        tracing('broadcast', [], urgency => forwarder.broadcast(msg, urgency)),
        fn,
        forward,
        { msg }
      )) as Forward['broadcast'],
    sparks: ((sparks: unknown, msg: unknown, fn?: ResultCallback) =>
      forwardObserved(
        tracing('sparks', sparks, urgency => forwarder.sparks(sparks, msg, urgency)),
        fn,
        forward,
        {
          msg,
          sparks
        }
      )) as Forward['sparks'],
    spark: ((id: unknown, msg: unknown, fn?: ResultCallback) =>
      forwardObserved(
        tracing('spark', id, urgency => forwarder.spark(id, msg, urgency)),
        fn,
        forward,
        { msg, sparks: id },
        notLocal
      )) as Forward['spark'],
    except: ((ids: unknown, msg: unknown, fn?: ResultCallback) =>
      forwardObserved(
        tracing('except', ids, urgency => forwarder.except(ids, msg, urgency)),
        fn,
        forward,
        { msg }
      )) as Forward['except'],
    user: ((users: unknown, msg: unknown, fn?: ResultCallback) =>
      forwardObserved(
        tracing('user', users, urgency => forwarder.user(users, msg, urgency)),
        fn,
        forward,
        { msg }
      )) as Forward['user'],
    group: ((
      groups: unknown,
      msg: unknown,
      ...rest: [options?: GroupOptions | ResultCallback, fn?: ResultCallback]
    ) => {
      const [options, fn] = splitCallback(rest)
      return forwardObserved(
        tracing('group', groups, urgency => groupForwarder.group(groups, msg, options, urgency)),
        fn,
        forward,
        { msg }
      )
    }) as Forward['group'],
    request: ((
      id: unknown,
      msg: unknown,
      ...rest: [options?: RequestOptions | Callback<unknown>, fn?: Callback<unknown>]
    ) => {
      const [options, fn] = splitCallback(rest)
      return callbackify(requester.request(id, msg, options), fn, forward)
    }) as Forward['request'],
    requests: (to, msg, options) => requester.requests(to, msg, options)
  }
  return Object.assign(forward, methods)
}

type Start = (urgency: Urgency | undefined) => Promise<Result>

/** A forward, traced if there is a subscriber. */
function tracing(method: ForwardTrace['method'], targets: unknown, start: Start): Start {
  if (!forwardChannel.hasSubscribers) return start
  const context = { method, targets: Array.isArray(targets) ? targets.length : 1 }
  return urgency => forwardChannel.tracePromise(() => start(urgency), context)
}

/** For an unknown id, callers of 1.x read `local: false`. */
function notLocal(result: Result): Result {
  return result.missing === undefined ? result : { ...result, local: false }
}
