import type { Readable } from 'node:stream'
import { ignore } from '../../common/callback'

/** A longer line is reported in pieces: a worker that never ends its line must not fill the supervisor's memory. */
const LONGEST = 65_536

/**
 * Reports each line that a worker writes, without its line ending.
 *
 * @returns a function that reports an unfinished last line; the end of the stream does so too
 */
export function lines(from: Readable, report: (line: string) => void): () => void {
  let unfinished = ''
  const reportRest = (): void => {
    const last = unfinished
    unfinished = ''
    if (last !== '') report(last)
  }
  from.setEncoding('utf8')
  from.on('data', (text: string) => {
    const all = (unfinished + text).split(/\r?\n/)
    unfinished = all.pop() ?? ''
    for (const line of all) report(cut(line, 0, report))
    // A carriage return may be the first half of a line ending.
    unfinished = cut(unfinished, unfinished.endsWith('\r') ? 1 : 0, report)
  })
  from.once('close', reportRest)
  // The event of the worker's exit reports its end; a broken stream adds nothing to it.
  from.on('error', ignore)
  return reportRest
}

/** Reports pieces of a line until at most `LONGEST` characters and `more` are left. @returns the rest */
function cut(line: string, more: number, report: (line: string) => void): string {
  let from = 0
  while (line.length - from > LONGEST + more) {
    // A surrogate pair stays in one piece.
    const to = /[\uD800-\uDBFF]/.test(line.charAt(from + LONGEST - 1)) ? from + LONGEST - 1 : from + LONGEST
    report(line.slice(from, to))
    from = to
  }
  return line.slice(from)
}
