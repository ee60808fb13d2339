import type { AdaptiveBatchSize } from '../batch-size'
import { accepted, paired } from '../decoding'
import { list } from '../encoding'
import type { DependentStore, IndexStore } from './index-store'
import type { Keys } from '../keys'
import type { PresenceStore } from './presence-store'
import type { CommitOutcome, GroupCount, LifeId, Page } from '../records'
import type { CommandRunner } from '../command-runner'

/**
 * The groups of one registry: which servers have sparks in a group, and how many.
 *
 * A method is one round trip, and rejects with `EREGISTRY` when Redis fails.
 */
export class GroupStore implements IndexStore<GroupCount, readonly GroupCount[]>, DependentStore<GroupCount> {
  constructor(
    private readonly keys: Keys,
    private readonly batchSize: AdaptiveBatchSize,
    private readonly redis: CommandRunner,
    private readonly presence: PresenceStore
  ) {}

  /** No other server has an entry of ours, so `others` is empty. */
  commit(me: LifeId, seq: number, counts: readonly GroupCount[]): Promise<CommitOutcome<GroupCount>> {
    return this.#tally(me, seq, counts, false)
  }

  claim(me: LifeId, seq: number, counts: readonly GroupCount[]): Promise<CommitOutcome<GroupCount>> {
    return this.#tally(me, seq, counts, true)
  }

  /** Groups are never taken from another server. */
  removeMoved(): Promise<void> {
    return Promise.resolve()
  }

  /** The list does not say how many sparks are in a group: the counts are 0. */
  async page(address: string, cursor: string, aside?: string): Promise<Page<GroupCount>> {
    const key = aside === undefined ? this.keys.groupsOf(address) : this.keys.groupsAside(address, aside)
    const [next, groups] = await this.redis.list('SSCAN', [key, cursor, 'COUNT', this.batchSize.slice])
    return { cursor: String(next), items: (groups as string[]).map(group => [group, 0]) }
  }

  async reap({ address, life }: LifeId, counts: readonly GroupCount[]): Promise<boolean> {
    if (counts.length === 0) return true
    const { presence } = this
    const groups = counts.map(([group]) => group)
    const [as] = await this.redis.timed(presence.script('untally'), [
      counts.length + 3 + presence.keys.length,
      ...this.keys.personal(address),
      ...this.#keysOf(counts),
      ...presence.keys,
      life,
      address,
      ...(presence.telling ? [list(groups)] : []),
      ...presence.args('g', groups)
    ])
    return as === 'ok'
  }

  async clear(address: string, counts: readonly GroupCount[]): Promise<void> {
    if (counts.length === 0) return
    const { presence } = this
    const groups = counts.map(([group]) => group)
    await this.redis.timed(presence.script('untallyAside'), [
      counts.length + 1 + presence.keys.length,
      this.keys.groupsOf(address),
      ...this.#keysOf(counts),
      ...presence.keys,
      address,
      ...groups,
      ...presence.args('g', groups)
    ])
  }

  /** The servers that have sparks in these groups, in the order of the groups, and how many each of them has. */
  async servers(groups: readonly string[]): Promise<(readonly [address: string, sparks: number])[][]> {
    // In capitals, because ioredis converts the answer of a command in lower case into an object.
    const found = await this.redis.pipeline(groups.map(group => ['HGETALL', this.keys.group(group)]))
    return found.map(pairs => paired(pairs).map(([address, sparks]) => [address, Number(sparks)] as const))
  }

  async #tally(
    me: LifeId,
    seq: number,
    counts: readonly GroupCount[],
    compare: boolean
  ): Promise<CommitOutcome<GroupCount>> {
    const { presence } = this
    const groups = counts.map(([group]) => group)
    presence.sending('g', groups)
    const [as, missing, ...unwritten] = await this.redis.list(presence.script('tally'), [
      counts.length + 2 + presence.keys.length,
      this.keys.life(me.address),
      this.keys.groupsOf(me.address),
      ...this.#keysOf(counts),
      ...presence.keys,
      me.life,
      seq,
      me.address,
      compare ? '1' : '0',
      list(groups),
      JSON.stringify(counts.map(([, sparks]) => sparks)),
      ...presence.args('g', groups)
    ])
    if (as !== 'ok') return { as: as as 'refused' | 'old' }
    if (presence.telling) presence.written('g', groups, unwritten.pop() as string[])
    const none = unwritten.map((group): GroupCount => [String(group), 0])
    return accepted(Number(missing), new Map([['', none]]))
  }

  #keysOf(counts: readonly GroupCount[]): string[] {
    return counts.map(([group]) => this.keys.group(group))
  }
}
