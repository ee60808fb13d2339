import { Command } from 'commander'
import { count, counted, span } from '../../../reporting/quantity-text'
import type { WorkerInfo } from '../../../supervisor/types'
import { sizeText } from '../../../supervisor/watch/byte-size'
import { EXIT } from '../../output/failure'
import type { Output } from '../../output/output'
import type { Paint } from '../../output/paint'
import { printable } from '../../output/printable'
import { table, type Column } from '../../output/table'
import { secondsOf, watched } from '../arguments'
import { repeated, type CommandReport } from '../command-run'
import { asksSupervisors, findSupervisors, type ControlOptions, type FoundSupervisor } from './supervisors'

interface Options extends ControlOptions {
  readonly watch?: number | true
}

/** A ready worker that has not answered for so long is shown as mute, in ms. It is asked each second. */
const MUTE = 3000

/** A worker in the table, at the time of the answer. */
interface Row extends WorkerInfo {
  readonly at: number
}

/** `metroplex ps`: lists the workers of the supervisors of this user. */
export const ps = asksSupervisors<Options>(
  new Command('ps')
    .description('List the workers of this machine: state, memory, load, restarts.')
    .option('-w, --watch [seconds]', 'repeat it, each 2 seconds if no other time is given', secondsOf)
    .addHelpText(
      'after',
      `
It asks the supervisors of this user: those of metroplex run, and those with the option control. SINCE is for how long
the worker has had its state, LOOP how much of the time its event loop was busy. The exit code is 1 when one of several
supervisors does not answer.

Examples:
  $ metroplex ps --watch
  $ metroplex ps --control /run/web/control.sock --json`
    ),
  (output, options) => repeated(output, watched(options.watch), () => listed(output, options))
)

async function listed(output: Output, options: Options): Promise<CommandReport> {
  const found = await findSupervisors(options)
  const mute = found.flatMap(({ path, failure }) =>
    failure === undefined ? [] : [{ control: path, error: failure.message }]
  )
  const supervisors = found.flatMap(({ path, status }) => (status === undefined ? [] : [{ control: path, ...status }]))
  const code = mute.length === 0 ? EXIT.OK : supervisors.length === 0 ? EXIT.CANNOT_ASK : EXIT.NOT_SO
  return { value: { supervisors, mute }, lines: () => found.flatMap(one => linesOf(one, output)), code }
}

function linesOf({ path, status, failure }: FoundSupervisor, { width, paint }: Output): string[] {
  if (status === undefined) return [paint('red', printable(failure?.message ?? ''))]
  const rows = status.workers.map(worker => ({ ...worker, at: status.at }))
  const ready = status.workers.filter(({ state }) => state === 'ready').length
  const wanted = Object.values(status.wanted).reduce((sum, one) => sum + one, 0)
  return [
    `${printable(path)}  pid ${status.pid}, ${count(ready)} of ${counted(wanted, 'worker')} ready`,
    ...(rows.length === 0 ? [] : table(COLUMNS, rows, width, paint))
  ]
}

const COLUMNS: readonly Column<Row>[] = [
  { head: 'NAME', cell: ({ name }) => printable(name), least: 8 },
  { head: 'TYPE', cell: ({ type }) => printable(type), least: 4 },
  { head: 'PID', cell: ({ pid }) => (pid === undefined ? '-' : String(pid)), align: 'right' },
  { head: 'STATE', cell: stateOf, paint: paintState },
  { head: 'SINCE', cell: ({ at, since }) => span(at - since), align: 'right' },
  { head: 'RSS', cell: ({ rss }) => (rss === undefined ? '-' : sizeText(rss)), align: 'right' },
  { head: 'LOOP', cell: loadOf, align: 'right' },
  { head: 'RESTARTS', cell: ({ restarts }) => count(restarts), align: 'right' }
]

function loadOf({ eventLoopUtilization: busy }: Row): string {
  return busy === undefined ? '-' : `${Math.round(busy * 100)} %`
}

function isMute({ state, at, heard }: Row): boolean {
  return state === 'ready' && heard !== undefined && at - heard > MUTE
}

function stateOf(row: Row): string {
  return isMute(row) ? `mute for ${span(row.at - (row.heard ?? row.at))}` : row.state
}

function paintState(text: string, row: Row, paint: Paint): string {
  if (isMute(row) || row.state === 'backoff') return paint('red', text)
  return paint(row.state === 'ready' ? 'green' : 'yellow', text)
}
