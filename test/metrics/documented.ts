import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A row of a table of docs/metrics.md. */
export interface Row {
  readonly name: string
  /** Whether clients lack it. */
  readonly server: boolean
  readonly type: string
  readonly labels: readonly string[]
}

/** The metrics in the table of a section of docs/metrics.md, or in those of all. */
export function documented(section?: string): Row[] {
  const text = readFileSync(join(__dirname, '..', '..', '..', 'docs', 'metrics.md'), 'utf8')
  const found =
    section === undefined ? text : (text.split(/^(?=## )/m).find(one => one.startsWith(`## ${section}\n`)) ?? '')
  return [...found.matchAll(/^\| `(metroplex_\w+)`( \*)? \| (\w+) \| (.*?) ?\| \S/gm)].map(
    ([, name = '', star, type = '', labels = '']) => ({
      name,
      server: star !== undefined,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label)
    })
  )
}
