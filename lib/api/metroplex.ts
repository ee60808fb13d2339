import { parse } from '../common/address'
import { ServerCore } from '../core/server-core'
import { SparkOptionReader } from '../core/spark-option-reader'
import { SparkMoves } from './spark-moves'
import { splitCallback, callbackify, type Callback } from '../common/callback'
import { deferred } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { idOf, userOf } from '../common/names'
import { settings } from '../common/options'
import { Parser } from '../common/parser'
import { AddressRegistration } from './address-registration'
import type { Health } from '../reporting/types'
import type { Handler, Method, Primus, PrimusOptions, Spark } from '../common/types'

/**
 * A server of the cluster: the type of `primus.metroplex`.
 *
 * It registers the server under its address, and every spark that connects. A beat renews the server's lease and
 * notices differences between the server and the registry, which are then repaired.
 * Each method takes an optional callback: with it, it returns the object; without it, a promise.
 *
 * @example
 * const primus = new Primus(server, { redis: new Redis() })
 * primus.plugin('metroplex', require('metroplex'))
 * primus.metroplex.spark(id).then(address => console.log(address ?? 'no server has it'))
 */
export class Metroplex extends SparkMoves {
  /** How long the alive key lives, in ms. */
  readonly interval: number
  /** How long before its expiry the alive key is renewed, in ms. */
  readonly latency: number
  /** The server's name for operators. */
  readonly name: string

  /** Registers this server. @internal */
  declare readonly registration: AddressRegistration

  /** The property of a spark that holds the id under which it was entered. */
  readonly #entered = Symbol('the id that metroplex has registered')
  #ready = deferred<string>()
  readonly #sparkOptions: SparkOptionReader

  constructor(primus?: Partial<Primus>, options: PrimusOptions = {}) {
    const set = settings(options)
    super(set, emit => new ServerCore(set, primus, Parser.of(options.parser, primus), emit))
    const failed = (error: Error): void => {
      this.tell('error', error)
    }
    this.#sparkOptions = new SparkOptionReader(this.core, (id, name) => this.#identify(id, name), failed)
    this.core.answerOperators(() => this.stats())
    this.interval = set.interval
    this.latency = set.latency
    this.name = set.name
    this.on('register', address => {
      this.#ready.resolve(address)
      // `#refuse` may have rejected it before the application registered an address itself.
      this.#ready = deferred<string>()
      this.#ready.resolve(address)
    })
    const server = (): unknown => primus?.server
    const registration = new AddressRegistration(this.core, () => set.address || server(), server, {
      refused: error => {
        this.#refuse(error)
      },
      failed
    })
    Object.defineProperty(this, 'registration', { value: registration })
    // Peers must not find this server before they can reach its transport.
    this.core.start().then(registration.open.bind(registration), (error: unknown) => {
      this.#refuse(asError(error))
    })
  }

  /**
   * The address at which peers reach exactly this process. It is known as soon as the server listens, also in the
   * callback of `listen`. `''` before, after leaving, while a private listener is not bound yet, and without an
   * address.
   */
  get address(): string {
    return this.registration.address
  }

  /** The random id of this server's life, a new one for each start; `''` until it is registered. */
  get id(): string {
    return this.core.shards.lives.id
  }

  /**
   * The address of an HTTP server, like `http://10.0.0.5:8080`; a string is returned unchanged.
   * `''` for a server that does not listen yet, or listens on a unix socket.
   */
  parse(server: unknown): string {
    return parse(server)
  }

  /**
   * Resolves with the address once this server is registered, however long Redis takes. Rejects when it can never be:
   * MetroplexError `EADDRESS` without an address that peers can reach, `ECLOSED` when the server is destroyed before;
   * or the error with which its transport could not be opened.
   */
  ready(): Promise<string>
  ready(fn: Callback<string>): this
  ready(fn?: Callback<string>): Promise<string> | this {
    return callbackify(this.#ready.promise, fn, this)
  }

  /**
   * Register under an address, given as a string or as the server that listens there. The previous address is left.
   *
   * Resolves with the address; with `''` while the server does not listen. A server that drains, or has drained,
   * accepts new sparks again as soon as it is registered.
   *
   * @throws TypeError for a value that is no address; MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  register(address?: unknown): Promise<string>
  register(fn: Callback<string>): this
  register(address: unknown, fn: Callback<string>): this
  register(address?: unknown, fn?: Callback<string>): Promise<string> | this {
    const [given, callback] = splitCallback([address, fn])
    return callbackify(this.registration.register(given), callback, this)
  }

  /**
   * Leave the registry, or remove another server from it. A live server of 2.x registers again with its next beat.
   *
   * Resolves with the address that was removed; with `''` when there was none.
   *
   * @throws TypeError for a value that is no address; MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  unregister(address?: unknown): Promise<string>
  unregister(fn: Callback<string>): this
  unregister(address: unknown, fn: Callback<string>): this
  unregister(address?: unknown, fn?: Callback<string>): Promise<string> | this {
    const [given, callback] = splitCallback([address, fn])
    return callbackify(this.registration.unregister(given), callback, this)
  }

  /**
   * Register a local spark; the plugin does so for every spark of Primus. It is written within some milliseconds, in a
   * batch; before the server is registered, it is only noted.
   *
   * @throws TypeError for a spark whose id is no string or number, or is empty
   */
  connect(spark: Spark): this {
    const id = idOf(spark.id)
    if (this.#idOf(spark) !== id) this.disconnect(spark)
    // The entry is removed under the same id, even if the application gives the spark another one.
    Reflect.set(spark, this.#entered, id)
    this.core.shards.sparks.connect(id, spark)
    this.core.balance.connected(spark)
    this.#sparkOptions.ask(id, spark)
    return this
  }

  /** Remove a local spark; the plugin does so at its `disconnection`. @throws TypeError as `connect` */
  disconnect(spark: Spark): this {
    const id = this.#idOf(spark)
    // Deleting a property would make V8 keep an object of the application in a slower form.
    Reflect.set(spark, this.#entered, undefined)
    this.core.disconnected(id, spark)
    this.#sparkOptions.gone(id, spark)
    return this
  }

  /**
   * Set the user of a local spark; `undefined` or `null`: none. For users who log in or out while connected. This
   * server uses the name at once; the promise resolves when the registry has it, so that all servers find it.
   *
   * @param spark a local spark, or its id
   * @throws TypeError or RangeError for a value that is no spark or no name; MetroplexError `ENOSPARK` when the spark
   * is not connected here, `ELIMIT` when its user has as many as the option `limit` allows: it is ended, `EREGISTRY`
   * when Redis cannot be asked: the name is written as soon as it can be
   *
   * @example
   * spark.on('data', ({ login }) => { if (login) primus.metroplex.identify(spark, login).catch(console.error) })
   */
  identify(spark: Spark | string, user: string | null | undefined): Promise<void>
  identify(spark: Spark | string, user: string | null | undefined, fn: Callback<void>): this
  identify(spark: Spark | string, user: string | null | undefined, fn?: Callback<void>): Promise<void> | this {
    return callbackify(this.#identify(spark, user), fn, this)
  }

  /**
   * Register a function that servers can call by name, with `call`, `first` and `apply`. No other function can be
   * called.
   *
   * Its `this` has `from`: the caller's address, `''` for a process without one; `address`: that of this server;
   * `local`: whether this server is the caller; `primus`; `signal`: aborted when the caller no longer waits; and with
   * `apply` `spark`. Its result is the answer: a value that JSON can express, or binary. The caller gets a thrown error
   * as `EREMOTE`, without the stack.
   *
   * @throws TypeError for a value that is no name or no function; Error when the name is taken
   *
   * @example
   * primus.metroplex.method('load', () => process.cpuUsage())
   */
  method(name: string, fn: Method): this {
    this.core.methods.method(name, fn)
    return this
  }

  /**
   * Call a function for each published event of a type, with the data and `{ type, from, address, local, signal }`. A
   * type may have several handlers, which start in their order. A handler that throws or is slow affects no other.
   *
   * @returns a function that unsubscribes it
   * @throws TypeError for a value that is no type or no function
   */
  subscribe(type: string, handler: Handler): () => void {
    return this.core.subscriptions.subscribe(type, handler)
  }

  /**
   * Whether this server works: its life holds the lease, Redis answers, and no heal is running. Asks Redis and, over
   * the network, its own address. Takes at most `timeout`, and never rejects.
   *
   * `warnings` name peers that cannot be reached at their addresses, by failed messages and by a few probes.
   *
   * When the own address does not lead to this server, that is a warning, because some networks have no way back to the
   * sender. It is a reason once the address has led here.
   *
   * @example
   * http.createServer(async (req, res) => {
   *   const { ok } = await primus.metroplex.health()
   *   res.writeHead(ok ? 200 : 503).end()
   * }).listen(9090)
   */
  health(): Promise<Health>
  health(fn: Callback<Health>): this
  health(fn?: Callback<Health>): Promise<Health> | this {
    return callbackify(this.core.healthCheck.health(), fn, this)
  }

  /** Leave the registry and close all connections that we opened. Idempotent; takes at most `timeout`. @internal */
  close(): Promise<void> {
    this.#ready.reject(new MetroplexError('ECLOSED', 'This server was destroyed before it could register.'))
    return this.core.close()
  }

  /** The ids of sparks, or that of a local spark. @internal */
  protected override idsIn(sparks: unknown): string[] {
    const isSpark = typeof sparks === 'object' && sparks !== null && !Array.isArray(sparks)
    return isSpark ? [this.#idOf(sparks as Spark)] : super.idsIn(sparks)
  }

  /** The own address, as the application sees it. @internal */
  protected override get own(): string {
    return this.address
  }

  async #identify(spark: unknown, user: unknown): Promise<void> {
    const id = typeof spark === 'object' && spark !== null ? this.#idOf(spark as Spark) : idOf(spark)
    const name = user === undefined || user === null ? undefined : userOf(user)
    this.#sparkOptions.told(id)
    await this.core.identify(id, name)
  }

  /** The id under which a spark was entered; its current id when it was not. */
  #idOf(spark: Spark): string {
    const entered: unknown = Reflect.get(spark, this.#entered)
    return typeof entered === 'string' ? entered : idOf(spark.id)
  }

  /** This server can never register. */
  #refuse(error: Error): void {
    // A task that was interrupted by `close` has not failed.
    if (this.core.closing) return
    this.#ready.reject(error)
    // The application can only add listeners after the constructor has returned.
    process.nextTick(() => {
      this.tell('error', error)
    })
  }
}
