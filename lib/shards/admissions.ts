import { allSettled } from '../common/async'
import { pushTo } from '../common/multimap'
import type { UserLimit } from '../common/validate'
import type { Admission, Holder, Newcomer } from '../registry/stores/limit-store'
import { eachOf, shardOf } from '../registry/sharding'
import type { Shard } from './shard'

/** Which sparks of users may stay, as the shards of these users say. */
export class Admissions {
  constructor(
    private readonly shards: readonly Shard[],
    /** The address of this server; `''` while it is not registered. */
    private readonly self: () => string
  ) {}

  /** Whether the registry can be asked about sparks of this server. */
  get open(): boolean {
    return this.self() !== ''
  }

  /**
   * Decide whether users with new sparks have too many.
   *
   * @param unheard users of whom an answer was lost: those of their sparks that had to go lately are named again
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  async decide(
    limit: UserLimit,
    newcomers: readonly Newcomer[],
    exempt: ReadonlyMap<string, readonly Holder[]>,
    unheard: readonly string[] = []
  ): Promise<Admission[]> {
    const parts = new Map<Shard, Newcomer[]>()
    const lost = new Map<Shard, string[]>()
    const of = (user: string): Shard => this.shards[shardOf(user, this.shards.length)] as Shard
    for (const one of newcomers) pushTo(parts, of(one.user), one)
    for (const user of unheard) pushTo(lost, of(user), user)
    const asked = [...new Set([...parts.keys(), ...lost.keys()])].map(shard =>
      shard.registry.limits.admit(this.self(), limit, parts.get(shard) ?? [], exempt, lost.get(shard))
    )
    return allSettled(asked)
  }

  /**
   * Keep users out for so many ms; 0 lets them in again.
   *
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  async bar(users: readonly string[], ms: number): Promise<void> {
    await eachOf(this.shards, users, async ({ registry }, some) => {
      await registry.limits.bar(some, ms)
      return []
    })
  }

  /** The users that are kept out, and for how many ms more. @throws MetroplexError `EREGISTRY` as above */
  async barred(): Promise<(readonly [user: string, ms: number])[]> {
    return (await allSettled(this.shards.map(({ registry }) => registry.limits.barred()))).flat()
  }
}
