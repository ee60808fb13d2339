import { mkdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import type { RedisProcess } from './redis'
import { eventually } from './wait'

/** A `maxmemory` that every Redis is above: it refuses what needs memory. `'0'` ends that. */
export const FULL = '1'

/** The words with which Redis refuses all writes. */
export type Refusal = 'MISCONF' | 'NOREPLICAS'

/**
 * Make Redis refuse all writes: because its last BGSAVE has failed, or because too few replicas follow it.
 *
 * @returns what ends that
 */
export async function refuseWrites(redis: RedisProcess, client: Redis, word: Refusal): Promise<() => Promise<void>> {
  if (word === 'NOREPLICAS') {
    await client.config('SET', 'min-replicas-to-write', '1')
    return async () => {
      await client.config('SET', 'min-replicas-to-write', '0')
    }
  }
  // A dump cannot take the place of a directory.
  const dump = join(redis.directory, 'dump.rdb')
  await mkdir(dump)
  await client.config('SET', 'save', '3600 1')
  const saved = async (status: string): Promise<void> => {
    await client.call('BGSAVE').catch(() => undefined)
    await eventually(async () => (await client.info('persistence')).includes(`rdb_last_bgsave_status:${status}`))
  }
  await saved('err')
  return async () => {
    await rmdir(dump)
    await saved('ok')
  }
}
