import { EventEmitter } from 'eventemitter3'
import { checked, onUnixSocket, parse, unixSocket } from './address'
import { called, ignore, settle, type Callback } from './callback'
import type { Courier } from './courier'
import { deferred, now } from './deadline'
import { asError, MetroplexError, shown } from './errors'
import { Check } from './membership/check'
import { Shards } from './membership/shards'
import { Whereabouts } from './membership/whereabouts'
import { idOf } from './message'
import { settings, type Settings } from './options'
import type { Description } from './registry/records'
import { namespaces } from './registry/sharding'
import { Stats } from './stats'
import { Post, type PostCluster } from './transport/post'
import { VERSION as LANGUAGE } from './transport/signature'
import type { Health, MetroplexEvents, MetroplexOptions, Primus, RedisClient, Result, Spark, Statistics } from './types'
import { VERSION } from './version'

/** An address that stands for a unix socket until a better one is known. */
const UNIX = 'unix:'

/** What happens between servers, by the name of its counter. */
const COUNTED = { batch: 'batches', repeated: 'repeated', refused: 'refused', retried: 'retried' } as const

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
export class Metroplex extends EventEmitter<MetroplexEvents> {
  /** The ioredis client of the options, or the one we made. We talk through a duplicate of it. */
  readonly redis: RedisClient
  /** The prefix of every key, with its colon. */
  readonly namespace: string
  /** How long the alive key lives, in ms. */
  readonly interval: number
  /** Head start of its renewal, in ms. */
  readonly latency: number
  /** What operators read. */
  readonly name: string

  readonly #primus: Partial<Primus>
  readonly #settings: Settings
  readonly #shards: Shards
  readonly #whereabouts: Whereabouts
  readonly #check: Check
  readonly #stats = new Stats()
  readonly #post: Post
  #begun = false
  /** Peers can ask us. */
  #open = false
  #closing: Promise<void> | undefined
  readonly #ready = deferred<string>()
  /** Since when we have been in our state. */
  #since = now()

  constructor(primus?: Partial<Primus>, options: MetroplexOptions = {}) {
    super()
    const set = this.#settings = settings(options)
    this.#primus = primus ?? {}
    this.redis = set.redis
    this.namespace = `${set.namespace}:`
    this.interval = set.interval
    this.latency = set.latency
    this.name = set.name

    const description = (): Description => (
      { name: this.name, version: VERSION, protocol: LANGUAGE, pathname: this.#pathname, transport: this.#post.name, word: this.#post.word })
    this.#shards = new Shards({ ...set, description, ask: address => this.#post.ask(address) }, this.#stats, {
      registered: address => {
        this.#ready.resolve(address)
        this.#tell('register', address)
      },
      unregistered: address => { this.#tell('unregister', address) },
      joined: (address, life) => { this.#tell('join', address, life) },
      left: (address, why, life) => {
        this.#post.gone(address)
        this.#tell('leave', address, why, life)
      },
      healed: sparks => { this.#tell('heal', { sparks }) },
      reap: (address, sparks) => { this.#tell('reap', address, sparks) },
      failed: error => { this.#tell('error', error) },
      changed: state => {
        this.#since = now()
        this.#tell('state', state)
      }
    })

    this.#whereabouts = new Whereabouts(this.#shards, set)
    this.#post = new Post(set, this.#primus as Primus, this.#surroundings(), {
      told: what => { this.#stats.count(COUNTED[what]) },
      failed: error => { this.#tell('error', error) }
    })
    this.#check = new Check(this.#shards, address => this.#post.addressed ? this.#post.ask(address) : Promise.resolve('self'))
    // Nobody is to find us before we can be asked.
    this.#post.open().then(() => {
      this.#open = true
      this.begin()
    }, (error: unknown) => { this.#refuse(asError(error)) })
  }

  /** Where peers reach exactly this process; `''` until it is registered. */
  get address(): string {
    return this.#shards.address
  }

  /** This life: a random word, another one after each start; `''` until it is registered. */
  get id(): string {
    return this.#shards.id
  }

  /** How large and how long anything may be, for those who work on our behalf. Nothing that is secret. @internal */
  get bounds(): Pick<Settings, 'timeout' | 'maxBody' | 'maxBuffered' | 'maxQueue' | 'tls'> {
    const { timeout, maxBody, maxBuffered, maxQueue, tls } = this.#settings
    return { timeout, maxBody, maxBuffered, maxQueue, tls }
  }

  /** Our end of how servers talk to each other. @internal */
  get post(): Pick<Post, 'middleware' | 'serve' | 'handle' | 'use'> {
    return this.#post
  }

  /** Hands messages to other servers. @internal */
  get courier(): Courier {
    return this.#post.courier
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
   * Resolves with the address; with `''` when none can be told yet, because the server does not listen.
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
    const ours = wanted === '' || wanted === this.#shards.wanted
    return settle(ours ? this.#shards.unregister() : this.#remove(wanted), fn, this)
  }

  /** Register a spark of ours. Written soon, together with others; kept until we are registered ourselves. */
  connect(spark: Spark): this {
    this.#shards.connect(idOf(spark.id), spark)
    return this
  }

  /** Remove a spark of ours. */
  disconnect(spark: Spark): this {
    this.#shards.disconnect(idOf(spark.id), spark)
    return this
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
    const peers = this.#shards.peers.current()
    return settle(peers.then(list => self === true && this.address !== '' ? [this.address, ...list] : list), callback, this)
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
        this.#whereabouts.place(idOf(id), done)
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
    return settle(this.#shards.peers.count().then(count => count + this.#shards.size), fn, this)
  }

  /**
   * The ids of the sparks on a server, page by page; none for a server that does not live.
   * A spark that connects or disconnects meanwhile may or may not be among them.
   *
   * @example
   * for await (const id of primus.metroplex.sparksOn(address)) console.log(id)
   */
  async *sparksOn(address: string): AsyncGenerator<string, void, undefined> {
    const wanted = checked(address)
    if (wanted === this.address) {
      yield* this.#shards.ids()
      return
    }
    const seen = new Set<string>()
    for await (const page of this.#shards.peers.pages(wanted)) {
      for (const id of page) {
        if (seen.has(id)) continue
        seen.add(id)
        yield id
      }
    }
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
    return settle(this.#check.health(), fn, this)
  }

  /** What this server has done since it started, and how it stands: a snapshot, in plain values. Costs nothing worth mentioning. */
  stats(): Statistics {
    const shards = this.#shards
    return {
      state: shards.state,
      since: Math.round(now() - this.#since),
      sparks: shards.size,
      disowned: shards.disowned,
      waiting: shards.waiting,
      peers: shards.peers.addresses.length,
      places: shards.finder.remembered,
      queued: this.#post.queued,
      counters: this.#stats.counters,
      latencies: this.#stats.latencies
    }
  }

  /** Whether a spark is connected here, and ours to answer for. @internal */
  owns(id: string): boolean {
    return this.#shards.owns(id)
  }

  /** Where sparks are, for those who forward. @internal */
  get whereabouts(): Pick<Whereabouts, 'last' | 'recent'> {
    return this.#whereabouts
  }

  /** The addresses of the peers that live; the last known ones when Redis cannot be asked. @internal */
  async peers(): Promise<string[]> {
    if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed: it sends no more.')
    return this.#whereabouts.peers()
  }

  /** A message has been forwarded. @internal */
  forwarded({ send, missing, failed }: Result, ms: number): void {
    this.#stats.count('forwards')
    this.#stats.count('delivered', send)
    this.#stats.count('missing', missing?.length ?? 0)
    this.#stats.count('failed', failed?.length ?? 0)
    this.#stats.took('forward', ms)
  }

  /** A spark did not take what it was sent, and has been ended. @internal */
  ended(): void {
    this.#stats.count('ended')
  }

  /** Whether a peer runs metroplex 1.x, as far as we know. @internal */
  isOld(address: string): boolean {
    return this.#shards.peers.life(address) === ''
  }

  /** Leave the registry and close what we opened; harmless when called twice. Takes at most the deadline, Redis or no Redis. @internal */
  close(): Promise<void> {
    return this.#closing ??= this.#close()
  }

  /** Begin to register in the background, for as long as it takes. @internal */
  begin(): void {
    const { address } = this.#settings
    if (!this.#open || this.#begun || this.address !== '' || this.#closing !== undefined) return
    const unix = onUnixSocket(this.#primus.server)
    if (address === '' && unix && this.#post.addressFor(UNIX) === UNIX) {
      this.#refuse(unixSocket())
      return
    }
    const found = this.#post.addressFor(address || (unix ? UNIX : parse(this.#primus.server)))
    if (found === '') return
    this.#begun = true
    this.#shards.register(found, true).catch(ignore)
  }

  /** Emit from the background. What a listener throws is thrown as from any timer: it is not ours, and must not stop our heart. */
  #tell<E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>): void {
    try {
      this.emit(event, ...args as never)
    } catch (error) {
      process.nextTick(() => { throw error })
    }
  }

  /** We cannot register, ever. */
  #refuse(error: Error): void {
    this.#ready.reject(error)
    // Nobody can listen to us before we are constructed.
    process.nextTick(() => { this.emit('error', error) })
  }

  get #pathname(): string {
    return this.#primus.pathname ?? '/primus'
  }

  /** What our end of the transport asks of the cluster. */
  #surroundings(): PostCluster {
    const { namespace, shards: number, secrets } = this.#settings
    const shards = this.#shards
    const pathname = (): string => this.#pathname
    const address = (): string => this.address
    return {
      namespace,
      first: namespaces(namespace, number)[0] ?? namespace,
      get address() { return address() },
      get pathname() { return pathname() },
      get secrets() { return secrets.length > 0 ? secrets : shards.secret === '' ? [] : [shards.secret] },
      refresh: () => shards.agree(),
      find: to => shards.peers.description(to) ?? (shards.peers.life(to) === '' ? 'old' : undefined),
      look: () => shards.peers.current(),
      superseded: to => shards.superseded(to),
      alive: to => shards.alive(to)
    }
  }

  async #register(address: unknown): Promise<string> {
    if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
    const given = address ?? this.#post.addressFor(this.#settings.address || parse(this.#primus.server))
    if (onUnixSocket(given)) throw unixSocket()
    const parsed = parse(given)
    if (parsed === '') return ''
    const wanted = checked(parsed)
    await this.#shards.register(wanted, false)
    return wanted
  }

  async #remove(address: string): Promise<string> {
    const wanted = checked(address)
    await this.#shards.remove(wanted)
    return wanted
  }

  async #close(): Promise<void> {
    this.#check.end()
    this.#ready.reject(new MetroplexError('ECLOSED', 'This server was destroyed before it could register.'))
    await this.#shards.close()
    await this.#post.close()
    if (this.#settings.ownRedis) (this.redis as unknown as { disconnect(): void }).disconnect()
  }

  async #placesOf(ids: unknown): Promise<(string | null)[]> {
    if (!Array.isArray(ids)) throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${shown(ids)}.`)
    return this.#whereabouts.places(ids.map(idOf))
  }
}
