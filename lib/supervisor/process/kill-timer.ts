import { now } from '../../common/async'

/** Kills a process after a while, and says why. The last time that was set counts. */
export class KillTimer {
  #timer: NodeJS.Timeout | undefined
  /** When the timer ends, by `now()`. */
  #at = Infinity

  constructor(private readonly kill: (reason: string) => void) {}

  /** Kills the process after `ms` ms. */
  set(ms: number, reason: string): void {
    this.clear()
    this.#at = now() + ms
    this.#timer = setTimeout(() => {
      this.kill(reason)
    }, ms).unref()
  }

  /** Kills the process after `ms` ms, unless it is killed sooner anyway. */
  shorten(ms: number, reason: string): void {
    if (this.#at > now() + ms) this.set(ms, reason)
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#at = Infinity
  }
}
