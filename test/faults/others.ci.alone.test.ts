import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { rows } from '.'
import { provoke } from './provoke'

const SUFFIX = '.ci.alone.test.js'

/** The rows that a module exports. Which modules there are is known only at run time. */
function rowsOf(module: string): unknown[] {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return Object.values(require(join(__dirname, module)) as object).flat()
}

/** The rows of groups that have a file of tests of their own beside this one, under their name. */
const own = new Set(
  readdirSync(__dirname)
    .filter(name => name.endsWith(SUFFIX) && name !== `others${SUFFIX}`)
    .flatMap(name => rowsOf(name.slice(0, -SUFFIX.length)))
)

// All other groups: a new one is provoked here until it has a file.
provoke(rows.filter(row => !own.has(row)))
