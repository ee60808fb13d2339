/** What a timer that was late may make up for, in ms. */
const BEHIND = 20

/** A second, and what the clocks of two who look at it may differ by, in ms. */
const SECOND = 1002

/**
 * Tells when the next one may go: no second, wherever it begins, sees more than `rate` of them, and they go at random moments, so that several servers
 * do not keep step with each other. A rate below 1 is one in so many seconds; one above is rounded down.
 *
 * Reads no clock itself: times are those of one that never jumps, in ms.
 */
export class Ration {
  /** When the last ones went, oldest first; those of the last second, at least. */
  #times: number[] = []
  /** So many may go ... */
  #most = 1
  /** ... in so many ms. */
  #span = SECOND
  /** When the next one is to go, if that may be. */
  #due = 0

  constructor(private readonly random: () => number = Math.random) {}

  /** From now on so many a second; those that went at another rate still count. */
  begin(rate: number, now: number): void {
    this.#most = Math.max(1, Math.floor(rate))
    this.#span = SECOND / Math.min(1, rate)
    this.#due = now
    this.#advance(now)
  }

  /** For how long the next one has to wait, in ms; 0 or less: not any more. */
  wait(now: number): number {
    const last = this.#times[this.#times.length - this.#most]
    return Math.max(this.#due, last === undefined ? 0 : last + this.#span) - now
  }

  /** One has gone. */
  took(now: number): void {
    this.#times.push(now)
    const kept = 2 * this.#most
    const first = this.#times[this.#times.length - kept]
    if (this.#times.length >= 2 * kept && first !== undefined && first < now - SECOND) this.#times = this.#times.slice(-kept)
    this.#advance(now)
  }

  #advance(now: number): void {
    this.#due = Math.max(this.#due, now - BEHIND) + this.#span / this.#most * (0.5 + this.random())
  }
}
