import { once as listening } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttp, type Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex } from '../index'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { freePort } from './support/ports'
import { createPrimus, type CreatedPrimus } from './support/primus'
import { load, loadPrimus } from './support/primus-types'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { tls } from './support/tls'
import { eventually, once } from './support/wait'

/** The plugin with its own type, which the support does not know. */
function plugin(created: CreatedPrimus): Metroplex {
  return created.metroplex as unknown as Metroplex
}

describe('registration', () => {
  let redis: RedisProcess
  let space: string

  before(async () => { redis = await startRedis({ scope: 'suite' }) })
  after(() => redis.stop())
  beforeEach(() => { space = namespace() })

  const create = (primus: Record<string, unknown> = {}, listen = true): Promise<CreatedPrimus> =>
    createPrimus({ redis: { url: redis.url, namespace: space }, primus, listen })

  describe('finds the address', () => {
    let folder: string

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'metroplex-socket-'))
    })

    after(() => rm(folder, { recursive: true }))

    /** A Primus on a server of one's own making. */
    const attach = (server: unknown, options: Record<string, unknown> = {}): Metroplex => {
      const client = new Redis(redis.url)
      const primus = new (loadPrimus())(server as Server, { transformer: 'websockets', redis: client, namespace: space, ...options })
      primus.plugin('metroplex', metroplex)
      using(async () => {
        await new Promise(resolve => primus.destroy({}, () => resolve(null)))
        client.disconnect()
      })
      return primus.metroplex as unknown as Metroplex
    }

    for (const [what, make, scheme] of [
      ['an http server', () => createHttp(), 'http'],
      ['an https server', () => createHttps(tls), 'https'],
      ['an http2 server over TLS', () => createSecureServer({ ...tls, allowHTTP1: true }), 'https']
    ] as const) {
      it(`of ${what} that listens already`, async () => {
        const server = make()
        server.listen(0, '127.0.0.1')
        await listening(server, 'listening')
        const address = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
        assume(await attach(server).ready()).equals(address)
      })

      it(`of ${what} that will listen`, async () => {
        const server = make()
        const ours = attach(server)
        assume(ours.address).equals('')
        server.listen(0, '127.0.0.1')
        assume(await ours.ready()).equals(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`)
      })
    }

    it('of a server on all interfaces: one that others can reach', async () => {
      const server = createHttp()
      const ours = attach(server)
      server.listen(0)
      const { hostname } = new URL(await ours.ready())
      assume(['0.0.0.0', '[::]', '']).does.not.include(hostname)
    })

    it('of a server that Primus has made', async () => {
      const client = new Redis(redis.url)
      const Primus = loadPrimus() as unknown as { createServer(options: object): CreatedPrimus['primus'] }
      const port = await freePort()
      const primus = Primus.createServer({
        port, hostname: '127.0.0.1', iknowhttpsisbetter: true, redis: client, namespace: space, transformer: 'websockets', plugin: { metroplex }
      })
      using(async () => {
        await new Promise(resolve => primus.destroy({}, () => resolve(null)))
        client.disconnect()
      })
      assume(new URL(await (primus.metroplex as unknown as Metroplex).ready()).port).equals(String(port))
    })

    it('nowhere on a unix socket, and says what to set', async () => {
      const server = createHttp()
      const ours = attach(server)
      const told = once(ours, 'error')
      server.listen(join(folder, 'socket'))
      const [error] = await told as [Error & { code: string }]
      assume(error.code).equals('EADDRESS')
      assume(error.message).includes('set the option `address`')
      assume((await rejection(ours.ready())).message).equals(error.message)
      assume((await rejection(ours.register(server))).message).equals(error.message)
    })

    it('on a unix socket when it is told', async () => {
      const server = createHttp()
      const ours = attach(server, { address: 'http://10.0.0.5:8080' })
      server.listen(join(folder, 'socket2'))
      assume(await ours.ready()).equals('http://10.0.0.5:8080')
    })
  })

  it('waits for ever for a server that never listens, and keeps nobody from ending', async () => {
    const created = await create({}, false)
    assume(plugin(created).address).equals('')
    assume(await plugin(created).register()).equals('')
    const ready = rejection(plugin(created).ready())
    await created.dispose()
    assume((await ready).code).equals('ECLOSED')
  })

  it('is under the address of the options at once, also before the server listens', async () => {
    const created = await create({ address: 'http://10.0.0.5:8080' }, false)
    assume(await plugin(created).ready()).equals('http://10.0.0.5:8080')
  })

  it('calls back, and tells of itself by an event on both objects', async () => {
    const created = await create({}, false)
    const [here, there] = [once(created.metroplex, 'register'), once(created.primus, 'register')]
    const chained = plugin(created).register('http://10.0.0.5:8080', (error, address) => {
      assume(error).equals(null)
      assume(address).equals('http://10.0.0.5:8080')
    })
    assume(chained).equals(plugin(created))
    assume(await here).eql(['http://10.0.0.5:8080'])
    assume(await there).eql(['http://10.0.0.5:8080'])
  })

  for (const wrong of ['servers', 'http://10.0.0.5/path', 'nonsense']) {
    it(`refuses ${wrong} as an address`, async () => {
      const created = await create({}, false)
      const error = await rejection(plugin(created).register(wrong))
      assume(error).is.instanceOf(TypeError)
      assume(error.message).includes('without a path')
      assume(plugin(created).address).equals('')
    })
  }

  it('does nothing when it is asked for what is there', async () => {
    const created = await create()
    const address = await plugin(created).ready()
    const life = plugin(created).id
    assume(await plugin(created).register(address)).equals(address)
    assume(plugin(created).id).equals(life)
  })

  it('removes just the one that is named', async () => {
    const [a, b] = [await create({ address: 'http://10.0.0.1:1' }, false), await create({ address: 'http://10.0.0.2:1' }, false)]
    await plugin(a).ready()
    await plugin(b).ready()
    await redis.client().sadd(`${space}:servers`, 'http://10.0.0.3:1')
    assume(await plugin(a).unregister('http://10.0.0.3:1')).equals('http://10.0.0.3:1')
    assume((await redis.client().smembers(`${space}:servers`)).sort()).eql(['http://10.0.0.1:1', 'http://10.0.0.2:1'])
    assume(plugin(a).address).equals('http://10.0.0.1:1')
  })

  it('is left with an event, and its keys go', async () => {
    const created = await create()
    const address = await plugin(created).ready()
    const told = once(created.primus, 'unregister')
    assume(await plugin(created).unregister()).equals(address)
    assume(await told).eql([address])
    assume(plugin(created).address).equals('')
    assume(await redis.client().keys(`${space}:${address}*`)).eql([`${space}:${address}:life`])
    assume(await redis.client().pttl(`${space}:${address}:life`)).is.above(0)
    assume(await plugin(created).unregister()).equals('')
  })

  it('includes sparks that connected while it was under way', async () => {
    const created = await create({}, false)
    plugin(created).connect({ id: 'early', write: () => true, end: () => null })
    await plugin(created).register('http://10.0.0.5:8080')
    assume(await plugin(created).spark('early')).equals('http://10.0.0.5:8080')
    await eventually(async () => await redis.client().hget(`${space}:sparks`, 'early') === 'http://10.0.0.5:8080')
  })

  it('keeps two namespaces on one client apart', async () => {
    const client = redis.client()
    const [one, two] = [namespace(), namespace()]
    for (const ns of [one, two]) {
      const ours = new metroplex({}, { redis: client, namespace: ns, address: `http://${ns}:1` })
      using(() => ours.close())
      await ours.ready()
      assume(await ours.servers(true)).eql([`http://${ns}:1`])
    }
  })

  it('works behind a key prefix', async () => {
    const client = redis.client({ keyPrefix: `${space}-prefix:` })
    const ours = new metroplex({}, { redis: client, namespace: space, address: 'http://a:1' })
    using(() => ours.close())
    await ours.ready()
    assume(await redis.client().smembers(`${space}-prefix:${space}:servers`)).eql(['http://a:1'])
    assume(await ours.servers(true)).eql(['http://a:1'])
  })

  it('does nothing in a client that is made with the plugin among its own', () => {
    const { server } = metroplex
    const client = { server: { on() { throw new Error('touched') } } }
    server(client as never, {})
    assume(client).does.not.include({ metroplex: true })
  })

  describe('where somebody is already', () => {
    it('takes over what a crashed 1.x server has left', async () => {
      const client = redis.client()
      const port = await freePort()
      const address = `http://127.0.0.1:${port}`
      await client.multi().sadd(`${space}:servers`, address).set(`${space}:${address}`, Date.now(), 'PX', 60_000)
        .hset(`${space}:sparks`, 'old', address).sadd(`${space}:${address}:sparks`, 'old').exec()
      const created = await create({}, false)
      created.server.listen(port, '127.0.0.1')
      assume(await plugin(created).ready()).equals(address)
      await eventually(async () => await client.hexists(`${space}:sparks`, 'old') === 0)
    })

    it('waits for the lease where nobody answers', async () => {
      const address = `http://127.0.0.1:${await freePort()}`
      const dead = new metroplex({}, { redis: redis.client(), namespace: space, address, metroplex: { lease: 600 } })
      await dead.ready()
      const { id } = dead
      // Gone without a word: its connection ends, its lease goes on for a while.
      const life = await redis.client().hgetall(`${space}:${address}:life`)
      await dead.close()
      await redis.client().multi().hset(`${space}:${address}:life`, life).set(`${space}:${address}:lease`, id, 'PX', 700).exec()
      const second = new metroplex({}, { redis: redis.client(), namespace: space, address })
      using(() => second.close())
      const began = performance.now()
      await second.ready()
      assume(performance.now() - began).is.above(500)
      assume(second.id).does.not.equal(id)
    })
  })

  it('does not care which client it is given: ioredis 5 or 6', async () => {
    const Redis5 = load('ioredis5') as typeof Redis
    const client = new Redis5(redis.url)
    using(() => client.disconnect())
    const ours = new metroplex({}, { redis: client, namespace: space, address: 'http://five:1' })
    using(() => ours.close())
    await ours.ready()
    assume(await ours.servers(true)).eql(['http://five:1'])
    assume(await ours.spark('nobody')).equals(null)
  })
})
