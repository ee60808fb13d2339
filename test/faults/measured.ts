import type { Row } from './row'

/** What the rows of this process have measured: for each run, its figures. */
const all = new Map<Row, number[][]>()

/** Note what one run has measured. */
export function note(row: Row, figures: number[]): void {
  all.set(row, [...(all.get(row) ?? []), figures])
}

/** What was measured so far: for each measure of a row, the figures of all runs. */
export function figuresOf(row: Row): number[][] {
  const runs = all.get(row) ?? []
  return row.measures.map((_measure, i) => runs.map(run => run[i] ?? NaN))
}
