import type { Redis } from 'ioredis'
import type { Metroplex } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { namespace } from './support/namespace'
import { sharedRedis } from './support/shared-redis'
import { createRegistered } from './support/registered'
import { startServer } from './support/server'
import { eventually } from './support/wait'

const HOUR = 3_600_000
const LEASE = 1000

/**
 * Leaves in a namespace what Redis has after its clock was set back: it keeps the times at which keys expire, so they
 * are that much further away, and so are the times in its values.
 */
function setBack(redis: Redis, space: string, ms: number): Promise<unknown> {
  return redis.eval(
    `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
       local left = redis.call('PTTL', key)
       if left > 0 then redis.call('PEXPIRE', key, left + ARGV[2]) end
     end
     for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], ARGV[2], name) end`,
    1,
    `${space}:leaving`,
    `${space}:*`,
    ms
  )
}

describe('when the clock of Redis is set back', () => {
  const shared = sharedRedis()

  it('a server that died at that moment, and swept for all, is found dead in time', async () => {
    const space = namespace()
    const redis = shared.redis.client()
    const settings = { redis: { url: shared.redis.url, namespace: space } }
    const own = { metroplex: { lease: LEASE, timeout: LEASE } }
    const dying = await startServer({ ...settings, primus: own })
    const survivors = [
      await createRegistered({ ...settings, primus: own }),
      // Its lease is its own: it stays in the list although it is longer than that of the one that sweeps.
      await createRegistered({ ...settings, primus: { metroplex: { lease: 20 * LEASE, timeout: LEASE } } })
    ] as const
    const reaped: string[] = []
    for (const { metroplex } of survivors) metroplex.on('reap', (_address, ids) => reaped.push(...ids))
    const { id } = await openClient(dying.url)
    const [one, other] = survivors
    await eventually(async () => (await one.metroplex.spark(id)) === dying.address)
    const life = await redis.get(`${space}:${dying.address}:lease`)
    await dying.kill()
    await redis.set(`${space}:sweep`, life ?? '', 'PX', LEASE)
    await setBack(redis, space, HOUR)
    // The one with the long lease may have the turn to sweep: it looks at the dead every seven seconds.
    await eventually(() => reaped.includes(id), { within: 15_000 })
    assume(await one.metroplex.spark(id)).equals(null)
    const leases = [one, other].map(({ metroplex }) => redis.pttl(`${space}:${metroplex.address}:lease`))
    const [short = 0, long = 0] = await Promise.all(leases)
    assume(short).is.within(1, LEASE)
    assume(long).is.within(LEASE + 1, 20 * LEASE)
    assume((await one.metroplex.servers(true)).sort()).eql(
      [one, other].map(({ metroplex }) => metroplex.address).sort()
    )
  })

  it('a user who was leaving is told offline in time, though the process that told has died', async () => {
    const space = namespace()
    const redis = shared.redis.client()
    const { metroplex } = await createRegistered({
      redis: { url: shared.redis.url, namespace: space },
      primus: { metroplex: { timeout: LEASE, grace: 500 } }
    })
    const spark = { id: 'a', write: () => true, end: () => undefined } as unknown as Parameters<Metroplex['connect']>[0]
    metroplex.connect(spark)
    await metroplex.identify('a', 'anna')
    metroplex.disconnect(spark)
    await eventually(() => redis.zscore(`${space}:leaving`, 'uanna'))
    await redis.set(`${space}:teller`, 'another', 'PX', LEASE)
    await setBack(redis, space, HOUR)
    const offline: string[] = []
    metroplex.watch({
      offline: user => {
        offline.push(user)
      }
    })
    await eventually(() => offline.length > 0)
    assume(offline).eql(['anna'])
  })
})
