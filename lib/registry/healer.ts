import type { Identity, Written } from './records'
import { SLICE, type Registry } from './registry'
import type { Table } from './table'
import type { Writer } from './writer'

/**
 * Puts right what the registry says of our sparks, in both directions, slice by slice.
 *
 * What we hold and the registry lacks is added, unless another server that lives has it: such an id is
 * disowned, and asked for again at each beat until its owner lets go of it or our spark has gone.
 * What the registry has under our name and we do not hold is removed. Meanwhile the registry can be used.
 */
export class Healer {
  #running: Promise<number> | undefined

  constructor(
    private readonly registry: Pick<Registry, 'page' | 'listed'>,
    private readonly table: Table,
    private readonly writer: Writer
  ) {}

  /** Whether a heal is under way. */
  get busy(): boolean {
    return this.#running !== undefined
  }

  /** Compare all, at once; how many entries were wrong. Calls that come while one runs share it. Rejects when Redis fails: call again. */
  heal(me: Identity): Promise<number> {
    return this.#running ??= this.#heal(me).finally(() => { this.#running = undefined })
  }

  /**
   * Compare all without haste, and although nothing seems wrong; how many entries were.
   *
   * @param rest waits between two slices; resolves with `false` to give up
   */
  audit(me: Identity, rest: () => Promise<boolean>): Promise<number> {
    return this.#compare(me, rest)
  }

  /** Ask again for ids that another server had; how many have become ours. */
  async reclaim(): Promise<number> {
    const ids = [...this.table.disowned].slice(0, SLICE)
    return ids.length === 0 ? 0 : this.#claim(ids)
  }

  async #heal(me: Identity): Promise<number> {
    // Even with nothing to add, a claim moves the number on, and whatever is still on its way to Redis comes too late.
    accepted(await this.writer.claim([]))
    const wrong = await this.#compare(me, () => Promise.resolve(true))
    if (this.writer.owesWord) await this.writer.tell((await this.registry.listed()).servers)
    this.writer.trust()
    return wrong
  }

  async #compare({ address }: Identity, rest: () => Promise<boolean>): Promise<number> {
    let wrong = 0
    let slice: string[] = []
    for (const id of this.table.ids()) {
      slice.push(id)
      if (slice.length < SLICE) continue
      wrong += await this.#claim(slice)
      slice = []
      if (!await rest()) return wrong
    }
    if (slice.length > 0) wrong += await this.#claim(slice)

    let cursor = '0'
    do {
      const page = await this.registry.page(address, cursor)
      wrong += await this.writer.release(page.ids.filter(id => !this.table.owns(id)))
      cursor = page.cursor
    } while (cursor !== '0' && await rest())
    return wrong
  }

  async #claim(ids: readonly string[]): Promise<number> {
    const claimed = accepted(await this.writer.claim(ids))
    const others = new Set<string>()
    let wrong = claimed.missing
    for (const [owner, theirs] of claimed.others) {
      const wrested = accepted(await this.writer.wrest(owner, theirs))
      wrong += wrested.missing
      for (const stay of wrested.others.values()) for (const id of stay) others.add(id)
    }
    for (const id of ids) if (others.has(id)) this.table.disown(id); else this.table.own(id)
    return wrong
  }
}

function accepted(written: Written): Extract<Written, { as: 'ok' }> {
  if (written.as !== 'ok') throw new Error(`The registry has ${written.as} what we claim.`)
  return written
}
