import { existsSync, readdirSync } from 'node:fs'
import { join, sep } from 'node:path'

/** The compiled tests, and their sources. */
const BUILT = join(__dirname, '..')
const SOURCES = join(__dirname, '..', '..', '..', 'test')

/** Files of tests, by how they are run. */
export interface Files {
  /** Several at a time. */
  readonly beside: readonly string[]
  /** One for each processor, after all of those, because they judge milliseconds: the names end in `.alone`. */
  readonly alone: readonly string[]
  /** One at a time, after all of those, because they judge CPU: the names end in `.serial`. */
  readonly serial: readonly string[]
}

/** All files of tests, by when they are run. */
export interface Suite {
  /** In each run. */
  readonly usual: Files
  /** In the complete run alone, because they take long: the names have `.ci`. */
  readonly ci: Files
}

/**
 * Those that take longest: they begin first, so that none of them is left at the end when all others are done. It is a
 * hint, a file that is missing here is run all the same.
 */
const LONGEST = [
  'balance',
  'topologies.ci',
  'takeover-processes.ci',
  'supervised.ci',
  'compatibility/fleet.ci',
  'examples/wire.ci',
  'stress.ci',
  'sharding',
  'forward',
  'connection',
  'full-redis',
  'cluster',
  'transport/redis',
  'origin',
  'notices',
  'support/server.ci',
  'health',
  'model',
  'documents',
  'members',
  'supervisor/recycle',
  'examples/programs',
  'takeover',
  'sticky',
  'supervisor/robust',
  'workers',
  'calls',
  'cli/run',
  'client',
  'support/hooks.ci',
  'describe'
]

/**
 * All files of tests, or those whose names have one of some words. What was compiled of a source that is gone is left
 * out.
 */
export function testFiles(words: readonly string[] = []): Suite {
  const names = readdirSync(BUILT, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.js'))
    .map(name => name.slice(0, -'.test.js'.length))
    .filter(name => words.length === 0 || words.some(word => name.includes(word)))
    .filter(name => existsSync(join(SOURCES, `${name}.test.ts`)))
  return sorted(names)
}

/** Sort names of files, without `.test.js`, by how they are run. */
export function sorted(names: readonly string[]): Suite {
  const rank = (name: string): number => {
    const at = LONGEST.indexOf(name.replaceAll(sep, '/'))
    return at === -1 ? LONGEST.length : at
  }
  const ordered = [...names].sort().sort((a, b) => rank(a) - rank(b))
  const files = (ci: boolean): Files => {
    const of = (kind: string | undefined): string[] =>
      ordered
        .filter(name => /\.ci(\.|$)/.test(name) === ci && /\.(alone|serial)$/.exec(name)?.[1] === kind)
        .map(name => join(BUILT, `${name}.test.js`))
    return { beside: of(undefined), alone: of('alone'), serial: of('serial') }
  }
  return { usual: files(false), ci: files(true) }
}
