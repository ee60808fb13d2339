import { ignore } from '../../lib/common/callback'
import { Reaper } from '../../lib/membership/reaper'
import { Healer } from '../../lib/sync/healer'
import { PendingGroups } from '../../lib/sync/pending-groups'
import { PendingUsers } from '../../lib/sync/pending-users'
import type { Registry } from '../../lib/registry/registry'
import { LocalSparks } from '../../lib/sync/local-sparks'
import { Writer } from '../../lib/sync/writer'
import type { RedisClient, Spark } from '../../lib/common/types'
import type { RedisProcess } from '../../test/support/redis'
import { OPERATIONS, type Operation, type Point, type Prices } from './costs'
import { ids, inTurns, Lane, openLanes, TERMS } from './lanes'
import { Ruler } from './ruler'

/** A Redis to measure, empty. */
export interface Ground {
  /** Those that keep the registries: one Redis, or the masters of a Cluster. */
  readonly nodes: readonly RedisProcess[]
  readonly redis: RedisClient
  readonly shards: number
}

/** Commits as large as these are measured. */
const COMMITS = [1, 10, 100, 500]
/** So many connections, each with one question under way, ask Redis at a time: as it is when Redis has much to do. */
const SERVERS = 32
/** Lists as long as these are measured. */
const LISTS = [100, 1000]
const ENTRIES = 10_000

/** What the measuring of one Redis goes by. */
interface Work {
  readonly ruler: Ruler
  readonly lanes: readonly Lane[]
  /** One for each registry. */
  readonly first: readonly Lane[]
  /** As many as are worth it: all, or a share. */
  readonly some: (count: number) => number
  /** Note what an operation on `n` things costs, of which `work` does `count`; the rest is as the ruler has it. */
  readonly price: (
    operation: Operation,
    n: number,
    count: number,
    direct: readonly string[],
    work: () => Promise<unknown>,
    trips?: number
  ) => Promise<void>
}

/**
 * Measures all prices once: the verbs of the registry itself, against a real Redis.
 *
 * @param share how much is done for each figure; at 1 all of them take half a minute or so
 */
export async function measurePrices({ nodes, redis, shards }: Ground, share: number): Promise<Prices> {
  const ruler = await Ruler.open(nodes)
  const operations = Object.fromEntries(Object.keys(OPERATIONS).map(name => [name, []])) as unknown as Record<
    Operation,
    Point[]
  >
  const some = (count: number): number => Math.max(1, Math.round(count * share))
  const servers = Math.max(4, SERVERS / shards)
  let lanes: Lane[] = []
  const opened = await ruler.growth(async () => {
    lanes = await openLanes(redis, shards, servers)
  })
  try {
    const work: Work = {
      ruler,
      lanes,
      some,
      first: lanes.filter((_, i) => i % servers === 0),
      price: async (operation, n, count, direct, does, trips) => {
        operations[operation].push({ n, ...(await ruler.measure(count, direct, does, trips)) })
      }
    }
    const each = some(300_000 / lanes.length)
    const filled = await ruler.growth(() => inTurns(lanes, lanes.length, lane => lane.fill(each)))
    await commits(work)
    const wake = await questions(work)
    await cleaning(work)
    await straying(work)
    const server = await lists(work)
    return {
      operations,
      memory: { spark: filled / each / lanes.length, server, connection: opened / lanes.length - server },
      wake
    }
  } finally {
    for (const { registry } of lanes) registry.close()
  }
}

/** Sparks that come and go, so many at a time. */
async function commits({ lanes, some, price }: Work): Promise<void> {
  for (const size of COMMITS) {
    const count = some(Math.min(20_000, 150_000 / size))
    const coming = Array.from({ length: count }, () => ids(size))
    // A lane takes back what it has brought.
    const brought = new Map(lanes.map(lane => [lane, [] as string[][]]))
    await price('connect', size, count, [], () =>
      inTurns(lanes, count, (lane, turn) => {
        const those = coming[turn] ?? []
        brought.get(lane)?.push(those)
        return lane.commit(those, [])
      })
    )
    await price('disconnect', size, count, [], () =>
      inTurns(
        lanes,
        lanes.length,
        async lane => {
          for (const those of brought.get(lane) ?? []) await lane.commit([], those)
        },
        lanes.length
      )
    )
  }
}

/** What servers say and ask all the time. Returns what it costs to wake Redis for a question. */
async function questions({ ruler, lanes, first, some, price }: Work): Promise<number> {
  const [beats, agreements, lookups] = [some(20_000), some(5000), some(20_000)]
  const [{ registry }] = first as [Lane]
  const secret = await registry.keep('secret', { since: '', value: 'a'.repeat(43) }, 0)
  const layout = await registry.keep('layout', { since: '', value: '1' }, TERMS.lease)
  // With shards the beats of one registry alone compare the secret, and none the layout.
  const shared = first.length === 1 ? { secret, layout } : undefined
  await price('beat', 1, beats, [], () =>
    inTurns(lanes, beats, ({ registry, me }) => registry.beat(me, TERMS, 0, shared))
  )
  await price(
    'agree',
    1,
    agreements,
    [],
    () => inTurns(lanes, agreements, ({ registry }) => registry.keep('layout', layout, TERMS.lease)),
    1
  )
  const known = new Map(lanes.map(lane => [lane, ids(32)]))
  await inTurns(lanes, lanes.length, lane => lane.commit(known.get(lane) ?? [], []))
  const ask = (size: number, together?: number): Promise<void> =>
    inTurns(lanes, lookups, lane => lane.registry.sparks.places((known.get(lane) ?? []).slice(0, size)), together)
  for (const size of [1, 32]) await price('lookup', size, lookups, ['hmget'], () => ask(size))
  const busy = await ruler.measure(lookups, ['hmget'], () => ask(1))
  const alone = await ruler.measure(lookups, ['hmget'], () => ask(1, 1))
  return Math.max(0, alone.cpu - busy.cpu)
}

/**
 * Servers that have left are cleaned up after, and one of which all is forgotten puts it back, and then compares it.
 */
async function cleaning({ first, some, price }: Work): Promise<void> {
  const each = some(40_000 / first.length)
  const none = (): Promise<boolean> => Promise.resolve(true)
  const gone = await Promise.all(first.map(({ registry }) => new Lane(registry).open()))
  await inTurns(gone, gone.length, lane => lane.fill(each))
  await inTurns(gone, gone.length, ({ registry, me }) => registry.leave(me))
  await price('reap', 1, each * first.length, [], () =>
    inTurns(gone, gone.length, ({ registry, me }) =>
      new Reaper(registry, { hold: TERMS.lease, ...TERMS }, { buried: ignore, reap: ignore }).clean(me, false)
    )
  )

  const empty = await Promise.all(first.map(({ registry }) => new Lane(registry).open()))
  const healers = new Map(
    empty.map(({ registry, me }, i) => {
      const table = new LocalSparks({ disowned: ignore, owned: ignore })
      for (const id of ids(each)) table.add(id, { id } as Spark)
      const entries = {
        sparks: table,
        users: new PendingUsers(),
        groups: new PendingGroups(),
        places: (some: readonly string[]) => registry.sparks.places(some)
      }
      const writer = new Writer(registry, entries, { doubt: ignore, committed: ignore, postponed: ignore })
      writer.open(me, false)
      return [i, new Healer(registry, table, writer)]
    })
  )
  await price('heal', 1, each * first.length, ['sscan'], () =>
    inTurns(empty, empty.length, async ({ me }, turn) => healers.get(turn)?.heal(me))
  )
  await price('audit', 1, each * first.length, ['sscan'], () =>
    inTurns(empty, empty.length, async ({ me }, turn) => healers.get(turn)?.audit(me, none))
  )
}

/**
 * One server looks at all entries, page by page, and whether their owners have them: few owners to a page, and many.
 */
async function straying({ first, some, price }: Work): Promise<void> {
  for (const owners of [1, 400]) {
    const spaces = first.map(({ registry }) => registry.beside(`${registry.prefix}strays${owners}`))
    const each = Math.max(1, some(ENTRIES / owners / first.length))
    let pages = 0
    let groups = 0
    for (const space of spaces) {
      const theirs = await Promise.all(Array.from({ length: owners }, () => new Lane(space).open()))
      await inTurns(theirs, owners, lane => lane.fill(each))
    }
    const look = async (): Promise<void> => {
      for (const space of spaces) {
        let cursor = '0'
        do {
          const page = await space.remains.entries(cursor)
          pages++
          groups += page.owners.size
          await space.remains.lacking(page.owners)
          cursor = page.cursor
        } while (cursor !== '0')
      }
    }
    // How many pages there are shows when they are read.
    await look()
    const [count, mean] = [pages, groups / pages]
    await price('stray', mean, count, ['hscan'], look)
  }
}

/** Sizes of what a server has to catch up with. */
const CHANGES = [1, 16, 256]

/** A look at who has come and gone, by who has missed that many. */
function behind(changes: number): (lane: Lane) => Promise<unknown> {
  return async ({ registry }) => registry.changes(await since(registry, changes))
}

const counters = new WeakMap<Registry, Promise<string>>()

/** What the counter of joins and leaves was, so many of them ago. */
async function since(registry: Registry, changes: number): Promise<string> {
  const counter = counters.get(registry) ?? registry.listed().then(({ members }) => members)
  counters.set(registry, counter)
  return String(BigInt(await counter) - BigInt(changes))
}

/** Who is there, when there are many. Returns the bytes that a server takes. */
async function lists({ ruler, first, some, price }: Work): Promise<number> {
  const spaces = first.map(({ registry }) => registry.beside(`${registry.prefix}lists`))
  const crowd: Lane[] = []
  let bytes = 0
  for (const size of LISTS) {
    const coming = spaces.flatMap(space =>
      Array.from({ length: size - crowd.length / spaces.length }, () => new Lane(space))
    )
    const come = (): Promise<void> => inTurns(coming, coming.length, lane => lane.open())
    bytes += await ruler.growth(() =>
      size === LISTS.at(-1) ? price('join', 1, coming.length, ['hget', 'get'], come) : come()
    )
    crowd.push(...coming)
    const asking = crowd.filter((_, i) => i % 10 === 0)
    const lookers = asking.length
    const count = some(40_000 / size)
    await price(
      'listed',
      size,
      count,
      ['get', 'smembers'],
      () => inTurns(asking, count, ({ registry }) => registry.listed(), lookers),
      1
    )
    await price(
      'census',
      size,
      count,
      ['get', 'smembers', 'hmget'],
      () => inTurns(asking, count, ({ registry }) => registry.census([]), 4),
      2
    )
    if (size === LISTS.at(-1))
      for (const changes of CHANGES)
        await price('changes', changes, count, ['hmget'], () => inTurns(asking, count, behind(changes), lookers), 2)
    await price(
      'vitals',
      size,
      count,
      ['mget'],
      () =>
        inTurns(
          asking,
          count,
          ({ registry }) =>
            registry.vitals(crowd.filter(lane => lane.registry === registry).map(({ me }) => me.address)),
          4
        ),
      1
    )
  }
  const leaving = crowd.slice(0, some(500))
  await price('leave', 1, leaving.length, [], () =>
    inTurns(leaving, leaving.length, async ({ registry, me }) => {
      await registry.leave(me)
      await registry.remains.tombstone(me)
    })
  )
  return bytes / crowd.length
}
