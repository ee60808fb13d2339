import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Peer } from '../../lib/common/transport-contract'
import type { Reception } from '../../lib/transport/receiving/reception-contract'
import { RedisTransport } from '../../lib/transport/redis/redis'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { startProxy } from '../support/proxy'
import { startRedis, type RedisProcess } from '../support/redis'
import { load } from '../support/primus-types'
import { connectTo, type Ioredis } from '../support/redis-target'
import { contract, Echo, MOST, type Stage } from './contract'

describe('Redis as a transport', () => {
  let redis: RedisProcess
  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  /** The weather is between the asker and Redis. */
  async function stage(client: (port: number) => Redis): Promise<Stage> {
    const proxy = await startProxy({ port: redis.port })
    const space = namespace()
    const living = new Set<string>()
    const open = (port: number, receiver: Reception): { transport: RedisTransport; peer: Peer } => {
      const word = randomBytes(12).toString('base64url')
      const transport = new RedisTransport({
        redis: client(port),
        namespace: space,
        nodeId: word,
        processName: 'test',
        timeout: 5000,
        maxBody: MOST,
        alive: address => Promise.resolve(living.has(address)),
        failed: () => undefined
      })
      using(() => transport.close())
      transport.open(receiver)
      return { transport, peer: { address: `http://${word}.invalid`, pathname: '/primus', word } }
    }
    const home = new Echo()
    return {
      asker: open(proxy.port, home).transport,
      home,
      network: proxy,
      serve: receiver => {
        const served = open(redis.port, receiver)
        living.add(served.peer.address)
        return Promise.resolve(served)
      },
      absent: () =>
        Promise.resolve({ address: 'http://absent.invalid', pathname: '/primus', word: 'word-of-no-process' })
    }
  }

  contract('Redis', () => stage(port => redis.client({ port })))
  contract('Redis with ioredis 5', () =>
    stage(port => {
      const client = connectTo({ ...redis.target, port }, load('ioredis5') as Ioredis) as Redis
      using(() => client.disconnect())
      return client
    })
  )
})
