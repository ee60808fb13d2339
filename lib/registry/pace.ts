import { now } from '../deadline'

/** The most ids in one write of our own sparks, so that no script keeps Redis from others. */
export const SLICE = 500

/** The bounds of a slice, in ids. */
const [LEAST, FIRST, MOST] = [50, 250, 400]

/** How long a script may seem to take from here, in ms: half of what Redis may be kept from others. */
const QUICK = 5

/**
 * How much of a long work one script takes on: as much as is done in a few milliseconds.
 *
 * Measured from here, where a Redis that is busy otherwise seems slow as well: then, too, smaller steps are the right answer.
 */
export class Pace {
  #size = FIRST

  /** Ids in the next script. */
  get slice(): number {
    return Math.round(this.#size)
  }

  /** Go by how long a script takes, unless it fails. */
  async timed<T>(script: Promise<T>): Promise<T> {
    const began = now()
    const answer = await script
    this.took(now() - began)
    return answer
  }

  /** A script has taken so long, in ms. */
  took(ms: number): void {
    this.#size = ms > QUICK ? Math.max(LEAST, this.#size / 1.5) : Math.min(MOST, this.#size * 1.05)
  }
}
