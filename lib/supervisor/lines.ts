import type { Readable } from 'node:stream'
import { ignore } from '../callback'

/** A line that is longer is told in pieces: whoever ends none must not fill our memory. */
const LONGEST = 65_536

/** Tell each line of what a worker writes, without its end. */
export function lines(from: Readable, tell: (line: string) => void): void {
  let begun = ''
  from.setEncoding('utf8')
  from.on('data', (text: string) => {
    const all = (begun + text).split(/\r?\n/)
    begun = all.pop() ?? ''
    for (const line of all) tell(line)
    while (begun.length >= LONGEST) {
      // Not between the two halves of one character.
      const at = /[\uD800-\uDBFF]/.test(begun.charAt(LONGEST - 1)) ? LONGEST - 1 : LONGEST
      tell(begun.slice(0, at))
      begun = begun.slice(at)
    }
  })
  from.once('close', () => { if (begun !== '') tell(begun) })
  // What it could not say any more its end says.
  from.on('error', ignore)
}
