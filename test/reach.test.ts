import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { MetroplexOptions } from '../index'
import { PeerReachability, type ProbePeer } from '../lib/health/peer-reachability'
import { assume } from './support/assume'
import { startProxy } from './support/proxy'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { tls } from './support/tls'
import { eventually } from './support/wait'

describe('health, of peers that cannot be reached', () => {
  const shared = sharedRedis()

  const start = (options: Record<string, unknown> = {}): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus: options })

  const meet = async (...servers: readonly Registered[]): Promise<void> => {
    for (const { metroplex } of servers) await eventually(() => metroplex.stats().peers === servers.length - 1)
  }

  /** What a server warns of other servers. */
  const warned = async ({ metroplex }: Registered): Promise<string[]> =>
    (await metroplex.health()).warnings.filter(warning => warning.includes('a peer'))

  /** Registers at an address where nothing listens, as with an interface that leads only home. */
  const misplaced = async (): Promise<Registered> => {
    const proxy = await startProxy({ port: 1 })
    await proxy.refuse()
    return start({ address: `http://127.0.0.1:${proxy.port}` })
  }

  it('warns of none when all can be reached, with any paths', async () => {
    const servers = [await start({ pathname: '/' }), await start({ pathname: '/real/time' }), await start()]
    await meet(...servers)
    for (const server of servers) await eventually(async () => (await warned(server)).length === 0)
  })

  it('warns, on both sides, and stays ok', async () => {
    const servers = [await misplaced(), await misplaced()] as const
    await meet(...servers)
    for (const [one, other] of [servers, [servers[1], servers[0]] as const]) {
      const { ok, warnings } = await one.metroplex.health()
      assume(ok).true()
      assume(warnings.some(warning => warning.includes('a peer') && warning.includes(other.address))).true()
    }
  })

  it('warns of one to which no message was sent', async () => {
    const here = await start()
    const lost = await misplaced()
    await meet(here, lost)
    assume(await eventually(async () => (await warned(here)).join())).includes(lost.address)
  })

  it('warns of one whose certificate messages refuse, before any message, until they accept it', async () => {
    const secure = (own: MetroplexOptions['metroplex']): Promise<Registered> =>
      createRegistered({
        redis: { url: shared.redis.url, namespace: shared.space },
        primus: { metroplex: own },
        server: createSecureServer(tls)
      })
    const strict = await secure({})
    const trusting = await secure({ tls: { ca: tls.cert, servername: 'localhost' } })
    await meet(strict, trusting)
    // A probe has half a second, which a busy machine may need for a handshake.
    const reason = 'self-signed certificate'
    await eventually(async () => (await warned(strict)).join().includes(`${trusting.address} (${reason})`))
    await eventually(async () => (await warned(trusting)).length === 0)
    const { failed } = await strict.forward.broadcast('x')
    assume(failed?.map(({ message }) => message).join()).includes(reason)
    assume((await trusting.forward.broadcast('x')).ok).true()
  })

  it('warns with the reason for which messages fail, and no more when they arrive', async () => {
    const target = createServer()
    const here = await start()
    const there = await createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, server: target })
    const proxy = await startProxy({ port: Number(new URL(there.url).port) })
    const address = `http://127.0.0.1:${proxy.port}`
    await there.metroplex.register(address)
    await eventually(async () => (await here.metroplex.servers()).join() === address)
    await proxy.refuse()
    assume(await here.forward.broadcast('x').catch((error: unknown) => error)).is.truthy()
    assume((await warned(here)).join()).includes(`Messages do not reach a peer, ${address}: `)
    await proxy.accept()
    await eventually(
      async () => {
        await here.forward.broadcast('x').catch(() => undefined)
        return (await warned(here)).length === 0
      },
      { within: 10_000, every: 100 }
    )
  })

  it('warns of an address that leads back to the server itself', async () => {
    const here = await start()
    const proxy = await startProxy({ port: Number(new URL(here.url).port) })
    const lost = await start({ address: `http://127.0.0.1:${proxy.port}` })
    await meet(here, lost)
    const warnings = await eventually(async () => (await here.metroplex.health()).warnings.join())
    assume(warnings).includes(lost.address)
  })

  it('warns of a peer with another secret once a message to it has failed', async () => {
    const here = await start({ metroplex: { secret: 'a'.repeat(20) } })
    const other = await start({ metroplex: { secret: 'b'.repeat(20) } })
    await meet(here, other)
    assume(await here.forward.broadcast('x').catch((error: unknown) => error)).is.truthy()
    assume((await warned(here)).join()).includes(`Messages do not reach a peer, ${other.address}: `)
    assume((await warned(here)).join()).includes('secret')
  })

  it('warns of a peer with another transport, before any message and on both sides', async () => {
    const http = await start()
    const redis = await start({ metroplex: { transport: 'redis' } })
    await meet(http, redis)
    const expected = (address: string, theirs: string): string => `${address}: it uses the transport '${theirs}'`
    assume((await warned(http)).join()).includes(expected(redis.address, 'redis'))
    assume((await warned(redis)).join()).includes(expected(http.address, 'http'))
  })

  describe('in a large cluster', () => {
    const peers = Array.from({ length: 50 }, (_, i) => `http://10.0.0.${i}:80`)
    let asked: string[]

    const reach = (more: Partial<ProbePeer> = {}): PeerReachability =>
      new PeerReachability({
        peers: () => peers,
        description: () => ({ transport: 'http', pathname: '/primus' }),
        transport: 'http',
        delivers: () => undefined,
        ask: address => {
          asked.push(address)
          return Promise.resolve('other')
        },
        ...more
      })

    beforeEach(() => {
      asked = []
    })

    it('asks a few at a time, each of them once in a while', async () => {
      const one = reach()
      for (let i = 0; i < 10; i++) {
        const before = asked.length
        assume(await one.warnings()).eql([])
        assume(asked.length - before).is.atmost(8)
      }
      assume(asked.sort()).eql([...peers].sort())
    })

    it('asks none to which messages arrive, or where there is no way to ask', async () => {
      for (const more of [{ delivers: () => true as const }, { description: () => undefined }, { ask: undefined }])
        assume(await reach(more).warnings()).eql([])
      assume(asked).eql([])
    })

    it('asks none of another transport, and warns of each', async () => {
      const one = reach({ description: () => ({ transport: 'redis', pathname: '/primus' }) })
      assume((await one.warnings()).length).equals(peers.length)
      assume(asked).eql([])
    })

    it('asks all in turn when many do not answer', async () => {
      const one = reach({ ask: address => Promise.reject(new Error(`no answer ${asked.push(address)}`)) })
      for (let i = 0; i < 10; i++) await one.warnings()
      assume(new Set(asked).size).equals(peers.length)
    })

    it('asks one that did not answer again with the next check', async () => {
      let answers = false
      const one = reach({
        peers: () => peers.slice(0, 1),
        ask: () => (answers ? Promise.resolve('other') : Promise.reject(new Error('no answer')))
      })
      assume(await one.warnings()).has.length(1)
      answers = true
      assume(await one.warnings()).eql([])
    })
  })
})
