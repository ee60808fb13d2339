import { now } from '../deadline'
import { asError } from '../errors'

/** How often a heart beats, in ms. */
export interface Rhythm {
  /** From the end of one beat to the next. */
  readonly period: number
  /** After a first failure; doubled with each further one, up to the period. */
  readonly retry: number
}

/** What a heartbeat reports. */
export interface HeartbeatEvents {
  /** A beat failed; the next one is already planned. */
  failed(error: Error): void
}

/**
 * Does one thing at a steady pace for as long as a server lives.
 *
 * The first beat comes at a random moment of the first period, so that a fleet that starts at once does not beat
 * at once. A beat that fails is retried soon, in growing pauses. Beats never overlap and keep no process alive.
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
  #since: number | undefined

  constructor(
    private readonly beat: () => Promise<void>,
    private readonly rhythm: Rhythm,
    private readonly events: HeartbeatEvents
  ) {}

  /** For how many ms beats have succeeded without a break; 0 when the last one did not. */
  get unbroken(): number {
    return this.#since === undefined ? 0 : now() - this.#since
  }

  /** Begin; a second call changes nothing. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#plan(Math.random() * this.rhythm.period)
  }

  /** Beat now, if no beat is in flight; resolves with the end of the beat, which reports its own failure. */
  async now(): Promise<void> {
    if (!this.#running) return
    clearTimeout(this.#timer)
    await (this.#beating ??= this.#turn())
  }

  /** What was believed is in question: the unbroken time begins anew. */
  interrupt(): void {
    this.#since = undefined
  }

  /** End; resolves when no beat is in flight. */
  async stop(): Promise<void> {
    this.#running = false
    this.#since = undefined
    clearTimeout(this.#timer)
    await this.#beating
  }

  async #turn(): Promise<void> {
    const started = now()
    try {
      await this.beat()
      this.#failures = 0
      this.#since ??= started
    } catch (error) {
      this.#failures++
      this.#since = undefined
      this.events.failed(asError(error))
    } finally {
      this.#beating = undefined
      const { period, retry } = this.rhythm
      if (this.#running) this.#plan(this.#failures === 0 ? period : Math.min(period, retry * 2 ** Math.min(this.#failures - 1, 10)))
    }
  }

  #plan(ms: number): void {
    this.#timer = setTimeout(() => { this.#beating ??= this.#turn() }, ms).unref()
  }
}
