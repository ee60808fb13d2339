/** Writes measured rows into the table of `docs/reliability.md`, and keeps those that were not measured this time. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const DOCUMENT = join(__dirname, '..', '..', '..', 'docs', 'reliability.md')
const BEGIN = '<!-- faults: written by npm run test:faults -- --document -->\n'
const END = '<!-- /faults -->'
const HEAD = '| | fault | promise | measured: median, worst |\n| --- | --- | --- | --- |\n'

/** A row of the table: its number and its fault, and the whole line. */
export interface Line {
  readonly id: string
  readonly fault: string
  readonly line: string
}

/**
 * Replace rows of a document's table.
 *
 * @param text - the document
 * @param order - all rows that exist, in their order; others are dropped from the table
 * @param measured - the new lines
 * @returns the document with the new table
 */
export function documented(text: string, order: readonly Omit<Line, 'line'>[], measured: readonly Line[]): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`The document has no table between "${BEGIN.trim()}" and "${END}".`)
  const key = (id: string, fault: string): string => `| ${id} | ${fault} |`
  const lines = new Map<string, string>()
  for (const line of text.slice(begin + BEGIN.length, end).split('\n')) {
    const [, id, fault] = /^\| ([FGP]\d+) \| (.*?) \| /.exec(line) ?? []
    if (id !== undefined && fault !== undefined) lines.set(key(id, fault), line)
  }
  for (const { id, fault, line } of measured) lines.set(key(id, fault), line)
  const table = order.flatMap(({ id, fault }) => lines.get(key(id, fault)) ?? [])
  return `${text.slice(0, begin)}${BEGIN}${HEAD}${table.map(line => `${line}\n`).join('')}${text.slice(end)}`
}

/** Write these rows into `docs/reliability.md`. */
export function document(order: readonly Omit<Line, 'line'>[], measured: readonly Line[]): void {
  writeFileSync(DOCUMENT, documented(readFileSync(DOCUMENT, 'utf8'), order, measured))
}
