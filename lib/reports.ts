/** Why a server left: it said so, or its lease ran out. */
export type Farewell = 'shutdown' | 'expired'

/**
 * How a server stands with the registry: not registered yet; all that the registry says of it is right, as far as it knows; or it was so,
 * and Redis cannot be asked, or something is being put right. Or it takes no new sparks, because it has been told to `drain`.
 */
export type State = 'connecting' | 'ready' | 'degraded' | 'draining'

/** Whether a server can do its work, for a load balancer or an operator. */
export interface Health {
  /** There is no reason why not. */
  ok: boolean
  state: State
  /** Why not, in sentences. */
  reasons: string[]
  /** What is odd, and need not be wrong. */
  warnings: string[]
}

/** How long something took, in ms; the quantiles are exact within a fifth. */
export interface Latency {
  count: number
  p50: number
  p99: number
  max: number
}

/** What a server has done since it started, and how it stands. */
export interface Statistics {
  state: State
  /** For how long, in ms. */
  since: number
  /** Sparks that are connected here, and ours to answer for. */
  sparks: number
  /** Sparks that are connected here, while by the registry another server that lives has their ids. */
  disowned: number
  /** Sparks that are connected here and have a user. */
  users: number
  /** Ids that are waiting to be written into the registry. */
  waiting: number
  /** Peers that live. */
  peers: number
  /** Places that forwards can go by while Redis cannot be asked. */
  places: number
  /** What waits to be sent to peers, or is on its way. */
  queued: { messages: number; bytes: number }
  /** Questions to servers whose answers are waited for, and questions of servers that are being answered: calls, events. */
  asked: number
  answering: number
  counters: {
    /** Sparks that came, and went. */
    connects: number
    disconnects: number
    /** Writes of our sparks, many in each. */
    commits: number
    beats: number
    /** How often the registry was wrong about us, and in how many entries. */
    heals: number
    healed: number
    /** Ids that the registry was asked for. */
    lookups: number
    /** Servers that we have found dead, and their sparks that we have removed. */
    buried: number
    reaped: number
    joins: number
    leaves: number
    errors: number
    /** Messages forwarded; sparks they were handed to; ids that nobody had; failures. */
    forwards: number
    delivered: number
    missing: number
    failed: number
    /** Batches of peers that were carried out; that came once more, and were not; requests that were refused; batches of ours that were sent once more. */
    batches: number
    repeated: number
    refused: number
    retried: number
    /** Sparks that were ended because they did not take what they were sent. */
    ended: number
  }
  latencies: { commit: Latency; beat: Latency; heal: Latency; lookup: Latency; forward: Latency }
}

/** What `primus.metroplex` emits; the first three also appear on `primus`. */
export interface MetroplexEvents {
  /** We are registered at this address. */
  register: (address: string) => void
  /** This address has been removed by us. */
  unregister: (address: string) => void
  /** Something in the background went wrong; it goes on by itself. Nothing is thrown for want of a listener. */
  error: (error: Error) => void
  /** We stand otherwise with the registry than before. */
  state: (state: State) => void
  /** A peer is there; `life` is `''` for one that runs metroplex 1.x. */
  join: (address: string, life: string) => void
  /** A peer has gone. Once per life on each server. */
  leave: (address: string, why: Farewell, life: string) => void
  /** A server refuses new sparks, and lets those that it has go: a peer, or we ourselves. */
  drain: (address: string, life: string) => void
  /** The registry was wrong about us in this many entries, and has been put right. */
  heal: (healed: { sparks: number }) => void
  /** On the one server that cleans up after a dead one: some of its spark ids; each is named at least once. */
  reap: (address: string, sparks: string[]) => void
}
