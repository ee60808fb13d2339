/**
 * Sparks that have no client behind them, for what costs a spark in the registry alone: what runs in the process of a
 * server.
 *
 * The plugin is told of them as Primus tells it of others, many within one turn of the event loop.
 */
import { createRequire } from 'node:module'
import type { Redis } from 'ioredis'
import type { SparkUnderTest } from '../../test/support/primus-types'
import { isSuccessor, server } from './server'

/** What makes the ids of Primus itself. */
export const { nanoid } = createRequire(require.resolve('primus'))('nanoid') as { nanoid: () => string }
/**
 * So many are made up within one turn of the event loop, and written in one, where the subject is not asked to write
 * itself.
 */
const TOGETHER = 1000

const sparks: SparkUnderTest[] = []
/** Those before it are connected. */
let connected = 0

/**
 * Makes up so many more sparks, ahead of time. Beats go on meanwhile: a server that stood still for so long would be
 * given up.
 */
export async function makeUp(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    // Copied, because it would be put together from its pieces in the midst of what is measured.
    sparks.push({ id: Buffer.from(nanoid()).toString() } as SparkUnderTest)
    if (i % TOGETHER === 0) await new Promise(resolve => setImmediate(resolve))
  }
}

/** The ids of all that were made up. */
export function madeUp(): string[] {
  return sparks.map(({ id }) => id)
}

/** How many are connected. */
export function present(): number {
  return connected
}

/** Connects the next ones, as many as are left of those that were made up; how many that were. */
export function come(count: number): number {
  const { metroplex } = server()
  const coming = sparks.slice(connected, connected + count)
  for (const spark of coming) metroplex.connect(spark)
  connected += coming.length
  return coming.length
}

/** Disconnects those that came last; how many that were. */
export function go(count: number): number {
  const { metroplex } = server()
  const going = sparks.slice(Math.max(0, connected - count), connected)
  for (const spark of going) metroplex.disconnect(spark)
  connected -= going.length
  return going.length
}

/**
 * Resolves when the registry has seen all of that.
 *
 * Redis answers the commands of one connection in their order: what is asked behind a write is answered when it is
 * through. Asking again and again instead would cost more than what is measured.
 */
export async function written(): Promise<void> {
  const { metroplex } = server()
  for (let left = Infinity; left > 0;) {
    // Writers may gather for one turn.
    await new Promise(resolve => setImmediate(resolve))
    left = metroplex.stats?.().waiting ?? 0
    await new Promise<void>((resolve, reject) => {
      metroplex.spark('unknown', error => (error ? reject(error) : resolve()))
    })
  }
}

/** Connects all that were made up. Resolves when the registry has them. */
export async function comeAll(): Promise<void> {
  while (come(1000) > 0) await written()
}

/**
 * Has the registry filled with all that were made up, quickly.
 *
 * They connect. Where that would take minutes, because the subject writes them one by one, the same entries are written
 * for it, many at a time.
 */
export async function fill(): Promise<void> {
  const { metroplex } = server()
  if (isSuccessor()) return comeAll()
  const { redis, namespace, address } = metroplex as unknown as { redis: Redis; namespace: string; address: string }
  while (connected < sparks.length) {
    const ids = sparks.slice(connected, connected + TOGETHER).map(({ id }) => id)
    await Promise.all([
      redis.hset(`${namespace}sparks`, ...ids.flatMap(id => [id, address])),
      redis.sadd(`${namespace}${address}:sparks`, ...ids)
    ])
    connected += ids.length
  }
}
