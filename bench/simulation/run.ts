/**
 * The command `npm run bench:scaling`: measures what operations cost, checks a prediction against a real run, and
 * writes the tables and plots of docs/scaling.md.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findRedis } from '../../test/support/redis-binary'
import { load } from '../../test/support/primus-types'
import { check } from './check'
import { COSTS, readCosts, type Costs, type Prices, type Setting } from './costs'
import { filled } from './document'
import { medianPrices } from './grounds'
import { checkTable, plots, tables } from './tables'

const ROOT = join(__dirname, '..', '..', '..')
const DOCUMENT = join(ROOT, 'docs', 'scaling.md')
const PICTURES = join(ROOT, 'docs', 'scaling')
const STEPS = ['costs', 'check', 'document'] as const
const SETTINGS: readonly Setting[] = ['one', 'cluster4', 'cluster16']

const usage = `npm run bench:scaling -- [${STEPS.join('] [')}] [--rounds 3] [--share 1]
costs     measures what each operation costs, and writes bench/simulation/costs.json: some four minutes
check     predicts a run and makes it, and writes both into docs/scaling.md: some four minutes
document  writes the tables and plots of docs/scaling.md anew
Without a step, all of them.
`

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

async function measure(rounds: number, share: number): Promise<void> {
  const version = execFileSync(await findRedis(), ['--version'], { encoding: 'utf8' })
  const before = loadavg()[0] ?? 0
  const prices: Partial<Record<Setting, Prices>> = {}
  for (const setting of SETTINGS) {
    say(`measuring ${setting}`)
    prices[setting] = await medianPrices(setting, rounds, share)
  }
  const about = {
    machine: `${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown'}`,
    load:
      `${before.toFixed(1)} beforehand, ${(loadavg()[0] ?? 0).toFixed(1)} afterwards; above 0.5 beforehand ` +
      'another process was running, and the figures are too high',
    versions:
      `Redis ${/v=([\d.]+)/.exec(version)?.[1] ?? version.trim()}, Node.js ${process.version.slice(1)}, ` +
      `ioredis ${(load('ioredis/package.json') as { version: string }).version}`,
    date: new Date().toISOString().slice(0, 10),
    command: `\`npm run bench:scaling -- costs --rounds ${rounds} --share ${share}\``
  }
  writeFileSync(
    COSTS,
    `${JSON.stringify({ about, prices: prices as Record<Setting, Prices> } satisfies Costs, null, 1)}\n`
  )
}

/** Writes blocks of the document, and says them. */
function write(blocks: ReadonlyMap<string, string>): void {
  for (const [name, text] of blocks) say(`\n${name}\n\n${text}`)
  writeFileSync(DOCUMENT, filled(readFileSync(DOCUMENT, 'utf8'), blocks))
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      share: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false }
    }
  })
  const [rounds, share] = [Number(values.rounds), Number(values.share)]
  const wrong =
    !Number.isInteger(rounds) ||
    rounds < 1 ||
    !(share > 0) ||
    positionals.some(step => !STEPS.some(known => known === step))
  if (wrong || values.help) {
    process[wrong ? 'stderr' : 'stdout'].write(usage)
    return wrong ? 2 : 0
  }
  const due = (step: (typeof STEPS)[number]): boolean => positionals.length === 0 || positionals.includes(step)
  if (due('costs')) await measure(rounds, share)
  const costs = readCosts()
  if (due('check')) write(new Map([['check', checkTable(await check(costs))]]))
  if (due('document')) {
    write(tables(costs))
    mkdirSync(PICTURES, { recursive: true })
    for (const [name, svg] of plots(costs)) writeFileSync(join(PICTURES, name), svg)
  }
  return 0
}

main().then(
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${String(error instanceof Error ? error.stack : error)}\n`)
    process.exit(1)
  }
)
