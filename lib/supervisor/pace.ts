/** How long the place of a worker that died stays empty, in ms. */
export interface Backoff {
  readonly min: number
  readonly max: number
  readonly reset: number
}

/** When a worker is flapping: so many crashes within so many ms of being ready. */
export interface Flap {
  readonly crashes: number
  readonly window: number
}

/**
 * When a worker that has gone is started again, and whether it keeps dying. It knows no clock: it is told for how long each one had been ready.
 *
 * The pause doubles from death to death (truncated exponential backoff). One that ends in good order is replaced after the shortest pause; but an
 * end before it was ready, or sooner after that than the shortest pause, is a failure, whatever its exit code.
 */
export class Pace {
  #deaths = 0
  /** For how long all of them have been ready, in ms, and when on that clock they crashed. */
  #clock = 0
  #crashes: number[] = []
  #flapping = false

  constructor(private readonly backoff: Backoff, private readonly flap: Flap) {}

  /** Whether it has crashed too often, and has not been well for long enough since. */
  get flapping(): boolean {
    return this.#flapping
  }

  /** Whether an end after having been ready for so many ms is a failure in any case. */
  early(up: number | undefined): boolean {
    return up === undefined || up < this.backoff.min
  }

  /**
   * One has gone that nobody told to.
   *
   * @param up for how long it had been ready, in ms; `undefined` when it never was
   * @param clean whether it ended in good order
   * @returns how long to wait before the next one is started, in ms, and whether it began to flap with this
   */
  ended(up: number | undefined, clean: boolean): { readonly pause: number; readonly flaps: boolean } {
    const { min, max, reset } = this.backoff
    this.#clock += up ?? 0
    if ((up ?? 0) >= reset) this.#deaths = 0
    if ((up ?? 0) >= this.flap.window) this.#flapping = false
    if (clean && !this.early(up)) return { pause: min, flaps: false }
    const pause = Math.min(max, min * 2 ** this.#deaths++)
    this.#crashes = [...this.#crashes, this.#clock].filter(at => at > this.#clock - this.flap.window).slice(-this.flap.crashes)
    const flaps = !this.#flapping && this.#crashes.length >= this.flap.crashes
    if (flaps) {
      this.#flapping = true
      this.#crashes = []
    }
    return { pause, flaps }
  }

  /** Begin anew: somebody has taken it in hand. */
  reset(): void {
    this.#deaths = 0
    this.#crashes = []
    this.#flapping = false
  }
}
