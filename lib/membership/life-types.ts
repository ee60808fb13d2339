import type { Healer } from '../sync/healer'
import type { LeaseTerms } from '../registry/records'
import type { Registry } from '../registry/registry'
import type { LocalSparks } from '../sync/local-sparks'
import type { Writer } from '../sync/writer'
import type { SharedConfig } from './shared-config'
import type { Auditor } from './auditor'
import type { Members } from './members'
import type { Reaper } from './reaper'
import type { Registration } from './registration'
import type { ReadinessEvents } from './readiness'

/** The parts that `Life` works with. */
export interface LifeParts {
  readonly registry: Pick<Registry, 'beat' | 'reclaim' | 'leave' | 'reachable' | 'remains' | 'trouble'>
  readonly table: LocalSparks
  readonly writer: Writer
  readonly healer: Healer
  readonly members: Members
  readonly reaper: Reaper
  readonly registration: Registration
  readonly auditor: Auditor
  readonly agreement: Pick<SharedConfig, 'enter' | 'confirm' | 'keptBy'>
}

/** Periods and limits of a life, in ms. */
export interface LifeTimes extends LeaseTerms {
  /** From one beat to the next. */
  readonly period: number
  /** How long this server keeps the sweep without renewing it. */
  readonly hold: number
  /** Deadline of each operation that a caller waits for. */
  readonly timeout: number
}

/** What `Life` reports. */
export interface LifeEvents extends ReadinessEvents {
  /** A life of this server is registered, the first one at this address or a later one. */
  registered(address: string): void
  /** This server has left, or has given up its attempt to register. */
  unregistered(): void
  /** Another server has the address: this one is not registered, and waits for it. */
  waiting(): void
  /** A provisional take-over has ended: the address is ours for good. Peers do not know yet. */
  settled(): void
  /** A heal has corrected this many entries, in this many ms. */
  healed(sparks: number, ms: number): void
  /** A beat has succeeded, in this many ms. */
  beaten(ms: number): void
}
