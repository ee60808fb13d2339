import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { namespace } from '../support/namespace'
import { startRedis, type RedisProcess } from '../support/redis'
import { startServer, type ServerProcess } from '../support/server'
import { eventually } from '../support/wait'

describe('servers that talk through Redis', function () {
  this.timeout(120_000)
  let redis: RedisProcess
  let space: string
  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  const server = (): Promise<ServerProcess> =>
    startServer({
      redis: { ...redis.target, namespace: space },
      primus: { interval: 900, latency: 200, metroplex: { transport: 'redis' } }
    })

  it("reach each other's sparks", async () => {
    const [a, b] = [await server(), await server()]
    await a.seen('join')
    const [near, far] = [await openClient(a.url), await openClient(b.url)]
    await eventually(async () => (await a.call('metroplex.count')) === 2)
    assume(await a.call('forward.spark', far.id, 'from a')).eql({ ok: true, send: 1 })
    assume(await far.next()).equals('from a')
    assume(await b.call('forward.broadcast', 'to all')).eql({ ok: true, send: 2 })
    assume([await near.next(), await far.next()]).eql(['to all', 'to all'])
    const large = 'x'.repeat(700_000)
    assume(await a.call('forward.spark', far.id, large)).eql({ ok: true, send: 1 })
    assume(await far.next()).equals(large)
    for (const { log, crashes } of [a, b]) {
      assume(log.filter(({ event }) => event === 'error').map(({ args }) => args)).eql([])
      assume(crashes).eql([])
    }
  })

  it('lose no message and deliver none twice when subscribers are cut off', async () => {
    const [a, b] = [await server(), await server()]
    await a.seen('join')
    const far = await openClient(b.url)
    await eventually(async () => (await a.call('metroplex.spark', far.id)) !== null)
    for (let i = 0; i < 20; i++) {
      if (i % 4 === 1) await redis.ask(client => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      assume(await a.call('forward.spark', far.id, i)).eql({ ok: true, send: 1 })
      assume(await far.next()).equals(i)
    }
  })
})
