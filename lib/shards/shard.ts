import { Healer } from '../sync/healer'
import type { Description } from '../registry/records'
import type { Registry } from '../registry/registry'
import { PendingGroups } from '../sync/pending-groups'
import { PendingUsers } from '../sync/pending-users'
import { LocalSparks, type LocalSparksEvents } from '../sync/local-sparks'
import { PresenceMemory } from '../sync/presence-memory'
import { Writer } from '../sync/writer'
import type { State } from '../reporting/types'
import type { SharedConfig } from '../membership/shared-config'
import { Auditor } from '../membership/auditor'
import type { LifeEvents } from '../membership/life-types'
import { Life } from '../membership/life'
import { Members, type MembersEvents } from '../membership/members'
import { Reaper } from '../membership/reaper'
import { Registration, type Answerer } from '../membership/registration'
import type { RegistriesTerms } from './registries'
import type { MembershipMergerEvents } from './membership-merger'

/** What only a server needs. */
export interface ServerPart {
  /** What the server says of itself in the registry. */
  readonly description: () => Description
  /** The tag in the ids of its sparks; `''` while they have none. */
  readonly tag: () => string
  /** Finds out which process answers at an address, for a server with this path of Primus. */
  readonly ask: (address: string, pathname: string) => Promise<Answerer>
}

/** What a shard needs to know of this process. */
export interface Part {
  /** How long peers consider this server alive after a beat, in ms. */
  readonly lease: number
  /** How long the alive key lives, and how long before its expiry it is renewed at the latest, in ms. */
  readonly interval: number
  readonly latency: number
  /** Deadline of each operation that a caller waits for, in ms. */
  readonly timeout: number
  /** Absent for a process that only asks: it does not register. */
  readonly server: ServerPart | undefined
  /** How long the last spark of a user or group may be gone until that has ended, in ms. */
  readonly grace?: number | undefined
  readonly agreement: SharedConfig
  /** The addresses under which sparks are registered, in all shards. */
  readonly places: (ids: readonly string[]) => Promise<(string | null)[]>
  /** The random id of the nth life. */
  readonly nthLife: (nth: number) => string
  /** Whether another server has our address in the shard that decides for all. */
  readonly yields: () => boolean
}

/** What a shard reports. */
export interface ShardEvents extends LifeEvents, MembersEvents, LocalSparksEvents {
  /** The sweep of this server has declared a server dead. */
  buried(): void
  /** The sweep of this server removes these spark ids of a dead server. */
  reap(address: string, sparks: string[]): void
  /** Another live server has our address. */
  taken(error: Error): void
  /** A commit of sparks has succeeded, in this many ms. */
  committed(ms: number): void
}

/** The settings of `Shards`. */
export type ShardsSettings = Omit<Part, 'agreement' | 'places' | 'nthLife' | 'yields'> & RegistriesTerms

/** What `Shards` reports: each event of the cluster once, for any number of shards. */
export interface ShardsEvents extends MembershipMergerEvents {
  /** A heal has corrected this many entries in one shard. */
  healed(sparks: number): void
  /** This server has declared a server dead. Peers do not know it yet. */
  buried(): void
  reap(address: string, sparks: string[]): void
  /** A provisional take-over of our address has ended. Peers do not know it yet. */
  settled(): void
  failed(error: Error): void
  changed(state: State): void
}

/** How many leases pass between two audits: five minutes by default. */
const LEASES_PER_AUDIT = 20

/** The longest pause between two attempts to reach Redis, in ms. */
const RETRY = 1000

/**
 * How many leases a server that is missing from the registry stays in the live set at most. After a failover each
 * server reaches the new master in its own time: the deadline of its commands on the old one, and a pause.
 */
const LEASES_OF_PATIENCE = 3

/** From one beat to the next, in ms: three times a lease, and before the alive key expires. */
export function period({ lease, interval, latency }: Pick<Part, 'lease' | 'interval' | 'latency'>): number {
  return Math.floor(Math.min(lease / 3, interval - latency))
}

/** One registry and the parts of this process that work with it. Creates those parts and connects them. */
export class Shard {
  /** The sparks of this server that lie in this registry. */
  readonly table: LocalSparks
  /** The users of this server that lie in this registry. */
  readonly pendingUsers = new PendingUsers()
  /** The groups of this server that lie in this registry. */
  readonly pendingGroups = new PendingGroups(() => {
    this.writer?.writeCountsLater()
  })
  /** Absent for a process that only asks. */
  readonly writer: Writer | undefined
  readonly members: Members
  /** Absent for a process that only asks. */
  readonly life: Life | undefined

  constructor(
    readonly registry: Registry,
    part: Part,
    events: ShardEvents
  ) {
    const { lease, timeout, server } = part
    this.table = new LocalSparks(events)
    this.members = new Members(
      registry,
      Math.min(lease + period(part) + timeout + RETRY, LEASES_OF_PATIENCE * lease),
      events
    )
    if (server === undefined) return
    const { pendingUsers: users, pendingGroups: groups } = this
    const presence =
      part.grace === undefined
        ? undefined
        : new PresenceMemory(registry.presence, part.grace, { u: users.names, g: groups.names })
    const entries = { sparks: this.table, users, groups, presence, places: part.places }
    this.writer = new Writer(registry, entries, {
      doubt: () => {
        this.life?.beatNow()
      },
      committed: ms => {
        events.committed(ms)
      },
      postponed: () => {
        this.life?.standing.full(true)
      }
    })
    this.life = this.#openLife(this.writer, part, server, events)
  }

  #openLife(writer: Writer, part: Part, server: ServerPart, events: ShardEvents): Life {
    const { registry, table, members } = this
    const { lease, interval, timeout, agreement } = part
    const beats = period(part)
    const hold = 2 * beats
    const healer = new Healer(registry, table, writer)
    const reaper = new Reaper(
      registry,
      { hold, lease, interval },
      {
        buried: (address, life) => {
          events.buried()
          members.buried(address, life)
        },
        reap: (address, sparks) => {
          events.reap(address, sparks)
        }
      }
    )
    const registration = new Registration(registry, server.ask, { lease, interval }, events, part.yields)
    const auditor = new Auditor(healer, registry.remains, LEASES_PER_AUDIT * lease, {
      healed: (sparks, ms) => {
        events.healed(sparks, ms)
      },
      reap: (address, sparks) => {
        events.reap(address, sparks)
      }
    })
    const parts = { registry, table, writer, healer, members, reaper, registration, auditor, agreement }
    return new Life(parts, server.description, part.nthLife, { lease, interval, period: beats, hold, timeout }, events)
  }
}
