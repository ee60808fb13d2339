import { once as listening } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttp, type Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import os, { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex } from '../index'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { reservePort } from './support/ports'
import { createPrimus, type CreatedPrimus } from './support/primus'
import { load, loadPrimus } from './support/primus-types'
import { sharedRedis } from './support/shared-redis'
import { rejection } from './support/rejection'
import { tls } from './support/tls'
import { eventually, once } from './support/wait'

/** The plugin with its own type, which the support does not know. */
function plugin(created: CreatedPrimus): Metroplex {
  return created.metroplex as unknown as Metroplex
}

describe('registration', () => {
  const shared = sharedRedis()

  const create = (primus: Record<string, unknown> = {}, listen = true): Promise<CreatedPrimus> =>
    createPrimus({ redis: { url: shared.redis.url, namespace: shared.space }, primus, listen })

  describe('finds the address', () => {
    let folder: string

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'metroplex-socket-'))
    })

    after(() => rm(folder, { recursive: true }))

    /** A Primus on a server of one's own making. */
    const attach = (server: unknown, options: Record<string, unknown> = {}): Metroplex => {
      const client = new Redis(shared.redis.url)
      const primus = new (loadPrimus())(server as Server, {
        transformer: 'websockets',
        redis: client,
        namespace: shared.space,
        ...options
      })
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
      const client = new Redis(shared.redis.url)
      const Primus = loadPrimus() as unknown as { createServer(options: object): CreatedPrimus['primus'] }
      const port = await reservePort()
      const primus = Primus.createServer({
        port,
        hostname: '127.0.0.1',
        iknowhttpsisbetter: true,
        redis: client,
        namespace: shared.space,
        transformer: 'websockets',
        plugin: { metroplex }
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
      const [error] = (await told) as [Error & { code: string }]
      assume(error.code).equals('EADDRESS')
      assume(error.message).includes('set the option `address`')
      assume((await rejection(ours.ready())).message).equals(error.message)
      assume((await rejection(ours.register(server))).message).equals(error.message)
    })

    it('nowhere on a unix socket, and reports that once, however often the server listens there', async () => {
      const server = createHttp()
      const ours = attach(server)
      const complaints: unknown[] = []
      ours.on('error', error => complaints.push((error as { code?: string }).code))
      // In a microtask the server is bound before the plugin begins, and says so after.
      await Promise.resolve()
      server.listen(join(folder, 'socket3'))
      await listening(server, 'listening')
      await rejection(ours.ready())
      server.close()
      await listening(server, 'close')
      server.listen(join(folder, 'socket3'))
      await listening(server, 'listening')
      server.close()
      await listening(server, 'close')
      server.listen(0, '127.0.0.1')
      await once(ours, 'register')
      assume(complaints).eql(['EADDRESS'])
    })

    describe('in a sandbox where network interfaces cannot be listed', () => {
      let asked: number

      beforeEach(() => {
        const { networkInterfaces } = os
        asked = 0
        // What Node.js throws where AF_NETLINK is not allowed.
        os.networkInterfaces = () => {
          asked++
          throw Object.assign(
            new Error('A system error occurred: uv_interface_addresses returned Unknown system error 97'),
            { code: 'ERR_SYSTEM_ERROR' }
          )
        }
        using(() => {
          os.networkInterfaces = networkInterfaces
        })
      })

      it('says what to set when it listens on all interfaces, and takes an address later', async () => {
        const server = createHttp()
        const ours = attach(server)
        const told = once(ours, 'error')
        server.listen(0)
        const [error] = (await told) as [Error & { code: string }]
        assume(error.code).equals('EADDRESS')
        assume(error.message).matches(/Unknown system error 97.*set `address`/)
        assume((await rejection(ours.ready())).code).equals('EADDRESS')
        assume((await rejection(ours.register())).code).equals('EADDRESS')
        assume((await rejection(ours.unregister(server))).code).equals('EADDRESS')
        assume(ours.address).equals('')
        assume(await ours.register('http://10.0.0.5:8080')).equals('http://10.0.0.5:8080')
        assume(ours.address).equals('http://10.0.0.5:8080')
        assume(await ours.ready()).equals('http://10.0.0.5:8080')
      })

      it('says what to set when a private listener has no host', async () => {
        const server = createHttp()
        const ours = attach(server, { metroplex: { listen: {} } })
        const [error] = (await once(ours, 'error')) as [Error & { code: string }]
        assume(error.code).equals('EADDRESS')
        assume(error.message).includes('listen: { host }')
      })

      for (const [what, options, host] of [
        ['when it is told its address', { address: 'http://10.0.0.5:8080' }, undefined],
        ['on one interface', {}, '127.0.0.1'],
        ['with a private listener that has a host', { metroplex: { listen: { host: '127.0.0.1' } } }, undefined],
        [
          'with both of them',
          { address: 'http://10.0.0.5:8080', metroplex: { listen: { host: '0.0.0.0' } } },
          undefined
        ],
        ['through Redis', { metroplex: { transport: 'redis' } }, undefined]
      ] as const) {
        it(`does not ask for them ${what}`, async () => {
          const server = createHttp()
          const ours = attach(server, options)
          server.listen(0, host)
          assume(await ours.ready()).equals(ours.address)
          assume((await ours.health()).ok).true()
          assume(asked).equals(0)
        })
      }
    })

    it('on a unix socket when it is told', async () => {
      const server = createHttp()
      const ours = attach(server, { address: 'http://10.0.0.5:8080' })
      server.listen(join(folder, 'socket2'))
      assume(await ours.ready()).equals('http://10.0.0.5:8080')
    })
  })

  it('waits for a server that never listens, without keeping the process alive', async () => {
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

  it('calls back, and emits an event on both objects', async () => {
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
    const [a, b] = [
      await create({ address: 'http://10.0.0.1:1' }, false),
      await create({ address: 'http://10.0.0.2:1' }, false)
    ]
    await plugin(a).ready()
    await plugin(b).ready()
    await shared.redis.client().sadd(`${shared.space}:servers`, 'http://10.0.0.3:1')
    assume(await plugin(a).unregister('http://10.0.0.3:1')).equals('http://10.0.0.3:1')
    assume((await shared.redis.client().smembers(`${shared.space}:servers`)).sort()).eql([
      'http://10.0.0.1:1',
      'http://10.0.0.2:1'
    ])
    assume(plugin(a).address).equals('http://10.0.0.1:1')
  })

  it('is left with an event, and its keys go', async () => {
    const created = await create()
    const address = await plugin(created).ready()
    const told = once(created.primus, 'unregister')
    assume(await plugin(created).unregister()).equals(address)
    assume(await told).eql([address])
    assume(plugin(created).address).equals('')
    assume(await shared.redis.client().keys(`${shared.space}:${address}*`)).eql([`${shared.space}:${address}:life`])
    assume(await shared.redis.client().pttl(`${shared.space}:${address}:life`)).is.above(0)
    assume(await plugin(created).unregister()).equals('')
  })

  it('includes sparks that connected while it was under way', async () => {
    const created = await create({}, false)
    plugin(created).connect({ id: 'early', write: () => true, end: () => null })
    await plugin(created).register('http://10.0.0.5:8080')
    assume(await plugin(created).spark('early')).equals('http://10.0.0.5:8080')
    await eventually(
      async () => (await shared.redis.client().hget(`${shared.space}:sparks`, 'early')) === 'http://10.0.0.5:8080'
    )
  })

  it('keeps two namespaces on one client apart', async () => {
    const client = shared.redis.client()
    const [one, two] = [namespace(), namespace()]
    for (const ns of [one, two]) {
      const ours = new metroplex({}, { redis: client, namespace: ns, address: `http://${ns}:1` })
      using(() => ours.close())
      await ours.ready()
      assume(await ours.servers(true)).eql([`http://${ns}:1`])
    }
  })

  it('works behind a key prefix', async () => {
    const client = shared.redis.client({ keyPrefix: `${shared.space}-prefix:` })
    const ours = new metroplex({}, { redis: client, namespace: shared.space, address: 'http://a:1' })
    using(() => ours.close())
    await ours.ready()
    assume(await shared.redis.client().smembers(`${shared.space}-prefix:${shared.space}:servers`)).eql(['http://a:1'])
    assume(await ours.servers(true)).eql(['http://a:1'])
  })

  it('does nothing in a client that is made with the plugin among its own', () => {
    const { server } = metroplex
    const client = {
      server: {
        on() {
          throw new Error('touched')
        }
      }
    }
    server(client as never, {})
    assume(client).does.not.include({ metroplex: true })
  })

  describe('at an address that another life holds', () => {
    it('takes over what a crashed 1.x server has left', async () => {
      const client = shared.redis.client()
      const port = await reservePort()
      const address = `http://127.0.0.1:${port}`
      await client
        .multi()
        .sadd(`${shared.space}:servers`, address)
        .set(`${shared.space}:${address}`, Date.now(), 'PX', 60_000)
        .hset(`${shared.space}:sparks`, 'old', address)
        .sadd(`${shared.space}:${address}:sparks`, 'old')
        .exec()
      const created = await create({}, false)
      created.server.listen(port, '127.0.0.1')
      assume(await plugin(created).ready()).equals(address)
      await eventually(async () => (await client.hexists(`${shared.space}:sparks`, 'old')) === 0)
    })

    it('waits for the lease when the address does not answer', async () => {
      const address = `http://127.0.0.1:${await reservePort()}`
      const dead = new metroplex(
        {},
        { redis: shared.redis.client(), namespace: shared.space, address, metroplex: { lease: 600 } }
      )
      await dead.ready()
      const { id } = dead
      // Gone without a word: its connection ends, its lease goes on for a while.
      const life = await shared.redis.client().hgetall(`${shared.space}:${address}:life`)
      await dead.close()
      await shared.redis
        .client()
        .multi()
        .hset(`${shared.space}:${address}:life`, life)
        .set(`${shared.space}:${address}:lease`, id, 'PX', 700)
        .exec()
      const second = new metroplex({}, { redis: shared.redis.client(), namespace: shared.space, address })
      using(() => second.close())
      const began = performance.now()
      await second.ready()
      assume(performance.now() - began).is.above(500)
      assume(second.id).does.not.equal(id)
    })
  })

  it('works with ioredis 5 and 6', async () => {
    const Redis5 = load('ioredis5') as typeof Redis
    const client = new Redis5(shared.redis.url)
    using(() => client.disconnect())
    const ours = new metroplex({}, { redis: client, namespace: shared.space, address: 'http://five:1' })
    using(() => ours.close())
    await ours.ready()
    assume(await ours.servers(true)).eql(['http://five:1'])
    assume(await ours.spark('unknown')).equals(null)
  })
})
