import type { Totals } from '../common/exposition/family'
import type { Latency } from './types'

/**
 * Buckets per power of two, and the exponents of the first and the last bound, in seconds: 2^-17 is 8 µs, 2^8 four
 * minutes. So p50 and p99 are accurate within a fifth. The bounds are those of schema 2 of Prometheus's native
 * histograms, and of scale 2 of OpenTelemetry.
 */
const [STEPS, FIRST, LAST] = [4, -17, 8]

/** Bounds of buckets; one more bucket is for what took longer. */
const BOUNDS = (LAST - FIRST) * STEPS + 1

/** The exponents of the bounds that are exported, in seconds: from 61 µs to 32 s. All buckets would be 100 lines. */
const EXPORTED = Array.from({ length: 20 }, (_, i) => i - 14)

/** A latency histogram of constant size. */
export class Histogram {
  /** Whole numbers above 2^32 may occur in it. */
  readonly #buckets = new Float64Array(BOUNDS + 1)
  #count = 0
  #sum = 0
  #max = 0

  add(ms: number): void {
    const bucket = ms > 0 ? Math.ceil((Math.log2(ms / 1000) - FIRST) * STEPS) : 0
    const at = Math.max(0, Math.min(bucket, BOUNDS))
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1
    this.#count++
    this.#sum += ms
    this.#max = Math.max(this.#max, ms)
  }

  /** A histogram of all that these have counted. */
  static of(histograms: readonly Histogram[]): Histogram {
    const all = new Histogram()
    for (const one of histograms) {
      for (const [at, count] of one.#buckets.entries()) all.#buckets[at] = (all.#buckets[at] ?? 0) + count
      all.#count += one.#count
      all.#sum += one.#sum
      all.#max = Math.max(all.#max, one.#max)
    }
    return all
  }

  get snapshot(): Latency {
    return { count: this.#count, p50: this.#quantile(0.5), p99: this.#quantile(0.99), max: rounded(this.#max) }
  }

  /** What is exported, in seconds. */
  get totals(): Totals {
    let [at, below] = [0, 0]
    const buckets = EXPORTED.map(exponent => {
      for (const last = (exponent - FIRST) * STEPS; at <= last; at++) below += this.#buckets[at] ?? 0
      return [2 ** exponent, below] as const
    })
    return { count: this.#count, sum: this.#sum / 1000, buckets }
  }

  #quantile(share: number): number {
    let left = share * this.#count
    const at = this.#buckets.findIndex(count => (left -= count) <= 0)
    if (this.#count === 0) return 0
    const bound = at === BOUNDS ? Infinity : 1000 * 2 ** (FIRST + at / STEPS)
    return rounded(Math.min(this.#max, bound))
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
