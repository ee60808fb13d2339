import type { ClusterError, MetroplexError } from '../errors'

/** Why a message did not arrive at a server, or may not have arrived. */
export interface Failure {
  readonly address: string
  readonly code: MetroplexError['code']
  readonly message: string
  /** `true`: the message was sent and no answer came, so it may have arrived. `false`: it did not arrive. */
  readonly maybe: boolean
  /** The HTTP status of the answer, where there was one that reported a failure. */
  readonly status?: number
  /** The ids the message was for; absent when it was for all sparks. */
  readonly sparks?: readonly string[]
}

/** What became of a message. */
export interface Result {
  /** Nothing failed and nothing is missing. For `forward.sparks`, as in 1.x, missing ids do not count. */
  ok: boolean
  /** How many sparks the message was handed to; for an event, how many handlers succeeded. */
  send: number
  /** `true` when no peer was needed. */
  local?: boolean
  /** Ids or users that no server holds; groups that no spark is in. */
  missing?: string[]
  /** The servers that the message did not reach, or may not have reached. */
  failed?: Failure[]
}

/** A spark of a user, and the address of the server that holds it. */
export interface UserPlace {
  readonly user: string
  readonly spark: string
  readonly address: string
}

/** Whether a user is there. */
export interface UserPresence {
  readonly user: string
  /**
   * `online`: it has sparks on live servers. `leaving`: it has none any more, and the time of the option `grace` runs.
   * `offline`: neither.
   */
  readonly state: 'online' | 'leaving' | 'offline'
  /** How many sparks it has on live servers. */
  readonly sparks: number
}

/** A group: how many sparks are in it, and which servers they are connected to. */
export interface GroupPlace {
  readonly group: string
  /** Exact within a second. */
  readonly sparks: number
  /** The addresses of the live servers that have sparks in the group; none while nothing is in it. */
  readonly servers: readonly string[]
}

/** A spark that is in a group. */
export interface GroupSpark {
  readonly spark: string
  /** Its user; `null` for none. */
  readonly user: string | null
  /** The address of its server. */
  readonly address: string
}

/** What a message to groups leaves out. */
export interface GroupOptions {
  /** The ids of sparks that do not get it. @default none */
  except?: string | readonly string[]
}

/** How sparks are ended. */
export interface EndOptions {
  /** Whether the client reconnects by itself. @default false */
  reconnect?: boolean
}

/** How all sparks of a user are ended. */
export interface EndUserOptions extends EndOptions {
  /**
   * For how long the user is kept out, in ms, from 0 to 2147483647; 0 lets it in again. New sparks that get this user
   * are ended meanwhile. @default the user may come back at once
   */
  for?: number
}

/**
 * A callback that gets the first failure *and* the whole result. Callers of 1.x see the error, new ones see
 * everything.
 */
export type ResultCallback = (error: ClusterError | null, result?: Result) => void

/** Options of `drain`. */
export interface DrainOptions {
  /**
   * After how many ms `drain` resolves although sparks are left; a whole number, at least 0. With 0 no spark is
   * ended. @default 60000
   */
  readonly timeout?: number
  /**
   * The most sparks that are ended in any second; above 0. Above 1 it is rounded down. Below 1 one spark is ended
   * every `1 / rate` seconds. @default 100
   */
  readonly rate?: number
}

/** The progress of a drain since it began. */
export interface Drained {
  /** How many sparks have gone: ended by the drain, or by their clients. */
  moved: number
  /** How many sparks are still connected and served. */
  left: number
}

/** Options of `balance`. */
export interface BalanceOptions {
  /**
   * How many sparks above the mean of the live servers this server may keep, as a share of that mean; from 0 to 1.
   * @default 0.1
   */
  readonly tolerance?: number
  /**
   * The most sparks that are ended in any second; above 0, at most 1000. Above 1 it is rounded down. Below 1 one spark
   * is ended every `1 / rate` seconds. @default 50
   */
  readonly rate?: number
}

/** The checked options of a balance. */
export type BalanceTerms = Readonly<Required<BalanceOptions>>

/**
 * Why a balance ended although this server may have more sparks than its target.
 *
 * * `'connecting'`, `'degraded'`: this server is not registered, or Redis does not answer it.
 * * `'draining'`: this server drains, or another one does.
 * * `'membership'`: a server has joined or left within two leases, or a peer has not renewed its lease.
 * * `'returned'`: most clients that were let go came straight back to this server.
 * * `'destroyed'`: this server was destroyed.
 */
export type BalanceStop = 'connecting' | 'degraded' | 'draining' | 'membership' | 'returned' | 'destroyed'

/** What a balance has done. */
export interface Balanced {
  /** How many sparks it has ended; their clients reconnect. */
  ended: number
  /** How many of their clients came straight back to this server, as far as it can tell. */
  returned: number
  /** How many sparks this server has now. */
  sparks: number
  /** How many it may have: the mean of the live servers and the tolerance; `null` when that could not be asked. */
  target: number | null
  /** Why it ended early; absent when it did all that was to do. */
  stopped?: BalanceStop
}
