/** How long a slot stays empty after a worker has died, in ms. */
export interface Backoff {
  readonly min: number
  readonly max: number
  readonly reset: number
}

/** When a slot is flapping: after this many crashes within this many ms of being ready. */
export interface Flap {
  readonly crashes: number
  readonly window: number
}

/**
 * Decides when a dead worker is replaced, and whether its slot is flapping. It reads no clock: it is told how long
 * each worker was ready.
 *
 * The pause doubles with each death (truncated exponential backoff). A worker that ends with code 0 is replaced after
 * the shortest pause. An end before the worker was ready, or earlier after that than the shortest pause, is a failure
 * with any exit code.
 */
export class RestartPolicy {
  #deaths = 0
  /** How long all workers of the slot have been ready in sum, in ms, and when on this clock they crashed. */
  #clock = 0
  #crashes: number[] = []
  #flapping = false

  constructor(
    private readonly backoff: Backoff,
    private readonly flap: Flap
  ) {}

  /**
   * Whether the slot is flapping: it has crashed too often, and no worker has been ready for `flap.window` ms since.
   */
  get flapping(): boolean {
    return this.#flapping
  }

  /** Whether an end after this time of being ready is a failure with any exit code. */
  early(up: number | undefined): boolean {
    return up === undefined || up < this.backoff.min
  }

  /**
   * A worker has ended without an order to end.
   *
   * @param up how long it had been ready, in ms; `undefined` when it never was
   * @param clean whether it exited with code 0
   * @returns the pause before its successor starts, in ms, and whether the slot began to flap with this end
   */
  ended(up: number | undefined, clean: boolean): { readonly pause: number; readonly flaps: boolean } {
    const { min, max, reset } = this.backoff
    this.#clock += up ?? 0
    if ((up ?? 0) >= reset) this.#deaths = 0
    if ((up ?? 0) >= this.flap.window) this.#flapping = false
    if (clean && !this.early(up)) return { pause: min, flaps: false }
    const pause = Math.min(max, min * 2 ** this.#deaths++)
    this.#crashes = [...this.#crashes, this.#clock]
      .filter(at => at > this.#clock - this.flap.window)
      .slice(-this.flap.crashes)
    const flaps = !this.#flapping && this.#crashes.length >= this.flap.crashes
    if (flaps) {
      this.#flapping = true
      this.#crashes = []
    }
    return { pause, flaps }
  }

  /** Forgets all deaths, because the workers are started by an order. */
  reset(): void {
    this.#deaths = 0
    this.#crashes = []
    this.#flapping = false
  }
}
