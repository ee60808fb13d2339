import { assume } from './assume'
import { startCluster, type RedisCluster } from './redis-cluster'

describe('support: Redis Cluster', () => {
  let left: RedisCluster | undefined

  it('serves all keys, and forgets them all', async function () {
    this.timeout(120_000)
    const cluster = (left = await startCluster())
    const client = cluster.client()
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`)
    for (const key of keys) await client.set(key, '1')
    const owners = new Set(await Promise.all(keys.map(key => cluster.owner(key))))
    assume(owners.size).equals(3)
    await cluster.flush()
    for (const key of keys) assume(await client.get(key)).equals(null)
  })

  it('has gone after the test that started it', () => {
    assume(left?.nodes.map(({ pid }) => pid)).eql(Array(6).fill(undefined))
  })
})
