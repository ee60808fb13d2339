import { withTimeout } from '../common/async'
import { MetroplexError, inspectValue } from '../common/errors'
import type { GroupPlace } from '../common/types'
import { SharedReads } from '../lookup/shared-reads'
import { eachOf, shardOf } from '../registry/sharding'
import { BigMultimap } from '../sync/maps/big-multimap'
import { boundedLookup } from '../lookup/bounded-lookup'
import type { Shard } from './shard'

/** A live peer that has sparks in a group, and how many. */
export type GroupServer = readonly [address: string, sparks: number]

/** One shard, and the reads of its groups. */
interface Source {
  readonly shard: Shard
  readonly reads: SharedReads<readonly GroupServer[]>
}

/**
 * The groups that sparks are in.
 *
 * A group lies in the shard of its name; its sparks lie in the shards of their ids. Owned sparks count in the registry.
 * A disowned spark keeps its groups in memory, in case it is owned again.
 */
export class Groups {
  /** The groups of all sparks that are connected here, by id. */
  readonly #groups = new BigMultimap()
  readonly #sources: readonly Source[]

  constructor(
    private readonly shards: readonly Shard[],
    /** The address of this server. */
    private readonly self: () => string,
    /** Deadline of an operation, in ms. */
    private readonly timeout: number
  ) {
    this.#sources = shards.map(shard => ({ shard, reads: new SharedReads(groups => this.#ask(shard, groups)) }))
  }

  /** In how many groups owned sparks of this server are. */
  get size(): number {
    return this.shards.reduce((sum, { pendingGroups }) => sum + pendingGroups.names.keys, 0)
  }

  /** The groups of a spark of this server. */
  of(id: string): string[] {
    return this.#groups.get(id)
  }

  /** The owned sparks of this server that are in a group. */
  sparks(group: string): string[] {
    return this.#of(group).pendingGroups.names.get(group)
  }

  /** How many owned sparks of this server are in a group. */
  count(group: string): number {
    return this.#of(group).pendingGroups.names.count(group)
  }

  /** The groups that owned sparks of this server are in. */
  *all(): Generator<string, void, undefined> {
    for (const { pendingGroups } of this.shards) for (const [group] of pendingGroups.names.counts()) yield group
  }

  /**
   * Let sparks of this server enter or leave groups, at once.
   *
   * @param groups `undefined`: all groups that each spark is in
   * @param those which sparks may be changed. @default those that this server owns
   * @returns the ids that are not here; and a promise that resolves when all servers know of the change. It rejects
   *   with `EREGISTRY` when Redis did not confirm it within the deadline; the writer retries then
   */
  change(
    how: 'enter' | 'exit',
    ids: readonly string[],
    groups: readonly string[] | undefined,
    those: 'owned' | 'connected' = 'owned'
  ): { readonly missing: string[]; readonly written: Promise<void> } {
    const touched = new Set<string>()
    const missing = ids.filter(id => {
      const { table } = this.#of(id)
      const owned = table.owns(id)
      if (!owned && (those === 'owned' || !table.holds(id))) return true
      for (const group of groups ?? this.of(id)) {
        touched.add(group)
        const { writer } = this.#of(group)
        if (how === 'exit') {
          if (this.#groups.delete(id, group)) writer?.exit(id, group, true)
        } else if (this.#groups.add(id, group) && owned) writer?.enter(id, group, true)
      }
      return false
    })
    return { missing, written: touched.size === 0 ? Promise.resolve() : this.#written([...touched]) }
  }

  /**
   * The live peers that have sparks in these groups, in the order of the groups. It reads them from Redis.
   *
   * @param ms how long Redis may take, in ms
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  peers(groups: readonly string[], ms = this.timeout): Promise<(readonly GroupServer[])[]> {
    return boundedLookup(
      eachOf(this.#sources, groups, ({ reads }, some) => reads.of(some)),
      ms
    )
  }

  /**
   * How many sparks are in these groups, and on which live servers, in their order.
   *
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  async find(groups: readonly string[]): Promise<GroupPlace[]> {
    const others = await this.peers(groups)
    const self = this.self()
    return groups.map((group, i) => {
      // Our own number is that of this moment.
      const own = this.count(group)
      const servers = others[i] ?? []
      return {
        group,
        sparks: servers.reduce((sum, [, sparks]) => sum + sparks, own),
        servers: [...(own > 0 && self !== '' ? [self] : []), ...servers.map(([address]) => address)]
      }
    })
  }

  /** Whether all registries of these groups can be reached now. */
  reachable(groups: readonly string[]): boolean {
    return groups.every(group => this.#of(group).registry.reachable)
  }

  /** Pages of the groups that a live peer has; none when no live peer has this address. */
  async *pages(address: string): AsyncGenerator<string[], void, undefined> {
    for (const { registry, members } of this.shards) {
      if (!members.has(address) && !(await members.current()).includes(address)) continue
      let cursor = '0'
      do {
        const page = await registry.groups.page(address, cursor)
        yield page.items.map(([group]) => group)
        cursor = page.cursor
      } while (cursor !== '0')
    }
  }

  /** A spark has disconnected from this server. */
  forget(id: string): void {
    if (this.#groups.count(id) === 0) return
    for (const group of this.of(id)) {
      this.#groups.delete(id, group)
      this.#of(group).writer?.exit(id, group, true)
    }
  }

  /** A spark that is connected here has been disowned. */
  disowned(id: string): void {
    for (const group of this.of(id)) this.#of(group).writer?.exit(id, group, true)
  }

  /** A disowned spark is owned again. */
  owned(id: string): void {
    for (const group of this.of(id)) this.#of(group).writer?.enter(id, group, true)
  }

  #of(key: string): Shard {
    return this.shards[shardOf(key, this.shards.length)] as Shard
  }

  async #written(groups: readonly string[]): Promise<void> {
    const written = groups.map(group => {
      const { pendingGroups, writer } = this.#of(group)
      return pendingGroups.written(group, writer?.inDoubt === true)
    })
    await withTimeout(
      Promise.all(written),
      this.timeout,
      () =>
        new MetroplexError(
          'EREGISTRY',
          `Redis did not confirm within ${this.timeout} ms that this server has the group ` +
            `${inspectValue(groups[0])}. It is written as soon as Redis can be reached.`
        )
    )
  }

  /** The peers that have sparks in these groups, from one shard. */
  async #ask({ registry, members }: Shard, groups: readonly string[]): Promise<(readonly GroupServer[])[]> {
    const self = this.self()
    const found = await registry.groups.servers(groups)
    // A server may have joined since the last beat.
    const unknown = ([address]: GroupServer): boolean => address !== self && !members.has(address)
    if (found.some(servers => servers.some(unknown))) await members.verify()
    return found.map(servers => servers.filter(([address]) => address !== self && members.has(address)))
  }
}
