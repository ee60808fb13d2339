import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { ignore } from '../../../common/callback'
import { Supervisor } from '../../../supervisor/supervisor'
import { directoryOf, programOf } from '../../../supervisor/paths'
import type { SupervisorEvents, SupervisorOptions, WorkerEvent } from '../../../supervisor/types'
import { CONTROLLABLE } from '../../../supervisor/control/control-path'
import { duration } from '../../output/duration-argument'
import { memorySize } from './memory-argument'
import { misuse } from '../../output/failure'

interface Options {
  readonly workers: number
  readonly type: string
  readonly recycle?: number
  readonly grace: number
  readonly boot: number
  readonly cwd?: string
  readonly memory?: number
  readonly stall?: number | false
  readonly control?: string | false
  readonly metricsPort?: number
  readonly metricsHost?: string
}

/** The name in front of the lines of the supervisor. */
const OURS = 'metroplex'

/** `metroplex run`: runs a program as several supervised workers until it is told to stop. */
export const run = new Command('run')
  .description(
    'Run a program in several workers on one machine. They share its ports and are restarted when they crash.'
  )
  .argument('<file>', 'the program: a file for Node.js')
  .argument('[args...]', 'arguments of the program, after --')
  .option(
    '-w, --workers <number>',
    'the number of workers; as many as there are processors if it is not given',
    number,
    availableParallelism()
  )
  .option('-t, --type <name>', 'the first part of the names of the workers: web-1, web-2 and so on', 'web')
  .option('-r, --recycle <time>', 'replace the workers one after the other at this interval, such as 6h', duration)
  .addOption(
    new Option('-g, --grace <time>', 'time for a worker to end after an order to end; then it is killed')
      .argParser(duration)
      .default(10_000, '10s')
  )
  .addOption(
    new Option('-b, --boot <time>', 'time for a worker to become ready; then it is killed and started again')
      .argParser(duration)
      .default(30_000, '30s')
  )
  .option(
    '-m, --memory <size>',
    'replace a worker that takes more memory, such as 1gb; its successor is ready before',
    memorySize
  )
  .option(
    '--stall <time>',
    'kill a worker whose event loop answers nothing for so long, and start a new one; 30s if it is not given',
    duration
  )
  .option('--no-stall', 'kill no worker for that')
  .option('--control <path>', 'the socket for metroplex ps and the like; one in a directory of this user by default')
  .option('--no-control', 'listen to no commands')
  .option(
    '-C, --cwd <directory>',
    'the working directory of the workers, where a relative FILE begins; each start follows symbolic links anew; ' +
      'the current directory if it is not given'
  )
  .option('--metrics-port <port>', 'serve the metrics of all workers to Prometheus on this port, at /metrics', port)
  .option('--metrics-host <host>', 'the address for that port; 127.0.0.1 if it is not given')
  .exitOverride()
  .showHelpAfterError('(Arguments of the program follow after --, as in: metroplex run FILE -- --port 80)')
  .addHelpText(
    'after',
    `
SIGTERM, SIGINT and SIGHUP end all workers, and then this process: with code 0 if all workers ended in time, with 1
otherwise.
SIGUSR2 replaces all workers, one after the other. metroplex ps lists them; metroplex scale, recycle and drain --worker
act on them.
A worker is ready when metroplex has registered in it, or when it calls worker().ready() of 'metroplex/supervisor'.

Example:
  $ metroplex run server.js --workers 4 --recycle 6h`
  )
  .action(
    async (
      file: string,
      args: readonly string[],
      { workers: count, type, recycle, grace, boot, memory, stall, control, cwd: given, ...of }: Options
    ) => {
      const metrics = metricsOf(of)
      const cwd = directoryOf('--cwd', given)
      const workers = {
        exec: programOf('FILE', file, cwd),
        cwd,
        args,
        count,
        grace,
        boot,
        ...(recycle !== undefined && { recycle }),
        ...(memory !== undefined && { memory }),
        ...(stall !== undefined && { stall })
      }
      const supervisor = new Supervisor(
        { [type]: workers },
        { output: 'event', control: control ?? CONTROLLABLE, ...(metrics !== undefined && { metrics }) }
      )
      endWithReaders(supervisor)
      const width = Math.max(OURS.length, `${type}-${count}`.length)
      tell(supervisor, width)
      // The events have reported why a worker is not ready; the supervisor keeps trying.
      await supervisor.start().catch(ignore)
      const { metricsUrl } = supervisor
      if (metricsUrl !== '') line(process.stderr, width, OURS, `The metrics of all workers are at ${metricsUrl}.`)
    }
  )

/** The errors of a stream whose reader has gone: it closed the pipe, or the terminal was closed. */
const GONE: readonly (string | undefined)[] = ['EPIPE', 'ECONNRESET', 'EIO']

/**
 * When the reader of the output has gone, as in `metroplex run … | head`, ends all workers and then this process with
 * code 1. Otherwise the service would run on unseen, and its pipeline would never end.
 */
function endWithReaders(supervisor: Supervisor): void {
  let ending = false
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (ending || !GONE.includes(error.code)) return
      ending = true
      process.exitCode = 1
      const which = stream === process.stdout ? 'standard output' : 'standard error'
      line(
        process.stderr,
        OURS.length,
        OURS,
        `The reader of ${which} has gone (${error.message}): all workers are told to end.`
      )
      supervisor.stop().catch(ignore)
    })
  }
}

/** Writes a line, behind the name of the process it is from. */
function line(to: NodeJS.WritableStream, width: number, name: string, text: string): void {
  try {
    to.write(`${name.padEnd(width)} | ${text}\n`)
  } catch {
    // A write to a file is synchronous and may throw. A full disk must cost lines, not the service.
  }
}

/** Writes all events and all output of the workers, each line behind the name of the process it is from. */
function tell(supervisor: Supervisor, width: number): void {
  const own = (text: string): void => {
    line(process.stderr, width, OURS, text)
  }
  const end = ({ code, signal }: WorkerEvent): string => (signal === null ? `with code ${code}` : `by ${signal}`)
  const told: Partial<Record<keyof SupervisorEvents, (worker: WorkerEvent) => string>> = {
    online: () => 'has started',
    ready: () => 'is ready',
    ended: worker => `has ended, ${end(worker)}`,
    death: worker => `has died, ${end(worker)}`,
    recycle: () => 'is being replaced',
    memory: () => 'is above its limit of memory',
    drain: () => 'is ending',
    flapping: () => 'keeps crashing'
  }
  for (const [event, words] of Object.entries(told)) {
    supervisor.on(event as 'ready', worker => {
      own(
        `${worker.name}, pid ${worker.pid}, ${words(worker)}.${worker.reason === undefined ? '' : ` ${worker.reason}`}`
      )
    })
  }
  supervisor.on('error', error => {
    own(error.message)
  })
  supervisor.on('output', ({ name }, stream, text) => {
    line(process[stream], width, name, text)
  })
}

/** Where the metrics of all workers are served; `undefined`: nowhere. */
function metricsOf({
  metricsPort,
  metricsHost: host
}: Pick<Options, 'metricsPort' | 'metricsHost'>): SupervisorOptions['metrics'] {
  if (metricsPort === undefined && host !== undefined) throw misuse('--metrics-host needs --metrics-port.')
  return metricsPort === undefined ? undefined : { port: metricsPort, ...(host !== undefined && { host }) }
}

function port(given: string): number {
  if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given)
  throw new InvalidArgumentError('It must be a port, from 0 to 65535.')
}

function number(given: string): number {
  if (/^[1-9]\d*$/.test(given)) return Number(given)
  throw new InvalidArgumentError('It must be a whole number, 1 or more.')
}
