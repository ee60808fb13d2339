import { boundTo, checked, onUnixSocket, parse, unixSocket } from './address'
import { Asking } from './asking'
import { ignore, isCallback, parted, settle, type Callback } from './callback'
import { termsOf } from './cluster/drain'
import { deferred } from './deadline'
import { asError, MetroplexError } from './errors'
import { idOf, userOf } from './message'
import { Naming } from './naming'
import { settings, type Settings } from './options'
import type { Health } from './reports'
import type { Drained, DrainOptions, Handler, Method, Primus, PrimusOptions, Spark } from './types'

/** An address that stands for a unix socket until a better one is known. */
const UNIX = 'unix:'

/**
 * One server's part in the cluster: what `primus.metroplex` is.
 *
 * It registers the server under its address, and every spark that connects, and keeps that true: a beat renews the
 * lease by which peers believe in us and notices when the registry has forgotten something, which is then put right.
 * Each method takes an optional callback: with it, it returns the object; without it, a promise.
 *
 * @example
 * const primus = new Primus(server, { redis: new Redis() })
 * primus.plugin('metroplex', require('metroplex'))
 * primus.metroplex.spark(id).then(address => console.log(address ?? 'nobody has it'))
 */
export class Metroplex extends Asking {
  /** How long the alive key lives, in ms. */
  readonly interval: number
  /** Head start of its renewal, in ms. */
  readonly latency: number
  /** What operators read. */
  readonly name: string

  readonly #primus: Partial<Primus>
  readonly #settings: Settings
  readonly #ready = deferred<string>()
  readonly #naming: Naming
  #begun = false
  /** Peers can ask us. */
  #open = false

  constructor(primus?: Partial<Primus>, options: PrimusOptions = {}) {
    const set = settings(options)
    super(set, primus, options.parser)
    this.#settings = set
    this.#primus = primus ?? {}
    this.#naming = new Naming(set.user, (id, name) => this.#identify(id, name), error => { this.tell('error', error) })
    this.interval = set.interval
    this.latency = set.latency
    this.name = set.name
    this.on('register', address => { this.#ready.resolve(address) })
    // Nobody is to find us before we can be asked.
    this.core.start().then(() => {
      this.#open = true
      this.begin()
    }, (error: unknown) => { this.#refuse(asError(error)) })
  }

  /** Where peers reach exactly this process; `''` until it is registered. */
  get address(): string {
    return this.core.shards.address
  }

  /** This life: a random word, another one after each start; `''` until it is registered. */
  get id(): string {
    return this.core.shards.id
  }

  /**
   * The address at which a server can be reached, like `http://10.0.0.5:8080`; a string is returned as it is.
   * `''` for one that does not listen yet, or on a unix socket.
   */
  parse(server: unknown): string {
    return parse(server)
  }

  /** Resolves with our address once we are registered; rejects when that has become impossible. */
  ready(): Promise<string>
  ready(fn: Callback<string>): this
  ready(fn?: Callback<string>): Promise<string> | this {
    return settle(this.#ready.promise, fn, this)
  }

  /**
   * Register under an address, given as a string or as the server that listens there. An address that we had before is left.
   *
   * Resolves with the address; with `''` when none can be told yet, because the server does not listen. A server that drains, or has drained, takes new sparks
   * again as soon as it is registered.
   *
   * @throws TypeError for what is no address; MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  register(address?: unknown): Promise<string>
  register(address: unknown, fn: Callback<string>): this
  register(address?: unknown, fn?: Callback<string>): Promise<string> | this {
    return settle(this.#register(address), fn, this)
  }

  /**
   * Leave the registry, or remove another server from it: one of 2.x that lives comes back with its next beat.
   *
   * Resolves with the address that was removed; with `''` when there was none.
   */
  unregister(address?: unknown): Promise<string>
  unregister(address: unknown, fn: Callback<string>): this
  unregister(address?: unknown, fn?: Callback<string>): Promise<string> | this {
    const wanted = parse(address)
    const ours = wanted === '' || wanted === this.core.shards.wanted
    return settle(ours ? this.core.shards.unregister() : this.#remove(wanted), fn, this)
  }

  /** Register a spark of ours. Written soon, together with others; kept until we are registered ourselves. */
  connect(spark: Spark): this {
    const id = idOf(spark.id)
    this.core.shards.connect(id, spark)
    this.#naming.ask(id, spark)
    return this
  }

  /** Remove a spark of ours. */
  disconnect(spark: Spark): this {
    const id = idOf(spark.id)
    this.core.shards.disconnect(id, spark)
    this.core.drain.gone(spark)
    this.#naming.gone(id, spark)
    return this
  }

  /**
   * Name the user behind one of our sparks, rename him, or with `undefined` say that nobody is: for those who log in late, or out. Known here at once; resolves
   * when it is in the registry, so that all servers know.
   *
   * @param spark one of ours, or its id
   * @throws TypeError or RangeError for what is no spark or no name; MetroplexError `ENOSPARK` when it is not connected here, `EREGISTRY` when Redis cannot be
   * asked: then it is written as soon as it can
   *
   * @example
   * spark.on('data', async ({ login }) => { if (login) await primus.metroplex.identify(spark, await nameOf(login)) })
   */
  identify(spark: Spark | string, user: string | undefined): Promise<void>
  identify(spark: Spark | string, user: string | undefined, fn: Callback<void>): this
  identify(spark: Spark | string, user: string | undefined, fn?: Callback<void>): Promise<void> | this {
    return settle(this.#identify(spark, user), fn, this)
  }

  /**
   * Let the sparks of this server go, gently, before it ends. From now on it takes no new ones: who asks for one is answered 503, and `health()` is not ok. Those that are
   * here are ended with a hint to come back, which leads them to other servers: at random moments, `rate` of them in any second at most. Until then each one is found, and served.
   *
   * When none is left it leaves the registry, and resolves with `left: 0`; it drains until it is destroyed, or registered again with `register()`. After `timeout` ms it resolves with
   * how many are left: these are served and found as before, and it can be called again. `moved` is how many have gone since it began. Calls at the same time
   * are one, on the terms of the last one; each resolves. `destroy` ends it: it resolves with what has been done.
   *
   * A spark that slips in, because it asked before, is ended at once, not counted and not held to the rate. Leaving while Redis is away fails with an
   * `error` event; it then resolves all the same, and peers see us go when our lease has run out.
   *
   * @param options `timeout` in ms, 60000 by default, at least 0, which ends none; `rate` in sparks a second, 100 by default, above 0: below 1 one in so many seconds
   * @throws TypeError or RangeError for wrong options; MetroplexError `ECLOSED` when it has been destroyed
   *
   * @example
   * process.once('SIGTERM', async () => {
   *   await primus.metroplex.drain({ rate: 200 })
   *   primus.destroy({ reconnect: true }, () => process.exit())
   * })
   */
  drain(options?: DrainOptions): Promise<Drained>
  drain(fn: Callback<Drained>): this
  drain(options: DrainOptions, fn: Callback<Drained>): this
  drain(options?: DrainOptions | Callback<Drained>, fn?: Callback<Drained>): Promise<Drained> | this {
    const [given, callback] = parted([options, fn])
    // Whose mistake throws has not begun anything.
    isCallback(callback)
    return settle(this.#drain(given), callback, this)
  }

  /**
   * Let other servers, and this one, call a function by a name, with `call`, `first` and `apply`. Nothing else can be called from outside.
   *
   * Its `this` has `from`, the caller's address (`''` for a process without one), `address`, ours, `local`, whether we call ourselves, `primus`, `signal`, which is aborted
   * when nobody waits for the answer any more, and with `apply` `spark`. What it returns, or resolves with, is the answer: a value that JSON can express, or binary.
   * What it throws the caller gets as `EREMOTE`, without the stack.
   *
   * @throws TypeError for what is no name or no function; Error when the name is taken
   *
   * @example
   * primus.metroplex.method('load', () => process.cpuUsage())
   */
  method(name: string, fn: Method): this {
    this.core.calls.method(name, fn)
    return this
  }

  /**
   * Call a function for each event of a type that a server publishes; it is given the data, and `{ type, from, address, local, signal }`. A type may have
   * any number of them: they begin in their order, and one that throws or takes its time concerns no other.
   *
   * @returns what unsubscribes it
   * @throws TypeError for what is no type or no function
   */
  subscribe(type: string, handler: Handler): () => void {
    return this.core.events.subscribe(type, handler)
  }

  /**
   * Whether this server can do its work: its lease is held by this life, Redis answers, and nothing is being put right. Asks Redis
   * and, over the network, its own address, and takes at most the deadline. Resolves always.
   *
   * That its own address does not lead to it is a warning; a reason once it did: some networks lead nobody back to where they are.
   *
   * @example
   * http.get('/health', async (req, res) => { res.statusCode = (await primus.metroplex.health()).ok ? 200 : 503; res.end() })
   */
  health(): Promise<Health>
  health(fn: Callback<Health>): this
  health(fn?: Callback<Health>): Promise<Health> | this {
    return settle(this.core.check.health(), fn, this)
  }

  /** Leave the registry and close what we opened; harmless when called twice. Takes at most the deadline, Redis or no Redis. @internal */
  close(): Promise<void> {
    this.#ready.reject(new MetroplexError('ECLOSED', 'This server was destroyed before it could register.'))
    return this.core.close()
  }

  /** Begin to register in the background, for as long as it takes. @internal */
  begin(): void {
    if (!this.#begins) return
    this.#found(this.#settings.address || this.#primus.server).then(found => {
      if (found === '' || !this.#begins) return
      this.#begun = true
      this.core.shards.register(found, true).catch(ignore)
    }, (error: unknown) => { this.#refuse(asError(error)) })
  }

  /** Whether we can register by ourselves, and have not. */
  get #begins(): boolean {
    const { closing, drain } = this.core
    return this.#open && !this.#begun && this.address === '' && !closing && !drain.active
  }

  async #identify(spark: unknown, user: unknown): Promise<void> {
    const id = idOf(typeof spark === 'object' && spark !== null ? (spark as Spark).id : spark)
    const name = user === undefined ? undefined : userOf(user)
    this.#naming.told(id)
    await this.core.shards.users.identify(id, name)
  }

  /** We cannot register, ever. */
  #refuse(error: Error): void {
    // What was on its way when we ended has not failed.
    if (this.core.closing) return
    this.#ready.reject(error)
    // Nobody can listen to us before we are constructed.
    process.nextTick(() => { this.emit('error', error) })
  }

  async #register(address: unknown): Promise<string> {
    const { shards, closing } = this.core
    if (closing) throw destroyed()
    const parsed = typeof address === 'string' ? address : await this.#found(address ?? (this.#settings.address || this.#primus.server))
    if (parsed === '') return ''
    const wanted = checked(parsed)
    await shards.register(wanted, false)
    // Whoever drained meanwhile has left again.
    if (this.address === wanted) this.core.drain.lift()
    return wanted
  }

  /** Where peers reach this process, given the server that clients come to, or an address; `''` while that cannot be told yet. */
  async #found(server: unknown): Promise<string> {
    const { post } = this.core
    const bound = boundTo(server)
    if (post.beside && bound !== undefined) await post.listen(bound)
    const found = post.addressFor(onUnixSocket(server) ? UNIX : parse(server))
    if (found === UNIX) throw unixSocket()
    return found
  }

  async #drain(options: unknown): Promise<Drained> {
    const terms = termsOf(options)
    if (this.core.closing) throw destroyed()
    return this.core.drain.run(terms)
  }

  async #remove(address: string): Promise<string> {
    const wanted = checked(address)
    await this.core.shards.remove(wanted)
    return wanted
  }
}

function destroyed(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server has been destroyed.')
}
