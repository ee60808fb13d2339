import { now } from '../../common/async'

/**
 * How long single requests are used after an upgrade was refused, in ms. It is also the longest time after streams that
 * broke.
 */
export const LONGEST_DETOUR = 60_000

/**
 * How long single requests are used at first after streams broke, in ms. The time doubles until a stream carries a
 * request. It is well below the second that a process without an address has to show the way back.
 */
const SHORTEST = 200

/** The number of streams in a row that may break before they carry a request. */
const BARREN = 2

/**
 * Decides whether one peer is asked on a stream or by single requests.
 *
 * An upgrade that was refused says that streams do not work there. A stream that breaks before its request is answered
 * says so only when it happens again: the connection or the peer may have failed. So the next hello then tries a single
 * request, and streams are tried again soon.
 */
export class WirePreference {
  /** Until when single requests are used, by `performance.now()`. */
  #until = 0
  /** How long they were used last because streams broke, in ms; 0 while streams work. */
  #pause = 0
  /** The number of streams in a row that broke before they carried a request. */
  #barren = 0
  /** What streams failed by, while it is not known yet whether single requests work. */
  #doubt: 'broken' | 'silent' | undefined

  /** @param longest how long a refused upgrade is remembered, in ms */
  constructor(private readonly longest = LONGEST_DETOUR) {}

  /** Whether single requests are in use. */
  get single(): boolean {
    return now() < this.#until
  }

  /** How long until streams are tried again, in ms. */
  get rest(): number {
    return Math.max(0, this.#until - now())
  }

  /** Whether the next hello should be a single request. */
  get singleFirst(): boolean {
    return this.#doubt !== undefined || this.single
  }

  /** Whether the last upgrade got no answer: streams do not work, or the peer was paused. */
  get silent(): boolean {
    return this.#doubt === 'silent'
  }

  /** Whether streams have failed, and are tried again. */
  get onTrial(): boolean {
    return this.#pause > 0
  }

  /** A stream has carried a request and its answer. */
  carried(): void {
    this.#pause = this.#barren = 0
    this.#doubt = undefined
  }

  /** A stream has broken before the request on it was answered. */
  broke(): void {
    this.#barren++
    if (this.onTrial || this.#barren >= BARREN) this.#doubt = 'broken'
  }

  /** An upgrade was not answered in time. */
  unanswered(): void {
    this.#doubt = 'silent'
  }

  /** A single request was answered: keep to them for a while. @param refused whether an upgrade was refused before */
  answered(refused: boolean): void {
    if (refused) {
      this.#until = now() + this.longest
    } else if (!this.single) {
      this.#pause = Math.min(this.#pause === 0 ? SHORTEST : 2 * this.#pause, this.longest)
      this.#until = now() + this.#pause
    }
    this.#barren = 0
    this.#doubt = undefined
  }

  /**
   * A single request failed.
   *
   * @param refused whether something before the peer refuses them, so that only a stream is left
   */
  failed(refused: boolean): void {
    this.#doubt = undefined
    if (refused) this.#until = 0
  }
}
