import { SLICE } from '../batch-size'
import { accepted, byOwner, Texts } from '../decoding'
import { list } from '../encoding'
import type { Keys } from '../keys'
import type { IndexStore } from './index-store'
import type { CommitOutcome, LifeId, Page, SparkChanges } from '../records'
import type { CommandRunner } from '../command-runner'

/** The sparks of one registry. A method is one round trip, and rejects with `EREGISTRY` when Redis fails. */
export class SparkStore implements IndexStore<string, SparkChanges> {
  readonly #texts = new Texts()

  constructor(
    private readonly keys: Keys,
    private readonly redis: CommandRunner
  ) {}

  /**
   * Write connects and disconnects as commit `seq`.
   *
   * While Redis is full, disconnects and moves are written all the same. Connects that need memory are not.
   *
   * @returns `others`: the former owners of sparks that moved to us; `unwritten`: the connects that were not written
   */
  async commit(me: LifeId, seq: number, { connects, disconnects }: SparkChanges): Promise<CommitOutcome> {
    const [as, ...moved] = await this.redis.list('commit', [
      ...this.#keysOf(me),
      me.life,
      seq,
      me.address,
      list(connects),
      list(disconnects)
    ])
    return as === 'ok' ? accepted(0, byOwner(moved)) : { as: as as 'refused' | 'old' }
  }

  async removeMoved(owner: string, ids: readonly string[]): Promise<void> {
    await this.redis.run('removeMoved', [this.keys.sparks, this.keys.sparksOf(owner), owner, ...ids])
  }

  /** Add those of these ids that are missing, as commit `seq`. @returns `others`: ids that have another owner */
  async claim(me: LifeId, seq: number, ids: readonly string[]): Promise<CommitOutcome> {
    const [as, missing, ...owned] = await this.redis.list('claim', [
      ...this.#keysOf(me),
      me.life,
      seq,
      me.address,
      list(ids)
    ])
    return as === 'ok' ? accepted(Number(missing), byOwner(owned)) : { as: as as 'refused' | 'old' }
  }

  /**
   * Take ids from an owner that is dead, or does not list them in its own set, as commit `seq`.
   *
   * @returns `others`: the ids that stay the owner's
   */
  async wrest(me: LifeId, seq: number, owner: string, ids: readonly string[]): Promise<CommitOutcome> {
    const [as, taken, ...stay] = await this.redis.list('wrest', [
      ...this.#keysOf(me),
      ...this.keys.personal(owner),
      this.keys.sparksOf(owner),
      me.life,
      seq,
      me.address,
      owner,
      ...ids
    ])
    return as === 'ok' ? accepted(Number(taken), new Map([[owner, stay as string[]]])) : { as: as as 'refused' | 'old' }
  }

  /** The addresses under which these ids are registered, in their order. */
  async places(ids: readonly string[]): Promise<(string | null)[]> {
    const places = await this.redis.fields(this.keys.sparks, ids)
    return places.map(place => (place === null ? null : this.#texts.of(place)))
  }

  async page(address: string, cursor: string, aside?: string): Promise<Page<string>> {
    const key = aside === undefined ? this.keys.sparksOf(address) : this.keys.aside(address, aside)
    const [next, ids] = await this.redis.list('SSCAN', [key, cursor, 'COUNT', SLICE])
    return { cursor: String(next), items: ids as string[] }
  }

  /** How many sparks are registered under these addresses. */
  async count(addresses: readonly string[]): Promise<number> {
    const counts = await this.redis.pipeline(addresses.map(address => ['SCARD', this.keys.sparksOf(address)]))
    return counts.reduce<number>((sum, count) => sum + Number(count), 0)
  }

  /** How many sparks are registered, but for those under this address. Costs the same for any number of servers. */
  async others(address: string): Promise<number> {
    const [all, own] = await this.redis.pipeline([
      ['HLEN', this.keys.sparks],
      ['SCARD', this.keys.sparksOf(address)]
    ])
    return Math.max(0, Number(all) - Number(own))
  }

  /** The keys of a server that writes sparks, in the order in which all scripts take them. */
  #keysOf({ address }: LifeId): [life: string, sparks: string, own: string] {
    return [this.keys.life(address), this.keys.sparks, this.keys.sparksOf(address)]
  }
}
