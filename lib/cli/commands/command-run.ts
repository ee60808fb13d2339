import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { delay } from '../../common/async'
import { ignore } from '../../common/callback'
import { asError, MetroplexError } from '../../common/errors'
import { capturedSurvey } from '../../survey/capture'
import { OperatorSession } from '../../survey/operator-session'
import { liveSurvey, type ClusterSurvey } from '../../survey/survey'
import { termsOf, withConnection, type ConnectionTerms } from '../connect/connection-options'
import { openRedis } from '../connect/redis-url'
import { CommandFailure, EXIT, explained, misuse, type ExitCode } from '../output/failure'
import { Output } from '../output/output'
import { printable } from '../output/printable'

/** How long closing may take before the process ends all the same, in ms. */
const LINGER = 1000

/** What a command that asks a cluster is given. */
export interface Asking<Options> {
  readonly session: OperatorSession
  readonly output: Output
  readonly options: Options
  readonly args: readonly string[]
}

/** What a command answers. */
export interface CommandReport {
  /** The answer for programs: `--json`. */
  readonly value: unknown
  /** The answer for people. */
  readonly lines: () => readonly string[]
  /** @default EXIT.OK */
  readonly code?: ExitCode
  /** `'fixed'`: other programs read the lines, so nothing is added to them. */
  readonly format?: 'fixed'
}

/**
 * Make a command one that asks a cluster: add the options for the connection, and run `work` while it is open. The
 * process ends with the code of the report; with 0 without one, when `work` has written all itself.
 *
 * @param check is called before the connection is opened; throws for options that do not fit together
 * @param failed what is written to standard output when the cluster cannot be asked, instead of to standard error
 * @param local does what some options ask without a cluster; returns `undefined` for all others
 */
export function asks<Options>(
  command: Command,
  work: (asking: Asking<Options>) => Promise<CommandReport | undefined>,
  check?: (options: Options, args: readonly string[]) => void,
  failed?: (sentence: string, options: Options, args: readonly string[]) => string,
  local?: (options: Options, args: readonly string[]) => Promise<CommandReport> | undefined
): Command {
  return acts<Options>(
    command,
    (terms, options) => answered(terms, session => work({ ...session, options, args: command.args })),
    check,
    failed,
    local
  )
}

/** What a command that makes a report is given. */
export interface Surveying<Options> extends Omit<Asking<Options>, 'session'> {
  readonly survey: ClusterSurvey
}

/**
 * As `asks`, a command whose report can also be drawn from a capture: add the option `--capture`, with which Redis is
 * not asked.
 */
export function surveys<Options>(
  command: Command,
  work: (surveying: Surveying<Options>) => Promise<CommandReport | undefined>,
  check?: (options: Options, args: readonly string[]) => void,
  failed?: (sentence: string, options: Options, args: readonly string[]) => string
): Command {
  command.option('--capture <file>', 'report what doctor --save has written to this file, and ask nothing')
  return acts<Options & { readonly capture?: string }>(
    command,
    async (terms, options) => {
      const { args } = command
      const { capture } = options
      if (capture === undefined)
        await answered(terms, ({ session, output }) => work({ survey: liveSurvey(session), output, options, args }))
      else
        await reported(new Output(terms.json), async output => {
          const survey = await readCapture(capture)
          return withCaptured(survey, await work({ survey, output, options, args }))
        })
    },
    check,
    failed
  )
}

async function readCapture(file: string): Promise<ClusterSurvey> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw misuse(`The capture ${file} cannot be read (${asError(error).message}): give another --capture.`)
  }
  return capturedSurvey(text, file)
}

/** A report with the time of its capture. */
function withCaptured({ captured = '' }: ClusterSurvey, report: CommandReport | undefined): CommandReport | undefined {
  if (report === undefined) return undefined
  const { value, lines, ...rest } = report
  return {
    ...rest,
    value: { captured, ...(value as object) },
    lines: () => [...lines(), ...(rest.format === 'fixed' ? [] : [`Captured at ${printable(captured)}.`])]
  }
}

function acts<Options>(
  command: Command,
  act: (terms: ConnectionTerms, options: Options) => Promise<void>,
  check: (options: Options, args: readonly string[]) => void = () => undefined,
  failed?: (sentence: string, options: Options, args: readonly string[]) => string,
  local?: (options: Options, args: readonly string[]) => Promise<CommandReport> | undefined
): Command {
  return withConnection(command).action(async () => {
    // Its reader has what it wanted, as in `metroplex sparks | head`.
    process.stdout.on('error', () => process.exit())
    const options = command.opts<object>() as Options
    const report = await local?.(options, command.args)
    if (report !== undefined) return finish(report, new Output(command.opts<{ json?: true }>().json === true))
    const terms = termsOf(command)
    check(options, command.args)
    try {
      await act(terms, options)
    } catch (error) {
      const { exitCode, sentence } = explained(error)
      if (failed === undefined || exitCode !== EXIT.CANNOT_ASK) throw error
      process.stdout.write(`${failed(printable(sentence), options, command.args)}\n`)
      process.exitCode = exitCode
    }
  })
}

/** Writes a report. The process ends with its code. */
export function finish({ value, lines, code = EXIT.OK }: CommandReport, output: Output): void {
  output.report(value, lines)
  process.exitCode = code
}

type Connected = Pick<Asking<unknown>, 'session' | 'output'>

async function answered(
  terms: ConnectionTerms,
  work: (connected: Connected) => Promise<CommandReport | undefined>
): Promise<void> {
  const redis = openRedis(terms.redis, terms.source)
  // Its failures are those of the commands. Without a listener, ioredis would print them, and it warns of a user
  // without +info, which `metroplex doctor` finds.
  redis.on('error', ignore)
  console.warn = ignore
  try {
    await withSession(redis, terms, work)
  } finally {
    redis.disconnect()
  }
}

async function withSession(
  redis: ReturnType<typeof openRedis>,
  terms: ConnectionTerms,
  work: (connected: Connected) => Promise<CommandReport | undefined>
): Promise<void> {
  const session = await opened(redis, terms)
  try {
    await reported(new Output(terms.json), output => work({ session, output }))
  } finally {
    setTimeout(() => process.exit(), LINGER).unref()
    await session.close()
  }
}

async function reported(output: Output, work: (output: Output) => Promise<CommandReport | undefined>): Promise<void> {
  const report = await work(output)
  if (report !== undefined) finish(report, output)
}

/** @throws CommandFailure that says what to check */
async function opened(redis: ReturnType<typeof openRedis>, terms: ConnectionTerms): Promise<OperatorSession> {
  try {
    return await OperatorSession.open(redis, terms)
  } catch (error) {
    if (!(error instanceof MetroplexError)) throw error
    // What applications have to set does not help here.
    const sentence = error.message.replace(/ Each attempt uses .*$/, '')
    throw new CommandFailure(EXIT.CANNOT_ASK, `${sentence} ${terms.advice}`, error)
  }
}

/** Make a report once, or with `seconds` write it again and again until the user ends that. */
export async function repeated(
  output: Output,
  seconds: number | undefined,
  make: () => Promise<CommandReport>
): Promise<CommandReport | undefined> {
  if (seconds === undefined) return make()
  const ended = userEnds()
  while (!ended.aborted) {
    const report = await make().catch((error: unknown): CommandReport => {
      // Redis may be back at the next turn.
      const { sentence } = explained(error)
      return { value: { error: sentence }, lines: () => [printable(sentence)] }
    })
    output.clear()
    output.report(report.value, report.lines)
    await pause(seconds * 1000, ended)
  }
  return undefined
}

/** A signal that is aborted when the user ends the command: by Ctrl-C, or by SIGTERM. The second time is final. */
export function userEnds(): AbortSignal {
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      ending.abort()
    })
  return ending.signal
}

/** Wait, and keep the process alive meanwhile. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const awake = setInterval(() => undefined, 60_000)
  try {
    await delay(ms, signal)
  } finally {
    clearInterval(awake)
  }
}
