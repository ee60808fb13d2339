/** How much delay of a late timer may be made up for, in ms. */
const CATCH_UP = 20

/** A second, and a margin for observers with clocks of their own, in ms. */
const SECOND = 1002

/**
 * Limits a rate over a sliding window: no second, wherever it begins, has more than `rate` events.
 *
 * Events are due at random moments, so that several servers do not act in step. A rate below 1 is one event in as many
 * seconds; a rate above 1 is rounded down. Times are those of a monotonic clock, in ms, given by the caller.
 */
export class RateLimiter {
  /** The times of the last events, oldest first; at least those of the last second. */
  #times: number[] = []
  /** The most events within `#span`. */
  #most = 1
  /** In ms. */
  #span = SECOND
  /** When the next event is due, if the window has room. */
  #due = 0

  constructor(private readonly random: () => number = Math.random) {}

  /** Set the rate per second. Events before still count. */
  begin(rate: number, now: number): void {
    this.#most = Math.max(1, Math.floor(rate))
    this.#span = SECOND / Math.min(1, rate)
    this.#due = now
    this.#advance(now)
  }

  /** How long the next event has to wait, in ms; 0 or less: not at all. */
  wait(now: number): number {
    const last = this.#times[this.#times.length - this.#most]
    return Math.max(this.#due, last === undefined ? 0 : last + this.#span) - now
  }

  /** Record an event. */
  record(now: number): void {
    this.#times.push(now)
    const kept = 2 * this.#most
    const first = this.#times[this.#times.length - kept]
    if (this.#times.length >= 2 * kept && first !== undefined && first < now - SECOND)
      this.#times = this.#times.slice(-kept)
    this.#advance(now)
  }

  #advance(now: number): void {
    this.#due = Math.max(this.#due, now - CATCH_UP) + (this.#span / this.#most) * (0.5 + this.random())
  }
}
