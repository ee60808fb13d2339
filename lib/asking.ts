import { EventEmitter } from 'eventemitter3'
import { checked } from './address'
import { called, parted, settle, type Callback } from './callback'
import { Core } from './core'
import { now } from './deadline'
import { asError, shown } from './errors'
import { idOf, usersOf } from './message'
import type { Settings } from './options'
import type { MetroplexEvents, Statistics } from './reports'
import { answer } from './result'
import type { AskOptions, Called, EndOptions, Primus, RedisClient, Result, ResultCallback, UserPlace } from './types'

/** What may follow the name of what is asked: anything may be missing, and the callback is the last that is there. */
type Rest<First, Options, T> = [first?: First | Callback<T>, options?: Options | Callback<T>, fn?: Callback<T>]

/**
 * What a process can ask of a cluster, whether it is one of its servers or not.
 *
 * Each method takes an optional callback: with it, it returns the object; without it, a promise.
 */
export class Asking extends EventEmitter<MetroplexEvents> {
  /** The ioredis client of the options, or the one we made. We talk through a duplicate of it. */
  readonly redis: RedisClient
  /** The prefix of every key, with its colon. */
  readonly namespace: string
  /** All that works for us. @internal */
  declare readonly core: Core
  /** Since when we have been in our state. */
  #since = now()

  /** @internal */
  constructor(settings: Settings, primus: Partial<Primus> | undefined, parser: unknown) {
    super()
    this.redis = settings.redis
    this.namespace = `${settings.namespace}:`
    const core = new Core(settings, primus, parser, (event, ...args) => {
      if (event === 'state') this.#since = now()
      this.tell(event, ...args)
    })
    // Applications look at what they are given, and are not to find everything there.
    Object.defineProperty(this, 'core', { value: core })
  }

  /**
   * The addresses of the servers that live; without our own unless `self` is `true`.
   *
   * @throws MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  servers(self?: boolean): Promise<string[]>
  servers(fn: Callback<string[]>): this
  servers(self: boolean, fn: Callback<string[]>): this
  servers(self?: boolean | Callback<string[]>, fn?: Callback<string[]>): Promise<string[]> | this {
    const callback = typeof self === 'function' ? self : fn
    const { peers, address } = this.core.shards
    return settle(peers.current().then(list => self === true && address !== '' ? [address, ...list] : list), callback, this)
  }

  /**
   * The address of the server that holds a spark; `null` when nobody does. A spark of our own needs no round trip.
   *
   * @throws TypeError for an empty id; MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  spark(id: string): Promise<string | null>
  spark(id: string, fn: Callback<string | null>): this
  spark(id: string, fn?: Callback<string | null>): Promise<string | null> | this {
    return called<string | null, this>(done => {
      try {
        this.core.whereabouts.place(idOf(id), done)
      } catch (error) {
        process.nextTick(done, asError(error))
      }
    }, fn, this)
  }

  /** The addresses of the servers that hold sparks, in the order of `ids`, with `null` for those that nobody holds. */
  sparks(ids: readonly string[]): Promise<(string | null)[]>
  sparks(ids: readonly string[], fn: Callback<(string | null)[]>): this
  sparks(ids: readonly string[], fn?: Callback<(string | null)[]>): Promise<(string | null)[]> | this {
    return settle(this.#placesOf(ids), fn, this)
  }

  /** How many sparks the cluster has. */
  count(): Promise<number>
  count(fn: Callback<number>): this
  count(fn?: Callback<number>): Promise<number> | this {
    const { shards } = this.core
    return settle(shards.peers.count().then(count => count + shards.size), fn, this)
  }

  /**
   * The ids of the sparks on a server, page by page; none for a server that does not live.
   * A spark that connects or disconnects meanwhile may or may not be among them.
   *
   * @example
   * for await (const id of primus.metroplex.sparksOn(address)) console.log(id)
   */
  async *sparksOn(address: string): AsyncGenerator<string, void, undefined> {
    yield* this.core.sparksOn(checked(address))
  }

  /**
   * Call a method on all servers, this one among them, or on those of `options.to`. Each answers for itself: one that fails, is not reached, or does
   * not answer in time is named with its error, and delays no other. `args` is an array; `undefined` in it arrives as `null`.
   *
   * When it is not known who there is, because Redis cannot be asked, an entry with the address `''` says so.
   *
   * Errors: `ENOMETHOD`, nothing of that name is registered there; `EREMOTE`, it threw, and `error.cause` has name, message and code of what it threw; `EDEADLINE`,
   * `EUNREACHABLE`, `EBUSY`, `EMESSAGE`, `ETOOBIG`, `EPROTOCOL`, `ECLOSED`.
   *
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EMESSAGE` for arguments that cannot be sent
   *
   * @example
   * for (const { address, ok, value, error } of await primus.metroplex.call('load')) console.log(address, ok ? value : error.code)
   */
  call(name: string, args?: readonly unknown[], options?: AskOptions): Promise<Called[]>
  call(name: string, fn: Callback<Called[]>): this
  call(name: string, args: readonly unknown[], fn: Callback<Called[]>): this
  call(name: string, args: readonly unknown[], options: AskOptions, fn: Callback<Called[]>): this
  call(name: string, ...rest: Rest<readonly unknown[], AskOptions, Called[]>): Promise<Called[]> | this {
    const { first: args, options, fn } = arranged(rest)
    return settle(this.core.calls.call(name, args, options), fn, this)
  }

  /**
   * Call a method on servers as `call` does, and take what the first one answers that succeeds. The others are told that nobody waits any more: their
   * `this.signal` is aborted.
   *
   * @throws AggregateError when all have failed, with the error of each; TypeError, RangeError, MetroplexError `EMESSAGE` as `call`
   */
  first(name: string, args?: readonly unknown[], options?: AskOptions): Promise<unknown>
  first(name: string, fn: Callback<unknown>): this
  first(name: string, args: readonly unknown[], fn: Callback<unknown>): this
  first(name: string, args: readonly unknown[], options: AskOptions, fn: Callback<unknown>): this
  first(name: string, ...rest: Rest<readonly unknown[], AskOptions, unknown>): unknown {
    const { first: args, options, fn } = arranged(rest)
    return settle(this.core.calls.first(name, args, options), fn, this)
  }

  /**
   * Call a method on the server that holds a spark, and there alone; in it, `this.spark` is the spark. One that has moved meanwhile is looked up once more.
   *
   * @throws MetroplexError `ENOSPARK` at once when nobody holds it; else as an entry of `call` would have it
   *
   * @example
   * primus.metroplex.method('kick', function (why) { this.spark.end({ why }) })
   * await primus.metroplex.apply(id, 'kick', ['spam'])
   */
  apply(spark: string, name: string, args?: readonly unknown[], options?: Pick<AskOptions, 'timeout' | 'signal'>): Promise<unknown>
  apply(spark: string, name: string, fn: Callback<unknown>): this
  apply(spark: string, name: string, args: readonly unknown[], fn: Callback<unknown>): this
  apply(spark: string, name: string, args: readonly unknown[], options: Pick<AskOptions, 'timeout' | 'signal'>, fn: Callback<unknown>): this
  apply(spark: string, name: string, ...rest: Rest<readonly unknown[], Pick<AskOptions, 'timeout' | 'signal'>, unknown>): unknown {
    const { first: args, options, fn } = arranged(rest)
    return settle(this.core.calls.apply(spark, name, args, options), fn, this)
  }

  /**
   * Tell all other servers of an event, and this one with `self: true`, or those of `options.to`. Resolves when all their handlers have settled, with `send`, the number of handlers
   * that did so well, and in `failed` each one that threw (`EREMOTE`), and each server that could not be told or took too long.
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
  publish(type: string, ...rest: [data?: unknown, options?: AskOptions | ResultCallback, fn?: ResultCallback]): Promise<Result> | this {
    const { first: data, options, fn } = arranged<unknown, AskOptions, ResultCallback>(rest)
    return answer(this.core.events.publish(type, data ?? null, options), fn, this)
  }

  /**
   * The sparks that users are behind, and the servers that hold them: an entry for each spark, in the order of the users. None for a user who is not connected.
   *
   * @throws TypeError or RangeError for what is no name; MetroplexError `EREGISTRY` when Redis cannot be asked
   *
   * @example
   * const online = (await primus.metroplex.user('alice')).length > 0
   */
  user(users: string | readonly string[]): Promise<UserPlace[]>
  user(users: string | readonly string[], fn: Callback<UserPlace[]>): this
  user(users: string | readonly string[], fn?: Callback<UserPlace[]>): Promise<UserPlace[]> | this {
    return settle(this.#usersAt(users), fn, this)
  }

  /**
   * End sparks wherever they are, by an id or ids, after all that was sent there before. With `reconnect: true` their clients come back by themselves.
   *
   * Resolves as `forward.spark` does: `send` is how many were ended, `missing` those that nobody holds.
   *
   * @throws TypeError for what is no id or no option; MetroplexError `EREGISTRY` when nothing could be tried
   */
  end(ids: string | readonly string[], options?: EndOptions): Promise<Result>
  end(ids: string | readonly string[], fn: ResultCallback): this
  end(ids: string | readonly string[], options: EndOptions, fn: ResultCallback): this
  end(ids: string | readonly string[], ...rest: [options?: EndOptions | ResultCallback, fn?: ResultCallback]): Promise<Result> | this {
    const [options, fn] = parted(rest)
    return answer(ended(options, reconnect => this.core.forwarder.end(ids, reconnect)), fn, this)
  }

  /** End all sparks of a user, or of several, wherever they are: as `end`, and `missing` has the users who have none. */
  endUser(users: string | readonly string[], options?: EndOptions): Promise<Result>
  endUser(users: string | readonly string[], fn: ResultCallback): this
  endUser(users: string | readonly string[], options: EndOptions, fn: ResultCallback): this
  endUser(users: string | readonly string[], ...rest: [options?: EndOptions | ResultCallback, fn?: ResultCallback]): Promise<Result> | this {
    const [options, fn] = parted(rest)
    return answer(ended(options, reconnect => this.core.forwarder.endUser(users, reconnect)), fn, this)
  }

  /** What this process has done since it started, and how it stands: a snapshot, in plain values. Costs nothing worth mentioning. */
  stats(): Statistics {
    const { shards, post, stats } = this.core
    return {
      state: this.core.state,
      since: Math.round(now() - this.#since),
      sparks: shards.size,
      disowned: shards.disowned,
      users: shards.users.size,
      waiting: shards.waiting,
      peers: shards.peers.addresses.length,
      places: shards.finder.remembered,
      queued: post.queued,
      ...this.core.open,
      counters: stats.counters,
      latencies: stats.latencies
    }
  }

  /** Emit from the background. What a listener throws is thrown as from any timer: it is not ours, and must not stop our heart. @internal */
  tell<E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>): void {
    try {
      this.emit(event, ...args as never)
    } catch (error) {
      process.nextTick(() => { throw error })
    }
  }

  async #usersAt(users: unknown): Promise<UserPlace[]> {
    return this.core.shards.users.find(usersOf(users))
  }

  async #placesOf(ids: unknown): Promise<(string | null)[]> {
    if (!Array.isArray(ids)) throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${shown(ids)}.`)
    return this.core.whereabouts.places(Array.from(ids, idOf))
  }
}

/** What is asked with, options and a callback, of which any may be missing: a function is the callback, wherever it stands, for none can be sent. */
function arranged<First, Options, F>([first, ...rest]: [first?: First | F, options?: Options | F, fn?: F]): { first: First | undefined; options: Options | undefined; fn: F | undefined } {
  if (typeof first === 'function') return { first: undefined, options: undefined, fn: first as F }
  const [options, fn] = parted<Options, F>(rest)
  return { first: first as First | undefined, options, fn }
}

/** @throws TypeError for what is no option */
async function ended(options: unknown, end: (reconnect: boolean) => Promise<Result>): Promise<Result> {
  const { reconnect = false, ...more } = (options ?? {}) as EndOptions
  if ((typeof options !== 'object' && options !== undefined) || typeof reconnect !== 'boolean' || Object.keys(more).length > 0) {
    throw new TypeError(`metroplex: how sparks are ended must be { reconnect: true } or { reconnect: false }; given: ${shown(options)}.`)
  }
  return end(reconnect)
}
