import { now } from '../deadline'
import type { Message } from '../message'
import type { Sum } from './sum'

/** One message, on its way to sparks that are not here. */
export interface Errand {
  /** Which came first. */
  readonly order: number
  readonly message: Message
  readonly sum: Sum
  /** How many of its sparks are still open. */
  open: number
  /** For how many the registry could not be asked the first time, and why. */
  unknown: number
  failure: Error | undefined
  done: () => void
}

/** One message for one spark. */
export interface Stop {
  readonly errand: Errand
  readonly id: string
  /** Whether it has been looked up once more. */
  again: boolean
}

/** All that is under way to one spark. */
export interface Lane {
  readonly id: string
  /** Where it is; `undefined` while that is being looked up. */
  place: string | undefined
  /** Since when that is known, by `performance.now()`. */
  since: number
  /** How many of its messages are on their way there. */
  flying: number
  /** Something on the way has failed: nothing follows until all of it has come back. */
  stopped: boolean
  /** What waits for the place, or for what is on its way. */
  waiting: Stop[]
  /** What has come back because the spark was not there. */
  missed: Stop[]
  /** The last one that was handed to the spark. */
  delivered: number
}

/** How long a spark that messages go to without a pause is believed to stay where it is, in ms. */
const YOUNG = 500

/** Whether what comes now may follow what is on its way. */
export function follows(lane: Lane): lane is Lane & { place: string } {
  if (lane.place === undefined || lane.stopped) return false
  // While messages never cease nobody would notice that it has moved and left something behind that still takes them.
  if (now() - lane.since > YOUNG) lane.stopped = true
  return !lane.stopped
}
