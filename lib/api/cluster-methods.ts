import { EventEmitter } from 'eventemitter3'
import { checkAddress } from '../common/address'
import { callbackifySync, splitCallback, callbackify, type Callback } from '../common/callback'
import type { Core, Emit } from '../core/core'
import { now } from '../common/async'
import { asError, inspectValue, type ClusterError } from '../common/errors'
import { idOf, usersOf } from '../common/names'
import type { Settings } from '../common/options'
import type { MetroplexEvents, Statistics } from '../reporting/types'
import { reconnectOf } from '../delivery/end-options'
import { deliverResult } from '../delivery/result-callback'
import { parameters, type Rest } from '../rpc/call-options'
import type { AskOptions, Called, EndOptions, RedisClient, Result, ResultCallback, UserPlace } from '../common/types'

/**
 * The methods that servers and clients of a cluster share.
 *
 * Each method takes an optional callback. With a callback, the method returns the object; without one, a promise.
 */
export class ClusterMethods extends EventEmitter<MetroplexEvents> {
  /** The ioredis client of the options, or the one made from them. Commands go through a duplicate of it. */
  readonly redis: RedisClient
  /** The prefix of every key, with its colon. */
  readonly namespace: string
  /** All parts of this process. @internal */
  declare readonly core: Core
  /** When the current state began. */
  #since = now()

  /** @internal */
  constructor(settings: Settings, open: (emit: Emit) => Core) {
    super()
    this.redis = settings.redis
    this.namespace = `${settings.namespace}:`
    const core = open((event, ...args) => {
      if (event === 'state') this.#since = now()
      this.tell(event, ...args)
    })
    // Not enumerable, because applications print and iterate over this object.
    Object.defineProperty(this, 'core', { value: core })
  }

  /**
   * The addresses of all live servers; without this one unless `self` is `true`.
   *
   * @throws MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  servers(self?: boolean): Promise<string[]>
  servers(fn: Callback<string[]>): this
  servers(self: boolean, fn: Callback<string[]>): this
  servers(self?: boolean | Callback<string[]>, fn?: Callback<string[]>): Promise<string[]> | this {
    const callback = typeof self === 'function' ? self : fn
    return callbackify(this.#servers(self === true), callback, this)
  }

  /**
   * The address of the server that holds a spark; `null` when none does. A local spark needs no round trip.
   *
   * @throws TypeError for an empty id; MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  spark(id: string): Promise<string | null>
  spark(id: string, fn: Callback<string | null>): this
  spark(id: string, fn?: Callback<string | null>): Promise<string | null> | this {
    return callbackifySync<string | null, this>(
      done => {
        try {
          this.core.shards.locator.place(idOf(id), done)
        } catch (error) {
          process.nextTick(done, asError(error))
        }
      },
      fn,
      this
    )
  }

  /** The addresses of the servers of sparks, in the order of `ids`; `null` for unknown ids. @throws as `spark` */
  sparks(ids: readonly string[]): Promise<(string | null)[]>
  sparks(ids: readonly string[], fn: Callback<(string | null)[]>): this
  sparks(ids: readonly string[], fn?: Callback<(string | null)[]>): Promise<(string | null)[]> | this {
    return callbackify(this.#placesOf(ids), fn, this)
  }

  /** The number of sparks in the cluster. @throws MetroplexError `EREGISTRY` when Redis cannot be asked */
  count(): Promise<number>
  count(fn: Callback<number>): this
  count(fn?: Callback<number>): Promise<number> | this {
    const { shards } = this.core
    return callbackify(
      shards.peers.count().then(count => count + shards.sparks.size),
      fn,
      this
    )
  }

  /**
   * The ids of the sparks on a server, page by page; none for a server that is not live.
   * A spark that connects or disconnects meanwhile may or may not be among them.
   *
   * @throws TypeError for a value that is no address; MetroplexError `EREGISTRY` when Redis cannot be asked
   *
   * @example
   * for await (const id of primus.metroplex.sparksOn(address)) console.log(id)
   */
  async *sparksOn(address: string): AsyncGenerator<string, void, undefined> {
    yield* this.core.sparksOn(checkAddress(address))
  }

  /**
   * Call a method on all servers, this one included, or on those of `options.to`. The result has an entry per server,
   * with its value or its error; a failure delays no other server. `args` is an array; `undefined` arrives as `null`.
   *
   * When Redis cannot be asked for the list of servers, an entry with the address `''` has that error.
   *
   * Errors: `ENOMETHOD`: the server has no method of this name; `EREMOTE`: it threw, and `error.cause` has name,
   * message and code; `EDEADLINE`, `EUNREACHABLE`, `EBUSY`, `EMESSAGE`, `ETOOBIG`, `EPROTOCOL`, `ECLOSED`.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EMESSAGE` for arguments that cannot be sent
   *
   * @example
   * const answers = await primus.metroplex.call('load')
   * for (const { address, ok, value, error } of answers) console.log(address, ok ? value : error.code)
   */
  call(name: string, args?: readonly unknown[], options?: AskOptions): Promise<Called[]>
  call(name: string, fn: Callback<Called[]>): this
  call(name: string, args: readonly unknown[], fn: Callback<Called[]>): this
  call(name: string, args: readonly unknown[], options: AskOptions, fn: Callback<Called[]>): this
  call(name: string, ...rest: Rest<readonly unknown[], AskOptions, Called[]>): Promise<Called[]> | this {
    const { first: args, options, fn } = parameters(rest)
    return callbackify(this.core.calls.call(name, args, options), fn, this)
  }

  /**
   * Call a method on servers as `call` does; resolves with the first success. On the other servers `this.signal` is
   * aborted.
   *
   * @throws AggregateError with all errors when all servers have failed; TypeError, RangeError, `EMESSAGE` as `call`
   */
  first(name: string, args?: readonly unknown[], options?: AskOptions): Promise<unknown>
  first(name: string, fn: Callback<unknown>): this
  first(name: string, args: readonly unknown[], fn: Callback<unknown>): this
  first(name: string, args: readonly unknown[], options: AskOptions, fn: Callback<unknown>): this
  first(name: string, ...rest: Rest<readonly unknown[], AskOptions, unknown>): unknown {
    const { first: args, options, fn } = parameters(rest)
    return callbackify(this.core.calls.first(name, args, options), fn, this)
  }

  /**
   * Call a method on the server that holds a spark; in it, `this.spark` is the spark. A spark that has moved meanwhile
   * is looked up once more.
   *
   * @throws MetroplexError `ENOSPARK` when no server holds the spark; else the errors of `call`
   *
   * @example
   * primus.metroplex.method('kick', function (why) { this.spark?.end({ why }) })
   * await primus.metroplex.apply(id, 'kick', ['spam'])
   */
  apply(
    spark: string,
    name: string,
    args?: readonly unknown[],
    options?: Pick<AskOptions, 'timeout' | 'signal'>
  ): Promise<unknown>
  apply(spark: string, name: string, fn: Callback<unknown>): this
  apply(spark: string, name: string, args: readonly unknown[], fn: Callback<unknown>): this
  apply(
    spark: string,
    name: string,
    args: readonly unknown[],
    options: Pick<AskOptions, 'timeout' | 'signal'>,
    fn: Callback<unknown>
  ): this
  apply(
    spark: string,
    name: string,
    ...rest: Rest<readonly unknown[], Pick<AskOptions, 'timeout' | 'signal'>, unknown>
  ): unknown {
    const { first: args, options, fn } = parameters(rest)
    return callbackify(this.core.calls.apply(spark, name, args, options), fn, this)
  }

  /**
   * Publish an event to all other servers, with `self: true` also to this one, or to those of `options.to`. Resolves
   * when all handlers have settled. `send` is the number of handlers that succeeded. `failed` lists each handler that
   * threw (`EREMOTE`) and each server that was not reached or too slow.
   *
   * Events of one server arrive in the order in which it published them.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EMESSAGE` for data that cannot be sent
   *
   * @example
   * primus.metroplex.subscribe('price', ({ id, value }) => prices.set(id, value))
   * await primus.metroplex.publish('price', { id: 7, value: 12 }, { self: true })
   */
  publish(type: string, data?: unknown, options?: AskOptions): Promise<Result>
  publish(type: string, fn: ResultCallback): this
  publish(type: string, data: unknown, fn: ResultCallback): this
  publish(type: string, data: unknown, options: AskOptions, fn: ResultCallback): this
  publish(
    type: string,
    ...rest: [data?: unknown, options?: AskOptions | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const { first: data, options, fn } = parameters<unknown, AskOptions, ResultCallback>(rest)
    return deliverResult(this.core.publisher.publish(type, data ?? null, options), fn, this)
  }

  /**
   * The sparks of users, and the servers that hold them: an entry for each spark, in the order of the users. None for a
   * user without sparks.
   *
   * @throws TypeError or RangeError for a value that is no name; MetroplexError `EREGISTRY` when Redis cannot be asked
   *
   * @example
   * const online = (await primus.metroplex.user('alice')).length > 0
   */
  user(users: string | readonly string[]): Promise<UserPlace[]>
  user(users: string | readonly string[], fn: Callback<UserPlace[]>): this
  user(users: string | readonly string[], fn?: Callback<UserPlace[]>): Promise<UserPlace[]> | this {
    return callbackify(this.#usersAt(users), fn, this)
  }

  /**
   * End sparks on any server, by an id or ids, after all messages that were sent to them before. With `reconnect: true`
   * their clients reconnect by themselves.
   *
   * Resolves as `forward.spark` does: `send` is the number of ended sparks, `missing` lists unknown ids.
   *
   * @throws TypeError for a value that is no id or no option; MetroplexError `EREGISTRY` when nothing could be tried
   */
  end(ids: string | readonly string[], options?: EndOptions): Promise<Result>
  end(ids: string | readonly string[], fn: ResultCallback): this
  end(ids: string | readonly string[], options: EndOptions, fn: ResultCallback): this
  end(
    ids: string | readonly string[],
    ...rest: [options?: EndOptions | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const [options, fn] = splitCallback(rest)
    return deliverResult(
      reconnectOf(options).then(reconnect => this.core.forwarder.end(ids, reconnect)),
      fn,
      this
    )
  }

  /** Counters since the start, and the current state: a snapshot in plain values, without I/O. */
  stats(): Statistics {
    const { shards, gateway, stats } = this.core
    return {
      state: this.core.state,
      since: Math.round(now() - this.#since),
      sparks: shards.sparks.size,
      disowned: shards.sparks.disowned,
      users: shards.users.size,
      groups: shards.groups.size,
      waiting: shards.sparks.waiting,
      peers: shards.peers.addresses.length,
      places: shards.locator.remembered,
      queued: gateway.queued,
      ...this.core.open,
      counters: stats.counters,
      latencies: stats.latencies
    }
  }

  /** The own address, as the application sees it. @internal */
  protected get own(): string {
    return this.core.shards.lives.address
  }

  /** Emit an event from the background. An error of a listener is thrown in a tick of its own. @internal */
  tell<E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>): void {
    if (event === 'error') this.core.stats.erred(args[0] as ClusterError)
    try {
      this.emit(event, ...(args as never))
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }

  async #servers(self: boolean): Promise<string[]> {
    const {
      peers,
      lives: { address }
    } = this.core.shards
    const list = await peers.current()
    if (self) return address === '' ? list : [address, ...list]
    // Until this server is registered, a former life may be listed at its address.
    const { own } = this
    return list.filter(other => other !== own)
  }

  async #usersAt(users: unknown): Promise<UserPlace[]> {
    return this.core.shards.users.find(usersOf(users))
  }

  async #placesOf(ids: unknown): Promise<(string | null)[]> {
    if (!Array.isArray(ids))
      throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${inspectValue(ids)}.`)
    return this.core.shards.locator.places(Array.from(ids, idOf))
  }
}
