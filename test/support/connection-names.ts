import { createClient, type Client } from '../../index'
import type { Cluster, Redis } from 'ioredis'
import { assume } from './assume'
import { using } from './dispose'
import { namespace } from './namespace'
import type { RedisProcess } from './redis'
import { eventually } from './wait'

/** The names of the three connections of a process `web-1`. */
export const [COMMANDS, PUBLISH, SUBSCRIBE] = ['commands', 'publish', 'subscribe'].map(
  role => `metroplex:web-1:${role}`
)

/** The names of the connections to a Redis. */
export async function connectionNames(redis: RedisProcess): Promise<string[]> {
  const list = String(await redis.ask(client => client.client('LIST')))
  return list.split('\n').flatMap(line => / name=(\S+)/.exec(line)?.[1] ?? [])
}

/** Waits until these are the names of metroplex's connections to some servers of Redis. */
export async function showsConnections(
  servers: readonly RedisProcess[],
  expected: readonly (string | undefined)[]
): Promise<void> {
  await eventually(
    async () => {
      const all = (await Promise.all(servers.map(connectionNames))).flat()
      assume(all.filter(name => name.startsWith('metroplex:')).sort()).deep.equals([...expected].sort())
      return true
    },
    { within: 10_000, what: 'the names of the connections' }
  )
}

/** A process of a cluster, here; closed at the end of the test. */
export function openNamed(
  redis: Redis | Cluster,
  options: { transport?: 'http' | 'redis'; space?: string; name?: string } = {}
): Client {
  const { transport = 'redis', space = namespace(), name = 'web-1' } = options
  const client = createClient({ redis, namespace: space, metroplex: { name, transport } })
  using(() => client.close())
  return client
}
