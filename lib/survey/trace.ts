import { now } from '../common/async'
import { pushTo } from '../common/multimap'
import { addressesByTag, tagIn } from '../lookup/id-tags'
import type { MetroplexError } from '../common/errors'
import { eachOf } from '../registry/sharding'
import { counted } from '../reporting/quantity-text'
import { askingClient, askServers, isMisdirected, unaskable } from './answers'
import { live, viewCluster, type ClusterView, type ServerView } from './cluster-view'
import type { OperatorSession } from './operator-session'

/** To which sparks a message would go. */
export type TraceTarget = { readonly spark: string } | { readonly user: string } | { readonly group: string }

/** One step on the way of a message. */
export interface TraceStep {
  readonly step: 'registry' | 'id' | 'entry' | 'server' | 'answer' | 'sparks'
  /** The server that it is about; absent before one is known. */
  readonly server?: string
  /** `null`: it cannot be found out, and a message may arrive all the same. */
  readonly ok: boolean | null
  /** With `server`: the rest of a sentence about it, or a sentence that names it. */
  readonly says: string
  /** How long it took, in ms; `null` for what needed no question. */
  readonly took: number | null
  /** What to do; present when it failed. */
  readonly remedy?: string
}

/** The sparks of a target on one server; `undefined` ids: only their number is known. */
interface Place {
  readonly ids: readonly string[] | undefined
  readonly number: number
}

type Asking = NonNullable<Awaited<ReturnType<typeof askingClient>>>

/** How many sparks of a group are looked at. */
const MOST = 1000

const GONE = 'Nothing, if its client has disconnected: the next connection of that client has another id.'

/**
 * Follow the way that a message would take from here, without delivering one.
 *
 * @param report called with each step as soon as it is known. The steps of several servers come one server after the
 * other
 */
export async function traceMessage(
  session: OperatorSession,
  target: TraceTarget,
  report: (step: TraceStep) => void
): Promise<void> {
  const [view, took] = await timed(viewCluster(session))
  report({ step: 'registry', ok: true, took, says: `Redis lists ${counted(live(view).length, 'live server')}` })
  const places = await find(session, view, target, report)
  if (places.size === 0) return
  const asking = await askingClient(session, view)
  const members = 'group' in target && asking !== undefined ? await membersOf(asking, target.group, session) : undefined
  for (const [address, place] of places) {
    const server = view.servers.find(one => one.address === address)
    if (server === undefined || server.registered !== 'up') report(deadStep(address, server))
    else await reach({ session, asking, server, report }, place, members)
  }
}

/** Where the registry has the sparks, by address. */
async function find(
  session: OperatorSession,
  view: ClusterView,
  target: TraceTarget,
  report: (step: TraceStep) => void
): Promise<Map<string, Place>> {
  if ('spark' in target) {
    const { spark } = target
    const tagged = idStep(view, spark, report)
    const [[entry], took] = await timed(eachOf(session.shards, [spark], (registry, ids) => registry.sparks.places(ids)))
    const entryStep = { step: 'entry', took } as const
    if (entry === undefined || entry === null)
      report({ ...entryStep, ok: false, says: 'the registry does not have the spark', remedy: GONE })
    else report({ ...entryStep, ok: true, says: `the registry has the spark on ${entry}` })
    // A message goes where the tag says, without a look at the registry.
    const address = entry ?? tagged
    return new Map(address === undefined ? [] : [[address, { ids: [spark], number: 1 }]])
  }
  const [places, took] = await timed(
    'user' in target ? placesOfUser(session, target.user) : placesOfGroup(session, target.group)
  )
  const total = [...places.values()].reduce((sum, { number }) => sum + number, 0)
  const says = `the registry has ${counted(total, 'spark')} on ${counted(places.size, 'server')}`
  const remedy = 'Check the name and --namespace: names of users and of groups are exact.'
  report({ step: 'entry', took, ok: total > 0, says, ...(total === 0 && { remedy }) })
  return places
}

async function placesOfUser({ shards }: OperatorSession, user: string): Promise<Map<string, Place>> {
  const [sparks = []] = await eachOf(shards, [user], (registry, names) => registry.users.sparks(names))
  const ids = new Map<string, string[]>()
  for (const [id, address] of sparks) pushTo(ids, address, id)
  return new Map([...ids].map(([address, all]) => [address, { ids: all, number: all.length }]))
}

async function placesOfGroup({ shards }: OperatorSession, group: string): Promise<Map<string, Place>> {
  const [servers = []] = await eachOf(shards, [group], (registry, names) => registry.groups.servers(names))
  return new Map(servers.map(([address, number]) => [address, { ids: undefined, number }]))
}

/** What the id itself says. @returns the address of the server that its tag names */
function idStep(view: ClusterView, id: string, report: (step: TraceStep) => void): string | undefined {
  const servers = live(view).map(({ address, description }) => [address, description?.tag ?? ''] as const)
  const address = addressesByTag(servers).get(tagIn(id))
  const says =
    address !== undefined
      ? `its tag names ${address}: a message goes there without a lookup`
      : servers.some(([, tag]) => tag === '')
        ? 'tags are not used, because a live server has none: a message is looked up'
        : 'it has no tag of a live server: a message is looked up'
  report({ step: 'id', ok: true, took: null, says })
  return address
}

function deadStep(address: string, server: ServerView | undefined): TraceStep {
  return {
    step: 'server',
    server: address,
    ok: false,
    took: null,
    says: server === undefined ? 'is not the address of a server' : `is ${server.registered}`,
    remedy:
      server?.registered === 'silent'
        ? 'Start it again, or wait until another server has found it dead. Its clients reconnect elsewhere.'
        : 'Nothing: the live servers remove its entries, and its clients reconnect elsewhere.'
  }
}

interface Reaching {
  readonly session: OperatorSession
  readonly asking: Asking | undefined
  readonly server: ServerView
  readonly report: (step: TraceStep) => void
}

/** The steps to a live server. */
async function reach(
  { session, asking, server, report }: Reaching,
  { ids, number }: Place,
  members: Members | undefined
): Promise<void> {
  const { address, description, old } = server
  const { timeout } = session.terms
  const version = old || description === undefined ? 'metroplex 1.x' : `metroplex ${description.version}`
  const about = { server: address }
  report({ step: 'server', ...about, ok: true, took: null, says: `is up, and runs ${version}` })
  const why = asking === undefined ? 'no server can be asked' : unaskable(server, asking.transport)
  if (asking === undefined || why !== undefined) {
    report({ step: 'answer', ...about, ok: null, took: null, says: `was not asked: ${why ?? ''}` })
    return
  }
  // The first one connects.
  const [connected] = await askServers(asking, [server], ({ core }) => core.operator.ping(address, timeout))
  if (connected?.failure !== undefined) {
    const { failure, took } = connected
    report({ step: 'answer', ...about, ok: false, took, says: failure.message, remedy: remedyOf(failure) })
    return
  }
  const [again] = await askServers(asking, [server], ({ core }) => core.operator.ping(address, timeout))
  const route = asking.client.core.gateway.route(address)
  const took = again?.value ?? connected?.took ?? 0
  report({ step: 'answer', ...about, ok: true, took, says: `answers, over ${named(route)}` })
  if (ids !== undefined) report({ ...about, ...(await heldStep(asking, ids, timeout)) })
  else if (members !== undefined) report({ ...about, ...memberStep(members, address, number) })
}

/** Whether the server really holds the sparks: it is asked to describe them. */
async function heldStep({ client }: Asking, ids: readonly string[], timeout: number): Promise<TraceStep> {
  const [{ sparks, failed }, took] = await timed(client.describe(ids, { timeout }))
  const [failure] = failed ?? []
  if (failure !== undefined) return { step: 'sparks', ok: null, took, says: failure.message }
  return holds(sparks.length, ids.length, took)
}

function holds(held: number, expected: number, took: number): TraceStep {
  const all = held >= expected
  return {
    step: 'sparks',
    ok: all,
    took,
    says: all ? `holds ${counted(held, 'spark')}` : `holds ${held} of ${counted(expected, 'spark')}`,
    ...(!all && {
      remedy:
        'Trace again: clients may just have disconnected. If it stays so, see metroplex doctor: an audit repairs it.'
    })
  }
}

/** The sparks of a group, as their servers list them. */
interface Members {
  readonly byServer: ReadonlyMap<string, number>
  /** Whether there are more than were looked at. */
  readonly more: boolean
  readonly took: number
  readonly failure: string | undefined
}

async function membersOf({ client }: Asking, group: string, { terms }: OperatorSession): Promise<Members> {
  const began = now()
  const byServer = new Map<string, number>()
  let looked = 0
  let failure: string | undefined
  try {
    for await (const { address } of client.sparksIn(group, { timeout: terms.timeout })) {
      byServer.set(address, (byServer.get(address) ?? 0) + 1)
      if (++looked === MOST) break
    }
  } catch (error) {
    const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [error as Error]
    failure = first?.message
  }
  return { byServer, more: looked === MOST, took: now() - began, failure }
}

function memberStep({ byServer, more, took, failure }: Members, address: string, expected: number): TraceStep {
  const held = byServer.get(address) ?? 0
  if (held < expected && more)
    return { step: 'sparks', ok: null, took, says: `has ${held} of the first ${MOST} sparks of the group` }
  if (held === 0 && failure !== undefined) return { step: 'sparks', ok: null, took, says: failure }
  return holds(held, expected, took)
}

function remedyOf(failure: MetroplexError): string {
  if (failure.code === 'EAUTH') return 'Give this command the secret of the servers, by --secret-file.'
  if (isMisdirected(failure)) return 'Give each server an address that leads to it alone: the option `address`.'
  if (failure.code === 'EDEADLINE')
    return 'Look at that process: it is paused, overloaded, or its network loses packets.'
  if (failure.code === 'EREGISTRY') return 'Give this command a user of Redis with the rights in docs/keys.md.'
  return 'Check that its address can be reached from here and from the other servers: see metroplex doctor.'
}

/** The route in words. */
function named(route: string): string {
  if (route === 'stream') return 'a stream'
  if (route === 'redis') return 'Redis'
  return route
}

async function timed<T>(promise: Promise<T>): Promise<[value: T, took: number]> {
  const began = now()
  const value = await promise
  return [value, now() - began]
}
