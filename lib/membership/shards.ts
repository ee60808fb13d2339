import { randomBytes } from 'node:crypto'
import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { file } from '../message'
import { Places } from '../registry/places'
import { Registry } from '../registry/registry'
import { namespaces, shardOf } from '../registry/sharding'
import type { Stats } from '../stats'
import type { Farewell, RedisClient, Spark, State } from '../types'
import { Agreement } from './agreement'
import type { Life } from './life'
import { period, Shard, type Part } from './shard'

/** What the registries of a cluster need to know. */
export interface ShardsSettings extends Omit<Part, 'agreement' | 'word'> {
  readonly redis: RedisClient
  readonly namespace: string
  readonly shards: number
}

/** What happens in the cluster, each once, into however many registries it is split. */
export interface ShardsEvents {
  registered(address: string): void
  unregistered(address: string): void
  joined(address: string, life: string): void
  left(address: string, why: Farewell, life: string): void
  /** So many entries were wrong in one registry, and are right again. */
  healed(sparks: number): void
  reap(address: string, sparks: string[]): void
  failed(error: Error): void
  changed(state: State): void
}

/**
 * The registries of a cluster behind one face: one by default, or several side by side, for a cluster that one Redis cannot bear.
 *
 * Each is whole: it has its own list of servers, its own lives, leases and sweeps. A spark lies in that of its id. Every
 * server is in all of them; a server has joined when it is in all, and left when it is in none.
 */
export class Shards {
  readonly #base: Registry
  readonly #shards: readonly Shard[]
  readonly #agreement: Agreement
  /** In how many registries a life of a peer is, and whether it has been told that it joined. */
  readonly #seen = new Map<string, { count: number; told: boolean }>()
  /** What has been told as failed since all was right. */
  readonly #told = new Set<string>()
  /** The address at which we are in all registries, until we are in none. */
  #registered = ''
  /** The registries that have us, by address. */
  readonly #entries = new Map<string, Set<number>>()
  #state: State = 'connecting'
  #words: string[] = []
  readonly #places: Places
  readonly #timeout: number

  constructor(settings: ShardsSettings, private readonly stats: Stats, private readonly events: ShardsEvents) {
    const { redis, namespace, shards, timeout, lease, interval } = settings
    const apart = shards > 1 && 'isCluster' in redis && redis.isCluster === true
    const base = this.#base = Registry.open(redis, namespace, { timeout }, {
      ready: () => { if (!apart) for (const { life } of this.#shards) life.stir() },
      lost: error => {
        if (!apart) for (const { life } of this.#shards) life.disturb()
        this.#failed(error)
      }
    })
    const agreement = this.#agreement = new Agreement(base, shards, { lease, often: period(settings) / 2 })
    const part = { ...settings, agreement, word: (nth: number) => this.#words[nth] ??= randomBytes(12).toString('base64url') }
    // On Redis Cluster they lie on several masters, of which one may be away while the others serve us.
    const open = (name: string, at: number): Registry => Registry.open(redis, name, { timeout }, {
      ready: () => { this.#shards[at]?.life.stir() },
      lost: error => {
        this.#shards[at]?.life.disturb()
        this.#failed(error)
      }
    })
    const registries = namespaces(namespace, shards).map((name, at) => apart ? open(name, at) : shards === 1 ? base : base.beside(name))
    this.#shards = registries.map((registry, at) => new Shard(registry, part, {
      registered: address => { this.#entered(at, address) },
      unregistered: address => { this.#departed(at, address) },
      healed: (sparks, ms) => {
        stats.count('heals')
        stats.count('healed', sparks)
        stats.took('heal', ms)
        events.healed(sparks)
      },
      beaten: ms => {
        stats.count('beats')
        stats.took('beat', ms)
      },
      committed: ms => {
        stats.count('commits')
        stats.took('commit', ms)
      },
      buried: () => { stats.count('buried') },
      failed: error => { this.#failed(error) },
      changed: () => { this.#look() },
      join: (address, life) => { this.#joined(address, life) },
      leave: (address, why, life) => { this.#left(address, why, life) },
      reap: (address, sparks) => {
        stats.count('reaped', sparks.length)
        events.reap(address, sparks)
      }
    }))
    this.#places = new Places(interval)
    this.#timeout = timeout
  }

  /** The address that we have or try to have; `''` for none. */
  get wanted(): string {
    return this.#first.life.wanted
  }

  /** Our address; `''` unless we are registered. */
  get address(): string {
    const found = this.#present?.address ?? ''
    return found === this.#registered ? found : ''
  }

  /** The random word of our life; `''` unless we are registered. */
  get id(): string {
    return this.address === '' ? '' : this.#present?.id ?? ''
  }

  /** The secret that the servers have agreed upon; `''` until then. */
  get secret(): string {
    return this.#agreement.secret
  }

  /** Whether one of the registries, at least, can be asked at once. */
  get reachable(): boolean {
    return this.#shards.some(({ registry }) => registry.reachable)
  }

  /** How we stand with the registries: as with the one that is worst off. */
  get state(): State {
    return this.#state
  }

  /** Why we are not `ready`, in sentences; empty when we are. */
  get reasons(): string[] {
    return [...new Set(this.#shards.flatMap(({ life }) => life.reasons))]
  }

  /** How many ids are connected here and ours to answer for. */
  get size(): number {
    return this.#sum(({ table }) => table.size - table.disowned.size)
  }

  /** How many ids are connected here, while by the registry another server that lives has them. */
  get disowned(): number {
    return this.#sum(({ table }) => table.disowned.size)
  }

  /** How many ids are waiting to be written. */
  get waiting(): number {
    return this.#sum(({ writer }) => writer.waiting)
  }

  /** Register under an address, leaving the one that we had. @param patient for as long as it takes, rather than reject */
  async register(address: string, patient: boolean): Promise<void> {
    if (address !== this.wanted) this.#words = []
    await this.#all(({ life }) => life.register(address, patient))
  }

  /** Leave, or give up the attempt to register. Resolves with the address that was left, `''` for none. */
  async unregister(): Promise<string> {
    const left = await this.#all(({ life }) => life.unregister())
    return left.find(address => address !== '') ?? ''
  }

  /** Remove another server. */
  async remove(address: string): Promise<void> {
    await this.#all(({ life }) => life.remove(address))
    this.events.unregistered(address)
  }

  /** Leave for good, and close the connection. Takes at most the deadline, Redis or no Redis. */
  async close(): Promise<void> {
    await this.#all(({ life }) => life.close())
    for (const { registry } of this.#shards) registry.close()
    this.#base.close()
  }

  /** A spark of ours is here. */
  connect(id: string, spark: Spark): void {
    const { table, writer } = this.#of(id)
    if (!table.add(id, spark)) return
    this.stats.count('connects')
    writer.connect(id)
  }

  /** A spark of ours has gone. */
  disconnect(id: string, spark: Spark): void {
    const { table, writer } = this.#of(id)
    if (!table.remove(id, spark)) return
    this.stats.count('disconnects')
    writer.disconnect(id)
  }

  /** Whether an id is connected here, and ours to answer for. */
  owns(id: string): boolean {
    return this.#of(id).table.owns(id)
  }

  /** The addresses of the servers that hold these ids, in their order; `null` where no server that lives does. */
  async places(ids: readonly string[]): Promise<(string | null)[]> {
    return this.#grouped(ids, (shard, group) => this.#ask(shard, group))
  }

  /**
   * As `places`, for who would rather have the last known place than none: that is what is told where a registry cannot be asked.
   * `undefined` where not even that is known.
   *
   * @throws MetroplexError `EREGISTRY` when nothing is known of any of them
   */
  async lastPlaces(ids: readonly string[]): Promise<(string | null | undefined)[]> {
    let failure: Error | undefined
    const found = await this.#grouped<string | null | undefined>(ids, async (shard, group) => {
      const last = group.map(id => this.#last(shard, id))
      if (!shard.registry.reachable && last.every(place => place !== undefined)) return last
      try {
        const asked = this.#ask(shard, group)
        // The other half of an operation's time is left for the message itself.
        return await (last.some(place => place !== undefined) ? this.#bounded(asked, this.#timeout / 2) : asked)
      } catch (error) {
        failure = asError(error)
        return last
      }
    })
    if (failure !== undefined && found.every(place => place === undefined)) throw failure
    return found
  }

  /** How many places are known that `lastPlaces` can go by. */
  get remembered(): number {
    return this.#places.size
  }

  /** The addresses of the peers that live, as the first registry that answers has them. */
  current(): Promise<string[]> {
    return this.#bounded(this.#current())
  }

  async #current(): Promise<string[]> {
    let failure: Error | undefined
    const asked = this.#shards.filter(({ registry }) => registry.reachable)
    for (const { members } of asked.length > 0 ? asked : [this.#first]) {
      try {
        return await members.current()
      } catch (error) {
        failure ??= asError(error)
      }
    }
    throw failure ?? new Error('A cluster has at least one registry.')
  }

  /** Whether the peers have ever been known. */
  get known(): boolean {
    return this.#shards.some(({ members }) => members.known)
  }

  /** The addresses of the peers that live, as known last. */
  get peers(): string[] {
    return [...new Set(this.#shards.flatMap(({ members }) => members.addresses))]
  }

  /** The life of a peer; `''` for one of 1.x, `undefined` for one that does not live. */
  lifeOf(address: string): string | undefined {
    return this.#shards.map(({ members }) => members.life(address)).find(life => life !== undefined)
  }

  /** How many sparks the cluster has. */
  async count(): Promise<number> {
    return await this.#bounded(this.#count()) + this.size
  }

  async #count(): Promise<number> {
    const addresses = await this.#current()
    const counts = await this.#all(({ registry }) => registry.count(addresses))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Our own ids, as far as we answer for them. */
  *ids(): Generator<string, void, undefined> {
    for (const { table } of this.#shards) for (const id of table.ids()) if (table.owns(id)) yield id
  }

  /** Pages of the ids registered under another address; none when nobody lives there. */
  async *pages(address: string): AsyncGenerator<string[], void, undefined> {
    for (const { registry, members } of this.#shards) {
      if (!members.has(address) && !(await members.current()).includes(address)) continue
      let cursor = '0'
      do {
        const page = await registry.page(address, cursor)
        yield page.ids
        cursor = page.cursor
      } while (cursor !== '0')
    }
  }

  /** Whether our lease is held by this life in every registry, as Redis says now. */
  async held(): Promise<boolean> {
    const held = await this.#all(async ({ registry, life }) => {
      const there = await registry.resident(life.address)
      return there.life === life.id && there.lease === life.id
    })
    return held.every(Boolean)
  }

  get #first(): Shard {
    const [first] = this.#shards
    if (first === undefined) throw new Error('A cluster has at least one registry.')
    return first
  }

  /** Our life in the first registry that knows us. */
  get #present(): Life | undefined {
    return this.#shards.find(({ life }) => life.address !== '')?.life
  }

  #of(id: string): Shard {
    return this.#shards[shardOf(id, this.#shards.length)] ?? this.#first
  }

  #sum(of: (shard: Shard) => number): number {
    return this.#shards.reduce((sum, shard) => sum + of(shard), 0)
  }

  /** Bound a question of several steps by one deadline, in ms. */
  #bounded<T>(question: Promise<T>, ms = this.#timeout): Promise<T> {
    return within(question, Math.max(0, ms), () => new MetroplexError('EREGISTRY', `Redis did not tell within ${this.#timeout} ms.`))
  }

  /** Do something in all registries; fails as the first that failed, once all have ended. */
  async #all<T>(task: (shard: Shard) => Promise<T>): Promise<T[]> {
    const done = await Promise.allSettled(this.#shards.map(task))
    return done.map(one => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    })
  }

  /** Ask something of the registries that ids lie in; the answers are in their order. */
  async #grouped<T>(ids: readonly string[], ask: (shard: Shard, ids: readonly string[]) => Promise<T[]>): Promise<T[]> {
    if (this.#shards.length === 1) return ask(this.#first, ids)
    const groups = new Map<Shard, number[]>()
    ids.forEach((id, i) => { file(groups, this.#of(id), i) })
    const answers = new Array<T>(ids.length)
    await Promise.all([...groups].map(async ([shard, positions]) => {
      const found = await ask(shard, positions.map(at => ids[at] ?? ''))
      positions.forEach((at, i) => { answers[at] = found[i] as T })
    }))
    return answers
  }

  async #ask({ lookup, members }: Shard, ids: readonly string[]): Promise<(string | null)[]> {
    this.stats.count('lookups', ids.length)
    const began = now()
    const found = await this.stats.timed('lookup', lookup.places(ids))
    const self = this.address
    // A server that joined since the last beat.
    if (found.some(place => place !== null && place !== self && !members.has(place))) {
      await this.#bounded(members.refresh(), this.#timeout - (now() - began))
    }
    return found.map((found, i) => {
      const place = found !== null && members.has(found) ? found : null
      this.#places.note(ids[i] ?? '', place)
      return place
    })
  }

  #last({ members }: Shard, id: string): string | undefined {
    const place = this.#places.last(id)
    return place !== undefined && members.has(place) ? place : undefined
  }

  /** One registry has us. */
  #entered(at: number, address: string): void {
    const entries = this.#entries.get(address) ?? new Set()
    const again = entries.has(at)
    this.#entries.set(address, entries.add(at))
    const [all, single] = [entries.size === this.#shards.length, this.#shards.length === 1]
    if (!all || (again && !single)) return
    this.#registered = address
    this.events.registered(address)
  }

  /** One registry has us no longer, because we left. */
  #departed(at: number, address: string): void {
    const entries = this.#entries.get(address)
    entries?.delete(at)
    if (entries !== undefined && entries.size > 0) return
    this.#entries.delete(address)
    if (this.#registered === address) this.#registered = ''
    this.events.unregistered(address)
  }

  /** See how we stand, and tell when that has changed. */
  #look(): void {
    const states = this.#shards.map(({ life }) => life.state)
    const state = (['connecting', 'degraded'] as const).find(one => states.includes(one)) ?? 'ready'
    if (state === 'ready') this.#told.clear()
    if (state === this.#state) return
    this.#state = state
    this.events.changed(state)
  }

  #joined(address: string, life: string): void {
    const name = `${life} ${address}`
    const seen = this.#seen.get(name) ?? { count: 0, told: false }
    this.#seen.set(name, seen)
    if (++seen.count < this.#shards.length || seen.told) return
    seen.told = true
    this.stats.count('joins')
    this.events.joined(address, life)
  }

  #left(address: string, why: Farewell, life: string): void {
    const name = `${life} ${address}`
    const seen = this.#seen.get(name)
    if (seen === undefined || --seen.count > 0) return
    this.#seen.delete(name)
    this.#places.forget(address)
    if (!seen.told) return
    this.stats.count('leaves')
    this.events.left(address, why, life)
  }

  /** What fails in one registry mostly fails in all: it is told once. */
  #failed(error: Error): void {
    if (this.#shards.length > 1) {
      const name = error instanceof MetroplexError ? `${error.code} ${error.message}` : error.message
      if (this.#told.has(name)) return
      this.#told.add(name)
    }
    this.stats.count('errors')
    this.events.failed(error)
  }
}
