import { delay, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { boundedLookup } from '../lookup/bounded-lookup'
import type { Description } from '../registry/records'
import type { Shard } from './shard'

/** After this fraction of the deadline without an answer, the next shard is asked as well: `timeout / HEDGE` ms. */
const HEDGE = 20

/** The live peers, from the live sets of all shards. */
export class Peers {
  constructor(
    private readonly shards: readonly Shard[],
    /** Deadline of a question, in ms. */
    private readonly timeout: number
  ) {}

  /** The addresses of the live peers, from the first shard that answers. */
  current(): Promise<string[]> {
    return boundedLookup(this.#current(), this.timeout)
  }

  /**
   * As `current`, for a message; the last known peers when Redis is unreachable or does not answer in time.
   *
   * @param ms how long Redis may take; at most half of the deadline
   * @throws MetroplexError `EREGISTRY` when Redis does not answer and the peers were never known
   */
  async currentOrKnown(ms = Infinity): Promise<string[]> {
    if (this.known && this.shards.every(({ registry }) => !registry.reachable)) return this.addresses
    // Half of the deadline is left for the message itself.
    const limit = Math.min(this.timeout / 2, ms)
    const late = (): Error =>
      new MetroplexError('EREGISTRY', 'Redis did not answer with the list of servers, and none was read before.')
    try {
      return await withTimeout(this.current(), limit, late)
    } catch (error) {
      if (this.known) return this.addresses
      throw error
    }
  }

  async #current(): Promise<string[]> {
    // Ready shards come first. A shard whose master is away must not delay the answer, so the next one is asked soon.
    const order = [...this.shards].sort(
      (a, b) => Number(b.life?.standing.state === 'ready') - Number(a.life?.standing.state === 'ready')
    )
    const asked: Promise<string[]>[] = []
    const failed = (): undefined => undefined
    for (const { members } of order) {
      const answered = new AbortController()
      asked.push(members.current())
      const first = Promise.any(asked)
        .catch(failed)
        .finally(() => {
          answered.abort()
        })
      const answer = await Promise.race([first, delay(this.timeout / HEDGE, answered.signal)])
      if (answer !== undefined) return answer
    }
    return Promise.any(asked).catch((error: unknown) => {
      throw asError(error instanceof AggregateError ? error.errors[0] : error)
    })
  }

  /** Whether the list of servers has ever been read. */
  get known(): boolean {
    return this.shards.some(({ members }) => members.known)
  }

  /** The addresses of the live peers, as last read. */
  get addresses(): string[] {
    return [...new Set(this.shards.flatMap(({ members }) => members.addresses))]
  }

  /** The life of a peer; `''` for a server of 1.x, `undefined` for an address without a live peer. */
  life(address: string): string | undefined {
    for (const { members } of this.shards) {
      const life = members.life(address)
      if (life !== undefined) return life
    }
    return undefined
  }

  /** What a peer says of itself; `undefined` for a server of 1.x, and for an address without a live peer. */
  description(address: string): Description | undefined {
    for (const { members } of this.shards) {
      const description = members.description(address)
      if (description !== undefined) return description
    }
    return undefined
  }

  /** The address of the peer with this node id; `''` for none. */
  addressOf(nodeId: string): string {
    for (const { members } of this.shards) {
      const address = members.addressOf(nodeId)
      if (address !== '') return address
    }
    return ''
  }

  /** How many sparks the live peers have. */
  count(): Promise<number> {
    return boundedLookup(this.#count(), this.timeout)
  }

  async #count(): Promise<number> {
    const addresses = await this.#current()
    const counts = await Promise.all(this.shards.map(({ registry }) => registry.sparks.count(addresses)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Pages of the ids registered under the address of a live peer; none when no live peer is there. */
  async *pages(address: string): AsyncGenerator<readonly string[], void, undefined> {
    for (const { registry, members } of this.shards) {
      if (!members.has(address) && !(await members.current()).includes(address)) continue
      let cursor = '0'
      do {
        const page = await registry.sparks.page(address, cursor)
        yield page.items
        cursor = page.cursor
      } while (cursor !== '0')
    }
  }
}
