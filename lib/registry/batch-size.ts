import { now } from '../common/async'

/** The most ids in one write of our own sparks, so that no script blocks Redis for long. */
export const SLICE = 500

/** The bounds of a slice, and the size of the first one, in ids. */
const [MIN, FIRST, MAX] = [50, 250, 400]

/** How long a script may take, measured here, in ms: half of the time for which Redis may be blocked. */
const TARGET = 5

/**
 * Chooses how many ids one script of a long task processes: as many as take a few milliseconds.
 *
 * Measured here, a Redis that is busy with other work seems slow as well. Smaller slices are right then, too.
 */
export class AdaptiveBatchSize {
  #size = FIRST

  /** The number of ids for the next script. */
  get slice(): number {
    return Math.round(this.#size)
  }

  /** Adapt to the time that a script takes, unless it fails. */
  async timed<T>(script: Promise<T>): Promise<T> {
    const began = now()
    const answer = await script
    this.took(now() - began)
    return answer
  }

  /** Adapt to a script that took this long, in ms. */
  took(ms: number): void {
    this.#size = ms > TARGET ? Math.max(MIN, this.#size / 1.5) : Math.min(MAX, this.#size * 1.05)
  }
}

/**
 * Cuts items into lists of `size`, and a last one of fewer.
 *
 * It reads them one by one, so items that are added or removed meanwhile may or may not be included.
 */
export function* slices<T>(all: Iterable<T>, size: number): Generator<T[], void> {
  let slice: T[] = []
  for (const one of all) {
    slice.push(one)
    if (slice.length < size) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}
