import { now } from '../common/async'
import { isCode, type ClusterError } from '../common/errors'
import type { Result } from '../common/types'
import { Histogram } from './histogram'
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

/** What becomes of a forward. */
export const OUTCOMES = ['delivered', 'missing', 'failed'] as const

export type Outcome = (typeof OUTCOMES)[number]

/** How calls of a method of the application ended: each outcome has its own durations. */
export type CallDurations = Readonly<Record<'ok' | 'failed', Histogram>>

/**
 * Codes that are counted from the start with 0. Prometheus cannot see the growth of a number that begins with 1. Other
 * codes are added when they occur.
 */
const FORWARD_CODES = ['EAUTH', 'EBUSY', 'EDEADLINE', 'EPROTOCOL', 'EREGISTRY', 'EREMOTE', 'EUNREACHABLE'] as const
const ERROR_CODES = ['EADDRESS', 'EREGISTRY', 'EUNREACHABLE'] as const

/** The counters and latencies for `stats()`, and for the metrics. */
export class Stats {
  readonly #counters = Object.fromEntries(COUNTERS.map(name => [name, 0])) as Record<Counter, number>
  readonly #timed = histograms(MEASURED)
  readonly #forwards = histograms(OUTCOMES)
  readonly #calls = new Map<string, CallDurations>()
  /** Failures of forwards, and `error` events, by their codes. */
  readonly failures: ReadonlyMap<string, number> = new Map(FORWARD_CODES.map(code => [code, 0]))
  readonly errors: ReadonlyMap<string, number> = new Map(ERROR_CODES.map(code => [code, 0]))

  count(name: Counter, by = 1): void {
    this.#counters[name] += by
  }

  took(name: Exclude<Timed, 'forward'>, ms: number): void {
    this.#timed[name].add(ms)
  }

  /** Time an operation, whether it succeeds or fails. */
  async timed<T>(name: Exclude<Timed, 'forward'>, operation: Promise<T>): Promise<T> {
    const began = now()
    try {
      return await operation
    } finally {
      this.took(name, now() - began)
    }
  }

  /** A forward has ended. */
  forwarded({ send, missing, failed }: Result, ms: number): void {
    this.count('forwards')
    this.count('delivered', send)
    this.count('missing', missing?.length ?? 0)
    this.count('failed', failed?.length ?? 0)
    for (const { code } of failed ?? []) grow(this.failures, code)
    const outcome = failed !== undefined && failed.length > 0 ? 'failed' : missing?.length ? 'missing' : 'delivered'
    this.#forwards[outcome].add(ms)
  }

  /** An `error` event is emitted. */
  erred({ code }: ClusterError): void {
    this.count('errors')
    // The code of a foreign error may be any text, and each would be a series of its own.
    grow(this.errors, isCode(code) ? code : 'other')
  }

  /** The durations of calls of a method that the application has registered. */
  calls(method: string): CallDurations {
    const known = this.#calls.get(method) ?? histograms(['ok', 'failed'])
    this.#calls.set(method, known)
    return known
  }

  /** All methods with the durations of their calls. */
  get methods(): ReadonlyMap<string, CallDurations> {
    return this.#calls
  }

  /** The durations of forwards, by outcome. */
  get forwards(): Readonly<Record<Outcome, Histogram>> {
    return this.#forwards
  }

  /** The durations of an operation. */
  durations(name: Exclude<Timed, 'forward'>): Histogram {
    return this.#timed[name]
  }

  get counters(): Record<Counter, number> {
    return { ...this.#counters }
  }

  get latencies(): Record<Timed, Latency> {
    const all = { ...this.#timed, forward: Histogram.of(Object.values(this.#forwards)) }
    return Object.fromEntries(TIMED.map(name => [name, all[name].snapshot])) as Record<Timed, Latency>
  }
}

/** The operations with one histogram each. */
const MEASURED = ['commit', 'beat', 'heal', 'lookup'] as const

function histograms<N extends string>(names: readonly N[]): Record<N, Histogram> {
  return Object.fromEntries(names.map(name => [name, new Histogram()])) as Record<N, Histogram>
}

function grow(counts: ReadonlyMap<string, number>, code: string): void {
  ;(counts as Map<string, number>).set(code, (counts.get(code) ?? 0) + 1)
}
