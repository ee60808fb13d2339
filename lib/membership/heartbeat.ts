import { now } from '../common/async'
import { asError } from '../common/errors'

/** The pauses between beats, in ms. */
export interface Rhythm {
  /** From the end of one beat to the next. */
  readonly period: number
  /** Pause after a first failure. It doubles with each further failure, up to `period`. */
  readonly retry: number
}

/** What a heartbeat reports. */
export interface HeartbeatEvents {
  /** A beat failed. The next one is scheduled as soon as this returns. */
  failed(error: Error): void
}

/**
 * Repeats a task at a steady pace, such as the renewal of a lease.
 *
 * The first beat comes at a random moment of the first period, so that servers that start together do not beat
 * together. A failed beat is retried with growing pauses. Beats never overlap, and keep no process alive.
 *
 * @example
 * const heartbeat = new Heartbeat(() => registry.beat(me, terms, 0), { period: 5000, retry: 1250 }, events)
 * heartbeat.start()
 * await heartbeat.stop()
 */
export class Heartbeat {
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined
  #running = false
  #failures = 0
  /** When the first beat of the present run without failures ended, by `performance.now()`. */
  #since: number | undefined

  constructor(
    private readonly beat: () => Promise<void>,
    private readonly rhythm: Rhythm,
    private readonly events: HeartbeatEvents
  ) {}

  /** For how many ms beats have succeeded without a failure; 0 when the last one failed. */
  get unbroken(): number {
    return this.#since === undefined ? 0 : now() - this.#since
  }

  /** Start to beat; a second call changes nothing. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#schedule(Math.random() * this.rhythm.period)
  }

  /** Beat now, unless a beat is in flight. Resolves when the beat has ended; a failure is reported, not thrown. */
  async now(): Promise<void> {
    if (!this.#running) return
    clearTimeout(this.#timer)
    await (this.#beating ??= this.#beatOnce())
  }

  /** Restart the `unbroken` time, for example after a loss of the connection. */
  interrupt(): void {
    this.#since = undefined
  }

  /** Stop; resolves when no beat is in flight. */
  async stop(): Promise<void> {
    this.#running = false
    this.#since = undefined
    clearTimeout(this.#timer)
    await this.#beating
  }

  async #beatOnce(): Promise<void> {
    try {
      await this.beat()
      this.#failures = 0
      // Not when it began: it may have waited for Redis the whole time, as the beats of peers did.
      this.#since ??= now()
    } catch (error) {
      this.#failures++
      this.#since = undefined
      this.events.failed(asError(error))
    } finally {
      this.#beating = undefined
      const { period, retry } = this.rhythm
      if (this.#running)
        this.#schedule(this.#failures === 0 ? period : Math.min(period, retry * 2 ** Math.min(this.#failures - 1, 10)))
    }
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#beating ??= this.#beatOnce()
    }, ms).unref()
  }
}
