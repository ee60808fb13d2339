import { deferred, now } from '../common/async'
import { MetroplexError } from '../common/errors'
import { describeRetry, explainRefusal, ReportedFailures } from './refusal'

/** What `PubSubStatus` reports. */
export interface PubSubStatusEvents {
  /**
   * A failure lasts. Each kind is reported once until messages pass again, and a lost connection once until they have
   * passed for three seconds. It is retried.
   */
  failed(error: Error): void
  /** Messages pass again, or no longer pass. */
  changed(): void
}

/** How long a connection that worked may be down before operations fail, in ms. */
const GRACE = 250

/**
 * Whether the connections of pub/sub work: reports failures, and lets operations wait or fail.
 *
 * A short break fails no operation. After a lasting failure, operations fail at once until both connections are ready.
 */
export class PubSubStatus {
  /** Why operations fail at once; `undefined` while they wait for a connection. */
  #trouble: MetroplexError | undefined
  /** The last failure. */
  #failure: MetroplexError | undefined
  readonly #reported = new ReportedFailures()
  /** Whether an echo has arrived since the last failure. */
  #passes = false
  #opening: ReturnType<typeof deferred<true>> | undefined
  /** When it stopped being ready, by `performance.now()`. */
  #since = -Infinity
  #closed = false

  constructor(
    private readonly sharded: boolean,
    private readonly events: PubSubStatusEvents
  ) {}

  /** Why no message reaches or leaves this process, in a sentence; `undefined` while messages pass. */
  get trouble(): string | undefined {
    if (this.#passes || this.#closed) return undefined
    return (
      (this.#trouble ?? this.#failure)?.message ??
      'The connections to Redis for messages between servers are not open yet.'
    )
  }

  /** Wait until both connections are ready, for as long as no lasting failure is known. @throws MetroplexError */
  async ready(): Promise<void> {
    if (this.#closed) throw closedError()
    if (this.#trouble !== undefined) throw this.#trouble
    await (this.#opening ??= deferred<true>()).promise
  }

  /** Both connections are ready. */
  connected(): void {
    this.#trouble = undefined
    this.#opening?.resolve(true)
    this.#opening = undefined
  }

  /** An echo has arrived on these connections: messages pass. */
  passed(): void {
    this.#failure = undefined
    this.#reported.worked()
    if (this.#passes) return
    this.#passes = true
    this.events.changed()
  }

  /** No messages pass. */
  blocked(): void {
    if (!this.#passes) return
    this.#passes = false
    if (!this.#closed) this.events.changed()
  }

  /** A connection was lost or could not be opened. One that worked a moment ago is given time to come back. */
  lost(wasReady: boolean, cause: Error | undefined): void {
    const sentence = describeRetry(' for messages between servers', cause)
    const error = new MetroplexError('EREGISTRY', explainRefusal(sentence, cause, this.sharded), { cause })
    this.blocked()
    if (wasReady) {
      this.#since = now()
      this.failed(error)
    } else if (now() - this.#since > GRACE) {
      this.broken(error)
    }
  }

  /** A command failed. */
  failed(error: MetroplexError): void {
    this.#failure = error
    if (this.#reported.judge(error.cause as Error | undefined, this.sharded) === 'new') this.events.failed(error)
  }

  /** A failure lasts: fail the operations that wait. */
  broken(error: MetroplexError): void {
    this.failed(error)
    // Of two failures keep the one that does not pass by itself.
    const trouble = this.#trouble?.code === 'EPROTOCOL' ? this.#trouble : error
    this.#trouble = trouble
    this.#opening?.reject(trouble)
    this.#opening = undefined
  }

  /** Fail the operations that wait, and all later ones. */
  close(): void {
    this.#closed = true
    this.#opening?.reject(closedError())
  }
}

function closedError(): MetroplexError {
  return new MetroplexError('ECLOSED', 'metroplex was closed in this process: it sends and receives no more.', {
    maybe: false
  })
}
