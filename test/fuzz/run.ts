/**
 * The command `npm run fuzz`: requests, heads, bodies, batches and frames that nobody would send, some of them signed rightly, to a real server. Prints the
 * seed. Exit code 1 when it crashed, hung, delivered what it should not, or kept something.
 */
import { parseArgs } from 'node:util'
import { Ground } from '../faults/ground'
import { Accidents } from '../support/accidents'
import { closeScope, openScope } from '../support/dispose'
import { fuzz } from './fuzz'

/** The heap may grow by so much for each case, in bytes, when there are enough cases to tell. */
const [STEEP, ENOUGH] = [20, 20_000]

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    path: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})
process.once('SIGTERM', () => process.exit(143))
process.once('SIGINT', () => process.exit(130))

const say = (line: string): void => { process.stdout.write(`${line}\n`) }

async function main(): Promise<number> {
  if (values.help) {
    say('npm run fuzz -- [--cases 100000] [--seed 1] [--path 12:0]')
    return 0
  }
  const [seed, cases] = [Number(values.seed), Number(values.cases)]
  if (!Number.isInteger(seed) || !Number.isInteger(cases) || cases < 1) {
    say('--cases and --seed must be whole numbers.')
    return 2
  }
  const accidents = new Accidents()
  accidents.watch()
  openScope()
  const began = performance.now()
  say(`seed ${seed}: ${cases} cases`)
  let failed = true
  try {
    const figures = await fuzz(await Ground.make(true), { seed, cases, say, ...values.path !== undefined && { path: values.path } })
    say(JSON.stringify(figures, null, 2))
    if (cases >= ENOUGH && figures.grown > STEEP) throw new Error(`the heap has grown by ${figures.grown} bytes for each case, and may by ${STEEP}`)
    say(`all is as it should be, after ${Math.round((performance.now() - began) / 1000)} s; seed ${seed}`)
    failed = false
  } catch (error) {
    say(`seed ${seed}: ${String((error as Error).stack)}`)
  }
  const errors = [...await closeScope(), ...await accidents.take()]
  for (const error of errors) say(String(error.stack))
  return failed || errors.length > 0 ? 1 : 0
}

main().then(code => process.exit(code), (error: unknown) => {
  say(String((error as Error).stack))
  process.exit(1)
})
