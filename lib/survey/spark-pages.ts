import type { OperatorSession } from './operator-session'

/** A spark, and the address of its server. */
export interface ListedSpark {
  readonly spark: string
  readonly address: string
}

/** Where a list of sparks continues: in which registry, at which page, and behind how many of its entries. */
export interface SparkPlace {
  readonly shard: number
  readonly cursor: string
  readonly skip: number
}

/** Where a list begins. */
export const FIRST_PLACE: SparkPlace = { shard: 0, cursor: '0', skip: 0 }

/** Entries of one page of a registry, and their place. */
interface SparkPage {
  readonly place: SparkPlace
  readonly entries: readonly ListedSpark[]
}

/** The pages of all registries, from a place on. @param address only the sparks of this server */
export async function* sparkPages(
  session: OperatorSession,
  address: string | undefined,
  from: SparkPlace
): AsyncGenerator<SparkPage, void, undefined> {
  let { cursor, skip } = from
  for (let shard = from.shard; shard < session.shards.length; shard++) {
    const registry = session.shards[shard]
    if (registry === undefined) return
    do {
      const page =
        address === undefined
          ? await registry.inspection.sparks(cursor)
          : await registry.sparks.page(address, cursor).then(({ cursor: next, items }) => ({
              cursor: next,
              items: items.map(id => [id, address] as const)
            }))
      const entries = page.items.map(([spark, owner]) => ({ spark, address: owner }))
      yield { place: { shard, cursor, skip }, entries: entries.slice(skip) }
      cursor = page.cursor
      skip = 0
    } while (cursor !== '0')
  }
}

/**
 * Some sparks from a place on, in no order. Its cost is that of the pages that it reads, however many sparks there are.
 *
 * @returns `next`: where the list continues, for `readPlace`; `null` at its end
 */
export async function listSparks(
  session: OperatorSession,
  address: string | undefined,
  from: SparkPlace,
  limit: number
): Promise<{ readonly sparks: readonly ListedSpark[]; readonly next: string | null }> {
  const sparks: ListedSpark[] = []
  for await (const { place, entries } of sparkPages(session, address, from)) {
    const room = limit - sparks.length
    sparks.push(...entries.slice(0, room))
    if (entries.length > room) return { sparks, next: `${place.shard}.${place.cursor}.${place.skip + room}` }
  }
  return { sparks, next: null }
}

/** Reads a place that `listSparks` has named; `undefined` for other text. */
export function readPlace(text: string): SparkPlace | undefined {
  const [, shard, cursor = '', skip] = /^(\d{1,3})\.(\d{1,20})\.(\d{1,9})$/.exec(text) ?? []
  return shard === undefined ? undefined : { shard: Number(shard), cursor, skip: Number(skip) }
}
