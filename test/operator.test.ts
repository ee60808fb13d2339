import { createClient, type Client } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { sharedRedis } from './support/shared-redis'
import { startServer } from './support/server'
import { eventually } from './support/wait'

describe('questions of operators', () => {
  const shared = sharedRedis()

  const start = (): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { name: 'web-1', lease: 6000 } }
    })

  const operator = async (): Promise<Client['core']['operator']> => {
    const client = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => client.close())
    await client.servers()
    return client.core.operator
  }

  it('are answered with status and health', async () => {
    const server = await start()
    const asking = await operator()
    assume(asking.answers(server.address)).true()
    const { address, name, version, node, terms, stats } = await asking.status(server.address, 5000)
    assume({ address, name, node, terms }).eql({
      address: server.address,
      name: 'web-1',
      node: process.version,
      terms: { lease: 6000, interval: 300_000, shards: 1, transport: 'http', grace: null }
    })
    assume(version).matches(/^2\./)
    assume(Object.keys(stats)).eql(Object.keys(server.metroplex.stats()))
    const health = await asking.health(server.address, 5000)
    assume([health.ok, health.state, health.reasons]).eql([true, 'ready', []])
  })

  it('begin a drain, whose terms are checked first', async () => {
    const server = await start()
    await openClient(server.url)
    await eventually(() => server.metroplex.stats().sparks === 1)
    const asking = await operator()
    for (const wrong of [{ rate: 0 }, { timeout: -1 }, { tempo: 1 }] as object[]) {
      const error = await rejection(asking.drain(server.address, wrong, 5000))
      assume([error.code, server.metroplex.stats().state]).eql(['EPROTOCOL', 'ready'])
    }
    const { stats } = await asking.drain(server.address, { timeout: 0 }, 5000)
    assume([stats.state, stats.sparks]).eql(['draining', 1])
    assume(server.metroplex.stats().state).equals('draining')
    await asking.drain(server.address, { rate: 50 }, 5000)
    await eventually(() => server.metroplex.address === '')
  })

  it('begin a balance, whose terms are checked first, and tell its result', async () => {
    const server = await start()
    const asking = await operator()
    assume((await asking.status(server.address, 5000)).balance).eql({ active: false, last: null })
    for (const wrong of [{ rate: 0 }, { tolerance: 2 }, { tempo: 1 }] as object[])
      assume((await rejection(asking.balance(server.address, wrong, 5000))).code).equals('EPROTOCOL')
    await asking.balance(server.address, { tolerance: 0.5 }, 5000)
    const ended = async (): Promise<unknown> => (await asking.status(server.address, 5000)).balance?.last
    const last = await eventually(ended, { what: 'the end of the balance' })
    // It has just joined.
    assume(last).eql({ ended: 0, returned: 0, sparks: 0, target: null, stopped: 'membership' })
  })

  it('settle within their deadline, and are not asked of an earlier release', async () => {
    const server = await start()
    const mute = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    const asking = await operator()
    assume(await asking.ping(mute.address, 5000)).is.above(0)
    mute.pause()
    const late = await Promise.all([
      rejection(asking.status(mute.address, 300)),
      rejection(asking.ping(mute.address, 300))
    ])
    assume(late.map(({ code }) => code)).eql(['EDEADLINE', 'EDEADLINE'])
    mute.resume()
    const kinds = server.metroplex.core.gateway.kinds.replace(' operate', '')
    Object.defineProperty(server.metroplex.core.gateway, 'kinds', { value: kinds })
    await server.metroplex.unregister()
    await server.metroplex.register()
    await eventually(async () => !(await operator()).answers(server.address))
    const error = await rejection((await operator()).status(server.address, 5000))
    assume(error.code).equals('EPROTOCOL')
    assume(await asking.ping(server.address, 5000)).is.above(0)
  })
})
