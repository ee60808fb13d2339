import { assume } from './assume'
import { startCluster, type RedisCluster } from './redis-cluster'
import { eventually } from './wait'

describe('support: Redis Cluster', () => {
  let left: RedisCluster | undefined

  it('serves all keys, and forgets them all', async function () {
    this.timeout(60_000)
    const cluster = left = await startCluster()
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

  it('has another owner of a key when its master is killed, which lacks what was written while it lagged', async function () {
    this.timeout(60_000)
    const cluster = await startCluster()
    const client = cluster.client()
    await client.set('{a}early', '1')
    await cluster.lag('{a}')
    await client.set('{a}late', '1')
    const former = await cluster.failover('{a}', master => master.kill())
    assume(await cluster.owner('{a}')).does.not.equal(former)
    await eventually(async () => (await client.mget('{a}early', '{a}late')).join() === '1,')
  })
})
