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

  /** A script has taken so long, in ms. */
  took(ms: number): void {
    this.#size = ms > QUICK ? Math.max(LEAST, this.#size / 1.5) : Math.min(MOST, this.#size * 1.05)
  }
}
