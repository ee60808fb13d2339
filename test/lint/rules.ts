import { ALLOWED, counted, pronouns } from './language'
import { LONGEST, long, wide, WIDEST } from './lines'
import { duplicates } from './names'
import { sources } from './sources'

/** What breaks a rule about language, names or lengths: each rule, and below it the places. Empty when nothing does. */
export function complaints(): string {
  const lib = sources(['lib', 'index.ts', 'index.mts'], ['.ts', '.mts'])
  const others = sources(['test', 'bench', 'examples'], ['.ts', '.mts'])
  const used = pronouns(counted())
  const rules: [rule: string, places: readonly string[]][] = [
    [
      `Pronouns for people stand for parts of the program (${used.length}, allowed ${ALLOWED}); name the part`,
      used.length > ALLOWED ? used : []
    ],
    ['Exported names are declared in two files of lib/', duplicates(lib)],
    [`Lines are wider than ${WIDEST} characters`, wide([...lib, ...others])],
    [`Files of lib/ are longer than ${LONGEST} lines`, long(lib)]
  ]
  return rules.flatMap(([rule, places]) => (places.length > 0 ? [`${rule}:\n  ${places.join('\n  ')}\n`] : [])).join('')
}
