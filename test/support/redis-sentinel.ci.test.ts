import { setTimeout as sleep } from 'node:timers/promises'
import { assume } from './assume'
import { startProxy } from './proxy'
import { startSentinel, type SentinelledRedis } from './redis-sentinel'
import { eventually, once } from './wait'

describe('support: Sentinel', () => {
  let left: SentinelledRedis | undefined

  it('gives its client another master when that is killed, with all that was written', async function () {
    this.timeout(120_000)
    const redis = (left = await startSentinel())
    const client = redis.client()
    await client.set('key', 'value')
    assume(await client.wait(2, 5000)).equals(2)
    const former = await redis.failover(master => master.kill())
    assume(former.pid).equals(undefined)
    await eventually(async () => (await client.get('key')) === 'value', { within: 30_000 })
    await redis.flush()
    assume(await client.get('key')).equals(null)
    await former.restart()
    await redis.demoted(former)
  })

  it('gives its client another master that is announced while the client asks for the master', async function () {
    this.timeout(120_000)
    const redis = await startSentinel()
    const [one, ...others] = redis.sentinels
    if (one === undefined) throw new Error('there is no Sentinel')
    // The client asks the first Sentinel it knows, and hears from the others who is master.
    const way = await startProxy({ port: one.port })
    const sentinels = [way, ...others].map(({ port }) => ({ host: '127.0.0.1', port }))
    const client = redis.client({ sentinels, updateSentinels: false })
    await client.set('key', 'value')
    assume(await client.wait(2, 5000)).equals(2)
    const { connector } = client as unknown as { connector: { connecting: boolean } }
    way.freezeReplies()
    await redis.failover(master => master.kill())
    await eventually(() => !connector.connecting, { within: 30_000, what: 'another master that a Sentinel announced' })
    const ended = once(client, 'end')
    way.thaw()
    await ended
    await eventually(async () => (await client.get('key')) === 'value', { within: 30_000 })
  })

  it('makes a former master a replica, though the machine is busy and holds that up again', async function () {
    this.timeout(120_000)
    const redis = await startSentinel()
    const former = await redis.failover(master => master.kill())
    await former.restart()
    const demoted = redis.demoted(former)
    let goesOn = true
    const heldUp = (async () => {
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- a listener changes it meanwhile
      while (goesOn) {
        former.pause()
        await sleep(1200)
        former.resume()
        await Promise.race([demoted, sleep(4000)])
      }
    })()
    try {
      await demoted
    } finally {
      goesOn = false
      await heldUp
    }
  })

  it('has gone after the test that started it', async () => {
    assume([...(left?.servers ?? []), ...(left?.sentinels ?? [])].map(({ pid }) => pid)).eql(Array(6).fill(undefined))
    await left?.stop()
  })
})
