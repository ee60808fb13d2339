import { pause } from '../deadline'
import { asError } from '../errors'
import type { Description } from '../registry/records'
import { bounded } from './finder'
import type { Shard } from './shard'

/** The part of the deadline after which a registry that has not answered is not waited for alone. */
const HEDGE = 20

/** The other servers that live, as the registries of the cluster know them. */
export class Peers {
  constructor(
    private readonly shards: readonly Shard[],
    /** Bound of a question, in ms. */
    private readonly timeout: number
  ) {}

  /** The addresses of the peers that live, as the first registry that answers has them. */
  current(): Promise<string[]> {
    return bounded(this.#current(), this.timeout)
  }

  async #current(): Promise<string[]> {
    // Who is well first, and the next one when that takes its time: one whose master is away must not hold up the answer.
    const order = [...this.shards].sort((a, b) => Number(b.life.state === 'ready') - Number(a.life.state === 'ready'))
    const asked: Promise<string[]>[] = []
    const failed = (): undefined => undefined
    for (const { members } of order) {
      const answered = new AbortController()
      asked.push(members.current())
      const first = Promise.any(asked).catch(failed).finally(() => { answered.abort() })
      const answer = await Promise.race([first, pause(this.timeout / HEDGE, answered.signal)])
      if (answer !== undefined) return answer
    }
    return Promise.any(asked).catch((error: unknown) => { throw asError(error instanceof AggregateError ? error.errors[0] : error) })
  }

  /** Whether the peers have ever been known. */
  get known(): boolean {
    return this.shards.some(({ members }) => members.known)
  }

  /** The addresses of the peers that live, as known last. */
  get addresses(): string[] {
    return [...new Set(this.shards.flatMap(({ members }) => members.addresses))]
  }

  /** The life of a peer; `''` for one of 1.x, `undefined` for one that does not live. */
  life(address: string): string | undefined {
    for (const { members } of this.shards) {
      const life = members.life(address)
      if (life !== undefined) return life
    }
    return undefined
  }

  /** What a peer says of itself; `undefined` for one of 1.x, and for one that does not live. */
  description(address: string): Description | undefined {
    for (const { members } of this.shards) {
      const description = members.description(address)
      if (description !== undefined) return description
    }
    return undefined
  }

  /** The address of the peer whose process has this word; `''` for none. */
  addressOf(word: string): string {
    for (const { members } of this.shards) {
      const address = members.addressOf(word)
      if (address !== '') return address
    }
    return ''
  }

  /** How many sparks they have. */
  count(): Promise<number> {
    return bounded(this.#count(), this.timeout)
  }

  async #count(): Promise<number> {
    const addresses = await this.#current()
    const counts = await Promise.all(this.shards.map(({ registry }) => registry.count(addresses)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Pages of the ids registered under the address of one of them; none when nobody lives there. */
  async *pages(address: string): AsyncGenerator<string[], void, undefined> {
    for (const { registry, members } of this.shards) {
      if (!members.has(address) && !(await members.current()).includes(address)) continue
      let cursor = '0'
      do {
        const page = await registry.page(address, cursor)
        yield page.ids
        cursor = page.cursor
      } while (cursor !== '0')
    }
  }
}
