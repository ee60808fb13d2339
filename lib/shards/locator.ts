import { callAll, ignore, type Callback } from '../common/callback'
import { now } from '../common/async'
import { asError } from '../common/errors'
import { boundedLookup } from '../lookup/bounded-lookup'
import { LookupBatcher } from '../lookup/lookup-batcher'
import { FRESH, LocationCache, type Location } from '../lookup/location-cache'
import { tagIn } from '../lookup/id-tags'
import { eachOf, shardOf } from '../registry/sharding'
import type { Stats } from '../reporting/stats'
import type { Shard } from './shard'

/** Limits of a lookup. */
export interface LocatorTerms {
  /** Deadline of a lookup, in ms. */
  readonly timeout: number
  /** How old a cached place may be that is used while Redis is unreachable, in ms. */
  readonly young: number
  /** The tag in the ids of our own sparks, `''` while they have none; `undefined` for a process without sparks. */
  readonly tag: (() => string) | undefined
}

/** One shard, and the batcher of its lookups. */
interface Source {
  readonly shard: Shard
  readonly lookup: LookupBatcher<string>
}

/**
 * Finds the servers of sparks: this server's own sparks in its tables, all others in the shards of their ids. Servers
 * that are not alive are left out.
 */
export class Locator {
  readonly #sources: readonly Source[]
  readonly #places = new LocationCache()
  /** Answers about own sparks, which are given after the caller has returned. */
  #own: (() => void)[] = []
  /** Ids in constant use whose cached places are about to expire. */
  #aging: string[] = []

  constructor(
    shards: readonly Shard[],
    /** The address of this server. */
    private readonly self: () => string,
    private readonly terms: LocatorTerms,
    private readonly stats: Stats
  ) {
    this.#sources = shards.map(shard => ({ shard, lookup: new LookupBatcher(ids => this.#ask(shard, ids)) }))
  }

  /** How many places `placesFor` can use while Redis is unreachable. */
  get remembered(): number {
    return this.#places.size
  }

  /** The address of the live server that holds an id; `null` for none. Lookups of one event loop turn are one batch. */
  place(id: string, found: Callback<string | null>): void {
    const { shard, lookup } = this.#of(id)
    const self = this.self()
    if (self === '' || !shard.table.owns(id)) {
      lookup.place(id, found)
    } else if (
      this.#own.push(() => {
        found(null, self)
      }) === 1
    ) {
      process.nextTick(() => {
        const own = this.#own
        this.#own = []
        callAll(own, answer => {
          answer()
        })
      })
    }
  }

  /** As `place`, for several ids, in their order. */
  places(ids: readonly string[]): Promise<(string | null)[]> {
    return this.#locate(ids, others => this.#lookUp(others))
  }

  /**
   * As `places`, for a forward: with the last known place where a shard does not answer, `undefined` for none.
   *
   * @param fresh ask the registry, and do not use last known places
   * @throws MetroplexError `EREGISTRY` when no place is known for any of the ids
   */
  placesFor(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]> {
    return this.#locate(ids, others => (fresh ? this.#lookUp(others) : this.#lookUpOrLast(others)))
  }

  /**
   * The place of an id by its tag, or the cached one; `undefined` if a lookup is needed. A cached place in constant use
   * is refreshed in time.
   */
  recent(id: string): string | undefined {
    const { shard } = this.#of(id)
    if (shard.table.owns(id)) return undefined
    const tagged = this.#tagged(shard, id)
    if (tagged !== undefined) return tagged
    const place = this.#cached(shard, id, FRESH)
    if (place === undefined) return undefined
    if (!place.asked && now() - place.at > FRESH / 2) {
      place.asked = true
      this.#refreshSoon(id)
    }
    return place.address
  }

  /** The addresses under which these ids are registered, in their order, whether or not a live server is there. */
  registered(ids: readonly string[]): Promise<(string | null)[]> {
    return eachOf(this.#sources, ids, ({ shard }, group) => shard.registry.sparks.places(group))
  }

  /** Cache the place of an id that was read elsewhere. */
  note(id: string, address: string): void {
    this.#places.note(id, address, now())
  }

  /** Drop the cached places of a server that has left. */
  forget(address: string): void {
    this.#places.forget(address)
  }

  /** Look an id up soon, in one batch with others. */
  #refreshSoon(id: string): void {
    if (this.#aging.push(id) > 1) return
    setTimeout(() => {
      const ids = this.#aging
      this.#aging = []
      // After a failure the cached places expire, and the next use looks them up.
      this.#lookUp(ids).catch(ignore)
    }, FRESH / 10).unref()
  }

  /** Answer with our own address for own ids, and with the result of `ask` for all others. */
  async #locate<T>(ids: readonly string[], ask: (ids: readonly string[]) => Promise<T[]>): Promise<(T | string)[]> {
    const self = this.self()
    const owns = (id: string): boolean => this.#of(id).shard.table.owns(id)
    if (self === '' || !ids.some(owns)) return ask(ids)
    const others = ids.filter(id => !owns(id))
    const found = others.length === 0 ? [] : await ask(others)
    const places = new Map(others.map((id, i) => [id, found[i]]))
    return ids.map(id => (places.has(id) ? (places.get(id) as T) : self))
  }

  #lookUp(ids: readonly string[]): Promise<(string | null)[]> {
    return eachOf(this.#sources, ids, ({ lookup }, group) => lookup.places(group))
  }

  /** Look ids up, with their last known places where a shard does not answer. */
  async #lookUpOrLast(ids: readonly string[]): Promise<(string | null | undefined)[]> {
    const { timeout, young } = this.terms
    const lastOf = (shard: Shard, id: string): string | undefined =>
      this.#cached(shard, id, young)?.address ?? this.#tagged(shard, id)
    const last = ({ shard }: Source, group: readonly string[]): (string | undefined)[] =>
      group.map(id => lastOf(shard, id))
    let failure: Error | undefined
    const known = ids.some(id => lastOf(this.#of(id).shard, id) !== undefined)
    const found = await eachOf<Source, string | null | undefined>(this.#sources, ids, async (source, group) => {
      if (known && !source.shard.registry.reachable) {
        const places = last(source, group)
        if (places.every(place => place !== undefined)) return places
      }
      try {
        const asked = source.lookup.places(group)
        // The other half of the deadline is left for the message itself.
        return await (known ? boundedLookup(asked, timeout / 2) : asked)
      } catch (error) {
        failure = asError(error)
        return last(source, group)
      }
    })
    if (failure !== undefined && found.every(place => place === undefined)) throw failure
    return found
  }

  #of(id: string): Source {
    const sources = this.#sources
    return sources[shardOf(id, sources.length)] as Source
  }

  async #ask({ registry, members }: Shard, ids: readonly string[]): Promise<(string | null)[]> {
    const { stats } = this
    stats.count('lookups', ids.length)
    const began = now()
    const places = await stats.timed('lookup', registry.sparks.places(ids))
    const self = this.self()
    const lively = memoizeLast((place: string) => members.has(place))
    const unknown = (place: string | null): boolean => place !== null && !lively(place) && place !== self
    // A server may have joined since the last beat.
    if (places.some(unknown)) await boundedLookup(members.verify(), this.terms.timeout - (now() - began))
    const time = now()
    const lives = memoizeLast((place: string) => members.has(place))
    for (let i = 0; i < places.length; i++) {
      let place = places[i] ?? null
      if (place !== null && !lives(place)) place = places[i] = null
      this.#places.note(ids[i] ?? '', place, time)
    }
    return places
  }

  /**
   * The server whose tag is in an id; `undefined` for none. It is a hint: that server reports a spark that it lacks.
   *
   * The registry has the last word, so a tag that it has contradicted is not used. Nor is one while our own ids have
   * none, because another server may have made one of them; and a spark with our own tag that is not here has gone.
   */
  #tagged({ members }: Shard, id: string): string | undefined {
    const own = this.terms.tag?.()
    const tag = tagIn(id)
    if (tag === '' || own === '' || own === tag) return undefined
    const address = members.taggedWith(tag)
    if (address === '') return undefined
    const known = this.#places.last(id, Infinity)
    return known === undefined || known.address === address ? address : undefined
  }

  #cached({ members }: Shard, id: string, young: number): Location | undefined {
    const place = this.#places.last(id, young)
    return place !== undefined && members.has(place.address) ? place : undefined
  }
}

/** Caches the last answer of a check that is mostly made for the same value again. */
function memoizeLast(ask: (of: string) => boolean): (of: string) => boolean {
  let last: string | undefined
  let answer = false
  return of => {
    if (of !== last) {
      last = of
      answer = ask(of)
    }
    return answer
  }
}
