import { median, shown, spread } from './figures'
import type { Measured, Role } from './stage'

/** One line of the output: a row of a work, measured once for one subject. */
export interface Result extends Measured {
  readonly work: string
  readonly subject: string
  /** From 1. */
  readonly round: number
}

interface Figure {
  readonly of: (result: Result) => number | undefined
  /** Whether it says anything about a row; by what one result of it has. @default it does */
  readonly matters?: (result: Result) => boolean
  readonly called: (operation: string) => string
}

/** Who used less than this share of what the sender did took no part. */
const NOTHING = 1 / 400

const cpuOf = (roles: readonly Role[], who: string): Figure => ({
  of: ({ cpu }) => roles.reduce((sum, role) => sum + (cpu[role] ?? 0), 0),
  matters: ({ cpu }) => roles.every(role => (cpu[role] ?? 0) > (cpu.sender ?? 0) * NOTHING),
  called: operation => `${who}, µs of CPU a ${operation}`
})

const figures: readonly Figure[] = [
  { of: ({ perSecond }) => perSecond, called: operation => `${operation}s a second`.replace('ys a', 'ies a') },
  { of: ({ latency }) => latency?.p50, called: () => 'call to client, p50, ms' },
  { of: ({ latency }) => latency?.p99, called: () => 'call to client, p99, ms' },
  { of: ({ latency }) => latency?.max, called: () => 'call to client, longest, ms' },
  cpuOf(['sender'], 'sender'),
  cpuOf(['receivers'], 'receivers'),
  cpuOf(['sender', 'receivers'], 'all servers'),
  cpuOf(['redis'], 'Redis')
]

/** What is said of this row alone. */
function figuresOf(ofRow: readonly Result[]): Figure[] {
  const names = new Set(ofRow.flatMap(({ figures = {} }) => Object.keys(figures)))
  return [...names].map(name => ({ of: ({ figures }) => figures?.[name], called: () => name }))
}

/**
 * The results in Markdown, a table for each work: medians of the rounds.
 *
 * Of the first subject there is the range; of each other one, behind its median, the ratio of the first one to it, with
 * its range. Ratios are taken round by round, because two that ran one after the other had the same machine.
 */
export function tablesOf(results: readonly Result[], subjects: readonly string[]): string[] {
  const [first = ''] = subjects
  return [...grouped(results, ({ work }) => work)].flatMap(([work, ofWork]) => {
    const others = subjects.slice(1).filter(other => ofWork.some(({ subject }) => subject === other))
    const lines = [
      [work, 'figure', first, ...others.map(other => `${other}; ${first} ÷ it`)],
      ['---', '---', '---', ...others.map(() => '---')]
    ]
    for (const [row, ofRow] of grouped(ofWork, ({ row }) => row)) {
      for (const figure of [...figures, ...figuresOf(ofRow)]) {
        if (figure.matters !== undefined && !ofRow.some(figure.matters)) continue
        const valuesOf = (one: string): number[] =>
          ofRow
            .filter(({ subject }) => subject === one)
            .map(figure.of)
            .filter(value => value !== undefined)
        const mine = valuesOf(first)
        const besides = others.map(valuesOf)
        if (![mine, ...besides].some(values => values.length > 0)) continue
        lines.push([
          row,
          figure.called(ofRow[0]?.operation ?? ''),
          spreadOrNone(mine),
          ...besides.map(values => compared(mine, values))
        ])
      }
    }
    return ['', ...lines.map(cells => `| ${cells.join(' | ')} |`)]
  })
}

/** The cell of a subject without such a row. */
const NONE = '–'

function spreadOrNone(values: readonly number[]): string {
  return values.length === 0 ? NONE : spread(values)
}

function compared(mine: readonly number[], values: readonly number[]): string {
  if (values.length === 0) return NONE
  const ratios = values.slice(0, mine.length).map((value, i) => (mine[i] ?? NaN) / value)
  return ratios.length === 0 ? shown(median(values)) : `${shown(median(values))}; ${spread(ratios)}`
}

function grouped(results: readonly Result[], by: (result: Result) => string): Map<string, Result[]> {
  const groups = new Map<string, Result[]>()
  for (const result of results) {
    const key = by(result)
    groups.set(key, [...(groups.get(key) ?? []), result])
  }
  return groups
}
