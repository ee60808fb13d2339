import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { MetroplexOptions } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createPrimus, type PrimusOptions } from '../support/primus'
import { sharedRedis } from '../support/shared-redis'
import { createRegistered, type Registered } from '../support/registered'
import { startServer } from '../support/server'
import { tls } from '../support/tls'
import { eventually, once as happens } from '../support/wait'
import { Network } from './lossy'

describe('servers talk to each other', () => {
  const shared = sharedRedis()

  type Options = MetroplexOptions & Record<string, unknown>

  const start = (
    options: Options = {},
    how: Pick<PrimusOptions, 'server' | 'at' | 'omega'> = {}
  ): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus: options, ...how })

  /** A message of one arrives at a spark of the other. */
  const reaches = async (from: Registered, to: Registered): Promise<void> => {
    const client = await openClient(to.url)
    await eventually(async () => (await from.metroplex.spark(client.id)) === to.metroplex.address)
    assume(await from.forward.spark(client.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('hello')
  }

  /** The status with which an endpoint answers a request without a signature. */
  const knocked = (url: string): Promise<number> =>
    new Promise((resolve, reject) => {
      request(new URL('/primus/metroplex', url), { method: 'PUT', agent: false }, response => {
        response.resume().once('close', () => {
          resolve(response.statusCode ?? 0)
        })
      })
        .on('error', reject)
        .end()
    })

  it('below any path of Primus, which may differ between servers', async () => {
    const [a, b] = [await start({ pathname: '/real/time' }), await start()]
    const client = await openClient(b.url)
    await eventually(async () => (await a.metroplex.spark(client.id)) !== null)
    assume((await a.forward.spark(client.id, 'x')).send).equals(1)
    assume((await b.forward.broadcast('y')).ok).true()
    assume(await client.count(2)).eql(['x', 'y'])
  })

  it('on a private listener, which serves nothing else, and the public port does not serve them then', async () => {
    const [a, b] = [
      await start({ metroplex: { listen: { host: '127.0.0.1' } } }),
      await start({ metroplex: { listen: { host: '127.0.0.1' } } })
    ]
    assume(a.metroplex.address).is.not.equal(a.url)
    await reaches(a, b)
    await reaches(b, a)
    assume(await knocked(a.metroplex.address)).equals(400)
    assume(await knocked(a.url)).is.not.equal(400)
    const response = await fetch(new URL('/primus/primus.js', a.metroplex.address))
    assume(response.status).equals(404)
    assume((await a.metroplex.health()).warnings).eql([])
  })

  it('says so when the private listener cannot be where it should', async () => {
    const taken = await start()
    const port = Number(new URL(taken.url).port)
    const { metroplex, server } = await createPrimus({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { listen: { host: '127.0.0.1', port } } },
      listen: false
    })
    const [error] = (await happens(metroplex, 'error')) as [Error & { code: string }]
    assume(error.code).equals('EADDRESS')
    assume(error.message).includes('`listen`')
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  it('over TLS, on the public port and on a private listener', async () => {
    const own = { ca: tls.cert, servername: 'localhost' }
    for (const options of [
      { metroplex: { tls: own } },
      { metroplex: { tls: { ...own, ...tls }, listen: { host: '127.0.0.1' } } }
    ]) {
      const secure = (): { server: ReturnType<typeof createServer> } => ({ server: createSecureServer(tls) })
      const [a, b] = [await start(options, secure()), await start(options, secure())]
      assume(a.metroplex.address.startsWith('https:')).true()
      const got: unknown[] = []
      b.primus.metroplex.connect({
        id: `spark of ${b.metroplex.address}`,
        write: (data: unknown) => got.push(data) > 0,
        end: () => undefined
      })
      await eventually(async () => (await a.metroplex.spark(`spark of ${b.metroplex.address}`)) !== null)
      assume((await a.forward.broadcast('x')).ok).true()
      assume(a.metroplex.stats().counters.failed).equals(0)
    }
  })

  it('through Redis from a unix socket, which peers cannot reach otherwise', async () => {
    const at = join(tmpdir(), `metroplex-${randomBytes(6).toString('hex')}.sock`)
    const options: Options = { metroplex: { transport: 'redis' } }
    const [hidden, open] = [await start(options, { at }), await start(options)]
    assume(hidden.metroplex.address).matches(/^http:\/\/[0-9a-f]+\.invalid$/)
    await reaches(hidden, open)
    assume((await open.forward.broadcast('y')).ok).true()
    assume((await hidden.metroplex.health()).warnings).eql([])
  })

  it('by a transport that the application brings', async () => {
    const network = new Network([])
    const own = (address: string): Options => ({ address, metroplex: { transport: network.at(address) } })
    const [a, b] = [await start(own('http://one')), await start(own('http://two'))]
    await reaches(a, b)
  })

  it('not at all when their transports differ, and says so', async () => {
    const [a, b] = [await start(), await start({ metroplex: { transport: 'redis' } })]
    await eventually(async () => (await a.metroplex.servers()).length === 1)
    const { failed } = await a.forward.broadcast('x')
    assume(failed?.map(({ address, code, maybe }) => [address, code, maybe])).eql([
      [b.metroplex.address, 'EPROTOCOL', false]
    ])
    assume(failed?.[0]?.message).includes("'redis'")
  })

  it('with a secret that they were given, and not with one that has another: others are unaffected', async () => {
    const given: Options = { metroplex: { secret: 'a secret that all of them know' } }
    const [a, b, odd] = [
      await start(given),
      await start(given),
      await start({ metroplex: { secret: 'a secret that no other server knows' } })
    ]
    await reaches(a, b)
    const client = await openClient(odd.url)
    const { failed, send } = await a.forward.broadcast('x')
    assume(send).equals(1)
    assume(failed?.map(({ address, code, maybe }) => [address, code, maybe])).eql([
      [odd.metroplex.address, 'EAUTH', false]
    ])
    assume(failed?.[0]?.message).includes('`secret`')
    assume(client.messages).eql([])
  })

  it('while their secret is changed on one after the other', async () => {
    const [old, next] = ['the old secret of them all', 'the new secret of them all']
    const a = await start({ metroplex: { secret: [old, next] } })
    const b = await start({ metroplex: { secret: [next, old] } })
    const c = await start({ metroplex: { secret: [next, old] } })
    await reaches(a, b)
    await reaches(b, a)
    await reaches(c, a)
  })

  it('with the secret that they have agreed upon, also after Redis has lost it', async () => {
    const [a, b] = [await start({ metroplex: { lease: 600 } }), await start({ metroplex: { lease: 600 } })]
    await reaches(a, b)
    const healed = happens(b.metroplex, 'heal')
    await shared.redis.client().flushall()
    await healed
    const c = await start({ metroplex: { lease: 600 } })
    await reaches(a, c)
    await reaches(c, b)
  })

  it('and to servers of 1.x on theirs, without omega-supreme, unless they are told not to', async () => {
    const old = await startServer({
      redis: { url: shared.redis.url, namespace: shared.space },
      metroplex: '1.0.2',
      omega: true
    })
    const client = await openClient(old.url)
    const [a, proud] = [await start(), await start({ metroplex: { omega: false } })]
    await eventually(async () => (await a.metroplex.spark(client.id)) === old.address)
    assume(await a.forward.spark(client.id, 'x')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('x')
    const { failed } = await proud.forward.spark(client.id, 'y')
    assume(failed?.map(({ code, message }) => [code, message.includes('`omega: false`')])).eql([['EPROTOCOL', true]])
  })

  it("on omega-supreme's wire when the application reads its requests, which sees all of them", async () => {
    const seen: string[] = []
    const middleware = (
      primus: unknown,
      parse: (primus: unknown, raw: string, res: unknown) => void,
      req: NodeJS.ReadableStream,
      res: unknown
    ): void => {
      let raw = ''
      req.on('data', chunk => {
        raw += String(chunk)
      })
      req.on('end', () => {
        seen.push(raw)
        parse(primus, raw, res)
      })
    }
    const [a, b] = [
      await start({ middleware, password: 'of our own' }, { omega: true }),
      await start({ middleware, password: 'of our own' }, { omega: true })
    ]
    await reaches(a, b)
    assume(seen.map(raw => (JSON.parse(raw) as { msg: unknown }).msg)).eql(['hello'])
  })

  it('and each message of at most `maxBody`; more waiting than `maxQueue` fails at once', async () => {
    const options: Options = { metroplex: { maxBody: 4096, maxQueue: { messages: 10 } } }
    const [a, b] = [await start(options), await start(options)]
    const client = await openClient(b.url)
    await eventually(async () => (await a.metroplex.spark(client.id)) !== null)
    const large = await a.forward.spark(client.id, 'x'.repeat(5000))
    assume(large.failed?.map(({ code, maybe }) => [code, maybe])).eql([['ETOOBIG', false]])
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => a.forward([b.metroplex.address], i, client.id))
    )
    assume(results.filter(({ ok }) => ok).length).equals(10)
    assume(results.filter(({ failed }) => failed?.[0]?.code === 'EBUSY' && !failed[0].maybe).length).equals(40)
    assume(await client.count(10)).eql([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assume(a.metroplex.stats().queued).eql({ messages: 0, bytes: 0 })
  })
})
