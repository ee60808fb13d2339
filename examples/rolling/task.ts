import type { Drained } from 'metroplex'

/** What one server of the rolling restart is told before it begins. */
export interface Task {
  readonly name: string
  readonly redisUrl: string
  readonly namespace: string
  readonly port: number
  /** So many sparks are let go a second. */
  readonly rate: number
}

/** What a server does when it is told to. */
export type Order =
  /** Send to these from now on, to one after the other. */
  | { readonly known: readonly string[] }
  /** Say where these are. */
  | { readonly find: readonly string[] }

/** What has become of a message: it was handed to its spark; nobody has that; it did not get there; nobody knows. */
export type Outcome = 'sent' | 'missing' | 'failed' | 'unknown'

/** What a server tells. */
export type Report =
  | { readonly registered: string }
  /** By the number of each message. */
  | { readonly outcomes: readonly (readonly [n: string, outcome: Outcome])[] }
  /** Its drain is over; so many went in that second which saw most of them go. */
  | { readonly drained: Drained; readonly most: number }
  /** The ids that are connected here, and where those are that were asked for. */
  | { readonly here: readonly string[]; readonly places: readonly (string | null)[] }

/** The variable of the environment in which a task is handed over: the URL of Redis may hold a password, and arguments would show it to `ps`. */
export const TASK = 'METROPLEX_ROLLING_TASK'

/** The task of this process. */
export function task(): Task {
  const written = process.env[TASK]
  if (written === undefined) throw new Error('This file is a part of an example: run `node dist/examples/rolling-restart.js`.')
  return JSON.parse(written) as Task
}
