import { callAll } from '../common/callback'
import { asError } from '../common/errors'

/** The most ids in one round trip, so that a lookup does not block Redis for long. */
const MAX_BATCH = 1000
/** Up to so many ids are not split into halves. */
const MAX_UNSPLIT = 32

/** Receives the place of an id. It is called outside of promises, so it may throw. */
export type Found<T> = (error: Error | null, place: T | null) => void

/**
 * Looks up places of ids, many in one round trip: all lookups of one turn of the event loop travel together.
 *
 * While none is in flight, many ids are split into two halves: Redis answers one while this process handles the other.
 * With one round trip for all of them, one side would always wait for the other.
 */
export class LookupBatcher<T> {
  #ids: string[] = []
  #callbacks: Found<T>[] = []
  #inFlight = 0

  constructor(private readonly ask: (ids: readonly string[]) => Promise<(T | null)[]>) {}

  /** Look up one id. */
  place(id: string, found: Found<T>): void {
    this.#callbacks.push(found)
    if (this.#ids.push(id) === 1)
      queueMicrotask(() => {
        this.#flush()
      })
  }

  /** Look up many ids; resolves with their places in the same order. */
  async places(ids: readonly string[]): Promise<(T | null)[]> {
    if (ids.length <= MAX_BATCH) return this.ask(ids)
    const batches = Array.from({ length: Math.ceil(ids.length / MAX_BATCH) }, (_, i) =>
      ids.slice(i * MAX_BATCH, (i + 1) * MAX_BATCH)
    )
    return (await Promise.all(batches.map(batch => this.ask(batch)))).flat()
  }

  #flush(): void {
    const [ids, callbacks] = [this.#ids, this.#callbacks]
    this.#ids = []
    this.#callbacks = []
    const split = this.#inFlight === 0 && ids.length > MAX_UNSPLIT
    const size = Math.min(split ? Math.ceil(ids.length / 2) : ids.length, MAX_BATCH)
    for (let first = 0; first < ids.length; first += size)
      this.#send(ids.slice(first, first + size), callbacks.slice(first, first + size))
  }

  #send(ids: readonly string[], callbacks: readonly Found<T>[]): void {
    this.#inFlight++
    this.ask(ids).then(
      places => {
        this.#inFlight--
        process.nextTick(callAll, callbacks, (found: Found<T>, i: number) => {
          found(null, places[i] ?? null)
        })
      },
      (error: unknown) => {
        this.#inFlight--
        process.nextTick(callAll, callbacks, (found: Found<T>) => {
          found(asError(error), null)
        })
      }
    )
  }
}
