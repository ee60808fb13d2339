import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'eventemitter3'
import { checked, onUnixSocket, parse } from './address'
import { ignore, settle, type Callback } from './callback'
import { pause, within } from './deadline'
import { asError, MetroplexError, shown } from './errors'
import { Heartbeat } from './membership/heartbeat'
import { Members } from './membership/members'
import { Reaper } from './membership/reaper'
import { Registration } from './membership/registration'
import { idOf } from './message'
import { settings, type Settings } from './options'
import { Healer } from './registry/healer'
import { Lookup } from './registry/lookup'
import { Registry, type Beat, type Description, type Identity as Me } from './registry/registry'
import { Table } from './registry/table'
import { Writer } from './registry/writer'
import { Identity } from './transport/identity'
import { VERSION } from './version'
import type { Middleware, MetroplexEvents, MetroplexOptions, Primus, RedisClient, Spark } from './types'

/** Number of the language that our servers speak with each other. */
const PROTOCOL = '2'

/** Pause after a failed attempt to register, in ms; the attempt itself waits for Redis. */
const TRY_AGAIN = 250

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
  readonly #healer: Healer
  readonly #lookup: Lookup
  readonly #members: Members
  readonly #reaper: Reaper
  readonly #registration: Registration
  readonly #heartbeat: Heartbeat
  readonly #identity = new Identity(() => `${this.#primus.pathname ?? '/primus'}/metroplex`)
  /** Our life, while it is registered. */
  #me: Me | undefined
  /** The attempt to register that is under way, or the registration itself. */
  #stay: AbortController | undefined
  /** For how many ms the sweep is held without being renewed. */
  readonly #hold: number
  #aside = new Set<string>()
  #begun = false
  #turn: Promise<unknown> = Promise.resolve()
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
    const report = (error: unknown): void => { this.#report(asError(error)) }
    this.#registry = new Registry(set.redis, set.namespace, { timeout }, {
      ready: () => { this.#heartbeat.now().catch(report) },
      lost: error => {
        this.#heartbeat.interrupt()
        this.#report(error)
      }
    })
    this.#writer = new Writer(this.#registry, this.#table, { doubt: () => { this.#heartbeat.now().catch(report) } })
    this.#healer = new Healer(this.#registry, this.#table, this.#writer)
    this.#lookup = new Lookup(this.#registry)
    this.#members = new Members(this.#registry, lease + period, {
      join: (address, life) => this.emit('join', address, life),
      leave: (address, why, life) => this.emit('leave', address, why, life)
    })
    this.#hold = 2 * period
    this.#reaper = new Reaper(this.#registry, { hold: this.#hold, interval }, {
      buried: (address, life) => this.#members.buried(address, life),
      reap: (address, sparks) => this.emit('reap', address, sparks)
    })
    this.#registration = new Registration(this.#registry, address => this.#identity.ask(address), { lease, interval }, { taken: report })
    // The connection tells of its own troubles, once for each.
    this.#heartbeat = new Heartbeat(() => this.#beat(), { period, retry: period / 4 }, { failed: ignore })

    this.begin()
  }

  /** Where peers reach exactly this process; `''` until it is registered. */
  get address(): string {
    return this.#me?.address ?? ''
  }

  /** This life: a random word, another one after each start; `''` until it is registered. */
  get id(): string {
    return this.#me?.life ?? ''
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
    return settle(this.#inTurn(async () => {
      const given = address ?? (this.#settings.address || this.#primus.server)
      if (onUnixSocket(given)) throw unixSocket()
      const parsed = parse(given)
      if (parsed === '') return ''
      const wanted = checked(parsed)
      if (wanted === this.address) return wanted
      if (this.#me !== undefined) await this.#leave()
      await this.#enlist(wanted, { fresh: true, announced: true })
      return wanted
    }), fn, this)
  }

  /**
   * Leave the registry, or remove another server from it: a server that lives comes back with its next beat.
   *
   * Resolves with the address that was removed; with `''` when there was none.
   */
  unregister(address?: unknown): Promise<string>
  unregister(address: unknown, fn: Callback<string>): this
  unregister(address?: unknown, fn?: Callback<string>): Promise<string> | this {
    const wanted = parse(address)
    const ours = wanted === '' || wanted === this.address
    // Also ends an attempt that waits for its address, and with it its turn.
    if (ours) this.#stay?.abort()
    return settle(this.#inTurn(() => ours ? this.#leave() : this.#remove(checked(wanted))), fn, this)
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
    if (!this.#registry.reachable) return this.#members.addresses
    return this.#members.current().catch(() => this.#members.addresses)
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
      process.nextTick(() => { this.#report(error) })
      return
    }
    const found = address || parse(this.#primus.server)
    if (found === '') return
    this.#begun = true
    this.#inTurn(() => this.#enlist(found, { fresh: true, announced: true, patient: true })).catch((error: unknown) => {
      this.#report(asError(error))
    })
  }

  /** One registration or departure at a time. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (this.#closing !== undefined) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
      return task()
    })
    this.#turn = turn.catch(ignore)
    return turn
  }

  /** Become a life of an address. */
  async #enlist(address: string, how: { fresh: boolean; announced: boolean; patient?: boolean }): Promise<void> {
    const stay = this.#stay = new AbortController()
    const me = { address, life: randomBytes(12).toString('base64url') }
    const aside = await this.#join(me, 0, stay.signal, how.patient === true)
    if (aside === null) return
    this.#me = me
    this.#members.self = address
    this.#writer.open(me, how.fresh)
    this.#heartbeat.start()
    if (!how.fresh) this.#heal(me, true)
    this.#sweepAside(me, aside)
    await this.#members.refresh().catch(ignore)
    this.#ready.resolve(address)
    if (how.announced) this.emit('register', address)
  }

  async #join(me: Me, seq: number, signal: AbortSignal, patient: boolean): Promise<readonly string[] | null> {
    for (;;) {
      try {
        return await this.#registration.join(me, seq, this.#description(), signal)
      } catch (error) {
        if (!patient || signal.aborted) throw error
        await pause(TRY_AGAIN, signal)
      }
    }
  }

  #description(): Description {
    return { name: this.name, version: VERSION, protocol: PROTOCOL, pathname: this.#primus.pathname ?? '', transport: 'omega' }
  }

  /** Clean up what former lives left behind at our address, while everything else goes on. */
  #sweepAside(me: Me, names: readonly string[]): void {
    this.#aside = new Set(names)
    const clear = async (): Promise<void> => {
      // What we hold ourselves is to be there first, so that it is spared.
      await this.#writer.exclusive(() => Promise.resolve())
      for (const name of names) {
        await this.#reaper.clear(me.address, name, true, () => Promise.resolve(this.#me === me))
        this.#aside.delete(name)
      }
    }
    // Whatever is left is on the registry's list: the next life at this address, or the sweep, goes on with it.
    this.#inBackground(clear())
  }

  async #beat(): Promise<void> {
    const me = this.#me
    if (me === undefined) return
    const { lease, interval } = this.#settings
    const sweep = this.#heartbeat.unbroken >= lease ? this.#hold : 0
    const { beat, right } = await this.#writer.exclusive(async () => {
      const beat = await this.#registry.beat(me, { lease, interval }, sweep)
      return { beat, right: beat.as === 'ok' && this.#writer.agrees(beat) }
    })
    if (this.#me !== me) return
    if (beat.as !== 'ok') return this.#forgotten(me, beat.as)
    if (!right || this.#writer.inDoubt) this.#heal(me, false)
    else if (this.#table.disowned.size > 0) this.#inBackground(this.#healer.reclaim())
    if (beat.turn) this.#inBackground(this.#reaper.sweep(me))
    await this.#members.beaten(beat.members, beat.servers)
  }

  /** The registry does not know us any more. */
  async #forgotten(me: Me, why: Exclude<Beat['as'], 'ok'>): Promise<void> {
    this.#heartbeat.interrupt()
    if (why === 'gone' && this.#stay !== undefined) {
      // Redis has lost its data: nobody has declared us dead, and we are who we were.
      const aside = await this.#registration.join(me, this.#writer.seq, this.#description(), this.#stay.signal)
      if (aside === null || this.#me !== me) return
      this.#writer.open(me, false)
      this.#heal(me, true)
      this.#sweepAside(me, aside)
      return
    }
    // Peers have seen this life end: another one begins.
    this.#me = undefined
    this.#writer.close()
    const { address } = me
    this.#inTurn(() => this.#enlist(address, { fresh: false, announced: why === 'other', patient: true })).catch((error: unknown) => {
      this.#report(asError(error))
    })
  }

  /** Put right what the registry says of us; beats go on meanwhile, and the next one tries again when it fails. */
  #heal(me: Me, forgotten: boolean): void {
    this.#inBackground(this.#healer.heal(me).then(sparks => { if (sparks > 0 || forgotten) this.emit('heal', { sparks }) }))
  }

  async #leave(): Promise<string> {
    const me = this.#me
    this.#stay?.abort()
    this.#stay = undefined
    this.#me = undefined
    this.#writer.close()
    await this.#heartbeat.stop()
    this.#members.self = ''
    if (me === undefined) return ''
    await this.#registry.leave(me)
    await this.#reaper.clean(me, false, [...this.#aside])
    this.emit('unregister', me.address)
    return me.address
  }

  async #remove(address: string): Promise<string> {
    const { life } = await this.#registry.resident(address)
    const other = { address, life }
    await this.#registry.leave(other)
    await this.#reaper.clean(other, false)
    this.emit('unregister', address)
    return address
  }

  async #close(): Promise<void> {
    const { timeout } = this.#settings
    this.#ready.reject(new MetroplexError('ECLOSED', 'This server was destroyed before it could register.'))
    this.#stay?.abort()
    // What is not done in time is left to the sweep of the others.
    const late = (): Error => new MetroplexError('EDEADLINE', `The registry could not be left within ${timeout} ms.`)
    await within(this.#turn.then(() => this.#leave()), timeout, late).catch((error: unknown) => { this.#report(asError(error)) })
    await within(this.#reaper.stop(), timeout, late).catch(ignore)
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

  /** What nobody waits for, and a later beat does again: its failure is told, unless the connection's own trouble has been. */
  #inBackground(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      const known = this.#closing !== undefined || (error instanceof MetroplexError && !this.#registry.reachable)
      if (!known) this.#report(asError(error))
    })
  }

  #report(error: Error): void {
    this.emit('error', error)
  }
}

function unixSocket(): MetroplexError {
  return new MetroplexError(
    'EADDRESS',
    'The server listens on a unix socket, which peers cannot reach: set the option `address` to the URL at which they reach this process.'
  )
}

/** A promise and its ends; that nobody awaits it is no error. */
function deferred<T>(): { promise: Promise<T>; resolve(value: T): void; reject(error: Error): void } {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(ignore)
  return { promise, resolve, reject }
}
