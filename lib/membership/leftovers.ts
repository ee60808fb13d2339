import type { Entered, LifeId } from '../registry/records'
import type { Cleanup } from '../registry/cleanup'
import type { LocalSparks } from '../sync/local-sparks'
import type { Reaper } from './reaper'

/**
 * The entries that other lives left at our address. They were put aside when this life joined or took the address back.
 *
 * A former life whose lease had not ended by then may be alive. Its entries are neither removed nor reported before
 * that lease has ended.
 */
export class Leftovers {
  /** The names of the sets that are not cleaned up yet. */
  #aside = new Set<string>()
  /** The former lives that may still be alive. */
  #over: readonly string[] = []
  #clearing = false

  constructor(
    private readonly remains: Pick<Cleanup, 'settle'>,
    private readonly reaper: Pick<Reaper, 'clear'>,
    private readonly table: Pick<LocalSparks, 'holds'>,
    /** No former life can take the address back. @param late whether one could until now */
    private readonly settled: (late: boolean) => void
  ) {}

  get names(): string[] {
    return [...this.#aside]
  }

  /** Replace the list by what was found when this life joined. */
  found({ aside, over }: Entered): void {
    this.#aside = new Set(aside)
    this.#over = over
    if (over.length === 0) this.settled(false)
  }

  /** Replace the list by what was found when this life took the address back. */
  reclaimed(aside: readonly string[]): void {
    this.found({ aside, over: this.#over })
  }

  /**
   * Clean up, unless a clean-up runs already. After a failure, the next call goes on with the rest.
   *
   * @param current whether `me` is still the life of this server; the clean-up stops when it is not
   */
  async clear(me: LifeId, current: () => boolean): Promise<void> {
    if (this.#clearing || this.#aside.size === 0) return
    this.#clearing = true
    try {
      if (this.#over.length > 0) {
        const over = await this.remains.settle(me, this.#over)
        if (!current()) return
        this.#over = over
        if (over.length === 0) this.settled(true)
      }
      for (const name of this.#aside) {
        if (this.#over.includes(name)) continue
        const cleared = await this.reaper.clear(
          me.address,
          name,
          true,
          () => Promise.resolve(current()),
          id => this.table.holds(id)
        )
        // The registry still lists the rest: the next life at this address, or the sweep, cleans it up.
        if (!current()) return
        if (cleared) this.#aside.delete(name)
      }
    } finally {
      this.#clearing = false
    }
  }
}
