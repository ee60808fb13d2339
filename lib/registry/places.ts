import { now } from '../deadline'

/** How many places each half takes: as many are remembered at least, and twice as many at the most. */
const HALF = 50_000

/** Where a spark is. */
export interface Place {
  address: string
  /** When that was heard, by `performance.now()`. */
  at: number
  /** It is being asked again. */
  asked: boolean
}

/**
 * Where sparks were lately: what forwards go by for a moment, and for longer while Redis cannot be asked. The receiver says when it is wrong.
 *
 * Kept in two halves: when the younger one is full, the older one is thrown away. That is quicker than to put them in order with each use.
 */
export class Places {
  #younger = new Map<string, Place>()
  #older = new Map<string, Place>()

  get size(): number {
    return this.#younger.size + this.#older.size
  }

  /** The registry says that an id is there, or nowhere. @param time what the clock says, by `performance.now()` */
  note(id: string, address: string | null, time: number): void {
    const place = this.#younger.get(id)
    if (address === null) {
      this.#younger.delete(id)
      this.#older.delete(id)
    } else if (place !== undefined) {
      place.address = address
      place.at = time
      place.asked = false
    } else {
      this.#older.delete(id)
      this.#younger.set(id, { address, at: time, asked: false })
      if (this.#younger.size < HALF) return
      this.#older = this.#younger
      this.#younger = new Map()
    }
  }

  /** Where an id was when we heard of it last, if that is no longer ago than this, in ms. */
  last(id: string, young: number): Place | undefined {
    const place = this.#younger.get(id) ?? this.#older.get(id)
    return place !== undefined && now() - place.at <= young ? place : undefined
  }

  /** A server has gone. */
  forget(address: string): void {
    for (const half of [this.#younger, this.#older]) {
      for (const [id, place] of half) if (place.address === address) half.delete(id)
    }
  }
}
