import type { LifeId, SparkChanges } from '../registry/records'
import type { SparkStore } from '../registry/stores/spark-store'
import type { LocalSparks } from './local-sparks'
import type { NumberedWrites } from './numbered-writes'
import { PendingSparks } from './pending-sparks'
import { IndexSync, type Accepted, type Claimed } from './index-sync'

/** The sparks of this server in one registry. */
export class SparkIndexSync extends IndexSync<string, SparkChanges> {
  override readonly removesFirst = false

  constructor(
    private readonly table: LocalSparks,
    private readonly sparks: SparkStore,
    writes: NumberedWrites,
    override readonly pending = new PendingSparks(table)
  ) {
    super(pending, sparks, writes)
  }

  /** Take claimed ids from owners that are dead, and disown those of live ones. */
  override async resolve(_me: LifeId, { items, written }: Claimed<string>): Promise<number> {
    const foreign = new Set<string>()
    let wrong = written.missing
    for (const [owner, theirs] of written.others) {
      const wrested = await this.#wrest(owner, theirs)
      wrong += wrested.missing
      for (const stay of wrested.others.values()) for (const id of stay) foreign.add(id)
    }
    for (const id of items)
      if (foreign.has(id)) this.table.disown(id)
      else this.table.own(id)
    return wrong
  }

  /** Take ids from an owner that is dead, or does not list them in its own set. */
  #wrest(owner: string, ids: readonly string[]): Promise<Accepted<string>> {
    return this.writes.exclusive(() => {
      const settled = ids.filter(id => this.pending.settled(id))
      return this.write((me, seq) => this.sparks.wrest(me, seq, owner, settled))
    })
  }
}
