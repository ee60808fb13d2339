/** What the page and the process that serves it tell each other. All types: the page is compiled apart. */

/** The state of Redis, as this process sees it. */
export interface WireRedis {
  /** `opening`: it has not answered yet, and has not failed either. */
  readonly state: 'opening' | 'ok' | 'away'
  /** Where it is dialled, without a password. */
  readonly dialled: string
  /** Why it does not answer, in a sentence; `''` when it does. */
  readonly why: string
  /** How long it took to answer, in ms. */
  readonly took: number
}

/** What all answers carry: the head of the page. */
export interface WireHead {
  readonly namespace: string
  readonly environment: string
  readonly readOnly: boolean
  readonly redis: WireRedis
  /** When the registry was read last, in ms since 1970; 0: never. */
  readonly at: number
  /** How many servers there are, live ones, and those with which something is wrong. */
  readonly servers: number
  readonly alive: number
  readonly wrong: number
  readonly sparks: number
  readonly users: number
  readonly queued: number
  /** The sparks of the last looks, the oldest first. */
  readonly trend: readonly number[]
  /** Things in which servers differ that should be alike, in sentences. */
  readonly differences: readonly string[]
}

/** A server in the table. */
export interface WireServer {
  readonly address: string
  readonly name: string
  readonly state: string
  /** How bad that is: 0 well, 1 worth knowing, 2 something is wrong, 3 it cannot be used. */
  readonly hurt: number
  readonly version: string
  readonly sparks: number
  readonly users: number | null
  readonly queued: number | null
  /** The age of its last beat, in ms. */
  readonly beat: number | null
  /** The 99th percentile of its beats, in ms. */
  readonly p99: number | null
  /** How long its last answer took, in ms. */
  readonly took: number | null
  /** In what it differs from most servers. */
  readonly differs: readonly string[]
  readonly error: string
  readonly trend: readonly number[]
}

/** Something that happened. */
export interface WireEvent {
  readonly seq: number
  /** In ms since 1970. */
  readonly at: number
  readonly event: string
  readonly address: string
  readonly name: string
  readonly detail: Readonly<Record<string, string | number>>
}

export interface ServersAnswer {
  readonly head: WireHead
  readonly servers: readonly WireServer[]
  /** The number of this page, from 0, and of all pages. */
  readonly page: number
  readonly pages: number
}

export interface ServerAnswer {
  readonly head: WireHead
  /** `null`: no server is registered at the address any more. */
  readonly server: WireServer | null
  /** What it says of its health; `null` when it does not answer. */
  readonly health: { readonly reasons: readonly string[]; readonly warnings: readonly string[] } | null
  /** Its options, by name. */
  readonly options: Readonly<Record<string, string>>
  /** Its numbers, by name. */
  readonly figures: Readonly<Record<string, number>>
  /** Latencies in ms, by operation. */
  readonly latencies: Readonly<Record<string, { readonly count: number; readonly p50: number; readonly p99: number }>>
  readonly events: readonly WireEvent[]
  /** Whether it can be told to drain. */
  readonly drainable: boolean
}

export interface EventsAnswer {
  readonly head: WireHead
  readonly events: readonly WireEvent[]
}

/** A spark in a list. `age` in ms. */
export interface WireSpark {
  readonly spark: string
  readonly address: string
  /** The name of its server. */
  readonly server?: string
  readonly user?: string | null
  readonly groups?: readonly string[]
  readonly age?: number
  readonly transport?: string
  /** As JSON. */
  readonly info?: string
}

export interface SparksAnswer {
  readonly head: WireHead
  readonly sparks: readonly WireSpark[]
  /** Where the list continues; `null` at its end. */
  readonly next: string | null
}

export interface FindAnswer {
  readonly head: WireHead
  readonly servers: readonly WireServer[]
  readonly spark: (WireSpark & { readonly alive: boolean }) | null
  readonly user: { readonly total: number; readonly sparks: readonly WireSpark[] } | null
  readonly group: {
    readonly total: number
    readonly servers: readonly { readonly address: string; readonly sparks: number }[]
    readonly sparks: readonly WireSpark[]
  } | null
  /** Why a part is missing. */
  readonly failures: readonly string[]
}

export interface DoctorAnswer {
  readonly head: WireHead
  readonly findings: readonly {
    readonly code: string
    readonly severity: string
    readonly what: string
    readonly remedy: string
    readonly servers: readonly string[]
  }[]
  readonly scanned: number
}

/** What became of a message, or of an end. */
export interface ActionAnswer {
  readonly send: number
  readonly missing: readonly string[]
  readonly failed: readonly string[]
}

export interface DrainAnswer {
  readonly sparks: number
}
