import { SLICE, slices } from '../registry/batch-size'
import type { LifeId } from '../registry/records'
import type { Registry } from '../registry/registry'
import type { LocalSparks } from './local-sparks'
import type { IndexSync } from './index-sync'
import type { Writer } from './writer'

/**
 * Corrects our entries in the registry, in both directions, slice by slice. The registry stays usable meanwhile.
 *
 * It adds entries that this server has and the registry lacks, and removes those of ours that this server does not
 * have, in one index after the other. A spark that another live server holds is disowned, and claimed again at each
 * beat until its owner releases it or our spark has ended.
 */
export class Healer {
  #running: Promise<number> | undefined

  constructor(
    private readonly registry: Pick<Registry, 'listed'>,
    private readonly table: Pick<LocalSparks, 'disowned'>,
    private readonly writer: Writer
  ) {}

  /** Whether a heal is running. */
  get busy(): boolean {
    return this.#running !== undefined
  }

  /**
   * Compare all entries at once. Calls during a heal share it. Rejects when Redis fails; then call it again.
   *
   * @returns how many entries were wrong
   */
  heal(me: LifeId): Promise<number> {
    return (this.#running ??= this.#heal(me).finally(() => {
      this.#running = undefined
    }))
  }

  /**
   * Compare all entries slowly, although nothing seems wrong.
   *
   * @param rest waits between two slices; resolves with `false` to stop the audit
   * @returns how many entries were wrong
   */
  audit(me: LifeId, rest: () => Promise<boolean>): Promise<number> {
    return this.#compare(me, rest)
  }

  /**
   * Claim disowned ids again, and add entries that were postponed while Redis was full.
   *
   * @param room whether Redis has memory for new entries
   * @returns how many entries were added
   */
  async reclaim(me: LifeId, room: boolean): Promise<number> {
    const ids = [...this.table.disowned].slice(0, SLICE)
    const reclaimed = ids.length === 0 ? 0 : await claim(me, this.writer.sparks, ids)
    return room && this.writer.postponed > 0 ? reclaimed + (await this.#resume(me)) : reclaimed
  }

  /** Add postponed entries, slice by slice, until none is left or Redis is full again. */
  async #resume(me: LifeId): Promise<number> {
    let added = 0
    for (const index of this.writer.indexes) {
      for (;;) {
        const claimed = await index.resume()
        if (claimed === undefined) break
        added += await index.resolve(me, claimed)
        if (claimed.written.unwritten.length > 0) return added
      }
    }
    return added
  }

  async #heal(me: LifeId): Promise<number> {
    const { writer } = this
    await writer.fence()
    writer.beginHeal()
    const wrong = await this.#compare(me, () => Promise.resolve(true))
    await writer.presence?.noteDoubts(me)
    await writer.sendOwedNotices(async () => (await this.registry.listed()).servers)
    writer.trust()
    return wrong
  }

  async #compare(me: LifeId, rest: () => Promise<boolean>): Promise<number> {
    let wrong = 0
    for (const index of this.writer.indexes) {
      const halves = index.removesFirst ? [release, claimAll] : [claimAll, release]
      for (const half of halves) {
        const found = await half(me, index, rest)
        wrong += found.wrong
        if (found.stopped || !(await rest())) return wrong
      }
    }
    return wrong
  }
}

/** How many entries were wrong, and whether the comparison was stopped before it had seen all. */
interface Half {
  readonly wrong: number
  readonly stopped: boolean
}

/** Add our entries that an index lacks. */
async function claimAll(me: LifeId, index: IndexSync, rest: () => Promise<boolean>): Promise<Half> {
  let wrong = 0
  for (const slice of slices(index.pending.items(), SLICE)) {
    wrong += await claim(me, index, slice)
    if (slice.length === SLICE && !(await rest())) return { wrong, stopped: true }
  }
  return { wrong, stopped: false }
}

/** Remove entries of ours that this server does not have from an index. */
async function release(me: LifeId, index: IndexSync, rest: () => Promise<boolean>): Promise<Half> {
  let wrong = 0
  let cursor = '0'
  do {
    const page = await index.release(me, cursor)
    wrong += page.wrong
    cursor = page.cursor
  } while (cursor !== '0' && (await rest()))
  return { wrong, stopped: cursor !== '0' }
}

async function claim<Item, Batch>(me: LifeId, index: IndexSync<Item, Batch>, items: readonly Item[]): Promise<number> {
  return index.resolve(me, await index.claim(items))
}
