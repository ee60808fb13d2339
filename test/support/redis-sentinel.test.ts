import { assume } from './assume'
import { startSentinel, type SentinelledRedis } from './redis-sentinel'
import { elapsed, eventually } from './wait'

describe('support: Sentinel', () => {
  let left: SentinelledRedis | undefined

  it('gives its client another master when that is killed, with all that was written', async function () {
    this.timeout(60_000)
    const redis = left = await startSentinel()
    const client = redis.client()
    await client.set('key', 'value')
    assume(await client.wait(2, 5000)).equals(2)
    const former = await redis.failover(master => master.kill())
    assume(former.pid).equals(undefined)
    await eventually(async () => await client.get('key') === 'value', { within: 30_000 })
    await redis.flush()
    assume(await client.get('key')).equals(null)
    await former.restart()
    await redis.demoted(former)
  })

  it('has gone after the test that started it', async () => {
    assume([...left?.servers ?? [], ...left?.sentinels ?? []].map(({ pid }) => pid)).eql(Array(6).fill(undefined))
    const { ms } = await elapsed(() => left?.stop())
    assume(ms).is.below(1000)
  })

})
