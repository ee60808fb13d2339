/**
 * The one timer of a stream. It limits the wait for an authenticated request, then the time of each frame, and at the
 * end the time for which input is discarded.
 */
export class StreamTimer {
  #timer: NodeJS.Timeout | undefined
  /** Whether it runs for the current frame. */
  #framed = false

  /**
   * @param frameTimeout how long a frame may take, from its first byte to its last, in ms
   * @param late called when one takes longer
   */
  constructor(
    private readonly frameTimeout: number,
    private readonly late: () => void
  ) {}

  /** Call `then` after `ms` milliseconds, in place of what it was running for. */
  start(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms).unref()
  }

  /** Limit the time of the current frame. @param partial whether a part of it has arrived */
  watchFrame(partial: boolean): void {
    if (partial && this.#framed) return
    clearTimeout(this.#timer)
    this.#framed = partial
    if (partial) this.start(this.frameTimeout, this.late)
  }

  /** The current frame has arrived completely. */
  frameEnded(): void {
    this.#framed = false
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
