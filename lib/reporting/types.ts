import type { ClusterError } from '../common/errors'
import type { Balanced, Spark } from '../common/types'

/** Why a spark is refused. */
export type RefusalReason = 'limit' | 'barred'

/** Why a peer left: `'shutdown'`: it said so; `'expired'`: its lease ran out. */
export type Farewell = 'shutdown' | 'expired'

/**
 * The state of a server.
 *
 * * `'connecting'`: not registered yet, or not any more.
 * * `'ready'`: registered, the registry is right about it as far as a beat can tell, and messages pass.
 * * `'degraded'`: it was ready; now Redis does not answer or carries no messages, or an entry is being repaired. It
 *   recovers by itself.
 * * `'draining'`: it takes no new sparks, because `drain` was called or its HTTP server was closed.
 */
export type State = 'connecting' | 'ready' | 'degraded' | 'draining'

/** Whether a server can do its work; for a load balancer or an operator. */
export interface Health {
  /** `true` when `reasons` is empty. */
  ok: boolean
  state: State
  /** Why the server is not `ok`, in sentences. */
  reasons: string[]
  /**
   * What is unusual but need not be a failure, in sentences; for example peers that cannot be reached at their
   * addresses.
   */
  warnings: string[]
}

/** How long an operation took, in ms. `p50` and `p99` are quantiles, accurate within a fifth. */
export interface Latency {
  count: number
  p50: number
  p99: number
  max: number
}

/** A snapshot of a server: its state, its current numbers, and totals since it started. */
export interface Statistics {
  state: State
  /** How long the server has been in its `state`, in ms. */
  since: number
  /** Sparks that are connected to this server and registered as its own. */
  sparks: number
  /** Sparks that are connected to this server while the registry names another live server for their ids. */
  disowned: number
  /** Sparks of this server that have a user. */
  users: number
  /** Groups that sparks of this server are in. */
  groups: number
  /** Ids of connects and disconnects that wait to be written into the registry. */
  waiting: number
  /** Live peers. */
  peers: number
  /** Remembered places of sparks of other servers: forwards use them while Redis does not answer. */
  places: number
  /** Messages and bytes that wait to be sent to peers, or are in flight. */
  queued: { messages: number; bytes: number }
  /**
   * `asked`: open calls and events of this server. `answering`: calls and events of peers that this server is
   * answering.
   */
  asked: number
  answering: number
  counters: {
    /** `connects` and `disconnects`: sparks that connected to this server, and those that left it. */
    connects: number
    disconnects: number
    /** Writes of sparks to the registry; one write carries many sparks. */
    commits: number
    beats: number
    /** `heals`: repairs of the registry's entries about this server. `healed`: entries that were repaired. */
    heals: number
    healed: number
    /** Ids that were looked up in Redis. */
    lookups: number
    /** `buried`: servers that this server declared dead. `reaped`: spark ids of dead servers that it removed. */
    buried: number
    reaped: number
    joins: number
    leaves: number
    errors: number
    /**
     * `forwards`: messages forwarded. `delivered`: sparks they were handed to. `missing`: ids that no server held.
     * `failed`: failures.
     */
    forwards: number
    delivered: number
    missing: number
    failed: number
    /**
     * `batches`: batches of peers that were applied. `repeated`: batches that arrived again and were not applied
     * again. `refused`: requests that were refused. `retried`: batches that this server sent again.
     */
    batches: number
    repeated: number
    refused: number
    retried: number
    /** Sparks that were ended because their socket held more unsent bytes than `maxBuffered`. */
    ended: number
  }
  latencies: { commit: Latency; beat: Latency; heal: Latency; lookup: Latency; forward: Latency }
}

/** The events of `primus.metroplex`; the first three are also emitted on `primus`. */
export interface MetroplexEvents {
  /** This server is registered at this address. */
  register: (address: string) => void
  /** This server has left the registry, or has removed another server from it. */
  unregister: (address: string) => void
  /** Something in the background failed and is retried. Without a listener nothing is thrown. */
  error: (error: ClusterError) => void
  /** The state of this server changed. */
  state: (state: State) => void
  /** A peer joined; `life` is `''` for a server of metroplex 1.x. */
  join: (address: string, life: string) => void
  /** A peer left, or was found dead. Once per life on each server. */
  leave: (address: string, why: Farewell, life: string) => void
  /** A server drains, this one or a peer: it refuses new sparks and lets its own move elsewhere. */
  drain: (address: string, life: string) => void
  /** This server has ended sparks to even out the cluster, by `balance` or by the option `balance`. */
  balance: (balanced: Balanced) => void
  /**
   * The registry had this many wrong entries about this server and has been repaired. With `shards`, once per shard.
   */
  heal: (healed: { sparks: number }) => void
  /**
   * A spark of this server is ended, because its user has more sparks than the option `limit` allows (`'limit'`), or is
   * kept out by `endUser` (`'barred'`). A listener may still write to the spark. Its client does not reconnect.
   */
  refused: (spark: Spark, user: string, why: RefusalReason) => void
  /** On the one server that cleans up after a dead server: a slice of its spark ids. Each id is named at least once. */
  reap: (address: string, sparks: string[]) => void
}
