import { byOwner } from './answers'
import { list } from './encoding'
import type { Keys } from './keys'
import { SLICE, type Pace } from './pace'
import type { Identity, Slice, Sweeper, Terms } from './records'
import type { Verbs } from './verbs'

/** What became of an attempt to bury a life. */
export type Verdict = 'late' | 'changed' | 'alive' | 'replaced' | 'left' | 'dead'

/** The verbs of one registry that are about what servers have left behind. A method is one round trip, and rejects with `EREGISTRY` when Redis fails. */
export class Remains {
  constructor(private readonly keys: Keys, private readonly pace: Pace, private readonly redis: Verbs) {}

  /** Go on holding what one server at a time does for all, for `ms`; `false` when another server has it. */
  async hold(what: 'sweep' | 'audit', life: string, ms: number): Promise<boolean> {
    return await this.redis.run('hold', [this.keys[what], life, ms]) === 1
  }

  /** Declare a life dead, if it is; `late` when we have not beaten lately, or were paused since the sweep became our turn. */
  async bury({ address, life }: Identity, { me, breaks }: Sweeper, terms: Pick<Terms, 'lease'>): Promise<Verdict> {
    const keys = this.keys
    return await this.redis.run('bury', [
      keys.servers, keys.lives, keys.members, ...keys.personal(address), keys.life(me.address), keys.lease(me.address), keys.changes,
      keys.usersOf(address), keys.usersAside(address, life), address, life, me.life, half(terms), breaks
    ]) as Verdict
  }

  /** A slice of the sparks of a life that has ended, from `cursor`; `null` when it is no longer ended. */
  async doomed({ address, life }: Identity, cursor: string): Promise<Slice | null> {
    const keys = this.keys
    const [as, next, ids] = await this.redis.list('doomed', [
      ...keys.personal(address), keys.sparks, keys.sparksOf(address), life, address, cursor, this.pace.slice
    ])
    return as === 'ok' ? { cursor: String(next), ids: ids as string[] } : null
  }

  /** Remove sparks of a life that has ended; `false` when it is no longer ended. */
  async reap({ address, life }: Identity, ids: readonly string[]): Promise<boolean> {
    const [as] = await this.redis.timed('reap', [...this.keys.personal(address), this.keys.sparks, life, address, ...ids])
    return as === 'ok'
  }

  /** Write the last word on a life, once all that it held is cleaned up; `false` when it is no longer ended. */
  async bid({ address, life }: Identity): Promise<boolean> {
    const keys = this.keys
    const [as] = await this.redis.list('close', [
      ...keys.personal(address), keys.sparksOf(address), keys.lives, keys.usersOf(address), life, address
    ])
    return as === 'ok'
  }

  /** A slice of what a former life left behind, from `cursor`: those that nobody holds. */
  async leftovers(address: string, aside: string, cursor: string): Promise<Slice> {
    const keys = this.keys
    const [next, ids] = await this.redis.timed('leftovers', [
      keys.sparks, keys.aside(address, aside), keys.sparksOf(address), address, cursor, this.pace.slice
    ])
    return { cursor: String(next), ids: ids as string[] }
  }

  /** Remove some of what a former life left behind. */
  async clear(address: string, ids: readonly string[]): Promise<void> {
    await this.redis.run('clear', [this.keys.sparks, this.keys.sparksOf(address), address, ...ids])
  }

  /** Forget what a former life left behind, once all of it is cleaned up. */
  async forget(address: string, aside: string): Promise<void> {
    const keys = this.keys
    await this.redis.run('forget', [keys.life(address), keys.aside(address, aside), keys.usersAside(address, aside), aside])
  }

  /** Make it our turn, for `ms`, to look for entries that are nobody's; `false` when it is another's, or was ours. */
  async turn(life: string, ms: number): Promise<boolean> {
    return await this.redis.run('turn', [this.keys.audit, life, ms]) === 1
  }

  /** A page of all entries, ids by their owners; the cursor is `'0'` at the first and after the last. Ids may repeat. */
  async entries(cursor: string): Promise<{ cursor: string; owners: Map<string, string[]> }> {
    const [next, pairs] = await this.redis.list('HSCAN', [this.keys.sparks, cursor, 'COUNT', SLICE])
    return { cursor: String(next), owners: byOwner(pairs as string[]) }
  }

  /** Of entries, ids by their owners, those that their owner does not have among its own; who has all of them is left out. */
  async lacking(owners: ReadonlyMap<string, readonly string[]>): Promise<Map<string, string[]>> {
    if (owners.size === 0) return new Map()
    const answers = await this.redis.list('lacking', [
      owners.size, ...[...owners.keys()].map(owner => this.keys.sparksOf(owner)), ...[...owners.values()].map(list)
    ]) as string[][]
    return new Map([...owners.keys()].map((owner, i): [string, string[]] => [owner, answers[i] ?? []]).filter(([, ids]) => ids.length > 0))
  }

  /** See to entries that their owner does not have among its own: handed to an owner that lives, removed where nobody is. */
  async astray(owner: string, ids: readonly string[]): Promise<{ handed: number; removed: string[] }> {
    const keys = this.keys
    const [handed, ...removed] = await this.redis.list('astray', [
      keys.sparks, ...keys.personal(owner), keys.sparksOf(owner), owner, ...ids
    ])
    return { handed: Number(handed), removed: removed as string[] }
  }
}

/**
 * How much of a lease is left, in ms, when its server has beaten lately: beats come three times a lease. A server that has,
 * knows of every other one that it has had the time to beat, too, within the rest of its own lease.
 */
export function half({ lease }: Pick<Terms, 'lease'>): number {
  return Math.floor(lease / 2)
}
