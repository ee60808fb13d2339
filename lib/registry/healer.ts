import type { Identity, Named, Written } from './records'
import { SLICE } from './pace'
import type { Registry } from './registry'
import { slices } from './slices'
import type { Names } from './names'
import type { Table } from './table'
import type { Writer } from './writer'

/**
 * Puts right what the registry says of our sparks, in both directions, slice by slice.
 *
 * What we hold and the registry lacks is added, unless another server that lives has it: such an id is
 * disowned, and asked for again at each beat until its owner lets go of it or our spark has gone.
 * What the registry has under our name and we do not hold is removed. The same is done with the users behind them.
 * Meanwhile the registry can be used.
 */
export class Healer {
  #running: Promise<number> | undefined

  constructor(
    private readonly registry: Pick<Registry, 'page' | 'listed'>,
    private readonly table: Table,
    private readonly names: Names,
    private readonly writer: Writer,
    /** Under which addresses sparks are registered, wherever in the cluster's registries they lie. */
    private readonly places: (ids: readonly string[]) => Promise<(string | null)[]>
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

  async #compare(me: Identity, rest: () => Promise<boolean>): Promise<number> {
    const wrong = await this.#compareSparks(me, rest)
    return await rest() ? wrong + await this.#compareUsers(me, rest) : wrong
  }

  async #compareSparks({ address }: Identity, rest: () => Promise<boolean>): Promise<number> {
    let wrong = 0
    for (const slice of slices(this.table.ids(), SLICE)) {
      wrong += await this.#claim(slice)
      if (slice.length === SLICE && !await rest()) return wrong
    }

    let cursor = '0'
    do {
      const page = await this.registry.page(address, cursor)
      wrong += await this.writer.release(page.ids.filter(id => !this.table.owns(id)))
      cursor = page.cursor
    } while (cursor !== '0' && await rest())
    return wrong
  }

  async #compareUsers(me: Identity, rest: () => Promise<boolean>): Promise<number> {
    let wrong = 0
    // What is too much goes first: while a spark is listed under another user, what it is to have would be written over that.
    let cursor = '0'
    do {
      const page = await this.writer.releaseUsers(me, cursor)
      wrong += page.wrong
      cursor = page.cursor
    } while (cursor !== '0' && await rest())
    if (cursor !== '0') return wrong

    for (const slice of slices(this.names, SLICE)) {
      wrong += await this.#claimUsers(me, slice)
      if (slice.length === SLICE && !await rest()) return wrong
    }
    return wrong
  }

  async #claimUsers({ address }: Identity, named: readonly Named[]): Promise<number> {
    const { missing, others } = accepted(await this.writer.claimUsers(named, false))
    const theirs = [...others.values()].flat()
    if (theirs.length === 0) return missing
    // Who has the spark has its user. Where that is another server, this spark of ours is about to be disowned.
    const places = await this.places(theirs.map(([id]) => id))
    const ours = theirs.filter((_, i) => places[i] === address)
    return ours.length === 0 ? missing : missing + accepted(await this.writer.claimUsers(ours, true)).missing
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

function accepted<T>(written: Written<T>): Extract<Written<T>, { as: 'ok' }> {
  if (written.as !== 'ok') throw new Error(`The registry has ${written.as} what we claim.`)
  return written
}
