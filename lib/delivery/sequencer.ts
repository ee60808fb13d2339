import { deferred } from '../common/async'

/** A position in the queues of some keys. */
export interface Turn {
  /** Resolves when all earlier turns with one of these keys have left. */
  readonly before: Promise<unknown>
  /** Let later turns continue. */
  leave(): void
}

/** Keeps the order of operations with the same key, although their lookups may end in another order. */
export class KeyedSequencer {
  readonly #last = new Map<string, Promise<undefined>>()

  /** Queue for these keys. The caller must call `leave`. */
  enter(keys: readonly string[]): Turn {
    const turn = deferred<undefined>()
    const before = Promise.all(keys.map(key => this.#last.get(key) ?? Promise.resolve(undefined)))
    for (const key of keys) this.#last.set(key, turn.promise)
    return {
      before,
      leave: () => {
        turn.resolve(undefined)
        for (const key of keys) if (this.#last.get(key) === turn.promise) this.#last.delete(key)
      }
    }
  }
}
