import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis5'
import { connectionName } from '../lib/redis/connection-name'
import { assume } from './support/assume'
import { COMMANDS, connectionNames, openNamed, PUBLISH, showsConnections, SUBSCRIBE } from './support/connection-names'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { connectTo, openRedis, type Ioredis, type RedisTarget } from './support/redis-target'
import { documentedRights } from './support/rights'
import { startServer } from './support/server'
import { eventually } from './support/wait'

describe('the names of our connections to Redis', () => {
  let redis: RedisProcess
  beforeEach(async () => {
    redis = await startRedis()
  })

  it('tell the server, and what each connection is for', async () => {
    openNamed(openRedis(redis.target))
    await showsConnections([redis], [COMMANDS, PUBLISH, SUBSCRIBE])
  })

  it('are those of a server over http, too, which has one connection', async () => {
    await startServer({
      redis: { ...redis.target, namespace: namespace() },
      primus: { metroplex: { name: 'web-1' } }
    })
    await showsConnections([redis], [COMMANDS])
  })

  it('are set by a client of ioredis 5', async () => {
    const client = connectTo(redis.target, { Redis: Redis5, Cluster: Cluster5 } as unknown as Ioredis)
    using(() => client.disconnect())
    openNamed(client)
    await showsConnections([redis], [COMMANDS, PUBLISH, SUBSCRIBE])
  })

  it('come back with the connections', async () => {
    openNamed(openRedis({ ...redis.target, retryStrategy: () => 20 }))
    await showsConnections([redis], [COMMANDS, PUBLISH, SUBSCRIBE])
    await redis.ask(client => client.call('CLIENT', 'KILL', 'TYPE', 'normal'))
    await redis.ask(client => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
    await showsConnections([redis], [COMMANDS, PUBLISH, SUBSCRIBE])
  })

  it('leave the client of the application its own name', async () => {
    const client = openRedis({ ...redis.target, connectionName: 'application' })
    openNamed(client, { transport: 'http' })
    await showsConnections([redis], [COMMANDS])
    assume((await connectionNames(redis)).filter(name => name === 'application')).has.length(1)
  })

  it('may be refused by Redis, without an error', async () => {
    const space = namespace()
    const rights = [...documentedRights(space, 'redis'), '-client|setname']
    const target: RedisTarget = await redis.user('nameless', rights)
    const client = openNamed(openRedis(target), { space })
    const errors: unknown[] = []
    client.on('error', error => errors.push(error))
    await client.servers()
    await eventually(async () => (await connectionsOf('nameless')) >= 4, { what: 'all connections' })
    await client.publish('anything')
    assume(errors).deep.equals([])
    await showsConnections([redis], [])
  })

  it('encode what Redis refuses in a name', async () => {
    openNamed(openRedis(redis.target), { transport: 'http', name: 'büro 1\n' })
    await showsConnections([redis], ['metroplex:b%C3%BCro%201%0A:commands'])
    assume(connectionName('\ud800', 'publish')).equals('metroplex:%EF%BF%BD:publish')
  })

  /** How many connections a user has. */
  async function connectionsOf(user: string): Promise<number> {
    const list = String(await redis.ask(client => client.client('LIST')))
    return list.split('\n').filter(line => line.includes(` user=${user} `)).length
  }
})
