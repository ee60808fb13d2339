import type { ServerStatus } from '../../operations/operator-questions'
import { COMMANDS } from '../../registry/inspection/required-commands'
import type { Health } from '../../reporting/types'
import type { OperatorSession } from '../operator-session'
import { answersOperators, askingClient, askServers, askStatus, type Answered } from '../answers'
import { live, viewCluster, type ClusterView } from '../cluster-view'
import { differences, type Difference } from '../differences'

/** What is known of one Redis. */
export interface RedisExamination {
  /** The fields of INFO; empty where Redis refuses to say. */
  readonly facts: ReadonlyMap<string, string>
  /** Commands that the user may not run; `undefined` where Redis cannot say. */
  readonly forbidden: readonly string[] | undefined
}

/** All that the rules of the doctor go by. */
export interface Examination {
  readonly namespace: string
  readonly view: ClusterView
  readonly statuses: ReadonlyMap<string, Answered<ServerStatus>>
  readonly healths: readonly Answered<Health>[]
  /** Round trips to servers of earlier releases of 2.x, which answer no operators. */
  readonly pings: readonly Answered<number>[]
  readonly unequal: readonly Difference[]
  readonly redis: readonly RedisExamination[]
  /** How far the clock of Redis is ahead of that of this machine, in ms. */
  readonly ahead: number
  /** Sparks under addresses that no server has: how many by address, among how many that were looked at. */
  readonly strays: ReadonlyMap<string, number>
  readonly scanned: number
}

/** Ask Redis and all servers. @param scan the most sparks to look at */
export async function examine(session: OperatorSession, scan: number): Promise<Examination> {
  const { namespace, timeout } = session.terms
  const before = Date.now()
  const view = await viewCluster(session)
  const ahead = view.time - (before + view.took / 2)
  const statuses = await askStatus(session, view)
  // What refuses it has refused the questions above, which say so.
  const asking = await askingClient(session, view).catch(() => undefined)
  const able = live(view).filter(answersOperators)
  const well = able.filter(({ address }) => statuses.get(address)?.value !== undefined)
  const others = live(view).filter(server => !able.includes(server))
  const [healths, pings, redis, { strays, scanned }] = await Promise.all([
    askServers(asking, well, ({ core }, { address }) => core.operator.health(address, timeout)),
    askServers(asking, others, ({ core }, { address }) => core.operator.ping(address, timeout)),
    examineRedis(session),
    findStrays(session, view, scan)
  ])
  const unequal = differences(view, statuses)
  return { namespace, view, statuses, healths, pings, unequal, redis, ahead, strays, scanned }
}

/** Each Redis once: several registries may lie on one. */
async function examineRedis(session: OperatorSession): Promise<RedisExamination[]> {
  const found = new Map<string, RedisExamination>()
  for (const [i, inspection] of session.inspections.entries()) {
    const facts = await inspection.facts()
    const id = facts.get('run_id') ?? (i === 0 ? '' : undefined)
    if (id === undefined || found.has(id)) continue
    found.set(id, { facts, forbidden: await inspection.forbidden(COMMANDS) })
  }
  return [...found.values()]
}

async function findStrays(
  session: OperatorSession,
  { servers }: ClusterView,
  scan: number
): Promise<{ readonly strays: ReadonlyMap<string, number>; readonly scanned: number }> {
  const known = new Set(servers.map(({ address }) => address))
  const strays = new Map<string, number>()
  let scanned = 0
  for (const inspection of session.inspections) {
    let cursor = '0'
    do {
      const page = await inspection.sparks(cursor)
      for (const [, address] of page.items) if (!known.has(address)) strays.set(address, (strays.get(address) ?? 0) + 1)
      scanned += page.items.length
      cursor = page.cursor
    } while (cursor !== '0' && scanned < scan)
  }
  return { strays, scanned }
}
