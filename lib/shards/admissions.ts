import { allSettled } from '../common/async'
import { pushTo } from '../common/multimap'
import type { UserLimit } from '../common/validate'
import type { Admission, Holder, Newcomer } from '../registry/stores/limit-store'
import { shardOf } from '../registry/sharding'
import type { Shard } from './shard'

/** Decides in the shards of users whether these have more sparks than they may. */
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

  /** @throws MetroplexError `EREGISTRY` when Redis does not answer */
  async decide(
    limit: UserLimit,
    newcomers: readonly Newcomer[],
    exempt: ReadonlyMap<string, readonly Holder[]>
  ): Promise<Admission[]> {
    const parts = new Map<Shard, Newcomer[]>()
    for (const one of newcomers) pushTo(parts, this.shards[shardOf(one.user, this.shards.length)] as Shard, one)
    return allSettled([...parts].map(([{ registry }, some]) => registry.limits.admit(this.self(), limit, some, exempt)))
  }
}
