/**
 * `npm test`: lints, and runs the tests, several files at a time. The last line says how many have passed and failed.
 *
 * `--times` lists how long each file took, and `--jobs` says how many run at a time. `--complete` is for `.ci/run`: it
 * measures the coverage, holds the times of the table of faults as they are, also runs the files that take long, and
 * runs a file with a failure a second time, alone.
 * With words as arguments it runs only the files whose paths have one of them, and does not lint.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { complaints as houseComplaints } from '../lint/rules'
import { MODULES } from '../support/modules'
import { killAtExit } from '../support/orphans'
import { startRedis } from '../support/redis'
import { startServer } from '../support/server'
import { testFiles } from './files'
import { TALLY, type Count } from './tally'

const root = join(__dirname, '..', '..', '..')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    complete: { type: 'boolean', default: false },
    times: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(3 * Math.min(availableParallelism(), 4)) }
  }
})

/** A package, and which of the files in its `bin` is meant. */
type Program = readonly [name: string, file: string]

/** What came of a program. */
interface Outcome {
  readonly ok: boolean
  readonly output: string
}

/** Programs that run. */
const running = new Set<ChildProcess>()

const folder = mkdtempSync(join(tmpdir(), 'metroplex-test-'))
const tally = join(folder, 'tally')

/**
 * Run a program of one of our packages.
 *
 * @param show - Whether it writes to our own output, rather than into the outcome
 */
function start(
  [name, file]: Program,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  show: boolean
): Promise<Outcome> {
  const child = spawn(
    process.execPath,
    [join(dirname(require.resolve(`${name}/package.json`)), 'bin', file), ...args],
    {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe']
    }
  )
  killAtExit(child)
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  return new Promise<Outcome>(resolve => {
    child.once('error', error => {
      resolve({ ok: false, output: error.message })
    })
    child.once('close', code => {
      running.delete(child)
      resolve({ ok: code === 0, output })
    })
  })
}

/** Run files of tests. @returns whether mocha has come to its end, and whether all have passed */
async function mocha(files: readonly string[], args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<boolean> {
  if (files.length === 0) return true
  const before = counts().length
  const { ok } = await start(
    ['mocha', 'mocha.js'],
    ['--exit', '--reporter', join(__dirname, 'tally.js'), ...args, ...files],
    { ...env, [TALLY]: tally },
    true
  )
  if (counts().length === before) complain('mocha ended without a result.')
  return ok
}

function counts(): Count[] {
  if (!existsSync(tally)) return []
  return readFileSync(tally, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Count)
}

/** Holds the times of the table of faults as they are. */
const STRICT = { METROPLEX_FAULT_STRICT: '1' }

const began = performance.now()
const complaints: string[] = []

function complain(text: string): void {
  complaints.push(text)
  process.stdout.write(`\n${text}\n`)
}

/**
 * How many files may fail at the first try of a complete run. One run of thousands of tests with hundreds of processes
 * on a machine that is shared says little about a single failure, and more about several.
 */
const SECOND_TRIES = 2

/**
 * Run the files with failures again, one at a time.
 *
 * @param strict - The files that hold times as they are
 * @returns whether all of them have passed now; false also when there was no second try
 */
async function secondTry(strict: readonly string[]): Promise<boolean> {
  const failures = counts().flatMap(count => count.failures)
  const files = [...new Set(failures.map(({ file }) => file))]
  if (complaints.length > 0 || files.length === 0 || files.length > SECOND_TRIES || files.includes('')) return false
  process.stdout.write(`\nA second try of what failed:\n`)
  for (const file of files) if (!(await mocha([file], [], strict.includes(file) ? STRICT : {}))) return false
  return true
}

/** Lint, then check format, language and names, beside the tests: they take longer than all of these. */
async function lint(): Promise<Outcome> {
  const linted = await start(['eslint', 'eslint.js'], ['.'], {}, false)
  const formatted = await start(['prettier', 'prettier.cjs'], ['--check', '--log-level', 'warn', '.'], {}, false)
  const house = houseComplaints()
  return { ok: linted.ok && formatted.ok && house === '', output: linted.output + formatted.output + house }
}

/** Keep the modules of servers in a file: a server that has left writes it, and all others load them from there. */
async function keepModules(): Promise<void> {
  process.env[MODULES] = join(folder, 'modules')
  const redis = await startRedis()
  const server = await startServer({ redis: { url: redis.url } })
  await server.stop()
  await redis.stop()
}

async function main(): Promise<void> {
  const { complete, jobs } = values
  const { usual, ci } = testFiles(positionals)
  const all = complete || positionals.length > 0
  const linting = positionals.length === 0 ? lint() : undefined
  const covered = complete && positionals.length === 0 ? { NODE_V8_COVERAGE: join(folder, 'coverage') } : {}
  if (positionals.length === 0) await keepModules()

  const beside = all ? [...ci.beside, ...usual.beside] : usual.beside
  let ok = await mocha(beside, ['--parallel', '--jobs', jobs], covered)
  const linted = await linting
  if (linted?.ok === false) complain(`The linter complains:\n${linted.output}`)
  const few = ['--parallel', '--jobs', String(availableParallelism())]
  ok = (await mocha(usual.alone, few, covered)) && ok
  ok = (await mocha(usual.serial, [], covered)) && ok
  if (all) {
    ok = (await mocha(ci.alone, few, complete ? STRICT : {})) && ok
    ok = (await mocha(ci.serial, [])) && ok
  }
  if (covered.NODE_V8_COVERAGE !== undefined) {
    const report = await start(['c8', 'c8.js'], ['report', '--temp-directory', covered.NODE_V8_COVERAGE], {}, false)
    process.stdout.write(report.output)
    if (!report.ok) complain('Too little of the code was run by the tests.')
  }
  const first = counts()
  if (complete && !ok && (await secondTry(ci.alone))) finish(true, first, true)
  else finish(ok, first)
}

/**
 * The end of the output: what took long, what has failed, and the counts, alone on the last line.
 *
 * @param all - What the first try counted
 * @param mended - Whether all that failed then has passed at a second try
 */
function finish(ok: boolean, all: readonly Count[], mended = false): void {
  const times = new Map<string, number>()
  for (const { files } of all)
    for (const [file, ms] of Object.entries(files)) times.set(file, (times.get(file) ?? 0) + ms)
  const slowest = [...times].sort(([, a], [, b]) => b - a).slice(0, values.times ? undefined : 10)
  const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`.padStart(7)
  const lines = [
    '',
    'The files that took longest:',
    ...slowest.map(([file, ms]) => `${seconds(ms)}  ${file.slice(join(__dirname, '..').length + 1)}`),
    `${seconds(performance.now() - began)}  in all`,
    ''
  ]
  const failed = all.flatMap(count => count.failures.map(({ title }) => title))
  const failures = [...(mended ? [] : failed), ...complaints.map(text => text.split('\n', 1)[0] ?? '')]
  const passed = all.reduce((sum, count) => sum + count.passed, 0) + (mended ? failed.length : 0)
  if (mended)
    lines.push('Failed at the first try and passed at the second, alone:', ...failed.map(title => `  ${title}`), '')
  if (failures.length > 0) lines.push('Failed:', ...failures.map(title => `  ${title}`), '')
  // A run that ended badly, or in which there was no test, has failed, also when all tests that it counted have passed.
  const bad = Math.max(failures.length, ok && passed > 0 ? 0 : 1)
  process.stdout.write(`${lines.join('\n')}\n${passed} passed, ${bad} failed\n`)
  rmSync(folder, { recursive: true, force: true })
  process.exitCode = bad === 0 ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    // Mocha ends what its tests have started.
    for (const child of running) child.kill('SIGTERM')
    Promise.all([...running].map(child => once(child, 'exit')))
      .finally(() => {
        process.exit(1)
      })
      .catch(() => undefined)
  })
process.once('exit', () => {
  rmSync(folder, { recursive: true, force: true })
})
main().catch((error: unknown) => {
  complain(`The tests could not be run: ${String(error)}`)
  finish(false, counts())
})
