import { ObservedPromise, type Urgency } from '../common/async'
import { ignore, isCallback } from '../common/callback'
import { MetroplexError, type ClusterError, type ForwardedPacket } from '../common/errors'
import type { Failure, Result, ResultCallback } from '../common/types'

/** The part of a result that says what has failed. */
type Outcome = Pick<Result, 'failed' | 'local'>

/** The first failure of a forward, with the properties that callers of omega-supreme read. */
export class ForwardError extends MetroplexError {
  /** The HTTP status of the peer's answer; 500 without one. */
  override readonly status: number
  override readonly type: 'broadcast' | 'spark' | 'sparks'
  override readonly packet: ForwardedPacket

  constructor({ code, message, address, maybe, status = 500 }: Failure, packet: ForwardedPacket) {
    // Callers compare omega-supreme's message for an answer that it cannot parse.
    if (status === 200) {
      const cause = new MetroplexError(code, message, { address, maybe, status })
      super(code, 'Unable to process the request', { address, maybe, cause })
    } else super(code, message, { address, maybe })
    this.status = status
    const { msg, sparks = '' } = packet
    this.type = Array.isArray(sparks) ? 'sparks' : sparks === '' || sparks === null ? 'broadcast' : 'spark'
    this.packet = { msg, sparks }
  }
}

/**
 * Return a result by callback or promise.
 *
 * A callback gets the first failure *and* the whole result, and `self` is returned for chaining. Without a callback, a
 * promise is returned, which never causes an unhandled rejection.
 *
 * @param packet the forwarded message, for the error; `undefined` for other operations
 */
export function deliverResult<Self, R extends Outcome = Result>(
  promise: Promise<R>,
  fn: ((error: ClusterError | null, result?: R) => void) | undefined,
  self: Self,
  packet?: ForwardedPacket,
  shape: (result: R) => R = same
): Self | Promise<R> {
  promise.catch(ignore)
  if (!isCallback(fn)) return promise
  promise.then(
    result => {
      const shaped = shape(result)
      process.nextTick(fn, failure(shaped, packet), shaped)
    },
    (error: unknown) => process.nextTick(fn, error)
  )
  return self
}

/**
 * Forward a message, and return its result as `deliverResult` does. The promise that it returns notes whether a caller
 * waits for it, until the message leaves. A callback always waits.
 *
 * @param start forwards a message whose result is as urgent as that
 * @throws TypeError for a callback that is none, before anything is forwarded
 */
export function forwardObserved<Self>(
  start: (urgency: Urgency | undefined) => Promise<Result>,
  fn: ResultCallback | undefined,
  self: Self,
  packet: ForwardedPacket,
  shape: (result: Result) => Result = same
): Self | Promise<Result> {
  if (isCallback(fn)) return deliverResult(start(undefined), fn, self, packet, shape)
  const urgency = { urgent: false }
  const observed = new ObservedPromise(start(urgency), urgency)
  observed.catch(ignore)
  return observed
}

/** The first failure of a result, as an error. */
function failure({ failed, local }: Outcome, packet: ForwardedPacket | undefined): MetroplexError | null {
  const first = failed?.[0]
  if (first !== undefined) {
    const { code, message, address, maybe, status } = first
    if (packet !== undefined) return new ForwardError(first, packet)
    return new MetroplexError(code, message, { address, maybe, status })
  }
  // There was no server to ask. Callers of 1.x look for this message.
  if (local !== false) return null
  return new MetroplexError('ENOSPARK', 'No servers provided')
}

function same<R>(result: R): R {
  return result
}
