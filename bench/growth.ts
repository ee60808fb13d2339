/** How each cost grows: with the sparks, the servers, the size of messages. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytes, peers } from './growth/messages'
import type { Growing } from './growth/growing'
import { servers } from './growth/servers'
import { sparks } from './growth/sparks'
import { exponent, shown } from './harness/figures'
import { plot } from './harness/plot'
import type { Scale } from './harness/work'
import type { Subject } from './subjects'

/** All that grows, in the order in which it is measured. */
export const all: readonly Growing[] = [sparks, servers, bytes, peers]

/** A cost of one subject at one size: a line of the output. */
export interface Line {
  readonly work: 'growth'
  readonly with: string
  readonly cost: string
  readonly subject: string
  readonly size: number
  readonly value: number
}

/** Where the pictures are kept, with the sources. */
const PLOTS = join(__dirname, '..', '..', 'bench', 'plots')

/** Measures how everything grows, once; each figure is told as soon as it is there. */
export async function measureGrowth(
  subjects: readonly Subject[],
  scale: Scale,
  tell: (line: Line) => void
): Promise<Line[]> {
  const lines: Line[] = []
  for (const growing of all) {
    for (const subject of subjects) {
      for await (const { size, costs } of growing.measure(subject, scale)) {
        for (const [cost, value] of Object.entries(costs)) {
          const line: Line = { work: 'growth', with: growing.name, cost, subject: subject.name, size, value }
          lines.push(line)
          tell(line)
        }
      }
    }
  }
  return lines
}

/** By which power each cost grows: a table, in Markdown. */
export function exponentsOf(lines: readonly Line[]): string[] {
  const rows = seriesOf(lines).map(({ growing, title, unit, name, points }) => {
    const [[first, least] = [NaN, NaN]] = points
    const [last, most] = points.at(-1) ?? [NaN, NaN]
    return [
      growing.label,
      title,
      name,
      `${first} to ${last}`,
      `${shown(least)} to ${shown(most)} ${unit}`,
      exponent(points).toFixed(2)
    ]
  })
  return [
    ['grows', 'cost', 'subject', 'from, to', 'costs', 'exponent'],
    ['---', '---', '---', '---', '---', '---'],
    ...rows
  ].map(cells => `| ${cells.join(' | ')} |`)
}

/** Draws a picture of each cost, and says where they are. */
export function draw(lines: readonly Line[], directory = PLOTS): string[] {
  mkdirSync(directory, { recursive: true })
  return [...new Set(lines.map(({ with: grown, cost }) => `${grown}-${cost}`))].map(file => {
    const series = seriesOf(lines).filter(({ growing, cost }) => `${growing.name}-${cost}` === file)
    const [{ growing: { label }, title, unit } = { growing: { label: '' }, title: '', unit: '' }] = series
    const path = join(directory, `${file}.svg`)
    writeFileSync(
      path,
      plot({
        title,
        x: { label, log: true },
        y: { label: unit, log: true },
        series: series.map(({ name, points }) => ({
          name: `${name}: grows with the power ${exponent(points).toFixed(2)}`,
          points
        }))
      })
    )
    return path
  })
}

/** One cost of one subject, from the smallest size to the largest. */
interface CostSeries {
  readonly growing: Growing
  readonly cost: string
  readonly title: string
  readonly unit: string
  readonly name: string
  readonly points: readonly (readonly [size: number, value: number])[]
}

function seriesOf(lines: readonly Line[]): CostSeries[] {
  const names = [...new Set(lines.map(({ subject }) => subject))]
  return all
    .flatMap(growing =>
      Object.entries(growing.costs).flatMap(([cost, { title, unit }]) =>
        names.map(name => {
          const points = lines
            .filter(line => line.with === growing.name && line.cost === cost && line.subject === name)
            .map(({ size, value }) => [size, value] as const)
            .sort(([a], [b]) => a - b)
          return { growing, cost, title, unit, name, points }
        })
      )
    )
    .filter(({ points }) => points.length > 0)
}
