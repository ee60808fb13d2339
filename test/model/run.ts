/**
 * The long form of test/model.test.ts: `npm run test:model -- --runs 2000`.
 *
 * Prints how to repeat a run that fails: `--seed 7 --path 0:3 --replay 'ABC'` makes that very run again.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { Accidents } from '../support/accidents'
import { endOnSignals } from '../support/command'
import { series, type Tally } from './series'
import { QUICK, SETTLE, SLOW } from './times'

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seed: { type: 'string' },
    path: { type: 'string' },
    replay: { type: 'string' },
    together: { type: 'string', default: '8' },
    all: { type: 'boolean', default: false }
  }
})
endOnSignals()

const stalls = monitorEventLoopDelay()
stalls.enable()

function line({ runs, failures, worst }: Tally): string {
  return (
    `${runs} runs, ${failures.length} failed; the registry was wrong for ${Math.round(worst.quick)} ms at most ` +
    `(bound ${QUICK}), ` +
    `${Math.round(worst.slow)} ms after a harmed connection (bound ${SLOW}); all was right after ` +
    `${Math.round(worst.settled)} ms (bound ${SETTLE}); this process stood still for ${Math.round(stalls.max / 1e6)} ` +
    'ms at most'
  )
}

async function main(): Promise<number> {
  const accidents = new Accidents()
  accidents.watch()
  const { path, replay } = values
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000)
  const runs = Number(values.runs ?? (path === undefined ? 200 : 1))
  const began = performance.now()
  let told = began
  let shown = 0
  process.stdout.write(`${runs} runs, ${values.together} at a time, seeds ${seed} to ${seed + runs - 1}\n`)
  const tally = await series({
    seed,
    runs,
    together: Number(values.together),
    all: values.all,
    ...(path !== undefined && { path }),
    ...(replay !== undefined && { replay }),
    progress: so => {
      for (; shown < so.failures.length; shown++) process.stdout.write(`\n${so.failures[shown] ?? ''}\n\n`)
      if (performance.now() - told < 10_000) return
      told = performance.now()
      process.stdout.write(`${Math.round((told - began) / 1000)} s: ${line(so)}\n`)
    }
  })
  const errors = await accidents.take()
  process.stdout.write(
    `${Math.round((performance.now() - began) / 1000)} s: ${line(tally)}; seeds ${seed} to ${seed + tally.runs - 1}\n`
  )
  for (const error of errors) process.stdout.write(`\n${String(error.stack)}\n`)
  return tally.failures.length + errors.length === 0 ? 0 : 1
}

main().then(
  code => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`${String((error as Error).stack)}\n`)
    process.exitCode = 1
  }
)
