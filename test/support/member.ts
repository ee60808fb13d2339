import type { Redis } from 'ioredis'
import metroplex, { type Metroplex, type MetroplexOptions } from '../../index'
import { using } from './dispose'

/**
 * A member of a cluster in this process, without Primus, closed at the end of the test.
 *
 * @example
 * const one = member(redis.client(), space, 'http://one:1', { interval: 1000, latency: 200 })
 * await one.ready()
 */
export function member(client: Redis, namespace: string, address: string, options: MetroplexOptions = {}): Metroplex {
  const one = new metroplex({}, { redis: client, namespace, address, ...options })
  using(() => one.close())
  return one
}
