import { now } from '../../common/async'
import { MetroplexError } from '../../common/errors'

/** The number of failures in a row after which the circuit opens. */
const FAILURES = 3
/** The first and the longest time for which it is open, in ms. */
const [PAUSE, LONGEST_PAUSE] = [100, 2000]

/**
 * A circuit breaker: when a peer cannot be reached several times in a row, messages to it fail at once for up to two
 * seconds, so that callers need not wait for their deadlines.
 */
export class CircuitBreaker {
  /** The number of failures in a row. */
  #failures = 0
  /** Why the peer could not be reached last. */
  #reason: MetroplexError | undefined
  /** Until when the circuit is open, by `performance.now()`. */
  #until = 0

  /** The error with which a message fails while the circuit is open; `undefined` while messages pass. */
  get refusal(): MetroplexError | undefined {
    const reason = now() < this.#until ? this.#reason : undefined
    if (reason === undefined) return undefined
    const { code, message, address = '', status } = reason
    return new MetroplexError(code, `${message} The next attempt follows soon.`, {
      address,
      maybe: false,
      status,
      cause: reason
    })
  }

  /** The peer could not be reached. */
  failed(error: MetroplexError): void {
    this.#reason = error
    if (++this.#failures < FAILURES) return
    const pause = Math.min(PAUSE * 2 ** (this.#failures - FAILURES), LONGEST_PAUSE)
    this.#until = now() + pause * (0.5 + Math.random() / 2)
  }

  /** The peer has answered. */
  worked(): void {
    this.#failures = 0
    this.#until = 0
  }
}
