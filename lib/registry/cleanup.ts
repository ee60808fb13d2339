import { byOwner } from './decoding'
import { list } from './encoding'
import type { Keys } from './keys'
import { SLICE, slices, type AdaptiveBatchSize } from './batch-size'
import type { LifeId, Slice, Survey, Sweeper, LeaseTerms } from './records'
import type { CommandRunner } from './command-runner'

/** The result of an attempt to bury a life. */
export type Verdict = 'late' | 'changed' | 'alive' | 'replaced' | 'left' | 'dead'

/**
 * What dead and former servers left behind in one registry.
 *
 * A method is one round trip, and rejects with `EREGISTRY` when Redis fails.
 */
export class Cleanup {
  constructor(
    private readonly keys: Keys,
    private readonly batchSize: AdaptiveBatchSize,
    private readonly redis: CommandRunner
  ) {}

  /** Hold a task that one server at a time does for all, for `ms` more; `false` when another server holds it. */
  async hold(what: 'sweep' | 'audit', life: string, ms: number): Promise<boolean> {
    return (await this.redis.run('hold', [this.keys[what], life, ms])) === 1
  }

  /** Which servers there are, and which of the `known` addresses have a lease: enough to see whether one has died. */
  async survey(known: readonly string[]): Promise<Survey> {
    const { servers, lives } = this.keys
    const leases = known.map(address => this.keys.lease(address))
    const [listed, kept, held = []] = (await this.redis.pipeline([
      ['SMEMBERS', servers],
      ['SMEMBERS', lives],
      ...(leases.length > 0 ? [['MGET', ...leases] as const] : [])
    ])) as [string[], string[], (string | null)[]?]
    return {
      servers: new Set(listed),
      kept: new Set(kept),
      leased: new Set(known.filter((_, i) => typeof held[i] === 'string'))
    }
  }

  /** Let the leases of these servers end in time, although the clock of Redis was set back. */
  async shorten(addresses: readonly string[]): Promise<void> {
    for (const slice of slices(addresses, SLICE)) {
      const names = slice.flatMap(address => [this.keys.life(address), this.keys.lease(address)])
      await this.redis.run('shorten', [names.length, ...names])
    }
  }

  /**
   * Declare a life dead, if it is, and if no life that it has replaced may be alive.
   *
   * @returns `late` when our own last beat is too long ago, or when we were paused since our turn to sweep began
   */
  async bury(
    { address, life }: LifeId,
    over: readonly string[],
    { me, breaks }: Omit<Sweeper, 'full'>,
    terms: Pick<LeaseTerms, 'lease'>
  ): Promise<Verdict> {
    const keys = this.keys
    return (await this.redis.run('bury', [
      13 + over.length,
      keys.servers,
      keys.lives,
      keys.members,
      ...keys.personal(address),
      keys.life(me.address),
      keys.lease(me.address),
      keys.changes,
      keys.usersOf(address),
      keys.usersAside(address, life),
      keys.groupsOf(address),
      keys.groupsAside(address, life),
      ...over.map(name => keys.former(address, name)),
      address,
      life,
      me.life,
      half(terms),
      breaks,
      over.join(' ')
    ])) as Verdict
  }

  /** A slice of the sparks of a life that has ended; `null` when it no longer counts as ended. */
  async doomed({ address, life }: LifeId, cursor: string): Promise<Slice | null> {
    const keys = this.keys
    const [as, next, ids] = await this.redis.list('doomed', [
      ...keys.personal(address),
      keys.sparks,
      keys.sparksOf(address),
      life,
      address,
      cursor,
      this.batchSize.slice
    ])
    return as === 'ok' ? { cursor: String(next), ids: ids as string[] } : null
  }

  /** Remove sparks of a life that has ended; `false` when it no longer counts as ended. */
  async reap({ address, life }: LifeId, ids: readonly string[]): Promise<boolean> {
    const [as] = await this.redis.timed('reap', [
      ...this.keys.personal(address),
      this.keys.sparks,
      life,
      address,
      ...ids
    ])
    return as === 'ok'
  }

  /** Write the tombstone of a life, once everything it held is removed; `false` when it no longer counts as ended. */
  async tombstone({ address, life }: LifeId): Promise<boolean> {
    const keys = this.keys
    const [as] = await this.redis.list('tombstone', [
      ...keys.personal(address),
      keys.sparksOf(address),
      keys.lives,
      keys.usersOf(address),
      keys.groupsOf(address),
      life,
      address
    ])
    return as === 'ok'
  }

  /**
   * A slice of the sparks that a former life left behind, without those that a server holds again.
   *
   * @returns `null` while that life may be alive; `ended`: whether the sparks have ended, so that `reap` reports them
   */
  async leftovers(
    address: string,
    aside: string,
    cursor: string
  ): Promise<(Slice & { readonly ended: boolean }) | null> {
    const keys = this.keys
    const [as, next, ids] = await this.redis.timed('leftovers', [
      keys.sparks,
      keys.aside(address, aside),
      keys.sparksOf(address),
      keys.former(address, aside),
      address,
      cursor,
      this.batchSize.slice
    ])
    return as === 'held' ? null : { cursor: String(next), ids: ids as string[], ended: as === 'ok' }
  }

  /** Which former lives that ours replaced may still be alive. When none may, the counter moves, and peers notice. */
  async settle({ address, life }: LifeId, over: readonly string[]): Promise<string[]> {
    const keys = this.keys
    const former = over.map(name => keys.former(address, name))
    return (await this.redis.list('settle', [
      3 + former.length,
      keys.life(address),
      keys.members,
      keys.changes,
      ...former,
      address,
      life,
      ...over
    ])) as string[]
  }

  /** Remove sparks that a former life left behind. */
  async clear(address: string, ids: readonly string[]): Promise<void> {
    await this.redis.run('clear', [this.keys.sparks, this.keys.sparksOf(address), address, ...ids])
  }

  /** Delete the keys of a former life, once its entries are removed. */
  async forget(address: string, aside: string): Promise<void> {
    const keys = this.keys
    await this.redis.run('forget', [
      keys.life(address),
      keys.aside(address, aside),
      keys.usersAside(address, aside),
      keys.former(address, aside),
      keys.groupsAside(address, aside),
      aside
    ])
  }

  /** Take the turn to audit all entries, for `ms`; `false` when a server has it, or had it less than `ms` ago. */
  async turn(life: string, ms: number): Promise<boolean> {
    return (await this.redis.run('turn', [this.keys.audit, life, ms])) === 1
  }

  /** A page of all entries, ids by owner. The cursor is `'0'` before the first page and after the last. */
  async entries(cursor: string): Promise<{ cursor: string; owners: Map<string, string[]> }> {
    const [next, pairs] = await this.redis.list('HSCAN', [this.keys.sparks, cursor, 'COUNT', SLICE])
    return { cursor: String(next), owners: byOwner(pairs as string[]) }
  }

  /** Those of these entries, ids by owner, that the owner does not list in its own set. */
  async lacking(owners: ReadonlyMap<string, readonly string[]>): Promise<Map<string, string[]>> {
    if (owners.size === 0) return new Map()
    const answers = (await this.redis.list('lacking', [
      owners.size,
      ...[...owners.keys()].map(owner => this.keys.sparksOf(owner)),
      ...[...owners.values()].map(list)
    ])) as string[][]
    return new Map(
      [...owners.keys()]
        .map((owner, i): [string, string[]] => [owner, answers[i] ?? []])
        .filter(([, ids]) => ids.length > 0)
    )
  }

  /** Repair entries that their owner does not list: a live owner gets them into its set; those of an unknown one go. */
  async astray(owner: string, ids: readonly string[]): Promise<{ handed: number; removed: string[] }> {
    const keys = this.keys
    const [handed, ...removed] = await this.redis.list('astray', [
      keys.sparks,
      ...keys.personal(owner),
      keys.sparksOf(owner),
      owner,
      ...ids
    ])
    return { handed: Number(handed), removed: removed as string[] }
  }
}

/**
 * How much of a lease is left at least, in ms, when its server beats in time: beats come three times a lease.
 *
 * A sweep needs that much: after a pause of the whole cluster, every other server then had time to beat as well.
 */
export function half({ lease }: Pick<LeaseTerms, 'lease'>): number {
  return Math.floor(lease / 2)
}
