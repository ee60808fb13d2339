import type { Scale } from '../harness/work'
import type { Subject } from '../subjects'

/** What grows with something, and in which unit. */
export interface Cost {
  readonly title: string
  /** What is counted: `'ms'`. */
  readonly unit: string
}

/** What was measured at one size. */
export interface Point {
  readonly size: number
  /** By the names of the costs; without those that the subject does not have. */
  readonly costs: Readonly<Record<string, number>>
}

/** Something that grows, and what is dearer then. */
export interface Growing {
  /** What it is called in results and file names. */
  readonly name: string
  /** What is counted: `'sparks'`. */
  readonly label: string
  readonly costs: Readonly<Record<string, Cost>>
  /** Measures it at one size after the other; none for a subject that is not compared in this. */
  measure(subject: Subject, scale: Scale): AsyncIterable<Point>
}

/** Sizes as far as there is time for them; one at least. */
export function within(sizes: readonly number[], most: number): number[] {
  return sizes.filter((size, i) => i === 0 || size <= most)
}
