import type { Farewell } from '../reports'

/** What a roll tells. */
export interface RollEvents {
  /** We are in all registries. */
  registered(address: string): void
  /** We are in none any more, because we left. */
  unregistered(address: string): void
  /** A peer is in all registries. */
  joined(address: string, life: string): void
  /** A peer that had joined is in none any more. */
  left(address: string, why: Farewell, life: string): void
}

/**
 * Who is in how many registries, we among them: so that what happens in each of them is told once for all.
 */
export class Roll {
  /** In how many registries a life of a peer is, and whether it has been told that it joined. */
  readonly #lives = new Map<string, { count: number; told: boolean }>()
  /** The registries that have us, by address. */
  readonly #ours = new Map<string, Set<number>>()
  #registered = ''

  constructor(private readonly registries: number, private readonly events: RollEvents) {}

  /** The address at which we have been in all registries, until we are in none. */
  get registered(): string {
    return this.#registered
  }

  /** One registry has us, for the first time or again. */
  enter(registry: number, address: string): void {
    const ours = this.#ours.get(address) ?? new Set()
    const again = ours.has(registry)
    this.#ours.set(address, ours.add(registry))
    if (ours.size < this.registries || (again && this.registries > 1)) return
    this.#registered = address
    this.events.registered(address)
  }

  /** One registry has us no longer, because we left. */
  depart(registry: number, address: string): void {
    const ours = this.#ours.get(address)
    ours?.delete(registry)
    if (ours !== undefined && ours.size > 0) return
    this.#ours.delete(address)
    if (this.#registered === address) this.#registered = ''
    this.events.unregistered(address)
  }

  /** One registry has a life of a peer. */
  join(address: string, life: string): void {
    const name = `${life} ${address}`
    const seen = this.#lives.get(name) ?? { count: 0, told: false }
    this.#lives.set(name, seen)
    if (++seen.count < this.registries || seen.told) return
    seen.told = true
    this.events.joined(address, life)
  }

  /** One registry has a life of a peer no longer. */
  leave(address: string, why: Farewell, life: string): void {
    const name = `${life} ${address}`
    const seen = this.#lives.get(name)
    if (seen === undefined || --seen.count > 0) return
    this.#lives.delete(name)
    if (seen.told) this.events.left(address, why, life)
  }
}
