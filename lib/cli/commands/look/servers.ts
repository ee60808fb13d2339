import { Command } from 'commander'
import type { ServerStatus } from '../../../operations/operator-questions'
import { EXIT, explained, misuse } from '../../output/failure'
import { printable } from '../../output/printable'
import { count, counted, span } from '../../../reporting/quantity-text'
import type { Paint } from '../../output/paint'
import { table, type Column } from '../../output/table'
import type { Answered } from '../../../survey/answers'
import { live, type ClusterView, type ServerView } from '../../../survey/cluster-view'
import { differences, versionOf, type Difference } from '../../../survey/differences'
import { observedState } from '../../../survey/server-state'
import { repeated, surveys, type CommandReport, type Surveying } from '../command-run'
import { secondsOf, watched, wholeNumber } from '../arguments'

interface Options {
  readonly watch?: number | true
  readonly expect?: number
  readonly capture?: string
}

/** A server in the table, and in JSON. */
interface Row {
  readonly address: string
  readonly name: string | null
  /** Its own state if it answered; `mute` or `refused` if it did not; else what the registry says. */
  readonly state: string
  readonly version: string
  readonly sparks: number
  readonly users: number | null
  readonly groups: number | null
  /** The age of its last beat, in ms. */
  readonly beat: number | null
  /** How long its answer took, in ms. */
  readonly took: number | null
  readonly error?: string
}

/** More errors are not printed below the table. */
const MOST_ERRORS = 10

/** `metroplex servers`: one table of all servers. */
export const servers = surveys<Options>(
  new Command('servers')
    .description('List all servers: state, version, sparks, users, last beat.')
    .option('-w, --watch [seconds]', 'repeat it, each 2 seconds if no other time is given', secondsOf)
    .option('-e, --expect <number>', 'exit with 1 when fewer servers are alive and answer', wholeNumber)
    .addHelpText(
      'after',
      `
The sparks and users are those in the registry; users counts the sparks that have one. A server that does not answer
is mute, and its line is what the registry knows. An X at the foot of a column: servers differ that should be alike.

Examples:
  $ metroplex servers --expect 10
  $ REDIS_URL=rediss://redis.example.com metroplex servers --watch 5`
    ),
  async asking => repeated(asking.output, watched(asking.options.watch), () => listed(asking)),
  ({ watch, capture }) => {
    if (watch !== undefined && capture !== undefined)
      throw misuse('--watch has nothing to wait for in a --capture: leave out one of the two.')
  }
)

async function listed({ survey, output, options }: Surveying<Options>): Promise<CommandReport> {
  const view = await survey.view()
  const statuses = await survey.statuses(view)
  const rows = view.servers.map(server => rowOf(server, statuses.get(server.address)))
  const unequal = differences(view, statuses)
  const answering = live(view).filter(({ address }) => statuses.get(address)?.failure === undefined).length
  const { expect } = options
  const short = expect !== undefined && answering < expect
  return {
    value: { servers: rows, alive: live(view).length, answering, differences: unequal, ...(expect && { expect }) },
    lines: () => [
      ...(rows.length === 0 ? [noServers(survey.namespace)] : shown(rows, view, unequal, output)),
      ...(short ? [output.paint('red', `${counted(answering, 'server')} of ${count(expect)} expected.`)] : [])
    ],
    ...(short && { code: EXIT.NOT_SO })
  }
}

/** What to say where no server is. */
export function noServers(namespace: string): string {
  return `No server is registered in the namespace ${printable(namespace)}: give another --namespace or --redis.`
}

function rowOf(server: ServerView, answer: Answered<ServerStatus> | undefined): Row {
  const { address, description, sparks, users = null, groups = null, age = null } = server
  const { state, error } = observedState(server, answer)
  return {
    address,
    name: description?.name ?? null,
    state,
    version: versionOf(server),
    sparks,
    users,
    groups,
    beat: age,
    took: answer?.value === undefined ? null : Math.round(answer.took * 10) / 10,
    ...(error !== undefined && { error: explained(error).sentence })
  }
}

function shown(
  rows: readonly Row[],
  view: ClusterView,
  unequal: readonly Difference[],
  { width, paint }: { readonly width: number; readonly paint: Paint }
): string[] {
  const sum = (of: (row: Row) => number | null): string => count(rows.reduce((total, row) => total + (of(row) ?? 0), 0))
  const number = (value: number | null): string => (value === null ? '-' : count(value))
  const differs = (what: Difference['what']): boolean => unequal.some(one => one.what === what)
  const alive = live(view).length
  const columns: Column<Row>[] = [
    { head: 'NAME', cell: ({ name }) => printable(name ?? '-'), least: 8 },
    {
      head: 'ADDRESS',
      cell: ({ address }) => printable(address),
      foot: alive === rows.length ? counted(alive, 'server') : `${count(alive)} of ${counted(rows.length, 'server')}`
    },
    { head: 'STATE', cell: ({ state }) => printable(state), paint: paintState },
    { head: 'VERSION', cell: ({ version }) => printable(version), foot: differs('version') ? 'X' : '' },
    { head: 'SPARKS', cell: ({ sparks }) => count(sparks), align: 'right', foot: sum(({ sparks }) => sparks) },
    { head: 'USERS', cell: ({ users }) => number(users), align: 'right', foot: sum(({ users }) => users) },
    { head: 'BEAT', cell: ({ beat }) => (beat === null ? '-' : span(beat)), align: 'right' }
  ]
  return [
    ...table(columns, rows, width, paint),
    ...unequal.map(difference => `${paint('red', 'X')} ${sentenceOf(difference)}`),
    ...errorsOf(rows)
  ]
}

/** Why servers did not answer, each reason once. */
function errorsOf(rows: readonly Row[]): string[] {
  const all = [...new Set(rows.flatMap(({ error }) => (error === undefined ? [] : [printable(error)])))]
  const rest = all.length - MOST_ERRORS
  return rest <= 0 ? all : [...all.slice(0, MOST_ERRORS), `There are ${counted(rest, 'more error')}: --json has all.`]
}

/** A difference in a line: its values, and how many servers have each. */
export function sentenceOf({ what, values }: Difference): string {
  const each = values.map(({ value, servers }) => `${printable(value)} on ${counted(servers.length, 'server')}`)
  return `${what} differs: ${each.join(', ')}`
}

function paintState(text: string, { state }: Row, paint: Paint): string {
  if (state === 'ready' || state === 'up') return paint('green', text)
  return paint(['draining', 'connecting', 'leaving'].includes(state) ? 'yellow' : 'red', text)
}
