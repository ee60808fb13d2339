import { once as emitted } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { load, loadPrimus, type PrimusUnderTest } from '../support/primus-types'
import { startRedis, type RedisProcess } from '../support/redis'
import { eventually, once } from '../support/wait'

/** What the tests of metroplex 1.0.2 itself expect of a server, and what its users derive from that. */
describe('compatibility: what the tests of 1.0.2 expect', () => {
  let redis: RedisProcess
  let space: string
  /** The application's own client, on another connection than the plugin's. */
  let own: Redis

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())
  beforeEach(() => {
    space = namespace()
    own = redis.client()
  })

  /** The plugin on a server of one's own, loaded as users of 1.x load it. */
  const attach = (
    server: Server,
    options: Record<string, unknown> = {}
  ): { primus: PrimusUnderTest; ours: Metroplex } => {
    const client = new Redis(redis.url)
    const primus = new (loadPrimus())(server, {
      transformer: 'websockets',
      redis: client,
      namespace: space,
      ...options
    })
    primus.plugin('metroplex', load('metroplex'))
    using(async () => {
      await new Promise(resolve => {
        primus.destroy({}, resolve)
      })
      client.disconnect()
    })
    return { primus, ours: primus.metroplex as unknown as Metroplex }
  }

  const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const started = async (): Promise<{ primus: PrimusUnderTest; ours: Metroplex; address: string }> => {
    const server = createServer()
    const made = attach(server)
    server.listen(0, '127.0.0.1')
    return { ...made, address: await made.ours.ready() }
  }

  describe('the address, without waiting for anything', () => {
    it('is none before the server listens', () => {
      const { ours } = attach(createServer())
      assume(ours.address).equals('')
    })

    for (const when of ['before the plugin is loaded', 'after it'] as const) {
      it(`is known to a listener that is added ${when}, and to the callback of listen`, async () => {
        const server = createServer()
        const seen: string[] = []
        const look = (): void => {
          seen.push(ours.address)
        }
        if (when === 'before the plugin is loaded') server.on('listening', look)
        const { ours } = attach(server)
        if (when === 'after it') server.on('listening', look)
        const called = new Promise<void>(resolve => {
          server.listen(0, '127.0.0.1', () => {
            look()
            resolve()
          })
        })
        await called
        assume(seen).eql([urlOf(server), urlOf(server)])
      })
    }

    it('is known to the callback of a listen that was called before Primus was made', async () => {
      const server = createServer()
      const seen: string[] = []
      const listening = new Promise<void>(resolve => {
        server.listen(0, '127.0.0.1', () => {
          seen.push(ours.address)
          resolve()
        })
      })
      const { ours } = attach(server)
      await listening
      assume(seen).eql([urlOf(server)])
    })

    it('is known when plugin() returns, of a server that listens already', async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await emitted(server, 'listening')
      const { ours } = attach(server)
      assume(ours.address).equals(urlOf(server))
    })

    it('is the one of the options as soon as the server listens', async () => {
      const server = createServer()
      const { ours } = attach(server, { address: 'http://chat.example' })
      let seen = ''
      server.listen(0, '127.0.0.1', () => {
        seen = ours.address
      })
      await eventually(() => seen === 'http://chat.example')
    })

    it('is the one that is registered then, which no server without itself lists', async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await emitted(server, 'listening')
      // What a crashed server has left: this one is listed already.
      await own
        .multi()
        .sadd(`${space}:servers`, urlOf(server))
        .set(`${space}:${urlOf(server)}`, Date.now(), 'PX', 60_000)
        .exec()
      const { ours } = attach(server)
      const [early, listed] = [ours.address, ours.servers()]
      const [registered] = await once(ours, 'register')
      assume(early).equals(urlOf(server))
      assume(registered).equals(early)
      assume(ours.address).equals(early)
      assume(await listed).eql([])
      assume(await ours.servers()).eql([])
      assume(await ours.servers(true)).eql([early])
    })

    it('is known while Redis is away', async () => {
      const away = await startRedis()
      const server = createServer()
      const client = away.client()
      const { ours } = attach(server, { redis: client })
      await away.kill()
      let seen = ''
      server.listen(0, '127.0.0.1', () => {
        seen = ours.address
      })
      await eventually(() => seen !== '')
      assume(seen).equals(urlOf(server))
      assume(ours.id).equals('')
    })

    it('is none on a unix socket, where there is none', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'metroplex-socket-'))
      using(() => rm(folder, { recursive: true }))
      const server = createServer()
      const { ours } = attach(server)
      const failed = once(ours, 'error')
      let seen: string | undefined
      server.listen(join(folder, 'socket'), () => {
        seen = ours.address
      })
      await failed
      assume(seen).equals('')
    })

    it('is never that of the public port where peers come to a private one', async () => {
      const server = createServer()
      const { ours } = attach(server, { metroplex: { listen: { host: '127.0.0.1' } } })
      let seen = 'nothing'
      server.listen(0, '127.0.0.1', () => {
        seen = ours.address
      })
      const address = await ours.ready()
      assume(address).does.not.equal(urlOf(server))
      assume(['', address]).includes(seen)
      assume(ours.address).equals(address)
    })

    it('is none after the server has left', async () => {
      const { ours } = await started()
      await ours.unregister()
      assume(ours.address).equals('')
    })
  })

  describe('the registry', () => {
    it('has the server when `register` is emitted, and not any more when `unregister` is', async () => {
      const server = createServer()
      const { primus } = attach(server)
      const registered = once(primus, 'register')
      server.listen(0, '127.0.0.1')
      const [address] = await registered
      assume(address).equals(urlOf(server))
      assume(await own.smembers(`${space}:servers`)).eql([address])
      const unregistered = once(primus, 'unregister')
      primus.destroy()
      assume(await unregistered).eql([address])
      assume(await own.smembers(`${space}:servers`)).eql([])
    })

    it('has a spark, in the hash and in the set of its server, by the time the client knows its id', async () => {
      const { address } = await started()
      const client = await openClient(address)
      await eventually(async () => (await own.hget(`${space}:sparks`, client.id)) === address)
      assume(await own.smembers(`${space}:${address}:sparks`)).eql([client.id])
    })

    it('finds the servers of many sparks, in their order', async () => {
      const [one, two] = [await started(), await started()]
      const clients = await Promise.all(
        Array.from({ length: 10 }, (_, i) => openClient(i % 2 ? one.address : two.address))
      )
      await eventually(async () => (await one.ours.count()) === 10)
      const found = await new Promise(resolve => {
        one.ours.sparks(
          clients.map(({ id }) => id),
          (_error, addresses) => {
            resolve(addresses)
          }
        )
      })
      assume(found).eql(clients.map((_, i) => (i % 2 ? one.address : two.address)))
    })

    it('is not what tells a `disconnection` listener that a spark has gone: the plugin does, at once', async () => {
      const { primus, ours, address } = await started()
      const client = await openClient(address)
      await eventually(async () => (await own.hget(`${space}:sparks`, client.id)) === address)
      const found = new Promise(resolve => {
        primus.on('disconnection', () => {
          resolve(Promise.all([ours.spark(client.id), ours.sparks([client.id])]))
        })
      })
      await client.close()
      assume(await found).eql([null, [null]])
    })

    it('forgets a spark that has gone', async () => {
      const { primus, address } = await started()
      const client = await openClient(address)
      await eventually(async () => (await own.hget(`${space}:sparks`, client.id)) === address)
      const gone = once(primus, 'disconnection')
      await client.close()
      await gone
      await eventually(async () => (await own.hget(`${space}:sparks`, client.id)) === null)
      assume(await own.smembers(`${space}:${address}:sparks`)).eql([])
    })
  })

  it('the plugin is a function, which makes an instance with or without new', () => {
    assume(metroplex).is.a('function')
    assume(new metroplex()).is.instanceOf(metroplex)
    assume(metroplex()).is.instanceOf(metroplex)
  })
})
