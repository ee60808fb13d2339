import type { Farewell } from '../reporting/types'

/** What `MembershipMerger` reports. */
export interface MembershipMergerEvents {
  /** This server is registered in all shards. */
  registered(address: string): void
  /** This server has left the last shard. */
  unregistered(address: string): void
  /** A peer is registered in all shards. */
  joined(address: string, life: string): void
  /** A peer that had joined has left the last shard. @param replaced whether another life followed at its address */
  left(address: string, why: Farewell, life: string, replaced: boolean): void
  /** Another life has the address of a peer. Whether the former one has ended is not known yet. */
  replaced(address: string): void
}

/** Counts in how many shards each server is registered, so that joins and leaves are reported once, not per shard. */
export class MembershipMerger {
  /** In how many shards a life of a peer is registered, and whether it has been reported as joined. */
  readonly #lives = new Map<string, { count: number; reported: boolean }>()
  /** The address at which this server is registered, by shard. */
  readonly #ours = new Map<number, string>()
  /** The life that has replaced another one last, by the address of the peer. */
  readonly #successors = new Map<string, string>()
  #registered = ''

  constructor(
    private readonly registries: number,
    private readonly events: MembershipMergerEvents
  ) {}

  /** The address at which this server was registered in all shards, until it has left all of them. */
  get registered(): string {
    return this.#registered
  }

  /** One shard has registered this server. Another life at the address that it has there is not reported. */
  enter(registry: number, address: string): void {
    if (this.#ours.get(registry) === address) return
    this.#ours.set(registry, address)
    const everywhere = this.#ours.size === this.registries && [...this.#ours.values()].every(one => one === address)
    if (!everywhere) return
    this.#registered = address
    this.events.registered(address)
  }

  /** Another server has the address of this one in one shard. When all shards have it again, that is reported. */
  lose(registry: number): void {
    const address = this.#ours.get(registry)
    this.#ours.delete(registry)
    if (address === this.#registered && !this.#has(address)) this.#registered = ''
  }

  /** This server has left one shard. */
  depart(registry: number): void {
    const address = this.#ours.get(registry)
    if (address === undefined) return
    this.lose(registry)
    if (!this.#has(address)) this.events.unregistered(address)
  }

  /** A life of a peer has joined one shard. */
  join(address: string, life: string): void {
    const name = `${life} ${address}`
    const seen = this.#lives.get(name) ?? { count: 0, reported: false }
    this.#lives.set(name, seen)
    if (++seen.count < this.registries || seen.reported) return
    seen.reported = true
    this.events.joined(address, life)
  }

  /** Another life has the address of a peer in one shard. */
  replaced(address: string, life: string): void {
    if (this.#successors.get(address) === life) return
    this.#successors.set(address, life)
    this.events.replaced(address)
  }

  /** A life of a peer has left one shard. */
  leave(address: string, why: Farewell, life: string, replaced: boolean): void {
    const name = `${life} ${address}`
    const seen = this.#lives.get(name)
    if (seen === undefined || --seen.count > 0) return
    this.#lives.delete(name)
    if (!replaced) this.#successors.delete(address)
    if (seen.reported) this.events.left(address, why, life, replaced)
  }

  /** Whether any shard has this server at an address. */
  #has(address: string): boolean {
    return [...this.#ours.values()].includes(address)
  }
}
