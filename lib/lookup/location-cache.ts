import { now } from '../common/async'

/**
 * For how long a known location is used without another lookup, in ms, by a lookup as by the messages under way to a
 * spark. A spark that moves is found again soon enough.
 */
export const FRESH = 500

/** The size of each half: the cache keeps at least as many locations, and at most twice as many. */
const HALF = 50_000

/** The server that holds a spark. */
export interface Location {
  address: string
  /** When the registry or the server said so, by `performance.now()`. */
  at: number
  /** Whether it is being looked up again. */
  asked: boolean
}

/**
 * The last known locations of sparks.
 *
 * Forwards use a location without a lookup while it is fresh, and for longer while Redis is unreachable. The receiver
 * reports a wrong one. When the younger half is full, the older one is dropped, which is faster than sorting by use.
 */
export class LocationCache {
  #younger = new Map<string, Location>()
  #older = new Map<string, Location>()

  get size(): number {
    return this.#younger.size + this.#older.size
  }

  /** Note the location of an id; `null` removes it. @param time now, by `performance.now()` */
  note(id: string, address: string | null, time: number): void {
    const location = this.#younger.get(id)
    if (address === null) {
      this.#younger.delete(id)
      this.#older.delete(id)
    } else if (location !== undefined) {
      location.address = address
      location.at = time
      location.asked = false
    } else {
      this.#older.delete(id)
      this.#younger.set(id, { address, at: time, asked: false })
      if (this.#younger.size < HALF) return
      this.#older = this.#younger
      this.#younger = new Map()
    }
  }

  /** The last known location of an id, unless it is older than `maxAge` ms. */
  last(id: string, maxAge: number): Location | undefined {
    const location = this.#younger.get(id) ?? this.#older.get(id)
    return location !== undefined && now() - location.at <= maxAge ? location : undefined
  }

  /** Remove all locations at a server. */
  forget(address: string): void {
    for (const half of [this.#younger, this.#older]) {
      for (const [id, location] of half) if (location.address === address) half.delete(id)
    }
  }
}
