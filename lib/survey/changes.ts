import type { Statistics } from '../reporting/types'
import type { OperatorSession } from './operator-session'
import type { ServerStatus } from '../operations/operator-questions'
import { askStatus, type Answered } from './answers'
import { live, viewCluster, type ClusterView, type ServerView } from './cluster-view'

/** The events that `metroplex watch` tells. */
export const WATCHED = [
  'join',
  'leave',
  'drain',
  'state',
  'reap',
  'heal',
  'error',
  'mute',
  'answers',
  'registry'
] as const

/** Something that has happened in the cluster. */
export interface ClusterEvent {
  readonly event: (typeof WATCHED)[number]
  /** The server that it is about; for `reap`, the one that has cleaned up; `''` for Redis. */
  readonly address: string
  readonly name: string
  /** More about it, by names. */
  readonly detail: Readonly<Record<string, string | number>>
}

/** A server as it was seen last. */
interface Seen {
  readonly server: ServerView
  readonly stats: Statistics | undefined
  /** Why it has not answered; `undefined` when it has, or cannot be asked. */
  readonly failure: string | undefined
}

/** Servers by address and life: the same address started again is another one. */
type Moment = ReadonlyMap<string, Seen>

/** Counters whose growth is an event. */
const COUNTED = [
  ['reap', 'reaped', 'sparks'],
  ['heal', 'healed', 'entries'],
  ['error', 'errors', 'errors']
] as const

/** Compares what the registry and the servers say with what they said before. */
export class ChangeWatcher {
  #last: Moment | undefined

  constructor(private readonly session: OperatorSession) {}

  /** How many servers are alive, as seen last. */
  get servers(): number {
    return this.#last?.size ?? 0
  }

  /** Ask Redis and the servers, and tell what has happened, as `compare`. Rejects when Redis cannot be asked. */
  async look(): Promise<ClusterEvent[]> {
    const view = await viewCluster(this.session)
    return this.compare(view, await askStatus(this.session, view))
  }

  /** What has happened since the last call; nothing at the first one. Rejects when Redis cannot be asked. */
  async compare(view: ClusterView, statuses: ReadonlyMap<string, Answered<ServerStatus>>): Promise<ClusterEvent[]> {
    const present: Moment = new Map(
      live(view).map(server => {
        const answer = statuses.get(server.address)
        const seen = { server, stats: answer?.value?.stats, failure: answer?.failure?.message }
        return [`${server.address} ${server.life}`, seen]
      })
    )
    const last = this.#last
    this.#last = present
    if (last === undefined) return []
    const gone = [...last].filter(([key]) => !present.has(key))
    return [
      ...(await Promise.all(gone.map(([, { server }]) => this.#left(server)))),
      ...[...present].flatMap(([key, seen]) => compared(last.get(key), seen))
    ]
  }

  /** A server is not alive any more: its tombstone says why. */
  async #left(server: ServerView): Promise<ClusterEvent> {
    const { address, life } = server
    const record = (await this.session.shards[0]?.lives([address]))?.get(address)
    const state = record?.life === life ? record.state : record?.former?.life === life ? record.former.farewell : ''
    const why = state === 'left' || state === 'shutdown' ? 'shutdown' : state === '' ? 'unknown' : 'expired'
    return eventOf('leave', server, { why })
  }
}

function compared(before: Seen | undefined, { server, stats, failure }: Seen): ClusterEvent[] {
  const { description, old } = server
  if (before === undefined)
    return [eventOf('join', server, { version: old ? '1.x' : (description?.version ?? ''), sparks: server.sparks })]
  const events: ClusterEvent[] = []
  if (failure !== undefined && before.failure === undefined) events.push(eventOf('mute', server, { error: failure }))
  if (failure === undefined && before.failure !== undefined) events.push(eventOf('answers', server, {}))
  if (stats === undefined || before.stats === undefined) return events
  const { state, counters } = stats
  if (state === 'draining' && before.stats.state !== 'draining')
    events.push(eventOf('drain', server, { sparks: stats.sparks }))
  else if (state !== before.stats.state) events.push(eventOf('state', server, { from: before.stats.state, to: state }))
  for (const [event, counter, unit] of COUNTED) {
    const grown = counters[counter] - before.stats.counters[counter]
    if (grown > 0) events.push(eventOf(event, server, { [unit]: grown }))
  }
  return events
}

function eventOf(
  event: ClusterEvent['event'],
  { address, description }: ServerView,
  detail: ClusterEvent['detail']
): ClusterEvent {
  return { event, address, name: description?.name ?? '', detail }
}
