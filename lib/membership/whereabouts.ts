import { callAll, type Callback } from '../callback'
import { within } from '../deadline'
import { MetroplexError } from '../errors'
import type { Shards } from './shards'

/** How a question is bounded. */
export interface WhereaboutsTerms {
  /** In ms. */
  readonly timeout: number
}

/**
 * Where sparks are and who else there is, ourselves included: answers from what we hold ourselves, and from the registry.
 */
export class Whereabouts {
  /** What is answered as soon as whoever asks has ended. */
  #own: (() => void)[] = []

  constructor(private readonly shards: Shards, private readonly terms: WhereaboutsTerms) {}

  /** The address of the server that holds an id; `null` where none that lives does. */
  place(id: string, found: Callback<string | null>): void {
    const { shards } = this
    const self = shards.address
    if (self === '' || !shards.owns(id)) {
      shards.finder.place(id, found)
    } else if (this.#own.push(() => { found(null, self) }) === 1) {
      process.nextTick(() => {
        const own = this.#own
        this.#own = []
        callAll(own, answer => { answer() })
      })
    }
  }

  /** As `place`, for many, in their order. */
  places(ids: readonly string[]): Promise<(string | null)[]> {
    return this.#asked(ids, others => this.shards.finder.places(others))
  }

  /**
   * As `places`, for a forward: where the registry cannot be asked, the last known places, and `undefined` for none.
   *
   * @param fresh what is remembered is no use: only what the registry itself says
   */
  last(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]> {
    const { finder } = this.shards
    return this.#asked(ids, others => fresh ? finder.places(others) : finder.last(others))
  }

  /** Where an id was a moment ago; `undefined` where that would have to be asked. */
  recent(id: string): string | undefined {
    return this.shards.owns(id) ? undefined : this.shards.finder.recent(id)
  }

  /** The addresses of the peers that live; the last known ones when Redis cannot be asked, or does not say it within so many ms. Rejects when none were ever known. */
  async peers(ms = Infinity): Promise<string[]> {
    const { reachable, peers } = this.shards
    if (!reachable && peers.known) return peers.addresses
    // Half of the time is left for the message itself.
    const patience = Math.min(this.terms.timeout / 2, ms)
    const late = (): Error => new MetroplexError('EREGISTRY', 'Redis cannot be asked who else there is, and we have not known it yet.')
    try {
      return await within(peers.current(), patience, late)
    } catch (error) {
      if (peers.known) return peers.addresses
      throw error
    }
  }

  /** Of others than our own it is asked. */
  async #asked<T>(ids: readonly string[], ask: (ids: readonly string[]) => Promise<T[]>): Promise<(T | string)[]> {
    const { shards } = this
    const self = shards.address
    if (self === '' || !ids.some(id => shards.owns(id))) return ask(ids)
    const others = ids.filter(id => !shards.owns(id))
    const found = others.length === 0 ? [] : await ask(others)
    const places = new Map(others.map((id, i) => [id, found[i]]))
    return ids.map(id => places.has(id) ? places.get(id) as T : self)
  }
}
