import type { LifeId, Named, Renamed } from '../registry/records'
import type { UserStore } from '../registry/stores/user-store'
import type { NumberedWrites } from './numbered-writes'
import type { PendingUsers } from './pending-users'
import { IndexSync, type Claimed } from './index-sync'

/** The users of our sparks in one registry. */
export class UserIndexSync extends IndexSync<Named, readonly Renamed[]> {
  /** A claim would overwrite the former user in our hash, and no page would list it. */
  override readonly removesFirst = true

  constructor(
    override readonly pending: PendingUsers,
    users: UserStore,
    writes: NumberedWrites,
    /** The addresses under which sparks are registered, in whichever registry of the cluster. */
    private readonly places: (ids: readonly string[]) => Promise<(string | null)[]>
  ) {
    super(pending, users, writes)
  }

  /** Overwrite users that another server has registered, if the spark is ours. */
  override async resolve({ address }: LifeId, { written: { missing, others } }: Claimed<Named>): Promise<number> {
    const foreign = [...others.values()].flat()
    if (foreign.length === 0) return missing
    // The owner of a spark names its user. If that is another server, this spark of ours is about to be disowned.
    const places = await this.places(foreign.map(([id]) => id))
    const ours = foreign.filter((_, i) => places[i] === address)
    if (ours.length === 0) return missing
    return missing + (await this.#overwrite(ours)).missing
  }

  #overwrite(named: readonly Named[]): Promise<{ readonly missing: number }> {
    return this.writes.exclusive(() => {
      const renamed = named
        .filter(one => this.pending.settled(one))
        .map(([id, to]): Renamed => ({ id, from: undefined, to }))
      return this.write((me, seq) => this.store.commit(me, seq, renamed))
    })
  }
}
