import { spread } from './figures'
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
  cpuOf(['sender'], 'sender'),
  cpuOf(['receivers'], 'receivers'),
  cpuOf(['sender', 'receivers'], 'all servers'),
  cpuOf(['clients'], 'clients'),
  cpuOf(['redis'], 'Redis')
]

/** What is said of this row alone. */
function figuresOf(ofRow: readonly Result[]): Figure[] {
  const names = new Set(ofRow.flatMap(({ figures = {} }) => Object.keys(figures)))
  return [...names].map(name => ({ of: ({ figures }) => figures?.[name], called: () => name }))
}

/**
 * A table of all results, in Markdown: medians of the rounds, with their range.
 *
 * The last columns are ratios of the first subject to each other one, taken round by round, because two that ran one after
 * the other had the same machine.
 */
export function tableOf(results: readonly Result[], subjects: readonly string[]): string[] {
  const [first = '', ...others] = subjects
  const lines = [
    ['work', 'row', 'figure', ...subjects, ...others.map(other => `${first} ÷ ${other}`)],
    ['---', '---', '---', ...subjects.map(() => '---'), ...others.map(() => '---')]
  ]
  for (const [work, ofWork] of grouped(results, ({ work }) => work)) {
    for (const [row, ofRow] of grouped(ofWork, ({ row }) => row)) {
      for (const figure of [...figures, ...figuresOf(ofRow)]) {
        if (figure.matters !== undefined && !ofRow.some(figure.matters)) continue
        const valuesOf = (subject: string): number[] => ofRow
          .filter(result => result.subject === subject)
          .map(result => figure.of(result))
          .filter(value => value !== undefined)
        const mine = valuesOf(first)
        if (mine.length === 0) continue
        lines.push([
          work, row, figure.called(ofRow[0]?.operation ?? ''),
          ...subjects.map(subject => spread(valuesOf(subject))),
          ...others.map(other => spread(valuesOf(other).map((value, i) => (mine[i] ?? NaN) / value)))
        ])
      }
    }
  }
  return lines.map(cells => `| ${cells.join(' | ')} |`)
}

function grouped(results: readonly Result[], by: (result: Result) => string): Map<string, Result[]> {
  const groups = new Map<string, Result[]>()
  for (const result of results) {
    const key = by(result)
    groups.set(key, [...groups.get(key) ?? [], result])
  }
  return groups
}
