import { deferred } from '../common/async'
import { rethrow } from '../common/callback'
import { asError } from '../common/errors'

/** A read that has not begun. */
interface Next<T> {
  readonly keys: Set<string>
  readonly answer: ReturnType<typeof deferred<ReadonlyMap<string, T>>>
}

/**
 * Reads values by keys, one read at a time. Calls made during a read share the next one.
 *
 * So a call never gets an answer that is older than the call. All calls of one turn of the event loop are one read.
 */
export class SharedReads<T> {
  #next: Next<T> | undefined
  #reading = false

  /** @param read the values of these keys, in their order */
  constructor(private readonly read: (keys: readonly string[]) => Promise<readonly T[]>) {}

  /** The values of these keys, in their order. */
  async of(keys: readonly string[]): Promise<T[]> {
    if (this.#next === undefined) {
      this.#next = { keys: new Set(), answer: deferred() }
      if (!this.#reading) {
        queueMicrotask(() => {
          this.#run().catch(rethrow)
        })
      }
    }
    const { keys: wanted, answer } = this.#next
    for (const key of keys) wanted.add(key)
    const values = await answer.promise
    return keys.map(key => values.get(key) as T)
  }

  async #run(): Promise<void> {
    this.#reading = true
    for (;;) {
      const next = this.#next
      if (next === undefined) break
      this.#next = undefined
      const keys = [...next.keys]
      try {
        const values = await this.read(keys)
        next.answer.resolve(new Map(keys.map((key, i) => [key, values[i] as T])))
      } catch (error) {
        next.answer.reject(asError(error))
      }
    }
    this.#reading = false
  }
}
