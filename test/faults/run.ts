/**
 * The command `npm run test:faults`: provokes each fault several times, prints the table, and with `--document` writes
 * it.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { testFiles } from '../suite/files'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    only: { type: 'string' },
    shards: { type: 'string', default: '1' },
    document: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) {
  process.stdout.write('npm run test:faults -- [--runs 3] [--only F1,F3] [--shards 16] [--document]\n')
  process.exit(0)
}
const runs = Number(values.runs)
if (!Number.isInteger(runs) || runs < 1) {
  process.stderr.write(`--runs must be a whole number above 0; given: ${values.runs}\n`)
  process.exit(2)
}

const { usual, ci } = testFiles(['faults/'])
const files = [usual, ci].flatMap(({ beside, alone, serial }) => [...beside, ...alone, ...serial])
const { status } = spawnSync(
  process.execPath,
  [require.resolve('mocha/bin/mocha.js'), '--reporter', join(__dirname, 'table.js'), ...files],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      METROPLEX_FAULT_RUNS: String(runs),
      METROPLEX_FAULT_SHARDS: values.shards,
      ...(values.only !== undefined && { METROPLEX_FAULTS: values.only }),
      ...(values.document && { METROPLEX_FAULT_DOCUMENT: '1' })
    }
  }
)
process.exit(status ?? 1)
