/** The command `npm run bench`: measures works, for this project and for what it is compared with, in turns. */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { execFileSync } from 'node:child_process'
import { command } from '../test/support/command'
import { findRedis } from '../test/support/redis-binary'
import { draw, exponentsOf, measureGrowth } from './growth'
import { spread } from './harness/figures'
import { install } from './harness/packages'
import { Stage } from './harness/stage'
import { tablesOf, type Result } from './harness/table'
import { commandOf, type Scale, type Work } from './harness/work'
import { does, former, ours, subjects, type Plugin, type Subject } from './subjects'
import { works } from './works'

const FULL: Scale & { rounds: number } = { rounds: 3, ms: 1300, warm: 2000, clients: 1000, most: 1024, size: 1 }
const QUICK: Scale & { rounds: number } = { rounds: 1, ms: 400, warm: 300, clients: 300, most: 1024, size: 0.1 }

/** Beside the works, and not one of them: it has casts of its own, and no rounds. */
const GROWTH = 'growth'
const names = [...new Set([...works.map(commandOf), GROWTH])].map(name => ({ name }))

const listed = (all: readonly { readonly name: string }[], between: string): string =>
  all.map(({ name }) => name).join(between)
const usage =
  `npm run bench -- [${listed(names, '] [')}] [--quick] [--rounds 3] ` +
  `[--subjects ${listed(subjects, ',')}] [--module path] [--beside path]\n`

/** What the command line asks for. */
interface Wish {
  works: readonly Work[]
  /** Whether to measure how costs grow. */
  growth: boolean
  scale: Scale
  rounds: number
  subjects: readonly Subject[]
}

/** @throws Error with a sentence for who typed it. */
function wishOf(args: readonly string[]): Wish | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      module: { type: 'string' },
      beside: { type: 'string' },
      subjects: { type: 'string' },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return null
  refuseUnknown('work', positionals, names)
  const wanted = values.subjects?.split(',') ?? subjects.map(({ name }) => name)
  refuseUnknown('subject', wanted, subjects)
  const { rounds: standard, ...scale } = values.quick ? QUICK : FULL
  const rounds = Number(values.rounds ?? standard)
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds must be a whole number above 0; given: ${values.rounds}`)
  return {
    works: positionals.length === 0 ? works : works.filter(work => positionals.includes(commandOf(work))),
    growth: positionals.includes(GROWTH),
    scale,
    rounds,
    subjects: subjects
      .filter(({ name }) => wanted.includes(name))
      .map(subject => {
        if (subject === ours) return built(ours, values.module)
        return subject === former ? built(former, values.beside) : subject
      })
  }
}

function refuseUnknown(what: string, names: readonly string[], known: readonly { name: string }[]): void {
  const unknown = names.find(name => known.every(one => one.name !== name))
  if (unknown !== undefined)
    throw new Error(`There is no ${what} '${unknown}'; there are: ${known.map(({ name }) => name).join('; ')}.`)
}

/** Another build in the place of a subject: by its path, or any name that `require` would find from here. */
function built(subject: Plugin, path: string | undefined): Plugin {
  if (path === undefined) return subject
  return { ...subject, name: path, module: createRequire(join(process.cwd(), 'bench')).resolve(path) }
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Five digits are more than are true. */
const json = (value: object): string =>
  JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'number' && !Number.isInteger(one) ? Number(one.toPrecision(5)) : one
  )

const show = (lines: readonly string[]): void => {
  for (const line of ['', ...lines]) print(line)
}

async function bench({ works, growth, scale, rounds, subjects }: Wish): Promise<void> {
  if (works.some(work => subjects.some(subject => subject.kind === 'socket.io' && does(subject, work)))) {
    install(line => process.stderr.write(`${line}\n`))
  }
  const redis = execFileSync(await findRedis(), ['--version'], { encoding: 'utf8' }).trim()
  print(
    json({
      node: process.version,
      redis,
      cores: availableParallelism(),
      cpu: cpus()[0]?.model,
      load: loadavg()[0],
      rounds,
      ...scale,
      bytes: 200,
      subjects
    })
  )
  const results: Result[] = []
  for (const work of works) {
    const able = subjects.filter(subject => does(subject, work))
    for (let round = 1; round <= rounds; round++) {
      for (const subject of able) {
        const stage = await Stage.open(subject, work.cast(scale, subject))
        try {
          for await (const measured of work.measure(stage, scale)) {
            const result = { work: work.name, subject: subject.name, round, ...measured }
            results.push(result)
            print(json(result))
          }
        } finally {
          await stage.close()
        }
      }
    }
  }
  for (const line of tablesOf(
    results,
    subjects.map(({ name }) => name)
  ))
    print(line)
  const stolen = results.map(({ stolen = 0 }) => stolen * 100)
  if (stolen.length > 0)
    print(`Of the CPU of this machine, its host gave to others while rows were measured: ${spread(stolen)} %.`)
  if (!growth) return
  const lines = await measureGrowth(
    subjects.filter(({ kind }) => kind === 'primus'),
    scale,
    line => {
      print(json(line))
    }
  )
  show(exponentsOf(lines))
  show(draw(lines))
}

async function main(): Promise<number> {
  let wish: Wish | null
  try {
    wish = wishOf(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`)
    return 2
  }
  if (wish === null) process.stdout.write(usage)
  else await bench(wish)
  return 0
}

command(main)
