import { deferred } from '../common/async'

/** Resolves promises for entries, by their keys, when the registry has what was noted of them. */
export class Confirmations {
  /** Entries that were sent. `confirm` removes them after that write or, if it fails, after the heal. */
  readonly #sent = new Set<string>()
  readonly #waiters = new Map<string, ReturnType<typeof deferred<undefined>>>()

  /** @param idle whether nothing waits to be sent for an entry */
  constructor(private readonly idle: (key: string) => boolean) {}

  /** Resolves when the registry has an entry. */
  written(key: string): Promise<void> {
    if (this.#isWritten(key)) return Promise.resolve()
    const waiter = this.#waiters.get(key) ?? deferred<undefined>()
    this.#waiters.set(key, waiter)
    return waiter.promise
  }

  /** These entries are sent now. */
  sent(keys: Iterable<string>): void {
    for (const key of keys) this.#sent.add(key)
  }

  /** All entries for which a promise waits have been sent, or are left to a heal. */
  allSent(): void {
    this.sent(this.#waiters.keys())
  }

  /** Everything that was sent has been written, or corrected by a heal. */
  confirm(): void {
    const sent = [...this.#sent]
    this.#sent.clear()
    this.check(sent)
  }

  /** Resolve the promises for those of these entries that are written. */
  check(keys: Iterable<string>): void {
    for (const key of keys) {
      if (!this.#isWritten(key)) continue
      this.#waiters.get(key)?.resolve(undefined)
      this.#waiters.delete(key)
    }
  }

  #isWritten(key: string): boolean {
    return this.idle(key) && !this.#sent.has(key)
  }
}
