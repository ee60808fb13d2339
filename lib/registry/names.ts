import { BigMap } from './big-map'
import type { Named } from './records'

/** The users behind sparks of ours, as far as they lie in one registry: the truth that it has to follow. */
export class Names {
  /** By user. Most have one spark, and a set for that would weigh more than all the rest. */
  readonly #sparks = new BigMap<string | Set<string>>()
  #size = 0

  /** How many sparks there are. */
  get size(): number {
    return this.#size
  }

  /** Whether a user is behind a spark. */
  has(id: string, user: string): boolean {
    const there = this.#sparks.get(user)
    return typeof there === 'string' ? there === id : there?.has(id) === true
  }

  add(id: string, user: string): void {
    const there = this.#sparks.get(user)
    if (this.has(id, user)) return
    if (there === undefined) this.#sparks.set(user, id)
    else if (typeof there === 'string') this.#sparks.set(user, new Set([there, id]))
    else there.add(id)
    this.#size++
  }

  remove(id: string, user: string): void {
    const there = this.#sparks.get(user)
    if (!this.has(id, user)) return
    if (typeof there !== 'object' || there.size === 1) this.#sparks.delete(user)
    else there.delete(id)
    this.#size--
  }

  /** The sparks of a user. */
  ids(user: string): string[] {
    const there = this.#sparks.get(user)
    return there === undefined ? [] : typeof there === 'string' ? [there] : [...there]
  }

  /** All of them; those that come or go meanwhile may or may not be among them. */
  *[Symbol.iterator](): Generator<Named, undefined> {
    for (const [user, there] of this.#sparks) {
      if (typeof there === 'string') yield [there, user]
      else for (const id of there) yield [id, user]
    }
    return undefined
  }
}
