import type { ServerStatus } from '../../operations/operator-questions'
import type { Answered } from '../../survey/answers'
import { byAddress, type ClusterView, type ServerView } from '../../survey/cluster-view'
import { differences, versionOf, type Difference } from '../../survey/differences'
import { observedState } from '../../survey/server-state'
import { sentenceOfError } from '../refusal'
import type { WireServer } from '../wire'

/** What the servers have answered, by address. */
export type Statuses = ReadonlyMap<string, Answered<ServerStatus>>

/** A row without its trend, which only those that are shown need. */
export type ServerRow = Omit<WireServer, 'trend'>

/** How bad a state is; 3 for one that is not listed. */
const HURTS: Readonly<Record<string, number>> = { ready: 0, up: 0, draining: 1, leaving: 1, connecting: 2, degraded: 2 }

/** A beat that is so many leases old is late. */
const LATE = 2 / 3

/** The rows of all servers, what hurts first, and in what the servers differ. */
export function rowsOf(
  view: ClusterView,
  statuses: Statuses
): { readonly rows: readonly ServerRow[]; readonly unequal: readonly Difference[] } {
  const unequal = differences(view, statuses)
  const odd = new Map<string, string[]>()
  for (const { what, values } of unequal)
    for (const { servers } of values.slice(1))
      for (const address of servers) odd.set(address, [...(odd.get(address) ?? []), what])
  const rows = view.servers.map(server => rowOf(server, statuses.get(server.address), odd.get(server.address) ?? []))
  return { rows: rows.sort(COMPARE.hurt), unequal }
}

function rowOf(server: ServerView, answer: Answered<ServerStatus> | undefined, differs: readonly string[]): ServerRow {
  const { address, description, users = null, age = null } = server
  const { state, error } = observedState(server, answer)
  const { stats, terms } = answer?.value ?? {}
  const late = age !== null && terms !== undefined && age > terms.lease * LATE
  const uneasy = late || differs.length > 0 || (stats?.disowned ?? 0) > 0
  return {
    address,
    name: description?.name ?? '',
    state,
    hurt: Math.max(HURTS[state] ?? 3, uneasy ? 1 : 0),
    version: versionOf(server),
    sparks: server.sparks,
    users,
    queued: stats?.queued.messages ?? null,
    beat: age,
    p99: stats === undefined || stats.latencies.beat.count === 0 ? null : stats.latencies.beat.p99,
    took: answer?.value === undefined ? null : Math.round(answer.took * 10) / 10,
    differs,
    error: error === undefined ? '' : sentenceOfError(error)
  }
}

type Comparison = (a: ServerRow, b: ServerRow) => number

const larger =
  (of: (row: ServerRow) => number | null): Comparison =>
  (a, b) =>
    (of(b) ?? -1) - (of(a) ?? -1) || byAddress(a.address, b.address)

const smaller =
  (of: (row: ServerRow) => string): Comparison =>
  (a, b) =>
    byAddress(of(a), of(b)) || byAddress(a.address, b.address)

/** The orders of the table. Numbers: the largest first. */
export const COMPARE = {
  hurt: larger(({ hurt }) => hurt),
  name: smaller(({ name, address }) => name || address),
  state: smaller(({ state }) => state),
  version: smaller(({ version }) => version),
  sparks: larger(({ sparks }) => sparks),
  users: larger(({ users }) => users),
  queued: larger(({ queued }) => queued),
  beat: larger(({ beat }) => beat),
  p99: larger(({ p99 }) => p99),
  took: larger(({ took }) => took)
} satisfies Record<string, Comparison>
