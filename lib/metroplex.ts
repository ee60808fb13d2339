import { EventEmitter } from 'eventemitter3'
import { checked, onUnixSocket, parse, unixSocket } from './address'
import { ignore, settle, type Callback } from './callback'
import { deferred, within } from './deadline'
import { MetroplexError, shown } from './errors'
import { Life } from './membership/life'
import { Members } from './membership/members'
import { Reaper } from './membership/reaper'
import { Registration } from './membership/registration'
import { idOf } from './message'
import { settings, type Settings } from './options'
import { Healer } from './registry/healer'
import { Lookup } from './registry/lookup'
import type { Description } from './registry/records'
import { Registry } from './registry/registry'
import { Table } from './registry/table'
import { Writer } from './registry/writer'
import { Identity } from './transport/identity'
import { VERSION } from './version'
import type { Middleware, MetroplexEvents, MetroplexOptions, Primus, RedisClient, Spark } from './types'

/** Number of the language that our servers speak with each other. */
const PROTOCOL = '2'

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
  readonly #registry: Registry
  readonly #table = new Table()
  readonly #writer: Writer
  readonly #lookup: Lookup
  readonly #members: Members
  readonly #life: Life
  readonly #identity = new Identity(() => `${this.#primus.pathname ?? '/primus'}/metroplex`)
  #begun = false
  #closing: Promise<void> | undefined
  readonly #ready = deferred<string>()

  constructor(primus?: Partial<Primus>, options: MetroplexOptions = {}) {
    super()
    const set = this.#settings = settings(options)
    this.#primus = primus ?? {}
    this.redis = set.redis
    this.namespace = `${set.namespace}:`
    this.interval = set.interval
    this.latency = set.latency
    this.name = set.name

    const { lease, interval, timeout } = set
    const period = Math.floor(Math.min(lease / 3, interval - set.latency))
    const hold = 2 * period
    const failed = (error: Error): void => { this.#tell('error', error) }
    const registry = this.#registry = new Registry(set.redis, set.namespace, { timeout }, {
      ready: () => { this.#life.stir() },
      lost: error => {
        this.#life.disturb()
        failed(error)
      }
    })
    const table = this.#table
    const writer = this.#writer = new Writer(registry, table, { doubt: () => { this.#life.stir() } })
    const healer = new Healer(registry, table, writer)
    const members = this.#members = new Members(registry, lease + period, {
      join: (address, life) => { this.#tell('join', address, life) },
      leave: (address, why, life) => { this.#tell('leave', address, why, life) }
    })
    const reaper = new Reaper(registry, { hold, lease, interval }, {
      buried: (address, life) => { members.buried(address, life) },
      reap: (address, sparks) => { this.#tell('reap', address, sparks) }
    })
    const registration = new Registration(registry, address => this.#identity.ask(address), { lease, interval }, { taken: failed })
    const description = (): Description => (
      { name: this.name, version: VERSION, protocol: PROTOCOL, pathname: this.#primus.pathname ?? '', transport: 'omega' })
    this.#lookup = new Lookup(registry)
    this.#life = new Life({ registry, table, writer, healer, members, reaper, registration }, description, { lease, interval, period, hold, timeout }, {
      registered: address => {
        this.#ready.resolve(address)
        this.#tell('register', address)
      },
      unregistered: address => { this.#tell('unregister', address) },
      healed: sparks => { this.#tell('heal', { sparks }) },
      failed
    })

    this.begin()
  }

  /** Where peers reach exactly this process; `''` until it is registered. */
  get address(): string {
    return this.#life.address
  }

  /** This life: a random word, another one after each start; `''` until it is registered. */
  get id(): string {
    return this.#life.id
  }

  /** The largest request and the longest wait, for those who talk to peers on our behalf. @internal */
  get bounds(): Pick<Settings, 'timeout' | 'maxBody' | 'tls'> {
    return this.#settings
  }

  /** Answers the question who listens at our address. A layer for Primus, before its `authorization`. @internal */
  get middleware(): Middleware {
    return this.#identity.middleware
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
    const ours = wanted === '' || wanted === this.#life.wanted
    return settle(ours ? this.#life.unregister() : this.#remove(wanted), fn, this)
  }

  /** Register a spark of ours. Written soon, together with others; kept until we are registered ourselves. */
  connect(spark: Spark): this {
    if (this.#table.add(spark)) this.#writer.connect(idOf(spark.id))
    return this
  }

  /** Remove a spark of ours. */
  disconnect(spark: Spark): this {
    if (this.#table.remove(spark)) this.#writer.disconnect(idOf(spark.id))
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
    const peers = this.#members.current()
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
    return settle(this.#places([id]).then(([place]) => place ?? null), fn, this)
  }

  /** The addresses of the servers that hold sparks, in the order of `ids`, with `null` for those that nobody holds. */
  sparks(ids: readonly string[]): Promise<(string | null)[]>
  sparks(ids: readonly string[], fn: Callback<(string | null)[]>): this
  sparks(ids: readonly string[], fn?: Callback<(string | null)[]>): Promise<(string | null)[]> | this {
    return settle(this.#places(ids), fn, this)
  }

  /** How many sparks the cluster has. */
  count(): Promise<number>
  count(fn: Callback<number>): this
  count(fn?: Callback<number>): Promise<number> | this {
    const peers = this.#members.current()
    return settle(peers.then(async list => await this.#registry.count(list) + this.#table.size - this.#table.disowned.size), fn, this)
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
      for (const id of this.#table.ids()) if (this.#table.owns(id)) yield id
      return
    }
    if (!this.#members.has(wanted) && !(await this.#members.current()).includes(wanted)) return
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const page = await this.#registry.page(wanted, cursor)
      for (const id of page.ids) {
        if (seen.has(id)) continue
        seen.add(id)
        yield id
      }
      cursor = page.cursor
    } while (cursor !== '0')
  }

  /** Whether a spark is connected here, and ours to answer for. @internal */
  owns(id: string): boolean {
    return this.#table.owns(id)
  }

  /** The addresses of the peers that live; the last known ones when Redis cannot be asked. @internal */
  async peers(): Promise<string[]> {
    if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed: it sends no more.')
    const members = this.#members
    if (!this.#registry.reachable && members.known) return members.addresses
    // Half of the time is left for the message itself.
    const patience = this.#settings.timeout / 2
    const late = (): Error => new MetroplexError('EREGISTRY', 'Redis cannot be asked who else there is, and we have not known it yet.')
    try {
      return await within(members.current(), patience, late)
    } catch (error) {
      if (members.known) return members.addresses
      throw error
    }
  }

  /** Whether a peer runs metroplex 1.x, as far as we know. @internal */
  isOld(address: string): boolean {
    return this.#members.life(address) === ''
  }

  /** Leave the registry and close what we opened; harmless when called twice. Takes at most the deadline, Redis or no Redis. @internal */
  close(): Promise<void> {
    return this.#closing ??= this.#close()
  }

  /** Begin to register in the background, for as long as it takes. @internal */
  begin(): void {
    const { address } = this.#settings
    if (this.#begun || this.address !== '' || this.#closing !== undefined) return
    if (address === '' && onUnixSocket(this.#primus.server)) {
      const error = unixSocket()
      this.#ready.reject(error)
      // Nobody can listen to us before we are constructed.
      process.nextTick(() => { this.emit('error', error) })
      return
    }
    const found = address || parse(this.#primus.server)
    if (found === '') return
    this.#begun = true
    this.#life.register(found, true).catch(ignore)
  }

  /** Emit from the background. What a listener throws is thrown as from any timer: it is not ours, and must not stop our heart. */
  #tell<E extends keyof MetroplexEvents>(event: E, ...args: Parameters<MetroplexEvents[E]>): void {
    try {
      this.emit(event, ...args as never)
    } catch (error) {
      process.nextTick(() => { throw error })
    }
  }

  async #register(address: unknown): Promise<string> {
    if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
    const given = address ?? (this.#settings.address || this.#primus.server)
    if (onUnixSocket(given)) throw unixSocket()
    const parsed = parse(given)
    if (parsed === '') return ''
    const wanted = checked(parsed)
    await this.#life.register(wanted, false)
    return wanted
  }

  async #remove(address: string): Promise<string> {
    const wanted = checked(address)
    await this.#life.remove(wanted)
    return wanted
  }

  async #close(): Promise<void> {
    this.#ready.reject(new MetroplexError('ECLOSED', 'This server was destroyed before it could register.'))
    await this.#life.close()
    this.#registry.close()
    if (this.#settings.ownRedis) (this.redis as unknown as { disconnect(): void }).disconnect()
  }

  /** Where sparks are, on servers that live. */
  async #places(given: readonly unknown[]): Promise<(string | null)[]> {
    if (!Array.isArray(given)) throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${shown(given)}.`)
    const ids = given.map(idOf)
    const self = this.address
    const here = (id: string): boolean => self !== '' && this.#table.owns(id)
    const asked = ids.filter(id => !here(id))
    const found = await this.#lookup.places(asked)
    // A server that joined since the last beat.
    if (found.some(place => place !== null && place !== self && !this.#members.has(place))) await this.#members.refresh()
    const places = new Map(asked.map((id, i) => [id, found[i] ?? null]))
    return ids.map(id => {
      if (here(id)) return self
      const place = places.get(id) ?? null
      return place !== null && this.#members.has(place) ? place : null
    })
  }
}
