import { now } from '../common/async'
import { ignore } from '../common/callback'

/** A user, and for how many ms more it is kept out. */
export type Barred = readonly [user: string, ms: number]

/** Where all servers keep which users are kept out. Methods reject when Redis fails. */
export interface BarRegistry {
  /** Whether it can be asked. */
  readonly open: boolean
  barred(): Promise<readonly Barred[]>
  bar(users: readonly string[], ms: number): Promise<void>
}

/**
 * The users that a server keeps out, in its memory: so a spark that gets a user needs no round trip, and no such
 * user comes back while Redis is away or was flushed.
 *
 * A server is told by the one that gives the order. It also reads the registry from time to time, because it may have
 * started later, or could not be told.
 */
export class BarredUsers {
  /** Until when, by `performance.now()`. */
  readonly #until = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  /**
   * @param registry where all servers keep them
   * @param learned called with users that the registry keeps out, and of which this server was not told
   */
  constructor(
    private readonly registry: BarRegistry,
    private readonly learned: (barred: Barred) => void
  ) {}

  /** Read the registry now, and then every so many ms. */
  open(period: number): void {
    clearInterval(this.#timer)
    const read = (): void => {
      // What fails is read again.
      this.#read().catch(ignore)
    }
    this.#timer = setInterval(read, period).unref()
    read()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Keep users out for so many ms; 0 lets them in again. An earlier order that lasts longer stays. */
  bar(users: readonly string[], ms: number): void {
    const time = now()
    for (const [user, until] of this.#until) if (until <= time) this.#until.delete(user)
    for (const user of users) {
      if (ms === 0) this.#until.delete(user)
      else this.#until.set(user, Math.max(time + ms, this.#until.get(user) ?? 0))
    }
  }

  /** For how many ms more a user is kept out; 0: it is not. */
  left(user: string): number {
    return Math.max(0, Math.ceil((this.#until.get(user) ?? 0) - now()))
  }

  /** The registry has been repaired, so it may lack who is kept out. */
  repaired(): void {
    for (const user of this.#until.keys()) {
      const left = this.left(user)
      if (left > 0) this.registry.bar([user], left).catch(ignore)
    }
  }

  async #read(): Promise<void> {
    if (!this.registry.open) return
    for (const barred of await this.registry.barred()) if (this.left(barred[0]) === 0) this.learned(barred)
  }
}
