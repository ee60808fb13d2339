import { asError } from '../errors'
import type { Registry } from './registry'

/** How many ids travel in one round trip: small enough that Redis answers one while the next is on its way. */
const TOGETHER = 32
/** The most in one round trip, for those who ask for very many at once. */
const MOST = 1000

interface Question {
  readonly id: string
  readonly resolve: (place: string | null) => void
  readonly reject: (error: Error) => void
}

/**
 * Asks the registry where sparks are; what is asked before the event loop goes on travels together.
 */
export class Lookup {
  #asked: Question[] = []

  constructor(private readonly registry: Pick<Registry, 'places'>) {}

  /** The address an id is registered under. */
  place(id: string): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#asked.push({ id, resolve, reject }) === 1) queueMicrotask(() => this.#ask())
    })
  }

  /** The addresses of many ids, in their order. */
  async places(ids: readonly string[]): Promise<(string | null)[]> {
    if (ids.length === 0) return []
    if (ids.length === 1) return [await this.place(ids[0] ?? '')]
    const parts = Array.from({ length: Math.ceil(ids.length / MOST) }, (_, i) => ids.slice(i * MOST, (i + 1) * MOST))
    return (await Promise.all(parts.map(part => this.registry.places(part)))).flat()
  }

  #ask(): void {
    const asked = this.#asked
    this.#asked = []
    for (let first = 0; first < asked.length; first += TOGETHER) {
      const part = asked.slice(first, first + TOGETHER)
      this.registry.places(part.map(({ id }) => id)).then(
        places => part.forEach(({ resolve }, i) => resolve(places[i] ?? null)),
        (error: unknown) => part.forEach(({ reject }) => reject(asError(error)))
      )
    }
  }
}
