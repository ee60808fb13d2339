/**
 * The command `npm run fuzz`: requests, heads, bodies, batches and frames that no server sends, some of them signed
 * correctly, to a real server. Prints the seed. Exit code 1 when it crashed, hung, delivered what it should not, or
 * kept something.
 */
import { parseArgs } from 'node:util'
import { Ground } from '../faults/ground'
import { anySeed, command, say, trial } from '../support/command'
import { fuzz } from './fuzz'

/** The heap may grow by so much for each case, in bytes, when there are enough cases to tell. */
const [STEEP, ENOUGH] = [20, 20_000]

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(anySeed()) },
    path: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})

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
  say(`seed ${seed}: ${cases} cases`)
  const ask = async (): ReturnType<typeof fuzz> =>
    fuzz(await Ground.make(true), { seed, cases, say, ...(values.path !== undefined && { path: values.path }) })
  return trial(seed, ask, ({ grown }) => {
    if (cases >= ENOUGH && grown > STEEP)
      throw new Error(`the heap has grown by ${grown} bytes for each case, and may by ${STEEP}`)
  })
}

command(main)
