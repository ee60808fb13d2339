import type { Subject } from '../subjects'
import type { Measured, Stage, Cast } from './stage'

/** How much is measured. */
export interface Scale {
  /** Milliseconds that a row is measured for. */
  readonly ms: number
  /** Milliseconds that the first row runs before, so that what is measured is warm. */
  readonly warm: number
  /** Clients of each of three servers, for a broadcast. */
  readonly clients: number
  /** The most calls in flight that there are. */
  readonly most: number
  /** Share of its full size that what is very large is measured with. */
  readonly size: number
}

/** Something to measure, in a file of its own. */
export interface Work {
  /** What it is called in results. */
  readonly name: string
  /** What it is called on the command line, together with others of that command. @default `name` */
  readonly command?: string
  /** Whether only this project does it. @default false */
  readonly ours?: boolean
  /** Who takes part. */
  cast(scale: Scale, subject: Subject): Cast
  /** Measures the subject on stage once, row by row; no rows when it cannot do the work. */
  measure(stage: Stage, scale: Scale): AsyncIterable<Measured>
}

/** What a work is called on the command line. */
export function commandOf({ name, command = name }: Work): string {
  return command
}
