import { asError, MetroplexError } from '../../common/errors'
import { digest } from '../signature'
import type { Retry } from './retry'

/** The state of a batch that is being delivered, over all attempts. */
export class BatchProgress {
  readonly digest: string
  /** The session in which the batch has its number; `''` while it has none. */
  session = ''
  number = 0
  /** Whether an attempt may have reached the peer. */
  maybe = false
  /** Whether an attempt to send it has begun, so that bytes may have left this process. */
  mayHaveLeft = false
  /** Whether it waits for its answer now. */
  inFlight = false
  /** Whether an attempt has failed. Then the answer is not deferred any more. */
  failed = false
  /** Whether it was sent with leave to answer later, so that further batches may follow before its answer. */
  deferred = false
  /** The peer has refused an earlier batch on the same stream, and so has read no further. */
  unread = false
  /** Whether the secret was read from Redis again for this batch. */
  refreshed = false
  /** How often another server than the peer answered. */
  misdirected = 0

  /**
   * @param deadline by `performance.now()`
   * @param deferrable whether its answer may come later: no caller waits for it
   */
  constructor(
    readonly body: Buffer,
    readonly deadline: number,
    readonly deferrable: boolean
  ) {
    this.digest = digest(body)
  }
}

/** The peer has refused a batch, and reads no further: mark those that were sent behind it. */
export function markUnread(open: Iterable<BatchProgress>, refused: BatchProgress): void {
  let behind = false
  for (const progress of open) {
    if (behind && progress.inFlight) progress.unread = true
    behind ||= progress === refused
  }
}

/** A failed attempt, with its retry policy. */
export class AttemptFailed extends Error {
  constructor(
    readonly error: MetroplexError,
    readonly again: Retry
  ) {
    super(error.message)
  }
}

/** The error of a transport. A custom transport may throw anything. */
export function asTransportError(error: unknown): MetroplexError {
  return error instanceof MetroplexError
    ? error
    : new MetroplexError('EPROTOCOL', `The transport failed: ${asError(error).message}`, { maybe: true, cause: error })
}
