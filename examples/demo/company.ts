import { Actor } from './actor'
import type { Part, Transformer } from './part'

/** All servers of a run, those that have ended too. */
export class Company {
  readonly #actors: Actor[] = []
  #closed = false

  /** @param terms what all servers are told */
  constructor(private readonly terms: Omit<Part, 'name' | 'transformer'>) {}

  /** Those that have registered and still run, in the order in which they came. */
  get playing(): readonly Actor[] {
    return this.#actors.filter(actor => actor.plays && actor.address !== '')
  }

  /** Start one more server. It has yet to register. */
  hire(transformer: Transformer): Actor {
    if (this.#closed) throw new Error('the curtain has fallen')
    const actor = new Actor({ ...this.terms, name: `server ${this.#actors.length + 1}`, transformer })
    this.#actors.push(actor)
    return actor
  }

  /** What a server is called; of one that is not ours the address. */
  nameOf(address: string | null): string {
    return this.#actors.find(actor => actor.address === address)?.name ?? address ?? 'nobody'
  }

  /** Have all of them leave. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#actors.map(actor => actor.leave()))
  }
}
