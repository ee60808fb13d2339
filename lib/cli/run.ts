import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { ignore } from '../callback'
import { Supervisor } from '../supervisor/supervisor'
import { programOf } from '../supervisor/terms'
import type { SupervisorEvents, WorkerEvent } from '../supervisor/types'
import { duration } from './duration'

interface Options {
  readonly workers: number
  readonly type: string
  readonly recycle?: number
  readonly grace: number
  readonly boot: number
}

/** Whose lines those are that no worker wrote. */
const OURS = 'metroplex'

/** `metroplex run`: a program as many supervised workers. It goes on until it is told to stop. */
export const run = new Command('run')
  .description('Run a program as many workers of one machine, which share its ports, and keep them running.')
  .argument('<file>', 'the program, for Node.js')
  .argument('[args...]', 'what it is given, after --')
  .option('-w, --workers <number>', 'how many there are to be; as many as there are processors, unless it is said', number, availableParallelism())
  .option('-t, --type <name>', 'the first part of their names: web-1, web-2 and so on', 'web')
  .option('-r, --recycle <time>', 'replace them, one after the other, each time this has passed: 6h', duration)
  .addOption(new Option('-g, --grace <time>', 'how long one that is told to end may take; then it is killed').argParser(duration).default(10_000, '10s'))
  .addOption(new Option('-b, --boot <time>', 'how long one may take until it is ready; then it is killed, and tried again').argParser(duration).default(30_000, '30s'))
  .exitOverride()
  .showHelpAfterError('(What is for the program stands behind --: metroplex run FILE -- --port 80)')
  .addHelpText('after', `
SIGTERM and SIGINT end it: with 0 when all workers ended in time, else with 1. SIGUSR2 replaces all workers, one after the other.
A worker is ready when metroplex has registered in it, or when it says so: worker().ready() of 'metroplex/supervisor'.

Example:
  $ metroplex run server.js --workers 4 --recycle 6h`)
  .action(async (file: string, args: readonly string[], { workers: count, type, recycle, grace, boot }: Options) => {
    const supervisor = new Supervisor({ [type]: { exec: programOf('FILE', file), args, count, grace, boot, ...recycle !== undefined && { recycle } } }, { output: 'event' })
    tell(supervisor, Math.max(OURS.length, `${type}-${count}`.length))
    // What keeps it from being so has been told; it is tried on.
    await supervisor.start().catch(ignore)
  })

/** Write down what happens, and what the workers write, each line with the name of whom it is from. */
function tell(supervisor: Supervisor, width: number): void {
  const line = (to: NodeJS.WritableStream, who: string, text: string): void => { to.write(`${who.padEnd(width)} | ${text}\n`) }
  const own = (text: string): void => { line(process.stderr, OURS, text) }
  const end = ({ code, signal }: WorkerEvent): string => signal === null ? `with code ${code}` : `by ${signal}`
  const told: Partial<Record<keyof SupervisorEvents, (worker: WorkerEvent) => string>> = {
    online: () => 'has been started',
    ready: () => 'is ready',
    ended: worker => `has ended, ${end(worker)}`,
    death: worker => `has died, ${end(worker)}`,
    recycle: () => 'is going to be replaced',
    drain: () => 'is to end',
    flapping: () => 'keeps dying'
  }
  for (const [event, words] of Object.entries(told)) {
    supervisor.on(event as 'ready', worker => { own(`${worker.name}, pid ${worker.pid}, ${words(worker)}.${worker.reason === undefined ? '' : ` ${worker.reason}`}`) })
  }
  supervisor.on('error', error => { own(error.message) })
  supervisor.on('output', ({ name }, stream, text) => { line(process[stream], name, text) })
}

function number(given: string): number {
  if (/^[1-9]\d*$/.test(given)) return Number(given)
  throw new InvalidArgumentError('It must be a whole number, 1 or more.')
}
