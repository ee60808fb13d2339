import { now } from '../common/async'
import type { Latency } from './types'

/** The counters of `stats()`. They count since the start of the server. */
export const COUNTERS = [
  'connects',
  'disconnects',
  'commits',
  'beats',
  'heals',
  'healed',
  'lookups',
  'buried',
  'reaped',
  'joins',
  'leaves',
  'errors',
  'forwards',
  'delivered',
  'missing',
  'failed',
  'batches',
  'repeated',
  'refused',
  'retried',
  'ended'
] as const

/** The operations whose latencies `stats()` reports. */
export const TIMED = ['commit', 'beat', 'heal', 'lookup', 'forward'] as const

export type Counter = (typeof COUNTERS)[number]
export type Timed = (typeof TIMED)[number]

/**
 * The upper bound of the first bucket in ms, the buckets per power of two, and the number of buckets. So p50 and p99
 * are accurate within a fifth.
 */
const [SMALLEST, STEPS, BUCKETS] = [0.01, 4, 100]

/** A latency histogram of constant size. */
class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS)
  #count = 0
  #max = 0

  add(ms: number): void {
    const bucket = Math.ceil(Math.log2(Math.max(ms, SMALLEST) / SMALLEST) * STEPS)
    const at = Math.min(bucket, BUCKETS - 1)
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1
    this.#count++
    this.#max = Math.max(this.#max, ms)
  }

  get snapshot(): Latency {
    return { count: this.#count, p50: this.#quantile(0.5), p99: this.#quantile(0.99), max: rounded(this.#max) }
  }

  #quantile(share: number): number {
    let left = share * this.#count
    const at = this.#buckets.findIndex(count => (left -= count) <= 0)
    return this.#count === 0 ? 0 : rounded(Math.min(this.#max, SMALLEST * 2 ** (at / STEPS)))
  }
}

/** The counters and latencies for `stats()`. */
export class Stats {
  readonly #counters = Object.fromEntries(COUNTERS.map(name => [name, 0])) as Record<Counter, number>
  readonly #timed = Object.fromEntries(TIMED.map(name => [name, new Histogram()])) as Record<Timed, Histogram>

  count(name: Counter, by = 1): void {
    this.#counters[name] += by
  }

  took(name: Timed, ms: number): void {
    this.#timed[name].add(ms)
  }

  /** Time an operation, whether it succeeds or fails. */
  async timed<T>(name: Timed, operation: Promise<T>): Promise<T> {
    const began = now()
    try {
      return await operation
    } finally {
      this.took(name, now() - began)
    }
  }

  get counters(): Record<Counter, number> {
    return { ...this.#counters }
  }

  get latencies(): Record<Timed, Latency> {
    return Object.fromEntries(TIMED.map(name => [name, this.#timed[name].snapshot])) as Record<Timed, Latency>
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
