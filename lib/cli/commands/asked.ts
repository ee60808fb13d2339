import type { Command } from 'commander'
import { delay } from '../../common/async'
import { ignore } from '../../common/callback'
import { MetroplexError } from '../../common/errors'
import { OperatorSession } from '../../survey/operator-session'
import { termsOf, withConnection, type ConnectionTerms } from '../connect/connection-options'
import { openRedis } from '../connect/redis-url'
import { CommandFailure, EXIT, explained, type ExitCode } from '../output/failure'
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
      await answered(terms, options, command.args, work)
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

async function answered<Options>(
  terms: ConnectionTerms,
  options: Options,
  args: readonly string[],
  work: (asking: Asking<Options>) => Promise<CommandReport | undefined>
): Promise<void> {
  const redis = openRedis(terms.redis, terms.source)
  // Its failures are those of the commands. Without a listener, ioredis would print them, and it warns of a user
  // without +info, which `metroplex doctor` finds.
  redis.on('error', ignore)
  console.warn = ignore
  try {
    await withSession(redis, terms, options, args, work)
  } finally {
    redis.disconnect()
  }
}

async function withSession<Options>(
  redis: ReturnType<typeof openRedis>,
  terms: ConnectionTerms,
  options: Options,
  args: readonly string[],
  work: (asking: Asking<Options>) => Promise<CommandReport | undefined>
): Promise<void> {
  const session = await opened(redis, terms)
  try {
    const output = new Output(terms.json)
    const report = await work({ session, output, options, args })
    if (report !== undefined) finish(report, output)
  } finally {
    setTimeout(() => process.exit(), LINGER).unref()
    await session.close()
  }
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
