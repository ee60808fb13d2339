import { Healer } from '../registry/healer'
import type { Description } from '../registry/records'
import type { Registry } from '../registry/registry'
import { Namer } from '../registry/namer'
import { Table, type TableEvents } from '../registry/table'
import { Writer } from '../registry/writer'
import type { Agreement } from './agreement'
import { Auditor } from './auditor'
import { Life, type LifeEvents } from './life'
import { Members, type MembersEvents } from './members'
import { Reaper } from './reaper'
import { Registration, type Answerer } from './registration'

/** What a server is to each of its registries. */
export interface Part {
  /** How long peers believe in us after a beat, in ms. */
  readonly lease: number
  /** How long the alive key lives, and how long before its end it is renewed at the latest, in ms. */
  readonly interval: number
  readonly latency: number
  /** Bound of everything that somebody waits for, in ms. */
  readonly timeout: number
  readonly description: () => Description
  /** Finds out who listens at an address. */
  readonly ask: (address: string) => Promise<Answerer>
  readonly agreement: Agreement
  /** Under which addresses sparks are registered, in whichever registry they lie. */
  readonly places: (ids: readonly string[]) => Promise<(string | null)[]>
  /** The random word of the nth life. */
  readonly word: (nth: number) => string
}

/** What happens in one registry. */
export interface ShardEvents extends LifeEvents, MembersEvents, TableEvents {
  /** On the one server that cleans up: it has found a server dead. */
  buried(): void
  /** On that server: spark ids of the dead one. */
  reap(address: string, sparks: string[]): void
  /** Sparks of ours have been written; how long it took, in ms. */
  committed(ms: number): void
}

/** How many leases pass between two audits: five minutes by default. */
const LEASES_PER_AUDIT = 20

/** The longest pause between two attempts to reach Redis, in ms. */
const RETRY = 1000

/**
 * For how many leases, at the most, a server is believed in that the registry has forgotten: after a failover each finds its way to the new
 * master in its own time, which is the deadline of what was under way on the old one, and a pause.
 */
const LEASES_OF_PATIENCE = 3

/** From one beat to the next, in ms: three in the time of a lease, and in time for the alive key. */
export function period({ lease, interval, latency }: Pick<Part, 'lease' | 'interval' | 'latency'>): number {
  return Math.floor(Math.min(lease / 3, interval - latency))
}

/** One registry, and our part in it. Introduces to each other whatever has to do with it; a cluster has one, or as many as it has shards. */
export class Shard {
  /** Those of our sparks that lie in this registry. */
  readonly table: Table
  /** Those of our users that lie in this registry. */
  readonly namer = new Namer()
  readonly writer: Writer
  readonly members: Members
  readonly life: Life

  constructor(readonly registry: Registry, part: Part, events: ShardEvents) {
    const { namer } = this
    const table = this.table = new Table(events)
    const { lease, interval, timeout, ask, agreement } = part
    const beats = period(part)
    const hold = 2 * beats
    const writer = this.writer = new Writer(registry, table, namer, {
      doubt: () => { this.life.stir() },
      committed: ms => { events.committed(ms) }
    })
    const healer = new Healer(registry, table, namer.names, writer, part.places)
    const members = this.members = new Members(registry, Math.min(lease + beats + timeout + RETRY, LEASES_OF_PATIENCE * lease), events)
    const reaper = new Reaper(registry, { hold, lease, interval }, {
      buried: (address, life) => {
        events.buried()
        members.buried(address, life)
      },
      reap: (address, sparks) => { events.reap(address, sparks) }
    })
    const registration = new Registration(registry, ask, { lease, interval }, { taken: error => { events.failed(error) } })
    const auditor = new Auditor(healer, registry.remains, LEASES_PER_AUDIT * lease, {
      healed: (sparks, ms) => { events.healed(sparks, ms) },
      reap: (address, sparks) => { events.reap(address, sparks) }
    })
    const companions = { registry, table, writer, healer, members, reaper, registration, auditor, agreement }
    this.life = new Life(companions, part.description, part.word, { lease, interval, period: beats, hold, timeout }, events)
  }
}
