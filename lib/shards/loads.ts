import { boundedLookup } from '../lookup/bounded-lookup'
import type { OwnLives } from './own-lives'
import type { Peers } from './peers'
import type { Shard } from './shard'

/** How the sparks of the cluster are spread, as the registries know it now. */
export class Loads {
  constructor(
    private readonly shards: readonly Shard[],
    private readonly lives: Pick<OwnLives, 'address'>,
    private readonly peers: Pick<Peers, 'addresses' | 'current'>,
    /** Deadline of a question, in ms. */
    private readonly timeout: number
  ) {}

  /**
   * How many sparks the other servers have together, and how many live peers there are. One round trip per registry,
   * which costs the same for any number of servers.
   *
   * @throws MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  async others(): Promise<{ sparks: number; peers: number }> {
    const { address } = this.lives
    const asked = this.shards.map(({ registry }) => registry.sparks.others(address))
    const counts = await boundedLookup(Promise.all(asked), this.timeout)
    return { sparks: counts.reduce((sum, count) => sum + count, 0), peers: this.peers.addresses.length }
  }

  /**
   * Why the counts do not show how the sparks will be spread: a live peer drains, or has not renewed its lease.
   *
   * @throws MetroplexError `EREGISTRY` when Redis cannot be asked
   */
  unsettled(): Promise<'draining' | 'membership' | undefined> {
    return boundedLookup(this.#unsettled(), this.timeout)
  }

  async #unsettled(): Promise<'draining' | 'membership' | undefined> {
    const addresses = await this.peers.current()
    const found = await Promise.all(
      this.shards.map(({ registry }) => Promise.all([registry.lives(addresses), registry.vitals(addresses)]))
    )
    for (const [lives, vitals] of found) {
      for (const [address, { description }] of lives) {
        if (description.drains === '1') return 'draining'
        if (vitals.get(address)?.leased !== true) return 'membership'
      }
    }
    return undefined
  }
}
