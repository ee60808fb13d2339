import { randomBytes } from 'node:crypto'
import { allSettled, now } from '../common/async'
import { ignore } from '../common/callback'
import type { Life } from '../membership/life'
import type { State } from '../reporting/types'
import type { MembershipMerger } from './membership-merger'
import type { Shard } from './shard'

/**
 * The lives of this server: one in each shard, all at one address and with one id. A process that only asks has none.
 */
export class OwnLives {
  /** The ids of the lives since `register`, which are the same in all shards. */
  #ids: string[] = []
  #draining = false
  /** When the lease in each registry was renewed last, by `now()`. */
  readonly #renewed: number[] = []

  constructor(
    /** All shards, which are created after this. */
    private readonly shards: () => readonly Shard[],
    private readonly quorum: Pick<MembershipMerger, 'registered'>
  ) {}

  /** The address that this server has or tries to get; `''` for none. */
  get wanted(): string {
    return this.#first?.wanted ?? ''
  }

  /** The address that this server waits for because another live server has it; `''` for none. */
  get awaited(): string {
    return this.#first?.awaited ?? ''
  }

  /** The address of this server; `''` unless it is registered. */
  get address(): string {
    const found = this.#present?.address ?? ''
    return found === this.quorum.registered ? found : ''
  }

  /** The random id of this life; `''` unless this server is registered. */
  get id(): string {
    return this.address === '' ? '' : (this.#present?.id ?? '')
  }

  /** The random id of the nth life since `register`. */
  nth(nth: number): string {
    return (this.#ids[nth] ??= randomBytes(12).toString('base64url'))
  }

  /** The state of this server: the worst of all shards. */
  get state(): State {
    const states = this.#all.map(({ standing }) => standing.state)
    return (['connecting', 'degraded'] as const).find(one => states.includes(one)) ?? 'ready'
  }

  /** Why the state is not `ready`, in sentences. */
  get reasons(): string[] {
    return [...new Set(this.#all.flatMap(({ standing }) => standing.reasons))]
  }

  /** What is unusual but need not be a failure, in sentences. */
  get warnings(): string[] {
    return [...new Set(this.#all.flatMap(({ standing }) => standing.warnings))]
  }

  /** The lease in a registry was renewed, by a command that took `ms`. */
  renewed(at: number, ms: number): void {
    this.#renewed[at] = now() - ms
  }

  /** For how many ms our leases last, at least, if they are not renewed; 0 while this server is not registered. */
  leaseLeft(lease: number): number {
    if (this.address === '') return 0
    return Math.max(0, lease - (now() - Math.min(...this.#renewed)))
  }

  /** Register under an address, and leave the present one. @param patient retry as long as it takes, never reject */
  async register(address: string, patient: boolean): Promise<void> {
    if (address !== this.wanted) this.#ids = []
    await this.#each(life => life.register(address, patient))
  }

  /** Leave, or abort the attempt to register. Resolves with the address that was left; `''` for none. */
  async unregister(): Promise<string> {
    const left = await this.#each(life => life.unregister())
    return left.find(address => address !== '') ?? ''
  }

  /** Remove another server from the registry. */
  async remove(address: string): Promise<void> {
    await this.#each(life => life.remove(address))
  }

  /** Leave for good, within the deadline even when Redis is unreachable. */
  async close(): Promise<void> {
    await this.#each(life => life.close())
  }

  /** Whether this life holds its lease in every shard. Asks Redis. */
  async held(): Promise<boolean> {
    const held = await allSettled(
      this.shards().map(async ({ registry, life }) => {
        if (life === undefined) return false
        const there = await registry.resident(life.address)
        return there.life === life.id && there.lease === life.id
      })
    )
    return held.every(Boolean)
  }

  /** Note in the registry whether this server drains. It is repeated when a connection is up again. */
  drains(whether: boolean): void {
    this.#draining = whether
    for (const shard of this.shards()) this.#noteDrain(shard)
  }

  /** Let go of our address in all shards but the first, while it is awaited in the first, which decides for all. */
  yield(): void {
    for (const life of this.#all.slice(1)) life.yield(() => this.awaited !== '').catch(ignore)
  }

  /** The connection of these registries is up again. */
  connected(registries: readonly number[]): void {
    for (const life of this.#of(registries)) life.beatNow()
    if (this.#draining) this.drains(true)
  }

  /** The connection of these registries is lost. */
  disconnected(registries: readonly number[]): void {
    for (const life of this.#of(registries)) life.connectionLost()
  }

  #noteDrain({ registry, life }: Shard): void {
    // A life that joins later describes itself. After a failure, Redis cannot be asked by peers that balance either.
    if (life === undefined || life.address === '') return
    registry.drains({ address: life.address, life: life.id }, this.#draining).catch(ignore)
  }

  get #first(): Life | undefined {
    return this.shards()[0]?.life
  }

  /** The life of this server in the first shard in which it is registered. */
  get #present(): Life | undefined {
    return this.#all.find(({ address }) => address !== '')
  }

  /** Our lives, in the order of the registries. */
  get #all(): readonly Life[] {
    return this.shards().flatMap(({ life }) => life ?? [])
  }

  #of(registries: readonly number[]): Life[] {
    return this.shards().flatMap(({ life }, at) => (life !== undefined && registries.includes(at) ? [life] : []))
  }

  #each<T>(task: (life: Life) => Promise<T>): Promise<T[]> {
    return allSettled(this.#all.map(task))
  }
}
