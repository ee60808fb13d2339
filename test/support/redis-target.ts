import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { adopt } from './dispose'

/**
 * Which Redis, and how to talk to it: ioredis's options, as far as they survive structured cloning.
 *
 * With `url` or `host` and `port` it is one server, with `sentinels` and `name` the master that those name, and with
 * `cluster` a Redis Cluster of which these nodes are known; the other options are then those of each connection.
 */
export type RedisTarget = Omit<RedisOptions, 'replyMapping'> & {
  url?: string
  cluster?: { host: string; port: number }[]
}

/** As much of a version of ioredis as connecting takes. */
export interface Ioredis {
  Redis: { new (url: string, options: object): Redis; new (options: object): Redis }
  Cluster: new (nodes: { host: string; port: number }[], options: object) => Cluster
}

/**
 * A client of a target, as a user would make it.
 *
 * The faults are the tests' own: ioredis would print each of them, so its errors are taken in.
 */
export function connectTo({ url, cluster, ...options }: RedisTarget, ioredis: Ioredis): Redis | Cluster {
  const client = cluster
    ? new ioredis.Cluster(cluster, { redisOptions: options })
    : url === undefined
      ? new ioredis.Redis(options)
      : new ioredis.Redis(url, options)
  client.on('error', () => undefined)
  return client
}

/** A client of a target in this process, closed at the end of the test that asked for it. */
export function openRedis(target: RedisTarget): Redis | Cluster {
  const client = connectTo(target, { Redis, Cluster })
  adopt(() => client.disconnect())
  return client
}
