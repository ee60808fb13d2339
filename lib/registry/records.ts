import type { Farewell } from '../reporting/types'

/** Which life: one start of one server. */
export interface LifeId {
  readonly address: string
  /** A random id of its own, because an address is used again. */
  readonly life: string
}

/** How a server describes itself when it joins. */
export interface Description {
  readonly name: string
  readonly version: string
  readonly protocol: string
  /** Primus's path: our endpoint lies below it. */
  readonly pathname: string
  /** The name of the transport that it uses. */
  readonly transport: string
  /** The node id of its process, which outlives its lives. */
  readonly word: string
  /** The kinds of messages that it takes, separated by spaces. `''`, from earlier releases, means `some` and `all`. */
  readonly kinds: string
  /** Names the network of its loopback and link-local addresses. `''`, from earlier releases, means unknown. */
  readonly network: string
  /**
   * The characters in which the ids of its sparks end. `''`: its ids say nothing, as those of earlier releases, and of
   * an application with an `idGenerator`.
   */
  readonly tag: string
  /** `'1'`: it drains. */
  readonly drains: string
}

/** How long the keys of a server last, in ms. */
export interface LeaseTerms {
  /** Of the lease. */
  readonly lease: number
  /** Of the alive key. */
  readonly interval: number
}

/** The result of an attempt to join. */
export type Joined =
  | ({ readonly as: 'joined' } & Entered)
  /** Another life holds a lease for `left` ms more. */
  | { readonly as: 'held'; readonly left: number }
  /** Another life than the expected one is at the address, or ours has ended. */
  | { readonly as: 'changed' }
  /** We had joined without knowing it, and a former life has taken the address back since. */
  | { readonly as: 'lost' }

/** What a life finds at its address when it joins or takes the address back. */
export interface Entered {
  /** The names of the sets that former lives left behind. */
  readonly aside: readonly string[]
  /** Those of these lives that may be alive: they can take the address back for the rest of their lease. */
  readonly over: readonly string[]
}

/** The life at an address, and its lease. */
export interface Resident {
  /** `''` for none. */
  readonly life: string
  /** The life that holds the lease; `''` for none. */
  readonly lease: string
  /** How long the lease still lasts, in ms; 0 for none. */
  readonly left: number
  /** Primus's path, as the life describes it; `''` for none. */
  readonly pathname: string
}

/** The answer to a beat. */
export type Beat =
  | { readonly as: 'gone' | 'other' | 'ended' }
  /** Another life has replaced ours although our lease still ran: ours can take the address back. */
  | { readonly as: 'former'; readonly holder: string }
  | {
      readonly as: 'ok'
      /** The number of the last write that the registry accepted from us. */
      readonly seq: number
      /** How many sparks are registered under our address. */
      readonly sparks: number
      /** Whether the lease, the life and our entries in the lists were all there. */
      readonly whole: boolean
      /** The counter of joins and departures. */
      readonly members: string
      /** How many servers are listed. */
      readonly servers: number
      /** Whether it is our turn to sweep. */
      readonly turn: boolean
      /** Whether more than half of the lease was left, so that we were not paused. */
      readonly prompt: boolean
      /** How many beats of this life were not prompt. */
      readonly breaks: number
      /** How many of the sparks registered under our address have a user. */
      readonly users: number
      /** In how many groups the registry lists this server. */
      readonly groups: number
      /** Whether Redis has memory for new entries. */
      readonly room: boolean
      /** Whether the registry keeps the shared configuration that the beat was given. */
      readonly agreed: boolean
      /** Whether the clock of Redis was set back since our last beat: keys now last longer than they should. */
      readonly back: boolean
    }

/** A spark, and the user behind it. */
export type Named = readonly [id: string, user: string]

/** A spark whose user has changed; `undefined` stands for no user. */
export interface Renamed {
  readonly id: string
  readonly from: string | undefined
  readonly to: string | undefined
}

/** A group, and how many sparks of one server are in it. */
export type GroupCount = readonly [group: string, sparks: number]

/** A page of ids. Ids may repeat. */
export interface Slice {
  /** Where the next page begins; `'0'` before the first page and after the last. */
  readonly cursor: string
  readonly ids: string[]
}

/** A page of entries. They may repeat. */
export interface Page<Item> {
  /** Where the next page begins; `'0'` before the first page and after the last. */
  readonly cursor: string
  readonly items: readonly Item[]
}

/** Ids that have connected, and ids that have disconnected. */
export interface SparkChanges {
  readonly connects: readonly string[]
  readonly disconnects: readonly string[]
}

/** The result of a write of entries of ours. */
export type CommitOutcome<T = string> =
  /** `refused`: the life is not ours any more. `old`: the registry has accepted this number, or a later one, before. */
  | { readonly as: 'refused' | 'old' }
  | {
      readonly as: 'ok'
      /** How many entries were wrong or missing, and are right now. */
      readonly missing: number
      /** Entries by their owner: the one that a commit took them from, or the one that keeps them. */
      readonly others: ReadonlyMap<string, readonly T[]>
      /** Entries that the registry lacks, because Redis has no memory for them. */
      readonly unwritten: readonly T[]
    }

/** A value that all servers share. */
export interface Agreed {
  readonly value: string
  /** When it was first written, by Redis's clock in epoch ms; `''` for a value that is only proposed. */
  readonly since: string
}

/** The shared configuration that one registry keeps; `undefined` for a part that it does not keep. */
export interface SharedValues {
  readonly secret: Agreed | undefined
  readonly layout: Agreed | undefined
}

/** What the registry knows of an address that has a life or a tombstone. */
export interface LifeRecord {
  readonly life: string
  readonly state: 'up' | 'left' | 'dead' | 'reaped'
  /** The names of the sets that former lives left behind. */
  readonly aside: readonly string[]
  /** The former lives that it has replaced, and that may still be alive. */
  readonly over: readonly string[]
  /** The life before this one at the same address, and how that life ended. */
  readonly former?: { readonly life: string; readonly farewell: Farewell }
  readonly description: Description
}

/** What the registry knows of the servers: of all, or of those that joined or left lately. */
export interface Census {
  /** The counter of joins and departures. */
  readonly members: string
  /** How many servers are listed in all. */
  readonly size: number
  /** The addresses that this census covers. */
  readonly addresses: readonly string[]
  /** Those of them that are listed. */
  readonly servers: ReadonlySet<string>
  /** Lives and tombstones, by address. */
  readonly lives: ReadonlyMap<string, LifeRecord>
  /** The addresses in `lives`: servers that are alive, and servers with something left to clean up. */
  readonly kept: ReadonlySet<string>
}

/** The server whose turn the sweep is. */
export interface Sweeper {
  readonly me: LifeId
  /** How many of its beats were not prompt when its turn began. */
  readonly breaks: number
  /** Whether Redis refuses writes that need memory: then live servers of 1.x cannot renew their alive keys. */
  readonly full: boolean
}

/** Which servers there are, and which of those that the caller knew have a lease. */
export interface Survey {
  /** The addresses of the listed servers. */
  readonly servers: ReadonlySet<string>
  /** The addresses with a life: servers that are alive, and servers with something left to clean up. */
  readonly kept: ReadonlySet<string>
  readonly leased: ReadonlySet<string>
}

/** Which signs of life a server shows. */
export interface Vital {
  readonly leased: boolean
  readonly alive: boolean
}
