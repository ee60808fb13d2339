import { asError, MetroplexError } from '../../common/errors'

/** The exit codes of the command. `check` has those of monitoring systems. */
export const EXIT = {
  /** Everything was as asked. */
  OK: 0,
  /** The cluster answered, and something is not as asked: not found, not reached, fewer than expected. */
  NOT_SO: 1,
  /** The command line cannot be understood. */
  USAGE: 2,
  /** Redis, or the servers that are needed, cannot be asked. */
  CANNOT_ASK: 3
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Ends the command with a sentence on standard error. */
export class CommandFailure extends Error {
  constructor(
    readonly exitCode: ExitCode,
    sentence: string,
    cause?: unknown
  ) {
    super(sentence, { cause })
    this.name = 'CommandFailure'
  }
}

/** A command line that cannot be understood. */
export function misuse(sentence: string): CommandFailure {
  return new CommandFailure(EXIT.USAGE, sentence)
}

/** What an error means for the command: its exit code, and a sentence without a stack. */
export function explained(error: unknown): { readonly exitCode: ExitCode; readonly sentence: string } {
  const failure = asError(error)
  const sentence = adviceOf(failure.message.replace(/^metroplex: /, ''))
  if (failure instanceof CommandFailure) return { exitCode: failure.exitCode, sentence }
  if (failure instanceof TypeError || failure instanceof RangeError) return { exitCode: EXIT.USAGE, sentence }
  return { exitCode: failure instanceof MetroplexError ? EXIT.CANNOT_ASK : EXIT.NOT_SO, sentence }
}

/** What servers would have to set, the user of this command gives as an option. */
function adviceOf(sentence: string): string {
  return sentence.replace(
    'give all servers the same `secret`, or none',
    'give this command theirs, by --secret-file or METROPLEX_SECRET'
  )
}
