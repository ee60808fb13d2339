import type { Identity } from '../registry/records'
import type { Table } from '../registry/table'
import type { Reaper } from './reaper'

/** What former lives at our address left behind: sets that were put aside when we joined. */
export class Leftovers {
  /** Their names, as far as they are not cleaned up. */
  #aside = new Set<string>()
  #clearing = false

  constructor(private readonly reaper: Pick<Reaper, 'clear'>, private readonly table: Pick<Table, 'holds'>) {}

  get names(): string[] {
    return [...this.#aside]
  }

  /** These were put aside when we joined, and no others. */
  found(names: readonly string[]): void {
    this.#aside = new Set(names)
  }

  /** Clean up, unless that is under way, for as long as we are who we were. When it fails, whatever is left stays for the next call. */
  async clear(me: Identity, same: () => boolean): Promise<void> {
    if (this.#clearing || this.#aside.size === 0) return
    this.#clearing = true
    try {
      for (const name of this.#aside) {
        await this.reaper.clear(me.address, name, true, () => Promise.resolve(same()), id => this.table.holds(id))
        // Whatever is left then is on the registry's list: the next life at this address, or the sweep, goes on with it.
        if (!same()) return
        this.#aside.delete(name)
      }
    } finally {
      this.#clearing = false
    }
  }
}
