import { now } from '../common/async'
import { FRESH } from '../lookup/location-cache'
import type { Message } from '../common/encoded-message'
import type { ResultBuilder } from './result-builder'

/** One message to sparks of other servers. */
export interface Errand {
  /** The position of its call among all calls. */
  readonly order: number
  readonly message: Message
  readonly outcome: ResultBuilder
  /** The number of its sparks without a result yet. */
  open: number
  /** The number of its sparks whose first lookup failed, and the error. */
  unknown: number
  failure: Error | undefined
  done: () => void
}

/** One message for one spark. */
export interface Stop {
  readonly errand: Errand
  readonly id: string
  /** Whether the spark has been looked up once more. */
  retried: boolean
}

/** All messages that are under way to one spark. */
export interface Lane {
  readonly id: string
  /** The address of the spark's server; `undefined` during the lookup. */
  place: string | undefined
  /** When the place was known to be right, by `performance.now()`. */
  since: number
  /** The number of messages in flight. */
  flying: number
  /** A message in flight has failed: later messages wait until all messages in flight have settled. */
  stopped: boolean
  /** Messages that wait for a lookup, or for the messages in flight. */
  waiting: Stop[]
  /** Messages that did not find the spark at its place. */
  missed: Stop[]
  /** The order of the last message that was delivered. */
  delivered: number
}

/** A lane for a spark whose place is `place`; `undefined`: not known yet. */
export function openLane(id: string, place: string | undefined): Lane {
  const since = place === undefined ? 0 : now()
  return { id, place, since, flying: 0, stopped: false, waiting: [], missed: [], delivered: -1 }
}

/** An errand for as many sparks, and a promise that resolves when each of them has a result. */
export function openErrand(
  order: number,
  message: Message,
  outcome: ResultBuilder,
  open: number
): { errand: Errand; done: Promise<void> } {
  const errand: Errand = { order, message, outcome, open, unknown: 0, failure: undefined, done: () => undefined }
  const done = new Promise<void>(resolve => {
    errand.done = resolve
  })
  return { errand, done }
}

/**
 * Whether a new message may follow the messages in flight.
 *
 * @param where tells the place of a spark, if that is known without a lookup
 */
export function follows(
  lane: Lane,
  where: { recent(id: string): string | undefined }
): lane is Lane & { place: string } {
  if (lane.place === undefined || lane.stopped) return false
  const time = now()
  if (time - lane.since <= FRESH) return true
  // Without a pause the lane would never be closed. The old server may still take messages for a spark that has moved.
  if (where.recent(lane.id) === lane.place) lane.since = time
  else lane.stopped = true
  return !lane.stopped
}
