/** A worker is above its limit when so many answers in a row say so: a peak before a garbage collection is none. */
const CHECKS = 5

/** How long the successor of a replaced worker stays at least, in ms. It doubles while that is too short. */
const [REST, LONGEST_REST] = [60_000, 3_600_000]

/**
 * Decides when the worker of a slot is replaced because it takes too much memory. It reads no clock.
 *
 * A worker that was never below the limit is not replaced: its successor would be above as well. Nor is a worker whose
 * predecessor was replaced a short while ago. Both are reported once.
 */
export class MemoryLimit {
  #worker: unknown
  /** Whether this worker has ever been below the limit. */
  #below = false
  /** How many answers in a row were above the limit. */
  #above = 0
  #reported = false
  #replaced: number | undefined
  #rest = REST

  constructor(private readonly limit: number) {}

  /**
   * A ready worker of the slot has told its memory.
   *
   * @param worker any value that is the same for the same worker
   * @param at the time in ms, by any clock
   * @returns what is due: to replace it; to report that it stays, because it `always` was above or its predecessor was
   * replaced `lately`; or nothing
   */
  judge(worker: unknown, rss: number, at: number): 'replace' | 'always' | 'lately' | undefined {
    if (worker !== this.#worker) {
      this.#worker = worker
      this.#below = this.#reported = false
      this.#above = 0
    }
    if (rss <= this.limit) {
      this.#below = true
      this.#above = 0
      return undefined
    }
    if (++this.#above < CHECKS) return undefined
    const since = at - (this.#replaced ?? -Infinity)
    if (this.#below && since >= this.#rest) {
      this.#rest = since < 2 * this.#rest ? Math.min(2 * this.#rest, LONGEST_REST) : REST
      this.#replaced = at
      this.#reported = true
      return 'replace'
    }
    if (this.#reported) return undefined
    this.#reported = true
    return this.#below ? 'lately' : 'always'
  }
}
