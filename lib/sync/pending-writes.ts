import type { Beat } from '../registry/records'
import { BigMap } from './maps/big-map'

/** Changes that were taken to be written. */
export interface Taken<Item, Batch> {
  readonly batch: Batch
  /** The entries that the batch adds. Other servers may lose them to us. */
  readonly added: readonly Item[]
}

/**
 * The changes of one index that wait to be written, and what the registry should have of it.
 *
 * Several changes of one entry are merged before they are written.
 *
 * @typeParam Item an entry of this server
 * @typeParam Batch the changes of one commit
 * @typeParam Change what is kept of an entry that waits
 */
export abstract class PendingWrites<Item, Batch, Change> {
  readonly #changes = new BigMap<Change>()
  /** How many entries `#changes` adds to the registry. */
  #added = 0
  /** How many of the changes start from a state of the registry that is only assumed. */
  #unsure = 0
  /** Entries that a full Redis did not take, until it has room; by their key. */
  readonly #postponed = new BigMap<Item>()
  /** The entries that we had when we joined, from the first one that is not written yet. */
  #backlog: Iterator<Item, undefined> | undefined

  /** How many entries wait to be written. */
  get waiting(): number {
    return this.#changes.size
  }

  /** How many entries wait for Redis to have room. */
  get postponed(): number {
    return this.#postponed.size
  }

  /** Whether some entries that we had when we joined are not written yet. */
  get hasBacklog(): boolean {
    return this.#backlog !== undefined
  }

  /** Whether a commit has anything to write. */
  get due(): boolean {
    return this.waiting > 0 || this.hasBacklog
  }

  /** How many entries the registry should have now. */
  get #expected(): number {
    return this.size - this.#added - this.#postponed.size
  }

  /** How many entries of this server the registry should have when nothing waits. */
  protected abstract readonly size: number

  /** Whether this server has no entries. */
  protected get empty(): boolean {
    return this.size === 0
  }

  /** All entries of this server. Those that are added or removed meanwhile may or may not be included. */
  abstract items(): Iterable<Item, undefined>

  /** Whether an entry of this server is not waiting to be written, so that the registry should have it. */
  abstract settled(item: Item): boolean

  /** The wrong ones of these entries of the registry, as a commit that removes them, and how many there are. */
  abstract excess(items: readonly Item[]): { readonly batch: Batch; readonly wrong: number }

  /** Take the next changes to write; `undefined` if there are none. Call `confirmSent` after that write. */
  abstract take(max: number): Taken<Item, Batch> | undefined

  /** Keep entries that were sent, but that a full Redis did not take. */
  abstract postpone(items: readonly Item[]): void

  /** Whether a beat found the number of entries that the registry should have. */
  abstract agrees(beat: Extract<Beat, { as: 'ok' }>): boolean

  /** Start again, for a new life. @param fresh write all entries; without it, a heal has to follow */
  open(fresh: boolean): void {
    this.#postponed.clear()
    this.dropBacklog()
    if (!fresh) return
    this.clear()
    if (this.empty) this.confirmSent()
    else this.#backlog = this.items()[Symbol.iterator]()
  }

  /** Everything that was sent has been written, or corrected by a heal. */
  confirmSent(): void {
    // An index whose writes no caller waits for needs nothing.
  }

  /** The backlog has been sent, or is left to a heal. */
  dropBacklog(): void {
    this.#backlog = undefined
  }

  /** Take entries that were postponed, to write them again. */
  takePostponed(max: number): Item[] {
    const items: Item[] = []
    for (const [key, item] of this.#postponed) {
      items.push(item)
      this.#postponed.delete(key)
      if (items.length === max) break
    }
    return items
  }

  /** How many entries a change adds to the registry. */
  protected abstract adds(change: Change): number

  /** Whether the state of the registry that a change starts from is known. */
  protected abstract isSure(change: Change): boolean

  /** Whether the registry may rightly have this number of entries. It proves nothing while that is not known. */
  protected countMatches(entries: number): boolean {
    return this.#unsure > 0 || this.hasBacklog || entries === this.#expected
  }

  protected changeOf(key: string): Change | undefined {
    return this.#changes.get(key)
  }

  /** Note a change, behind all others. */
  protected set(key: string, change: Change): void {
    this.drop(key)
    this.add(key, change)
  }

  /** Note the change of an entry that has none. */
  protected add(key: string, change: Change): void {
    this.#changes.set(key, change)
    this.#added += this.adds(change)
    if (!this.isSure(change)) this.#unsure++
  }

  /** Forget the change of an entry. @returns the change */
  protected drop(key: string): Change | undefined {
    const before = this.#changes.get(key)
    if (before === undefined) return undefined
    this.#changes.delete(key)
    this.#added -= this.adds(before)
    if (!this.isSure(before)) this.#unsure--
    return before
  }

  protected clear(): void {
    this.#changes.clear()
    this.#added = this.#unsure = 0
  }

  protected changes(): Iterable<[key: string, change: Change]> {
    return this.#changes
  }

  protected isPostponed(key: string): boolean {
    return this.#postponed.has(key)
  }

  protected keepPostponed(key: string, item: Item): void {
    this.#postponed.set(key, item)
  }

  /** @returns whether the entry was postponed */
  protected dropPostponed(key: string): boolean {
    return this.#postponed.delete(key)
  }

  /** Take changes, then entries of the backlog, until there are `max` of them. */
  protected takeEach(max: number, change: (key: string, change: Change) => void, entry: (item: Item) => boolean): void {
    let taken = 0
    for (const [key, one] of this.#changes) {
      this.drop(key)
      change(key, one)
      if (++taken === max) return
    }
    while (this.#backlog !== undefined && taken < max) {
      const next = this.#backlog.next()
      if (next.done === true) this.dropBacklog()
      else if (entry(next.value)) taken++
    }
  }
}
