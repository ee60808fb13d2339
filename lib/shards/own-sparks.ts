import { shardOf } from '../registry/sharding'
import type { LocalSparks } from '../sync/local-sparks'
import type { Stats } from '../reporting/stats'
import type { Spark } from '../common/types'
import type { Shard } from './shard'

/** The sparks of this server, each in the shard of its id. */
export class OwnSparks {
  constructor(
    private readonly shards: readonly Shard[],
    /** What is known of our sparks besides, such as their users. */
    private readonly details: readonly { forget(id: string): void }[],
    private readonly stats: Stats
  ) {}

  /** A spark has connected to this server. */
  connect(id: string, spark: Spark): void {
    const { table, writer } = this.#of(id)
    if (!table.add(id, spark)) return
    this.stats.count('connects')
    writer?.connect(id)
  }

  /** A spark has disconnected from this server. */
  disconnect(id: string, spark: Spark): void {
    const { table, writer } = this.#of(id)
    const removed = table.remove(id, spark)
    if (!table.holds(id)) for (const details of this.details) details.forget(id)
    if (!removed) return
    this.stats.count('disconnects')
    writer?.disconnect(id)
  }

  /** Whether this server owns an id: connected here, and not disowned. */
  owns(id: string): boolean {
    return this.#of(id).table.owns(id)
  }

  /** The spark with this prototype that is connected here under an id. */
  spark(id: string, prototype: object): Spark | undefined {
    return this.#of(id).table.spark(id, prototype)
  }

  /** The sparks that are connected here, by shard. */
  get tables(): readonly Pick<LocalSparks, 'connected' | 'sparks'>[] {
    return this.shards.map(({ table }) => table)
  }

  /** The ids that this server owns. */
  *ids(): Generator<string, void, undefined> {
    for (const { table } of this.shards) for (const id of table.ids()) if (table.owns(id)) yield id
  }

  /** How many ids this server owns. */
  get size(): number {
    return this.#sum(({ table }) => table.size - table.disowned.size)
  }

  /** How many ids are connected here but disowned: the registry names another live server for them. */
  get disowned(): number {
    return this.#sum(({ table }) => table.disowned.size)
  }

  /** How many ids wait to be written. */
  get waiting(): number {
    return this.#sum(({ writer }) => writer?.waiting ?? 0)
  }

  #of(id: string): Shard {
    return this.shards[shardOf(id, this.shards.length)] as Shard
  }

  #sum(of: (shard: Shard) => number): number {
    return this.shards.reduce((sum, shard) => sum + of(shard), 0)
  }
}
