/** The options of `npm start`. */
export interface Flags {
  /** Run the story and exit. */
  readonly once: boolean
  readonly help: boolean
  /** The first argument that is unknown. */
  readonly unknown?: string
}

/** The help text of `npm start`. */
export const USAGE = `
Usage: npm start                three Primus servers under a supervisor tell their story; then two pages, until Ctrl-C
       npm start -- --once      the story alone; exits with 0 if every step came out, else with 1
       npm start -- --help      this text

Environment:
  REDIS_URL   a Redis to use; what is written there is removed at the end
              default: a redis-server or valkey-server from the PATH, or one that is installed, for this run alone
  NO_COLOR    no colours
`

/** Parses the arguments. */
export function flags(args: readonly string[]): Flags {
  const unknown = args.find(arg => !['--once', '--help', '-h'].includes(arg))
  return {
    once: args.includes('--once'),
    help: args.includes('--help') || args.includes('-h'),
    ...(unknown !== undefined && { unknown })
  }
}
