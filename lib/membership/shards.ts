import { randomBytes } from 'node:crypto'
import { ignore } from '../callback'
import { MetroplexError } from '../errors'
import { shardOf } from '../registry/sharding'
import type { Stats } from '../stats'
import type { State } from '../reports'
import type { Spark } from '../types'
import { Agreement } from './agreement'
import { Finder } from './finder'
import type { Life } from './life'
import { Peers } from './peers'
import { Registries, type RegistriesTerms } from './registries'
import { Roll, type RollEvents } from './roll'
import { period, Shard, type Part } from './shard'
import { Users } from './users'

/** What the registries of a cluster need to know. */
export type ShardsSettings = Omit<Part, 'agreement' | 'places' | 'word'> & RegistriesTerms

/** What happens in the cluster, each once, into however many registries it is split. */
export interface ShardsEvents extends RollEvents {
  /** So many entries were wrong in one registry, and are right again. */
  healed(sparks: number): void
  /** A server has been found dead by us: the others do not know it yet. */
  buried(): void
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
  readonly #registries: Registries
  readonly #shards: readonly Shard[]
  readonly #agreement: Agreement
  readonly #roll: Roll
  readonly #finder: Finder
  readonly #peers: Peers
  readonly #users: Users
  /** What has been told as failed since all was right. */
  readonly #told = new Set<string>()
  #state: State = 'connecting'
  #words: string[] = []

  constructor(settings: ShardsSettings, private readonly stats: Stats, private readonly events: ShardsEvents) {
    const { shards, timeout, lease, interval } = settings
    const roll = this.#roll = new Roll(shards, {
      ...events,
      joined: (address, life) => {
        stats.count('joins')
        events.joined(address, life)
      },
      left: (address, why, life) => {
        stats.count('leaves')
        this.#finder.left(address)
        events.left(address, why, life)
      }
    })
    const of = (registries: readonly number[]): Life[] => this.#shards.filter((_, at) => registries.includes(at)).map(({ life }) => life)
    const { base, all } = this.#registries = new Registries(settings, {
      ready: registries => { for (const life of of(registries)) life.stir() },
      lost: (registries, error) => {
        for (const life of of(registries)) life.disturb()
        this.#failed(error)
      }
    })
    const agreement = this.#agreement = new Agreement(
      { secret: all[0] ?? base, layout: base }, shards, { lease, often: period(settings) / 2 }
    )
    const part = {
      ...settings, agreement, word: (nth: number) => this.#words[nth] ??= randomBytes(12).toString('base64url'),
      places: (ids: readonly string[]) => this.#finder.registered(ids)
    }
    this.#shards = all.map((registry, at) => new Shard(registry, part, {
      registered: address => { roll.enter(at, address) },
      unregistered: address => { roll.depart(at, address) },
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
      buried: () => {
        stats.count('buried')
        events.buried()
      },
      failed: error => { this.#failed(error) },
      changed: () => { this.#look() },
      join: (address, life) => { roll.join(address, life) },
      leave: (address, why, life) => { roll.leave(address, why, life) },
      reap: (address, sparks) => {
        stats.count('reaped', sparks.length)
        events.reap(address, sparks)
      },
      disowned: id => { this.#users.disowned(id) },
      owned: id => { this.#users.owned(id) }
    }))
    this.#peers = new Peers(this.#shards, timeout)
    this.#finder = new Finder(this.#shards, () => this.address, { timeout, young: interval }, stats)
    this.#users = new Users(this.#shards, this.#finder, () => this.address, timeout)
  }

  /** The address that we have or try to have; `''` for none. */
  get wanted(): string {
    return this.#first.life.wanted
  }

  /** Our address; `''` unless we are registered. */
  get address(): string {
    const found = this.#present?.address ?? ''
    return found === this.#roll.registered ? found : ''
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
    this.#registries.close()
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
    const gone = table.remove(id, spark)
    if (!table.holds(id)) this.#users.forget(id)
    if (!gone) return
    this.stats.count('disconnects')
    writer.disconnect(id)
  }

  /** The other servers. */
  get peers(): Peers {
    return this.#peers
  }

  /** Who is behind which sparks. */
  get users(): Pick<Users, 'identify' | 'find' | 'own' | 'size'> {
    return this.#users
  }

  /** Where sparks are. */
  get finder(): Pick<Finder, 'place' | 'places' | 'last' | 'recent' | 'remembered'> {
    return this.#finder
  }

  /** Whether an id is connected here, and ours to answer for. */
  owns(id: string): boolean {
    return this.#of(id).table.owns(id)
  }

  /** Look soon who has joined or left: somebody says that it has. */
  look(): void {
    // What fails here, the next beat does again.
    this.catchUp().catch(ignore)
  }

  /** Look who has joined or left. */
  async catchUp(): Promise<void> {
    await this.#all(({ members }) => members.verify())
  }

  /** Look again which secret the servers have agreed upon. */
  agree(): Promise<void> {
    return this.#agreement.enter()
  }

  /** Whether a server of 1.x was started where one of ours had been, as Redis says now. */
  superseded(address: string): Promise<boolean> {
    return this.#first.registry.superseded(address)
  }

  /** Whether a server holds its lease, as Redis says now. */
  async alive(address: string): Promise<boolean> {
    return (await this.#first.registry.resident(address)).lease !== ''
  }

  /** Our own ids, as far as we answer for them. */
  *ids(): Generator<string, void, undefined> {
    for (const { table } of this.#shards) for (const id of table.ids()) if (table.owns(id)) yield id
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

  /** Do something in all registries; fails as the first that failed, once all have ended. */
  async #all<T>(task: (shard: Shard) => Promise<T>): Promise<T[]> {
    const done = await Promise.allSettled(this.#shards.map(task))
    return done.map(one => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    })
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
