/**
 * `npm run test:busy`: the tests of `npm test` while other processes keep all processors busy. Takes the same
 * arguments.
 */
import { fork, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { killAtExit } from '../support/orphans'

/**
 * Without an argument of its own this program runs the tests; with this one it is one of those that keep a processor
 * busy.
 */
const SPIN = '--spin'

/** How long a turn lasts, in ms; between two of them the end of the parent is noticed, however it ended. */
const TURN = 100

function spin(): void {
  const end = performance.now() + TURN
  while (performance.now() < end);
  setImmediate(spin)
}

if (process.argv.includes(SPIN)) {
  process.once('disconnect', () => {
    process.exit(0)
  })
  spin()
} else {
  for (let i = 0; i < availableParallelism(); i++) killAtExit(fork(__filename, [SPIN], { stdio: 'ignore' }))
  const tests = spawn(process.execPath, [join(__dirname, 'run.js'), ...process.argv.slice(2)], {
    stdio: ['ignore', 'inherit', 'inherit']
  })
  killAtExit(tests)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      tests.kill(signal)
    })
  tests.once('exit', code => {
    process.exit(code ?? 1)
  })
}
