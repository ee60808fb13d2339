import { callAll } from '../callback'
import { asError } from '../errors'

/** The most ids in one round trip: what Redis looks up without keeping others waiting. */
const MOST = 1000
/** So few that they are not parted. */
const FEW = 32

/** Told where an id is; outside of our promises, so that it may throw. */
export type Found<T> = (error: Error | null, place: T | null) => void

/**
 * Asks where ids are, many in one go: what is asked before the event loop goes on travels together.
 *
 * When nothing is under way, many are asked in two halves: Redis answers one while we work on the other, and with what is asked
 * again and again it stays like that. A round trip of everything would have one wait for the other.
 */
export class Lookup<T> {
  #ids: string[] = []
  #told: Found<T>[] = []
  #flying = 0

  constructor(private readonly ask: (ids: readonly string[]) => Promise<(T | null)[]>) {}

  /** Ask for one. */
  place(id: string, found: Found<T>): void {
    this.#told.push(found)
    if (this.#ids.push(id) === 1) queueMicrotask(() => { this.#leave() })
  }

  /** Ask for many, in their order. */
  async places(ids: readonly string[]): Promise<(T | null)[]> {
    if (ids.length <= MOST) return this.ask(ids)
    const parts = Array.from({ length: Math.ceil(ids.length / MOST) }, (_, i) => ids.slice(i * MOST, (i + 1) * MOST))
    return (await Promise.all(parts.map(part => this.ask(part)))).flat()
  }

  #leave(): void {
    const [ids, told] = [this.#ids, this.#told]
    this.#ids = []
    this.#told = []
    const size = Math.min(this.#flying === 0 && ids.length > FEW ? Math.ceil(ids.length / 2) : ids.length, MOST)
    for (let first = 0; first < ids.length; first += size) this.#fly(ids.slice(first, first + size), told.slice(first, first + size))
  }

  #fly(ids: readonly string[], told: readonly Found<T>[]): void {
    this.#flying++
    this.ask(ids).then(
      places => {
        this.#flying--
        process.nextTick(callAll, told, (found: Found<T>, i: number) => { found(null, places[i] ?? null) })
      },
      (error: unknown) => {
        this.#flying--
        process.nextTick(callAll, told, (found: Found<T>) => { found(asError(error), null) })
      }
    )
  }
}
