import { deferred } from '../deadline'

/** A place in a line. */
export interface Turn {
  /** All that came before and shares a name has had its turn. */
  readonly before: Promise<unknown>
  /** Let those go on that come after. */
  leave(): void
}

/** Lines, one for each name: what has to be asked for first may be known in another order than it was asked. */
export class Turns {
  readonly #last = new Map<string, Promise<undefined>>()

  /** Stand in the lines of these names. `leave` has to be called. */
  enter(names: readonly string[]): Turn {
    const turn = deferred<undefined>()
    const before = Promise.all(names.map(name => this.#last.get(name) ?? Promise.resolve(undefined)))
    for (const name of names) this.#last.set(name, turn.promise)
    return {
      before,
      leave: () => {
        turn.resolve(undefined)
        for (const name of names) if (this.#last.get(name) === turn.promise) this.#last.delete(name)
      }
    }
  }
}
