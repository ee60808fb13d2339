import type { Farewell } from '../reports'

/** One start of one server. */
export interface Identity {
  readonly address: string
  readonly life: string
}

/** What a server says of itself when it joins. */
export interface Description {
  readonly name: string
  readonly version: string
  readonly protocol: string
  /** Primus's path: our endpoint lies below it. */
  readonly pathname: string
  /** How it talks to its peers. */
  readonly transport: string
  /** Random word of its process, which outlives its lives. */
  readonly word: string
  /** The kinds of messages that it takes, separated by spaces; `''`, as earlier releases have it: `some` and `all`. */
  readonly kinds: string
}

/** How long what we write lives, in ms. */
export interface Terms {
  readonly lease: number
  readonly interval: number
}

/** What became of an attempt to join. */
export type Joined =
  | { readonly as: 'joined'; readonly aside: readonly string[] }
  | { readonly as: 'held'; readonly left: number }
  | { readonly as: 'changed' }

/** What a beat learnt. */
export type Beat =
  | { readonly as: 'gone' | 'other' | 'ended' }
  | {
    readonly as: 'ok'
    /** Number of the last commit the registry has seen. */
    readonly seq: number
    /** How many sparks the registry says we have. */
    readonly sparks: number
    /** Lease, life and listing were all there. */
    readonly whole: boolean
    readonly members: string
    readonly servers: number
    readonly turn: boolean
    /** More than half of the lease was left: we have not been paused. */
    readonly prompt: boolean
    /** How many beats of this life were not prompt. */
    readonly breaks: number
    /** Of how many sparks the registry says that they are ours and have a user. */
    readonly users: number
  }

/** A spark, and the user behind it. */
export type Named = readonly [id: string, user: string]

/** A spark that has another user than the registry says; `undefined`: none. */
export interface Renamed {
  readonly id: string
  readonly from: string | undefined
  readonly to: string | undefined
}

/** A part of a long list of ids, and where the next one begins: `'0'` at the first and after the last. Ids may repeat. */
export interface Slice {
  readonly cursor: string
  readonly ids: string[]
}

/** What became of a write of our sparks, or of their users. */
export type Written<T = string> =
  | { readonly as: 'refused' | 'old' }
  | {
    readonly as: 'ok'
    /** How many entries were wrong, and are right now. */
    readonly missing: number
    /** By their owners: whom they were taken from by a commit; who keeps them otherwise. */
    readonly others: ReadonlyMap<string, readonly T[]>
  }

/** What all servers have to agree upon, and since when, by Redis's clock in epoch ms; `''` for a value that nobody has agreed to yet. */
export interface Agreed {
  readonly value: string
  readonly since: string
}

/** What the registry says of an address that has a life, or had one until lately. */
export interface LifeRecord {
  readonly life: string
  readonly state: 'up' | 'left' | 'dead' | 'reaped'
  readonly aside: readonly string[]
  /** The life before this one at the same address, and how that ended. */
  readonly former?: { readonly life: string; readonly farewell: Farewell }
  /** What it says of itself. */
  readonly description: Description
}

/** What the registry says about who is there: of all, or of those who have joined or left lately. */
export interface Census {
  readonly members: string
  /** How many servers are on the list; of some, more than are told of here. */
  readonly size: number
  /** Whom it tells of. */
  readonly addresses: readonly string[]
  /** Those of them that are on the list. */
  readonly servers: ReadonlySet<string>
  /** By address; also the last words on lives of which nothing is left. */
  readonly lives: ReadonlyMap<string, LifeRecord>
  /** Those of which something is left: those that live, and those still to be cleaned up. */
  readonly kept: ReadonlySet<string>
}

/** Whose turn the sweep is, and how often that one had been paused when it became so. */
export interface Sweeper {
  readonly me: Identity
  readonly breaks: number
}

/** Who shows signs of life. */
export interface Vital {
  readonly leased: boolean
  readonly alive: boolean
}
