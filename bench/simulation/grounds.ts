import { startRedis } from '../../test/support/redis'
import { startCluster } from '../../test/support/redis-cluster'
import { median } from '../harness/figures'
import { costOf, OPERATIONS, type Operation, type Prices, type Setting } from './costs'
import { measurePrices, type Ground } from './measure'

/** A ground, and its end. */
type Opened = Ground & { close(): Promise<void> }

/**
 * Where prices are measured: one Redis, and a Redis Cluster of three masters with a replica each, with four shards and
 * with sixteen.
 */
const GROUNDS: Readonly<Record<Setting, () => Promise<Opened>>> = {
  one: async () => {
    const redis = await startRedis({ scope: 'suite' })
    return { nodes: [redis], redis: redis.client(), shards: 1, close: () => redis.stop() }
  },
  cluster4: () => cluster(4),
  cluster16: () => cluster(16)
}

/** Measures the prices on one kind of Redis, `rounds` times on a fresh one, and takes the median of each figure. */
export async function medianPrices(setting: Setting, rounds: number, share: number): Promise<Prices> {
  const all: Prices[] = []
  while (all.length < rounds) {
    const ground = await GROUNDS[setting]()
    try {
      all.push(await measurePrices(ground, share))
    } finally {
      await ground.close()
    }
  }
  const middle = (figure: (prices: Prices) => number): number => Number(median(all.map(figure)).toPrecision(4))
  const point = (operation: Operation, i: number): Prices['operations'][Operation][number] => ({
    n: middle(({ operations }) => operations[operation][i]?.n ?? 0),
    ...costOf(name => middle(({ operations }) => operations[operation][i]?.[name] ?? 0))
  })
  return {
    operations: Object.fromEntries(
      (Object.keys(OPERATIONS) as Operation[]).map(operation => [
        operation,
        (all[0]?.operations[operation] ?? []).map((_, i) => point(operation, i))
      ])
    ) as unknown as Prices['operations'],
    memory: {
      spark: middle(({ memory }) => memory.spark),
      server: middle(({ memory }) => memory.server),
      connection: middle(({ memory }) => memory.connection)
    },
    wake: middle(({ wake }) => wake)
  }
}

async function cluster(shards: number): Promise<Opened> {
  const all = await startCluster({ nodeTimeout: 15_000, scope: 'suite' })
  return { nodes: all.nodes.slice(0, 3), redis: all.client(), shards, close: () => all.stop() }
}
