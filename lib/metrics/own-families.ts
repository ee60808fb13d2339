import type { Core } from '../core/core'
import { ServerCore } from '../core/server-core'
import { histogramSamples, type Family, type Labels, type Sample } from '../common/exposition/family'
import type { Histogram } from '../reporting/histogram'
import { OUTCOMES, type Counter, type Timed } from '../reporting/stats'
import type { State, Statistics } from '../reporting/types'
import { VERSION } from '../reporting/version'

/** What the numbers are read from. */
interface Source {
  readonly core: Core
  readonly stats: Statistics
}

/** One family: how its samples are read. A client has none for which it lacks the part. */
interface Definition extends Omit<Family, 'samples'> {
  readonly read: (source: Source) => readonly Sample[]
}

const STATES: readonly State[] = ['connecting', 'ready', 'degraded', 'draining']

/** All families of a server, in the order in which they are exported. */
const DEFINITIONS: readonly Definition[] = [
  {
    name: 'metroplex_info',
    type: 'info',
    help: 'The process: always 1.',
    read: ({ core }) => [{ labels: describe(core), value: 1 }]
  },
  {
    name: 'metroplex_state',
    type: 'gauge',
    help: 'Whether the server is in this state: 1 for one of them, 0 for the others.',
    read: ofServer(({ stats }) => STATES.map(state => ({ labels: { state }, value: Number(stats.state === state) })))
  },
  gauge('metroplex_redis_up', 'Whether a registry in Redis can be reached.', ({ core }) =>
    Number(core.shards.reachable)
  ),
  serverGauge('metroplex_lease_seconds', 'The option lease.', ({ settings }) => settings.lease / 1000),
  serverGauge(
    'metroplex_lease_remaining_seconds',
    'How long peers consider the server alive without another beat: 0 while it is not registered.',
    ({ settings, shards }) => shards.lives.leaseLeft(settings.lease) / 1000
  ),
  serverGauge('metroplex_sparks', 'Sparks that are connected and registered here.', (_, { sparks }) => sparks),
  serverGauge(
    'metroplex_disowned_sparks',
    'Sparks that are connected here while the registry names another live server.',
    (_, { disowned }) => disowned
  ),
  serverGauge('metroplex_users', 'Sparks that have a user.', (_, { users }) => users),
  serverGauge('metroplex_groups', 'Groups that sparks of this server are in.', (_, { groups }) => groups),
  serverGauge(
    'metroplex_waiting_ids',
    'Connects and disconnects that wait to be written into the registry.',
    (_, { waiting }) => waiting
  ),
  gauge('metroplex_peers', 'Live peers that this process knows.', ({ stats }) => stats.peers),
  gauge('metroplex_remembered_places', 'Sparks of other servers whose places are cached.', ({ stats }) => stats.places),
  gauge(
    'metroplex_queued_messages',
    'Messages that wait for peers, or are in flight.',
    ({ stats }) => stats.queued.messages
  ),
  gauge('metroplex_queued_bytes', 'Bytes that wait for peers, or are in flight.', ({ stats }) => stats.queued.bytes),
  gauge('metroplex_asked_calls', 'Open calls and events of this process.', ({ stats }) => stats.asked),
  serverGauge(
    'metroplex_answering_calls',
    'Calls and events of peers that are being answered.',
    (_, { answering }) => answering
  ),
  serverCounter('metroplex_sparks_connected_total', 'Sparks that have connected.', 'connects'),
  serverCounter('metroplex_sparks_disconnected_total', 'Sparks that have left.', 'disconnects'),
  serverCounter('metroplex_sparks_ended_total', 'Sparks that were ended because of maxBuffered.', 'ended'),
  counter('metroplex_messages_delivered_total', 'Sparks that forwarded messages were handed to.', 'delivered'),
  counter('metroplex_messages_missing_total', 'Ids, users and groups of forwards that no server held.', 'missing'),
  {
    name: 'metroplex_forward_failures_total',
    type: 'counter',
    help: 'Failures of forwards at single servers, by code.',
    read: ({ core }) => byCode(core.stats.failures)
  },
  serverCounter('metroplex_batches_applied_total', 'Batches of peers that were applied.', 'batches'),
  serverCounter('metroplex_batches_repeated_total', 'Batches that arrived again, and were not applied.', 'repeated'),
  counter('metroplex_batches_retried_total', 'Batches that this process has sent again.', 'retried'),
  serverCounter('metroplex_requests_refused_total', 'Requests of peers that were refused.', 'refused'),
  serverCounter('metroplex_healed_entries_total', 'Entries of the registry that heals have repaired.', 'healed'),
  counter('metroplex_looked_up_ids_total', 'Ids of sparks that were looked up in Redis.', 'lookups'),
  serverCounter('metroplex_servers_buried_total', 'Servers that this one has declared dead.', 'buried'),
  serverCounter('metroplex_sparks_reaped_total', 'Entries of dead servers that this one has removed.', 'reaped'),
  counter('metroplex_peers_joined_total', 'Peers that have joined.', 'joins'),
  counter('metroplex_peers_left_total', 'Peers that have left or were found dead.', 'leaves'),
  {
    name: 'metroplex_errors_total',
    type: 'counter',
    help: 'Events `error`, by code; those without a code of ours as other.',
    read: ({ core }) => byCode(core.stats.errors)
  },
  {
    name: 'metroplex_forward_duration_seconds',
    type: 'histogram',
    help: 'How long forwards took, by outcome: delivered, missing or failed.',
    read: ({ core }) => OUTCOMES.flatMap(outcome => histogramSamples({ outcome }, core.stats.forwards[outcome].totals))
  },
  {
    name: 'metroplex_call_duration_seconds',
    type: 'histogram',
    help: 'How long methods of the application took to answer calls, by outcome: ok or failed.',
    read: ofServer(({ core }) =>
      [...core.stats.methods].flatMap(([method, durations]) =>
        (Object.entries(durations) as [outcome: string, histogram: Histogram][]).flatMap(([outcome, { totals }]) =>
          histogramSamples({ method, outcome }, totals)
        )
      )
    )
  },
  durations('metroplex_lookup_duration_seconds', 'How long Redis took to look up sparks.', 'lookup'),
  durations('metroplex_beat_duration_seconds', 'How long beats took that succeeded.', 'beat', true),
  durations('metroplex_commit_duration_seconds', 'How long writes of sparks to the registry took.', 'commit', true),
  durations('metroplex_heal_duration_seconds', 'How long repairs of the registry took.', 'heal', true)
]

/** The numbers of a server or client. They are read from memory: nothing is asked, and nothing can fail. */
export function ownFamilies(core: Core, stats: Statistics): Family[] {
  return DEFINITIONS.flatMap(({ read, ...family }) => {
    const samples = read({ core, stats })
    return samples.length === 0 ? [] : [{ ...family, samples }]
  })
}

function describe(core: Core): Labels {
  const { gateway, shards } = core
  const common = { version: VERSION, node: process.version, transport: gateway.name }
  if (!(core instanceof ServerCore)) return { role: 'client', ...common }
  return { role: 'server', name: core.settings.name, address: shards.lives.address, ...common }
}

function ofServer(read: (source: Source) => readonly Sample[]): Definition['read'] {
  return source => (source.core instanceof ServerCore ? read(source) : [])
}

function gauge(name: string, help: string, value: (source: Source) => number): Definition {
  return { name, type: 'gauge', help, read: source => [{ labels: {}, value: value(source) }] }
}

function serverGauge(name: string, help: string, value: (core: ServerCore, stats: Statistics) => number): Definition {
  const read = ({ core, stats }: Source): Sample[] =>
    core instanceof ServerCore ? [{ labels: {}, value: value(core, stats) }] : []
  return { name, type: 'gauge', help, read }
}

function counter(name: string, help: string, which: Counter): Definition {
  return { name, type: 'counter', help, read: ({ stats }) => [{ labels: {}, value: stats.counters[which] }] }
}

function serverCounter(name: string, help: string, which: Counter): Definition {
  const { read, ...rest } = counter(name, help, which)
  return { ...rest, read: ofServer(read) }
}

function durations(name: string, help: string, which: Exclude<Timed, 'forward'>, serverOnly = false): Definition {
  const read = ({ core }: Source): Sample[] => histogramSamples({}, core.stats.durations(which).totals)
  return { name, type: 'histogram', help, read: serverOnly ? ofServer(read) : read }
}

function byCode(counts: ReadonlyMap<string, number>): Sample[] {
  return [...counts].map(([code, value]) => ({ labels: { code }, value }))
}
