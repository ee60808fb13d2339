import { now } from '../../common/async'
import type { MetroplexError } from '../../common/errors'
import type { Outgoing, Reply } from '../envelope'
import type { BatchProgress } from './progress'

/** What an outbox needs of the session with its peer. */
export interface Delivery {
  /** The largest body that the peer accepts, in bytes. */
  readonly maxBody: number
  /** Whether the next batch can be sent now. */
  readonly ready: boolean
  /** Why the last attempt to send a batch in flight failed. */
  readonly lastError: MetroplexError | undefined
  /**
   * Send a batch behind all earlier ones.
   *
   * @param peerLeft aborted when the peer has left, or the outbox is closed
   * @param deferrable whether its answer may come later
   */
  deliver(
    body: Buffer,
    deadline: number,
    peerLeft: AbortSignal,
    deferrable: boolean
  ): { readonly progress: Pick<BatchProgress, 'mayHaveLeft'>; readonly answer: Promise<string> }
}

/** A message that waits or is in flight. */
export interface Item {
  readonly message: Outgoing
  readonly deadline: number
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: MetroplexError) => void
  settled: boolean
}

/** A batch that was handed to the session. */
export interface Flight {
  readonly items: readonly Item[]
  /** When that was, by `performance.now()`. */
  readonly began: number
  readonly progress: Pick<BatchProgress, 'mayHaveLeft'>
}

/** The largest batch whose answer may come later, in bytes. A larger one could hold up those behind it for long. */
const LARGEST = 16_384
/** The least time that must be left for a batch whose answer may come later; in ms. It is several deferrals. */
const LEAST_TIME = 250
/** The least `timeout` with which answers may come later, in ms: a third of it bounds one attempt. */
const LEAST_TIMEOUT = 3 * LEAST_TIME

/** Whether the answer to a batch may come later: no caller waits for a result, and there is time. */
export function isDeferrable(items: readonly Item[], body: Buffer, timeout: number): boolean {
  if (timeout < LEAST_TIMEOUT || body.length > LARGEST) return false
  const soon = now() + LEAST_TIME
  return items.every(({ message: { urgency }, deadline }) => urgency?.urgent === false && deadline > soon)
}
