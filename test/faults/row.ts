import type { Ground } from './ground'
import type { HealthOfRow } from './health'

/** What one provocation measures. */
export interface Measure {
  /** What is measured: 'gone from every answer after', for instance. */
  readonly what: string
  readonly unit: 'ms' | 'sparks/s' | 'messages' | 'messages/s' | 'connections' | 'lookups' | 'lines' | '%' | 'MB'
  /** The promise; exactly one of the two. */
  readonly atMost?: number
  readonly atLeast?: number
  /**
   * Whether it is judged in the long form alone: a figure that says something about the machine as well.
   *
   * @default false
   */
  readonly long?: boolean
}

/** A fault, and what we promise should it come about. */
export interface Row {
  /** Its number in the list of faults: 'F1'; 'G1' for one of groups, 'P1' for one of presence. */
  readonly id: string
  readonly fault: string
  readonly promise: string
  readonly measures: readonly Measure[]
  /** What `health()` of the servers says, while the fault lasts and at the end. */
  readonly health: HealthOfRow
  /** How often it is provoked in the long form, if not as often as others. */
  readonly runs?: number
  /** Whether the short form leaves it out. @default false */
  readonly long?: boolean
  /**
   * Provokes it, for real, and asserts all that the promise says besides its figures.
   *
   * @returns What was measured, in the order of `measures`.
   * @throws When the promise was not kept.
   */
  provoke(ground: Ground): Promise<number[]>
}

/** Whether a figure keeps its promise. */
export function kept({ atMost = Infinity, atLeast = -Infinity }: Measure, figure: number): boolean {
  return figure <= atMost && figure >= atLeast
}

/** The last whole run of whichever figure is judged: the worst one. */
export function worst({ atLeast }: Measure, figures: readonly number[]): number {
  return atLeast === undefined ? Math.max(...figures) : Math.min(...figures)
}

/** The one in the middle. */
export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const half = sorted.length / 2
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2
}
