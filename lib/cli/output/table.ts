import { shortened } from './printable'
import { colourless, type Paint } from './paint'

/** A column of a table. */
export interface Column<Row> {
  readonly head: string
  readonly cell: (row: Row) => string
  /** Numbers are right-aligned. @default 'left' */
  readonly align?: 'left' | 'right'
  /** May be shortened to this width when the table is too wide. Below it the column is left out. */
  readonly least?: number
  readonly paint?: (text: string, row: Row, paint: Paint) => string
  /** What the footer has in this column. */
  readonly foot?: string
}

const GAP = 2

/** A table as lines: a header, a line for each row, and a footer if a column has one. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
  paint: Paint = colourless
): string[] {
  const wanted = columns.map(({ head, foot = '', cell }) =>
    Math.max(lengthOf(head), lengthOf(foot), ...rows.map(row => lengthOf(cell(row))))
  )
  const widths = fitted(columns, wanted, width)
  const shown = columns.map((column, i) => ({ column, size: widths[i] ?? 0 })).filter(({ size }) => size > 0)
  const line = (texts: readonly string[], painted: (text: string, at: number) => string): string =>
    texts
      .map((text, i) => {
        const { column, size } = shown[i] as (typeof shown)[number]
        const short = shortened(text, size)
        const space = ' '.repeat(size - lengthOf(short))
        const done = painted(short, i)
        return column.align === 'right' ? `${space}${done}` : `${done}${space}`
      })
      .join(' '.repeat(GAP))
      .trimEnd()
  const heads = line(
    shown.map(({ column }) => column.head),
    text => paint('dim', text)
  )
  const body = rows.map(row =>
    line(
      shown.map(({ column }) => column.cell(row)),
      (text, i) => shown[i]?.column.paint?.(text, row, paint) ?? text
    )
  )
  const foot = shown.some(({ column }) => column.foot !== undefined)
    ? [
        line(
          shown.map(({ column }) => column.foot ?? ''),
          text => (text === 'X' ? paint('red', text) : paint('bold', text))
        )
      ]
    : []
  return [heads, ...body, ...foot]
}

/** The widths of the columns; 0 for one that is left out. */
function fitted<Row>(columns: readonly Column<Row>[], wanted: readonly number[], width: number): number[] {
  const widths = [...wanted]
  const total = (): number => widths.reduce((sum, one) => sum + (one > 0 ? one + GAP : 0), 0) - GAP
  columns.forEach(({ least }, i) => {
    const over = total() - width
    const size = widths[i] ?? 0
    if (over > 0 && least !== undefined) widths[i] = size - over >= least ? size - over : 0
  })
  return widths
}

function lengthOf(text: string): number {
  return Array.from(text).length
}
