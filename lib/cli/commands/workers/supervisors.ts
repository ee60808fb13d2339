import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { controlDirectories, isPrivate } from '../../../supervisor/control/control-path'
import { askStatusOf, askSupervisor } from '../../../supervisor/control/control-client'
import { ControlError, type ControlRequest, type SupervisorStatus } from '../../../supervisor/control/control-protocol'
import { duration } from '../../output/duration-argument'
import { CommandFailure, EXIT, misuse } from '../../output/failure'
import { Output } from '../../output/output'
import { printable } from '../../output/printable'
import { didYouMean } from '../../output/suggestion'
import { finish, type CommandReport } from '../command-run'

/** How long to wait for a supervisor, in ms. */
const TIMEOUT = 2000

/** The options of all commands that ask supervisors. */
export interface ControlOptions {
  readonly control?: string
  readonly timeout?: number
  readonly json?: true
}

/** A supervisor that was found: how it and its workers are, or why it does not say so. */
export interface FoundSupervisor {
  readonly path: string
  readonly status?: SupervisorStatus
  readonly failure?: ControlError
}

/** A supervisor that has answered. */
export interface AnsweringSupervisor {
  readonly path: string
  readonly status: SupervisorStatus
}

/**
 * Makes a command one that asks supervisors of this machine. The process ends with the code of the report.
 *
 * @param check is called first; throws for options that do not fit together
 */
export function asksSupervisors<Options extends ControlOptions>(
  command: Command,
  work: (output: Output, options: Options, args: readonly string[]) => Promise<CommandReport | undefined>,
  check: (options: Options, args: readonly string[]) => void = () => undefined
): Command {
  return command
    .addOption(controlOption())
    .addOption(
      new Option('--timeout <time>', 'how long to wait for a supervisor').argParser(duration).default(TIMEOUT, '2s')
    )
    .addOption(new Option('--json', 'answer with one line of JSON'))
    .exitOverride()
    .action(async () => {
      const options = command.opts<ControlOptions>() as Options
      check(options, command.args)
      const output = new Output(options.json === true)
      const report = await work(output, options, command.args)
      if (report !== undefined) finish(report, output)
    })
}

/** The option that says which supervisor is meant. */
export function controlOption(): Option {
  const text = 'the socket of the supervisor, as its option control says; all of this user if it is not given'
  return new Option('--control <path>', text).env('METROPLEX_CONTROL')
}

/**
 * The supervisors that are there, those that do not answer included.
 *
 * @throws CommandFailure when there is none
 */
export async function findSupervisors({ control, timeout = TIMEOUT }: ControlOptions): Promise<FoundSupervisor[]> {
  const paths = control === undefined ? controlDirectories().flatMap(socketsIn) : [resolve(control)]
  const asked = await Promise.all(paths.map(path => look(path, timeout)))
  const found = asked.filter(({ failure }) => failure?.kind !== 'absent')
  if (found.length > 0) return found
  if (control !== undefined)
    throw new CommandFailure(
      EXIT.CANNOT_ASK,
      `No supervisor listens at ${printable(paths[0] ?? control)}: give the path that its option \`control\` says.`
    )
  throw new CommandFailure(
    EXIT.CANNOT_ASK,
    `No supervisor of this user was found in ${controlDirectories().map(printable).join(' or ')}: start one with ` +
      '`metroplex run` or the option `control`, or give the path of its socket by --control.'
  )
}

/**
 * The one supervisor that has what is named.
 *
 * @param names what a supervisor has of that kind
 * @throws CommandFailure for none and for several
 */
export async function chooseSupervisor(
  options: ControlOptions,
  what: string,
  given: string | undefined,
  names: (status: SupervisorStatus) => readonly string[]
): Promise<AnsweringSupervisor> {
  const found = await findSupervisors(options)
  const answering = found.flatMap(({ path, status }) => (status === undefined ? [] : [{ path, status }]))
  const having = answering.filter(({ status }) => given === undefined || names(status).includes(given))
  const [first, second] = having
  if (second !== undefined)
    throw misuse(
      `${having.length} supervisors ${given === undefined ? 'run' : `have ${what} ${printable(given)}`}: ` +
        `say which by --control ${having.map(({ path }) => printable(path)).join(', or ')}.`
    )
  if (first !== undefined) return first
  const failure = found.find(one => one.failure !== undefined)?.failure
  // The named part may be one of a supervisor that did not answer.
  if (failure !== undefined) throw new CommandFailure(EXIT.CANNOT_ASK, failure.message, failure)
  const known = answering.flatMap(({ status }) => names(status))
  throw misuse(
    `No supervisor has ${what} ${printable(given ?? '')}: metroplex ps lists the workers.` +
      didYouMean(given ?? '', known)
  )
}

/** Has a supervisor do something. @throws CommandFailure when it refuses, fails or does not answer in time */
export async function order(path: string, request: ControlRequest, ms: number): Promise<SupervisorStatus> {
  try {
    return (await askSupervisor(path, request, ms)) as SupervisorStatus
  } catch (error) {
    if (!(error instanceof ControlError)) throw error
    throw new CommandFailure(error.kind === 'refused' ? EXIT.NOT_SO : EXIT.CANNOT_ASK, error.message, error)
  }
}

async function look(path: string, timeout: number): Promise<FoundSupervisor> {
  try {
    return { path, status: await askStatusOf(path, timeout) }
  } catch (error) {
    if (error instanceof ControlError) return { path, failure: error }
    throw error
  }
}

/** The sockets in a directory of this user. Another user may have made one of that name, to answer in our place. */
function socketsIn(directory: string): string[] {
  if (!isPrivate(directory)) return []
  return readdirSync(directory)
    .filter(name => name.endsWith('.sock'))
    .sort()
    .map(name => join(directory, name))
}
