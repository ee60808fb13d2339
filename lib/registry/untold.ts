import type { Named } from './records'
import { SLICE } from './pace'
import type { Registry } from './registry'
import { slices } from './slices'

/** What we may have taken from servers which do not know it: the answer that names them was lost. */
export class Untold {
  readonly #sparks = new Set<string>()
  readonly #users = new Map<string, string>()

  constructor(private readonly registry: Pick<Registry, 'moved' | 'users'>) {}

  /** Whether there is any. */
  get any(): boolean {
    return this.#sparks.size + this.#users.size > 0
  }

  sparks(ids: readonly string[]): void {
    for (const id of ids) this.#sparks.add(id)
  }

  users(named: readonly Named[]): void {
    for (const [id, user] of named) this.#users.set(id, user)
  }

  /** Tell these servers; to others than those it was taken from it means nothing. */
  async tell(addresses: Iterable<string>): Promise<void> {
    const [sparks, users] = [[...slices(this.#sparks, SLICE)], [...slices(this.#users, SLICE)]]
    for (const address of addresses) {
      for (const slice of sparks) await this.registry.moved(address, slice)
      for (const slice of users) await this.registry.users.moved(address, slice)
    }
    for (const id of sparks.flat()) this.#sparks.delete(id)
    for (const [id, user] of users.flat()) if (this.#users.get(id) === user) this.#users.delete(id)
  }
}
