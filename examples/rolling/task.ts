import type { Drained } from 'metroplex'

/** The configuration of one server of the rolling restart. */
export interface Task {
  readonly name: string
  readonly redisUrl: string
  readonly namespace: string
  readonly port: number
  /** How many sparks a second a drain ends. */
  readonly rate: number
}

/** A command to a server. */
export type Order =
  /** Send to these sparks from now on, in turn. */
  | { readonly known: readonly string[] }
  /** Report where these sparks are. */
  | { readonly find: readonly string[] }

/** What became of a message: handed to its spark; no server has the spark; not arrived; unknown. */
export type Outcome = 'sent' | 'missing' | 'failed' | 'unknown'

/** What a server reports. */
export type Report =
  | { readonly registered: string }
  /** By the number of each message. */
  | { readonly outcomes: readonly (readonly [n: string, outcome: Outcome])[] }
  /** The drain is over. `most`: the most sparks that left in one second. */
  | { readonly drained: Drained; readonly most: number }
  /** The ids that are connected here, and the places of the given ids. */
  | { readonly here: readonly string[]; readonly places: readonly (string | null)[] }

/**
 * The environment variable with the task. It is no argument, because the URL of Redis may hold a password and `ps`
 * shows arguments.
 */
export const TASK = 'METROPLEX_ROLLING_TASK'

/** The task of this process. */
export function task(): Task {
  const written = process.env[TASK]
  if (written === undefined)
    throw new Error('This file is a part of an example: run `node dist/examples/rolling-restart.js`.')
  return JSON.parse(written) as Task
}
