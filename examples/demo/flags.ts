/** What `npm start` was asked for. */
export interface Flags {
  /** Tell the story and end. */
  readonly once: boolean
  readonly help: boolean
  /** The first one that means nothing to us. */
  readonly unknown?: string
}

/** How `npm start` is called. */
export const USAGE = `
Usage: npm start                three Primus servers, workers of a supervisor, tell their story; then a page for browsers, until Ctrl-C
       npm start -- --once      the story alone; exits with 0 if every step came out, else with 1
       npm start -- --help      this text

Environment:
  REDIS_URL   a Redis to use; what is written there is removed at the end
              default: a redis-server or valkey-server from the PATH, or one that is installed, for this run alone
  NO_COLOR    no colours
`

/** Read the arguments. */
export function flags(args: readonly string[]): Flags {
  const unknown = args.find(arg => !['--once', '--help', '-h'].includes(arg))
  return {
    once: args.includes('--once'),
    help: args.includes('--help') || args.includes('-h'),
    ...unknown !== undefined && { unknown }
  }
}
