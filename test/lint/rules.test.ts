import { assume } from '../support/assume'
import { pronouns } from './language'
import { LONGEST, long, wide, WIDEST } from './lines'
import { duplicates } from './names'

describe('lint', () => {
  it('finds pronouns for people, with the line', () => {
    const text = '// Tells whoever asks.\nconst nobody = 1\n// A peer asks the server.'
    assume(pronouns([{ path: 'lib/a.ts', text }])).eql(['lib/a.ts:1: whoever', 'lib/a.ts:2: nobody'])
  })

  it('finds an exported name that two files declare', () => {
    const files = [
      { path: 'lib/a.ts', text: 'export class Place {}\nconst own = 1' },
      { path: 'lib/b.ts', text: 'export interface Place { x: 1 }\nconst own = 1' },
      { path: 'lib/c.mts', text: 'export type Place = 1' }
    ]
    assume(duplicates(files)).eql(['Place: lib/a.ts, lib/b.ts'])
  })

  it('finds lines that are too wide and files that are too long', () => {
    const widest = 'x'.repeat(WIDEST)
    assume(wide([{ path: 'a.ts', text: `${widest}\n${widest}x\n` }])).eql([`a.ts:2: ${WIDEST + 1} characters`])
    assume(wide([{ path: 'a.ts', text: `it('${widest}')` }])).eql([`a.ts:1: ${WIDEST + 6} characters`])
    assume(long([{ path: 'a.ts', text: '\n'.repeat(LONGEST) }])).eql([])
    assume(long([{ path: 'a.ts', text: '\n'.repeat(LONGEST + 1) }])).eql([`a.ts: ${LONGEST + 1} lines`])
  })
})
