import { now } from '../common/async'
import { asError } from '../common/errors'
import { SLICE, slices } from '../registry/batch-size'
import type { IndexStore } from '../registry/stores/index-store'
import type { CommitOutcome, LifeId } from '../registry/records'
import type { NumberedWrites } from './numbered-writes'
import type { PendingWrites, Taken } from './pending-writes'

/** What a commit reports. */
export interface CommitEvents {
  /** It was written; how long it took, in ms. */
  committed(ms: number): void
  /** A server could not be notified of the entries that it lost: only a heal finds out. */
  doubt(error: Error): void
}

/** The outcome of a write that the registry accepted. */
export type Accepted<Item> = Extract<CommitOutcome<Item>, { as: 'ok' }>

/** A slice of entries that were claimed, and the outcome. */
export interface Claimed<Item> {
  readonly items: readonly Item[]
  readonly written: Accepted<Item>
}

/**
 * One index of the registry, such as that of sparks, as this server writes and corrects it.
 *
 * The local entries are the truth; the registry follows them. The writes of all indexes share the numbers of a life.
 */
export class IndexSync<Item = unknown, Batch = unknown> {
  /** Whether a comparison removes wrong entries before it adds missing ones. */
  readonly removesFirst: boolean = true
  /** Entries that we may have taken from servers that were not notified, because an answer of Redis was lost. */
  readonly #owed = new Map<string, Item>()

  constructor(
    readonly pending: PendingWrites<Item, Batch, unknown>,
    protected readonly store: IndexStore<Item, Batch>,
    protected readonly writes: NumberedWrites
  ) {}

  /**
   * Decide about claimed entries that other servers have. Runs outside `exclusive`.
   *
   * @returns how many of the claimed entries were wrong
   */
  resolve(_me: LifeId, { written }: Claimed<Item>): Promise<number> {
    return Promise.resolve(written.missing)
  }

  /** Write what waits, and notify the servers that lose entries by it. Call it in `exclusive`. */
  async commit(events: CommitEvents): Promise<void> {
    const taken = this.pending.take(SLICE)
    if (taken !== undefined) await this.#send(taken, events)
    this.pending.confirmSent()
  }

  /** Add those of these entries that the registry lacks, unless they wait to be committed. */
  async claim(items: readonly Item[]): Promise<Claimed<Item>> {
    return this.writes.exclusive(() => this.#claim(items.filter(item => this.pending.settled(item))))
  }

  /** Remove wrong entries from a page of our list. @returns how many there were, and where the next page begins */
  async release({ address }: LifeId, cursor: string): Promise<{ cursor: string; wrong: number }> {
    return this.writes.exclusive(async () => {
      const page = await this.store.page(address, cursor)
      const { batch, wrong } = this.pending.excess(page.items)
      if (wrong > 0) await this.write((me, seq) => this.store.commit(me, seq, batch))
      return { cursor: page.cursor, wrong }
    })
  }

  /** Claim a slice of the entries that were postponed while Redis was full; `undefined` if none is left. */
  async resume(): Promise<Claimed<Item> | undefined> {
    return this.writes.exclusive(async () => {
      const items = this.pending.takePostponed(SLICE)
      if (items.length === 0) return undefined
      const claimed = await this.#claim(items)
      this.pending.confirmSent()
      return claimed
    })
  }

  /** Whether a server may have lost entries to us without having been notified. */
  get owesNotices(): boolean {
    return this.#owed.size > 0
  }

  /** Notify these servers of such entries. It has no effect on a server that did not hold them. */
  async sendOwedNotices(addresses: Iterable<string>): Promise<void> {
    const owed = [...slices(this.#owed, SLICE)]
    for (const address of addresses) {
      for (const slice of owed) {
        await this.store.removeMoved(
          address,
          slice.map(([, item]) => item)
        )
      }
    }
    for (const [key, item] of owed.flat()) if (this.#owed.get(key) === item) this.#owed.delete(key)
  }

  /**
   * Write in a heal. Call it in `exclusive`.
   *
   * @throws LifeReplaced, or another Error when the registry does not accept it
   */
  protected async write(send: (me: LifeId, seq: number) => Promise<CommitOutcome<Item>>): Promise<Accepted<Item>> {
    const written = await this.writes.write(send, this.pending)
    if (written.as === 'ok') return written
    if (written.as === 'refused') throw new LifeReplaced()
    throw new Error(`The registry did not accept a write of a heal; it answered '${written.as}'.`)
  }

  async #claim(items: readonly Item[]): Promise<Claimed<Item>> {
    return { items, written: await this.write((me, seq) => this.store.claim(me, seq, items)) }
  }

  async #send({ batch, added }: Taken<Item, Batch>, events: CommitEvents): Promise<void> {
    const { store } = this
    const began = now()
    const written = await this.writes
      .write((me, seq) => store.commit(me, seq, batch), this.pending)
      .catch((error: unknown) => {
        this.#owe(added)
        throw error
      })
    events.committed(now() - began)
    if (written.as !== 'ok') throw new Error(`The registry did not accept a commit; it answered '${written.as}'.`)
    for (const [owner, lost] of written.others) {
      store.removeMoved(owner, lost).catch((error: unknown) => {
        this.#owe(lost)
        events.doubt(asError(error))
      })
    }
  }

  /** The former owners are unknown, or could not be notified: leave it to the next heal. */
  #owe(lost: readonly Item[]): void {
    for (const item of lost) this.#owed.set(keyOf(item), item)
  }
}

/** The registry has another life at the address of this server, or none. The next beat finds that, and handles it. */
export class LifeReplaced extends Error {
  constructor() {
    super('The registry has refused the writes of this life.')
  }
}

/** The key of an entry: itself, or its first part. */
function keyOf(item: unknown): string {
  return String(Array.isArray(item) ? item[0] : item)
}
