import { ignore } from '../callback'
import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { Lookup, type Found } from '../registry/lookup'
import { Places, type Place } from '../registry/places'
import { eachOf, shardOf } from '../registry/sharding'
import type { Stats } from '../stats'
import type { Shard } from './shard'

/** How a finder finds. */
export interface FinderTerms {
  /** Bound of a question, in ms. */
  readonly timeout: number
  /** How old a place may be that is gone by while Redis cannot be asked, in ms. */
  readonly young: number
}

/** One registry, and what is asked of it. */
interface Source {
  readonly shard: Shard
  readonly lookup: Lookup<string>
}

/** For how long a place is gone by without asking, in ms: whoever has come to another server since is found there soon enough. */
const RECENT = 500

/**
 * Finds out which servers hold sparks: asks the registries that their ids lie in, and leaves out whoever does not live.
 */
export class Finder {
  readonly #sources: readonly Source[]
  readonly #places = new Places()
  /** Ids that are messaged without a pause, and whose places must be asked for again. */
  #aging: string[] = []

  constructor(
    shards: readonly Shard[],
    /** Our own address. */
    private readonly self: () => string,
    private readonly terms: FinderTerms,
    private readonly stats: Stats
  ) {
    this.#sources = shards.map(shard => ({ shard, lookup: new Lookup(ids => this.#ask(shard, ids)) }))
  }

  /** How many places are known that `last` can go by. */
  get remembered(): number {
    return this.#places.size
  }

  /** The address of the server that holds an id; `null` where no server that lives does. What is asked in one turn of the event loop travels together. */
  place(id: string, found: Found<string>): void {
    this.#of(id).lookup.place(id, found)
  }

  /** The addresses of the servers that hold these ids, in their order; `null` where no server that lives does. */
  places(ids: readonly string[]): Promise<(string | null)[]> {
    return eachOf(this.#sources, ids, ({ lookup }, group) => lookup.places(group))
  }

  /** Where an id was a moment ago; `undefined` where that would have to be asked. Of who is messaged without a pause it is asked in time. */
  recent(id: string): string | undefined {
    const place = this.#remembered(this.#of(id).shard, id, RECENT)
    if (place === undefined) return undefined
    if (!place.asked && now() - place.at > RECENT / 2) {
      place.asked = true
      this.#renew(id)
    }
    return place.address
  }

  /**
   * As `places`, for who would rather have the last known place than none: that is what is told where a registry cannot be asked.
   * `undefined` where not even that is known.
   *
   * @throws MetroplexError `EREGISTRY` when nothing is known of any of them
   */
  async last(ids: readonly string[]): Promise<(string | null | undefined)[]> {
    const { timeout, young } = this.terms
    const last = ({ shard }: Source, group: readonly string[]): (string | undefined)[] => group.map(id => this.#remembered(shard, id, young)?.address)
    let failure: Error | undefined
    const known = ids.some(id => this.#places.last(id, young) !== undefined)
    const found = await eachOf<Source, string | null | undefined>(this.#sources, ids, async (source, group) => {
      if (known && !source.shard.registry.reachable) {
        const places = last(source, group)
        if (places.every(place => place !== undefined)) return places
      }
      try {
        const asked = source.lookup.places(group)
        // The other half of an operation's time is left for the message itself.
        return await (known ? bounded(asked, timeout / 2) : asked)
      } catch (error) {
        failure = asError(error)
        return last(source, group)
      }
    })
    if (failure !== undefined && found.every(place => place === undefined)) throw failure
    return found
  }

  /** The addresses that these ids are registered under, in their order, whether or not anybody lives there. */
  registered(ids: readonly string[]): Promise<(string | null)[]> {
    return eachOf(this.#sources, ids, ({ shard }, group) => shard.registry.places(group))
  }

  /** A server that lives was said to hold an id just now: nobody has to ask for it again. */
  note(id: string, address: string): void {
    this.#places.note(id, address, now())
  }

  /** A server has gone. */
  left(address: string): void {
    this.#places.forget(address)
  }

  /** Ask for it soon, together with others. */
  #renew(id: string): void {
    if (this.#aging.push(id) > 1) return
    setTimeout(() => {
      const ids = this.#aging
      this.#aging = []
      // Whether it succeeds, whoever needs it then will see.
      this.places(ids).catch(ignore)
    }, RECENT / 10).unref()
  }

  #of(id: string): Source {
    const sources = this.#sources
    return sources[shardOf(id, sources.length)] as Source
  }

  async #ask({ registry, members }: Shard, ids: readonly string[]): Promise<(string | null)[]> {
    const { stats } = this
    stats.count('lookups', ids.length)
    const began = now()
    const places = await stats.timed('lookup', registry.places(ids))
    const self = this.self()
    // Mostly the same few, one after the other.
    const lively = remembering((place: string) => members.has(place))
    const unheard = (place: string | null): boolean => place !== null && !lively(place) && place !== self
    // A server that joined since the last beat.
    if (places.some(unheard)) await bounded(members.verify(), this.terms.timeout - (now() - began))
    const time = now()
    const lives = remembering((place: string) => members.has(place))
    for (let i = 0; i < places.length; i++) {
      let place = places[i] ?? null
      if (place !== null && !lives(place)) place = places[i] = null
      this.#places.note(ids[i] ?? '', place, time)
    }
    return places
  }

  #remembered({ members }: Shard, id: string, young: number): Place | undefined {
    const place = this.#places.last(id, young)
    return place !== undefined && members.has(place.address) ? place : undefined
  }
}

/** A question that is mostly asked of the same one again. */
function remembering(ask: (of: string) => boolean): (of: string) => boolean {
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

/** Bound a question of several steps by one deadline, in ms. */
export function bounded<T>(question: Promise<T>, ms: number): Promise<T> {
  return within(question, Math.max(0, ms), () => new MetroplexError('EREGISTRY', `Redis did not tell within ${Math.round(ms)} ms.`))
}
