import { asError } from '../common/errors'
import type { GroupSpark, SparkDescription } from '../common/types'
import { eachOf } from '../registry/sharding'
import { askingClient } from './answers'
import { live, type ClusterView } from './cluster-view'
import type { OperatorSession } from './operator-session'

/** A spark, as far as the registry and its server tell. */
export interface FoundSpark {
  /** Its server; `null`: no server holds it. */
  readonly address: string | null
  /** Whether that server is alive. */
  readonly alive: boolean
  /** What its server says of it. */
  readonly described: SparkDescription | undefined
  /** Why its server says nothing. */
  readonly failure: string | undefined
}

/** A spark of a user: its place, and what its server says of it. */
export type UserSpark = { readonly spark: string; readonly address: string } & Partial<SparkDescription>

/** The sparks of a user on live servers. */
export interface FoundUser {
  readonly total: number
  /** The first of them. */
  readonly sparks: readonly UserSpark[]
  /** Why a server does not say what they are. */
  readonly failure: string | undefined
}

/** How many sparks of a group each live server has. */
export interface FoundGroup {
  readonly total: number
  readonly servers: readonly { readonly address: string; readonly sparks: number }[]
}

/** Some sparks of a group. */
export interface GroupSparks {
  readonly sparks: readonly GroupSpark[]
  /** Why there may be more. */
  readonly failure: string | undefined
}

const NOT_ASKABLE = 'None of the live servers can be asked about sparks.'

/** Find a spark: its server, and what it is. Rejects when Redis cannot be asked. */
export async function findSpark(session: OperatorSession, view: ClusterView, id: string): Promise<FoundSpark> {
  const [address = null] = await eachOf(session.shards, [id], (registry, ids) => registry.sparks.places(ids))
  const alive = live(view).some(server => server.address === address)
  const { described, failure } = await describeSparks(session, view, alive ? [id] : [])
  return { address, alive, described: described.get(id), failure }
}

/** Find the sparks of a user. @param limit describe at most so many. Rejects when Redis cannot be asked */
export async function findUser(
  session: OperatorSession,
  view: ClusterView,
  name: string,
  limit: number
): Promise<FoundUser> {
  const alive = new Set(live(view).map(({ address }) => address))
  const [all = []] = await eachOf(session.shards, [name], (registry, names) => registry.users.sparks(names))
  const places = all.filter(([, address]) => alive.has(address))
  const listed = places.slice(0, limit)
  const { described, failure } = await describeSparks(
    session,
    view,
    listed.map(([id]) => id)
  )
  const sparks = listed.map(([id, address]) => ({ spark: id, address, ...described.get(id) }))
  return { total: places.length, sparks, failure }
}

/** Find the servers of a group. Rejects when Redis cannot be asked. */
export async function findGroup(session: OperatorSession, view: ClusterView, name: string): Promise<FoundGroup> {
  const alive = new Set(live(view).map(({ address }) => address))
  const [all = []] = await eachOf(session.shards, [name], (registry, names) => registry.groups.servers(names))
  const servers = all.filter(([address]) => alive.has(address)).map(([address, sparks]) => ({ address, sparks }))
  return { total: servers.reduce((sum, { sparks }) => sum + sparks, 0), servers }
}

/** Ask the servers of a group for its sparks. @param limit at most so many */
export async function groupSparks(
  session: OperatorSession,
  view: ClusterView,
  name: string,
  limit: number
): Promise<GroupSparks> {
  const asking = await askingClient(session, view)
  if (asking === undefined) return { sparks: [], failure: NOT_ASKABLE }
  const sparks: GroupSpark[] = []
  try {
    for await (const one of asking.client.sparksIn(name, { timeout: session.terms.timeout })) {
      sparks.push(one)
      if (sparks.length === limit) break
    }
    return { sparks, failure: undefined }
  } catch (error) {
    const first: unknown = error instanceof AggregateError ? error.errors[0] : error
    return { sparks, failure: asError(first).message }
  }
}

/** What the servers of sparks say of them, as far as they answer. */
async function describeSparks(
  session: OperatorSession,
  view: ClusterView,
  ids: readonly string[]
): Promise<{ readonly described: ReadonlyMap<string, SparkDescription>; readonly failure: string | undefined }> {
  const none = new Map<string, SparkDescription>()
  if (ids.length === 0) return { described: none, failure: undefined }
  const asking = await askingClient(session, view)
  if (asking === undefined) return { described: none, failure: NOT_ASKABLE }
  const { sparks, failed } = await asking.client.describe(ids, { timeout: session.terms.timeout })
  return { described: new Map(sparks.map(one => [one.spark, one])), failure: failed?.[0]?.message }
}
