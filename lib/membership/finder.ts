import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { file } from '../message'
import { Places } from '../registry/places'
import { shardOf } from '../registry/sharding'
import type { Stats } from '../stats'
import type { Shard } from './shard'

/** How a finder finds. */
export interface FinderTerms {
  /** Bound of a question, in ms. */
  readonly timeout: number
  /** How old a place may be that is gone by while Redis cannot be asked, in ms. */
  readonly young: number
}

/**
 * Finds out which servers hold sparks: asks the registries that their ids lie in, and leaves out whoever does not live.
 */
export class Finder {
  readonly #places: Places

  constructor(
    private readonly shards: readonly Shard[],
    /** Our own address. */
    private readonly self: () => string,
    private readonly terms: FinderTerms,
    private readonly stats: Stats
  ) {
    this.#places = new Places(terms.young)
  }

  /** How many places are known that `last` can go by. */
  get remembered(): number {
    return this.#places.size
  }

  /** The addresses of the servers that hold these ids, in their order; `null` where no server that lives does. */
  places(ids: readonly string[]): Promise<(string | null)[]> {
    return this.#grouped(ids, (shard, group) => this.#ask(shard, group))
  }

  /**
   * As `places`, for who would rather have the last known place than none: that is what is told where a registry cannot be asked.
   * `undefined` where not even that is known.
   *
   * @throws MetroplexError `EREGISTRY` when nothing is known of any of them
   */
  async last(ids: readonly string[]): Promise<(string | null | undefined)[]> {
    let failure: Error | undefined
    const known = ids.some(id => this.#places.last(id) !== undefined)
    const found = await this.#grouped<string | null | undefined>(ids, async (shard, group) => {
      const last = group.map(id => this.#last(shard, id))
      if (!shard.registry.reachable && last.every(place => place !== undefined)) return last
      try {
        const asked = this.#ask(shard, group)
        // The other half of an operation's time is left for the message itself.
        return await (known ? bounded(asked, this.terms.timeout / 2) : asked)
      } catch (error) {
        failure = asError(error)
        return last
      }
    })
    if (failure !== undefined && found.every(place => place === undefined)) throw failure
    return found
  }

  /** A server has gone. */
  forget(address: string): void {
    this.#places.forget(address)
  }

  /** Ask something of the registries that ids lie in; the answers are in their order. */
  async #grouped<T>(ids: readonly string[], ask: (shard: Shard, ids: readonly string[]) => Promise<T[]>): Promise<T[]> {
    const { shards } = this
    const of = (id: string): Shard => shards[shardOf(id, shards.length)] as Shard
    if (shards.length === 1 || ids.length === 1) return ask(of(ids[0] ?? ''), ids)
    const groups = new Map<Shard, number[]>()
    ids.forEach((id, i) => { file(groups, of(id), i) })
    const answers = new Array<T>(ids.length)
    await Promise.all([...groups].map(async ([shard, positions]) => {
      const found = await ask(shard, positions.map(at => ids[at] ?? ''))
      positions.forEach((at, i) => { answers[at] = found[i] as T })
    }))
    return answers
  }

  async #ask({ lookup, members }: Shard, ids: readonly string[]): Promise<(string | null)[]> {
    this.stats.count('lookups', ids.length)
    const began = now()
    const found = await this.stats.timed('lookup', lookup.places(ids))
    const self = this.self()
    // A server that joined since the last beat.
    if (found.some(place => place !== null && place !== self && !members.has(place))) {
      await bounded(members.verify(), this.terms.timeout - (now() - began))
    }
    return found.map((address, i) => {
      const place = address !== null && members.has(address) ? address : null
      this.#places.note(ids[i] ?? '', place)
      return place
    })
  }

  #last({ members }: Shard, id: string): string | undefined {
    const place = this.#places.last(id)
    return place !== undefined && members.has(place) ? place : undefined
  }
}

/** Bound a question of several steps by one deadline, in ms. */
export function bounded<T>(question: Promise<T>, ms: number): Promise<T> {
  return within(question, Math.max(0, ms), () => new MetroplexError('EREGISTRY', `Redis did not tell within ${Math.round(ms)} ms.`))
}
