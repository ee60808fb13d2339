import { Command, InvalidArgumentError } from 'commander'
import { counted } from '../../../reporting/quantity-text'
import type { ControlRequest, SupervisorStatus } from '../../../supervisor/control/control-protocol'
import { duration } from '../../output/duration-argument'
import { misuse } from '../../output/failure'
import { printable } from '../../output/printable'
import type { CommandReport } from '../command-run'
import { asksSupervisors, chooseSupervisor, order, type ControlOptions } from './supervisors'

interface Options extends ControlOptions {
  readonly for: number
  readonly wait: boolean
}

interface RecycleOptions extends Options {
  readonly worker?: string
}

/** The most workers of one type, as in the option `count`. */
const MOST = 1024

/** How long a supervisor may take, in ms. */
const LONG = 300_000

/** `metroplex scale`: changes the number of workers of a type. */
export const scale = asksSupervisors<Options>(
  withWait(
    new Command('scale')
      .description('Change the number of workers of a type.')
      .argument('<type>', 'the type, such as web')
      .argument('<count>', `how many workers, from 0 to ${MOST}`, workersOf)
  ).addHelpText(
    'after',
    `
New workers get the lowest free names. Those with the highest numbers end, each within the grace of its type. The number
counts until the supervisor is started again. The exit code is 1 when a new worker does not become ready.

Example:
  $ metroplex scale web 6`
  ),
  async (_output, options, [type = '', given = '']) => {
    const { path } = await chooseSupervisor(options, 'workers of the type', type, typesOf)
    const count = Number(given)
    return ordered(path, { do: 'scale', type, count, wait: options.wait }, options, () =>
      options.wait
        ? `There are ${counted(count, 'worker')} of the type ${printable(type)}.`
        : `${printable(type)} is scaled to ${counted(count, 'worker')}.`
    )
  }
)

/** `metroplex recycle`: replaces workers. */
export const recycle = asksSupervisors<RecycleOptions>(
  withWait(
    new Command('recycle')
      .description('Replace workers, one after the other: each ends when its successor is ready.')
      .argument('[type]', 'the type of the workers; all if it is not given')
      .option('--worker <name>', 'only this worker, such as web-1')
  ).addHelpText(
    'after',
    `
The exit code is 1 when a successor does not become ready: the workers that were still to be replaced stay.

Examples:
  $ metroplex recycle web
  $ metroplex recycle --worker web-1`
  ),
  async (_output, options, [type]) => {
    if (options.worker !== undefined) return replaceWorker(options.worker, options)
    const { path } = await chooseSupervisor(options, 'workers of the type', type, typesOf)
    const what = type === undefined ? 'All workers' : `All workers of the type ${printable(type)}`
    return ordered(path, { do: 'recycle', wait: options.wait, ...(type !== undefined && { type }) }, options, () =>
      options.wait ? `${what} have been replaced.` : `${what} are being replaced.`
    )
  },
  ({ worker }, [type]) => {
    if (worker !== undefined && type !== undefined) throw misuse('Give either a type or --worker, not both.')
  }
)

/** Replaces one worker. @throws CommandFailure */
export async function replaceWorker(worker: string, options: Omit<Options, 'json'>): Promise<CommandReport> {
  const names = ({ workers }: SupervisorStatus): string[] => workers.map(({ name }) => name)
  const { path } = await chooseSupervisor(options, 'a worker', worker, names)
  return ordered(path, { do: 'replace', worker, wait: options.wait }, options, () =>
    options.wait
      ? `${printable(worker)} has ended, and its successor is ready.`
      : `${printable(worker)} is being replaced.`
  )
}

async function ordered(
  path: string,
  request: ControlRequest,
  { for: longest, wait }: Options,
  sentence: () => string
): Promise<CommandReport> {
  const status = await order(path, request, wait ? longest : LONG)
  return { value: { control: path, ...status }, lines: () => [sentence()] }
}

function withWait(command: Command): Command {
  return command
    .option('-f, --for <time>', 'how long to wait until it is done; it goes on afterwards', duration, LONG)
    .option('--no-wait', 'end this command as soon as it has begun')
}

function typesOf({ wanted }: SupervisorStatus): string[] {
  return Object.keys(wanted)
}

function workersOf(given: string): number {
  const workers = Number(given)
  if (/^\d{1,4}$/.test(given) && workers <= MOST) return workers
  throw new InvalidArgumentError(`It must be a whole number of workers, from 0 to ${MOST}.`)
}
