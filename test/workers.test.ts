import { assume } from './support/assume'
import { Ground, LEASE } from './faults/ground'
import { openClient, type Client } from './support/client'
import { forkWorker } from './support/cluster-worker'
import { namespace } from './support/namespace'
import { reservePort } from './support/ports'
import { startRedis, type RedisProcess } from './support/redis'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** How many workers and clients there are. */
const [WORKERS, CLIENTS] = [4, 40]

/** A server's part in the cluster, as its methods see it. */
interface Own {
  ready(): Promise<string>
  method(name: string, method: (this: { spark?: { id: string } }) => unknown): unknown
  register(server: unknown): Promise<string>
  unregister(): Promise<void>
}

/** How many listeners a process has for itself alone: what it shares lies with the primary. */
const listeners = (server: ServerProcess): Promise<number> =>
  server.run(() => {
    const { libuv } = process.report.getReport() as unknown as {
      libuv: { type: string; is_active: boolean; remoteEndpoint: unknown }[]
    }
    return libuv.filter(({ type, is_active, remoteEndpoint }) => type === 'tcp' && is_active && remoteEndpoint === null)
      .length
  })

describe('workers of node:cluster', () => {
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  /** Start workers, all on one free port, and wait until they know each other. */
  const start = async (
    ground: Ground,
    count: number,
    omega: boolean,
    more: Partial<ServerOptions> = {}
  ): Promise<ServerProcess[]> => {
    const servers = await Promise.all(
      Array.from({ length: count }, () =>
        ground.start({ metroplex: { lease: 2 * LEASE, timeout: 5000 } }, { fork: forkWorker, omega, ...more })
      )
    )
    for (const server of servers) {
      await server.run(primus => {
        ;(primus.metroplex as unknown as Own).method('process', function () {
          return [process.pid, this.spark?.id ?? null]
        })
      })
      for (const { address } of servers)
        if (address !== server.address)
          await server.seen('join', { within: 10_000, filter: joined => joined === address })
    }
    return servers
  }

  const crowd = (url: string, count: number, scope: 'test' | 'suite'): Promise<Client[]> =>
    Promise.all(Array.from({ length: count }, () => openClient(url, { scope })))

  /** Which worker has which spark. */
  const holders = async (servers: readonly ServerProcess[]): Promise<Map<string, ServerProcess>> => {
    const lists = await Promise.all(
      servers.map(async server => (await server.sparks()).map(id => [id, server] as const))
    )
    return new Map(lists.flat())
  }

  for (const omega of [false, true]) {
    describe(`on one port${omega ? ', with omega-supreme' : ''}`, () => {
      const space = namespace()
      let ground: Ground
      let servers: ServerProcess[]
      let clients: Client[]
      let holder: Map<string, ServerProcess>

      before(async () => {
        ground = Ground.on(redis.target, space, false, 6)
        servers = await start(ground, WORKERS, omega, { scope: 'suite' })
        clients = await crowd(servers[0]?.url ?? '', CLIENTS, 'suite')
        await ground.settled(...servers)
        holder = await holders(servers)
      })
      after(async () => {
        for (const client of clients) await client.close()
        await Promise.all(servers.map(server => server.stop()))
        ground.client.disconnect()
        for (const { crashes } of servers) assume(crashes).eql([])
      })
      beforeEach(() => {
        for (const client of clients) client.messages.length = 0
      })

      const holderOf = ({ id }: Client): ServerProcess => holder.get(id) as ServerProcess

      it('share the port, and are servers of their own', async () => {
        assume(new Set(servers.map(({ url }) => url)).size).equals(1)
        const addresses = servers.map(({ address }) => address).sort()
        assume(new Set(addresses).size).equals(WORKERS)
        assume(addresses.some(address => address.endsWith(`:${servers[0]?.port ?? 0}`))).false()
        for (const server of servers) {
          assume(((await server.call('metroplex.servers', true)) as string[]).sort()).eql(addresses)
          assume(await listeners(server)).equals(1)
          assume(await server.sparks()).is.not.empty()
        }
      })

      it('have their sparks found where they are, by each of them', async () => {
        const ids = clients.map(({ id }) => id)
        for (const server of servers)
          assume(await server.call('metroplex.sparks', ids)).eql(ids.map(id => holder.get(id)?.address))
      })

      it('get messages for a spark from any worker, each once, in order', async () => {
        await Promise.all(
          servers.flatMap(server =>
            clients.map(async ({ id }) => {
              const result = await server.call('forward.spark', id, [server.pid, id])
              assume(result).eql({ ok: true, send: 1, ...(holder.get(id) === server && { local: true }) })
            })
          )
        )
        for (const client of clients) {
          await client.count(WORKERS)
          assume(client.messages.map(message => (message as [number])[0]).sort()).eql(
            servers.map(({ pid }) => pid).sort()
          )
          assume(client.messages.every(message => (message as [number, string])[1] === client.id)).true()
        }
      })

      it('answer `call`, `apply` and `first` as the intended worker', async () => {
        for (const server of servers) {
          for (const other of servers) {
            const { address, pid } = other
            assume(await server.call('metroplex.call', 'process', [], { to: address })).eql([
              { address, ok: true, value: [pid, null] }
            ])
            assume(await server.call('metroplex.first', 'process', [], { to: address })).eql([pid, null])
          }
          await Promise.all(
            clients.map(async client => {
              assume(await server.call('metroplex.apply', client.id, 'process')).eql([holderOf(client).pid, client.id])
            })
          )
        }
      })

      it('broadcast to each client once', async () => {
        for (const server of servers)
          assume(await server.call('forward.broadcast', server.pid)).eql({ ok: true, send: CLIENTS })
        const all = servers.map(({ pid }) => pid).sort()
        for (const client of clients) {
          await client.count(WORKERS)
          assume([...client.messages].sort()).eql(all)
        }
      })

      it("find each other's users", async () => {
        const [one, two] = [
          clients[0] as Client,
          clients.find(client => holderOf(client) !== holderOf(clients[0] as Client)) as Client
        ]
        for (const client of [one, two]) await holderOf(client).call('metroplex.identify', client.id, 'alice')
        const places = [one, two].map(client => ({
          user: 'alice',
          spark: client.id,
          address: holderOf(client).address
        }))
        const sorted = (given: unknown): unknown =>
          (given as { spark: string }[]).sort((a, b) => (a.spark < b.spark ? -1 : 1))
        for (const server of servers) {
          await eventually(async () => {
            assume(sorted(await server.call('metroplex.user', 'alice'))).eql(sorted(places))
            return true
          })
          assume(((await server.call('forward.user', 'alice', 'hello')) as { send: number }).send).equals(2)
        }
        for (const client of [one, two]) await client.count(WORKERS)
        assume(clients.flatMap(({ messages }) => messages)).has.length(2 * WORKERS)
      })

      if (omega) {
        it('are reached by a peer of 1.0.2, each for its own sparks', async () => {
          const old = await startServer({
            redis: { url: redis.url, namespace: space },
            primus: { interval: 1000, latency: 200 },
            metroplex: '1.0.2',
            omega: true
          })
          for (const client of clients) {
            assume(await old.callback('forward.spark', client.id, client.id)).eql({ ok: true, send: 1 })
          }
          for (const client of clients) assume(await client.next()).equals(client.id)
          assume(((await old.callback('forward.broadcast', 'all')) as { send: number }).send).equals(CLIENTS)
          for (const client of clients) {
            await client.count(2)
            assume(client.messages).eql([client.id, 'all'])
          }
          const near = await openClient(old.url)
          const there = servers[2] as ServerProcess
          await eventually(async () => (await there.call('metroplex.spark', near.id)) === old.address)
          assume(await there.call('forward.spark', near.id, 'hi')).eql({ ok: true, send: 1 })
          assume(await near.next()).equals('hi')
        })
      }
    })
  }

  it('leave the sparks of their neighbours alone when one is destroyed, and another one killed', async () => {
    const ground = await Ground.make(false)
    const [one, two, three, four] = (await start(ground, WORKERS, false)) as [
      ServerProcess,
      ServerProcess,
      ServerProcess,
      ServerProcess
    ]
    const clients = await crowd(one.url, CLIENTS, 'test')
    await ground.settled(one, two, three, four)
    const stayed = new Set([...(await two.sparks()), ...(await three.sparks())])
    assume(stayed.size).is.above(10)
    await Promise.all([one.destroy({ reconnect: true }), four.kill()])
    // Those of the two that have gone come to the two that are left.
    await eventually(async () => (await two.sparks()).length + (await three.sparks()).length === CLIENTS, {
      within: 15_000
    })
    await ground.settled(two, three)
    const now = new Set([...(await two.sparks()), ...(await three.sparks())])
    assume([...stayed].every(id => now.has(id))).true()
    assume(ground.reaped(four.address, two, three).some(id => stayed.has(id))).false()
    for (const client of clients) await client.identify()
    for (const client of clients) {
      client.messages.length = 0
      assume(((await two.call('forward.spark', client.id, client.id)) as { ok: boolean }).ok).true()
      await client.count(1)
      assume(client.messages).eql([client.id])
    }
    ground.sound(one, two, three)
  })

  it('open no listener for a client of the cluster', async () => {
    const ground = await Ground.make(false)
    const [server] = (await start(ground, 1, false, { primus: { address: 'http://127.0.0.1:1' } })) as [ServerProcess]
    const other = await ground.start()
    const near = await openClient(other.url)
    await ground.settled(server, other)
    assume(await listeners(server)).equals(0)
    const result = await server.run(
      async (_primus, file: string, url: string, space: string, id: string) => {
        const require = process.getBuiltinModule('node:module').createRequire(file)
        const { createClient } = require('../index') as typeof import('../index')
        const redis = new (require('ioredis') as typeof import('ioredis')).Redis(url)
        const client = createClient({ redis, namespace: space })
        try {
          const { ok } = await client.forward.spark(id, 'from a client')
          const { libuv } = process.report.getReport() as unknown as {
            libuv: { type: string; is_active: boolean; remoteEndpoint: unknown }[]
          }
          return {
            ok,
            listeners: libuv.filter(
              ({ type, is_active, remoteEndpoint }) => type === 'tcp' && is_active && remoteEndpoint === null
            ).length
          }
        } finally {
          await client.close()
          redis.disconnect()
        }
      },
      __filename,
      ground.redis.url,
      ground.space,
      near.id
    )
    assume(result).eql({ ok: true, listeners: 0 })
    assume(await near.next()).equals('from a client')
  })

  it('stay at an address that they are given, without a listener of their own', async () => {
    const ground = await Ground.make(false)
    const port = 20_000 + (process.pid % 10_000)
    const [server] = (await start(ground, 1, false, { primus: { address: `http://127.0.0.1:${port}` } })) as [
      ServerProcess
    ]
    assume(server.address).equals(`http://127.0.0.1:${port}`)
    assume(await listeners(server)).equals(0)
  })

  it('have no listener of their own when they are to have none', async () => {
    const ground = await Ground.make(false)
    const server = await startServer({
      redis: { url: ground.redis.url, namespace: ground.space },
      primus: { metroplex: { listen: false } },
      fork: forkWorker
    })
    assume(server.address.endsWith(`:${server.port}`)).true()
    assume(await listeners(server)).equals(0)
  })

  it('have an address each when peers reach them by a transport of their own', async () => {
    const ground = await Ground.make(false)
    const servers = await start(ground, 2, false)
    const port = await reservePort()
    const addresses = await Promise.all(
      servers.map(server =>
        server.run(
          async (_primus, program: string, url: string, namespace: string, port: number) => {
            const require = process.getBuiltinModule('node:module').createRequire(program)
            const plugin = require('../index') as typeof import('../index')
            const Primus = require('primus') as new (
              server: unknown,
              options: object
            ) => import('./support/primus-types').PrimusUnderTest & {
              metroplex: Own
              destroy(options: object, fn: (value?: unknown) => void): unknown
            }
            const redis = new (require('ioredis') as typeof import('ioredis')).Redis(url)
            const unreachable = (): Promise<never> => Promise.reject(new Error('no peer is reached in this way'))
            const transport = {
              name: 'pigeons',
              limits: { body: 1024, batch: 1024 },
              open: () => undefined,
              greet: unreachable,
              send: unreachable,
              release: () => undefined,
              close: () => Promise.resolve()
            }
            const http = process.getBuiltinModule('node:http').createServer()
            const primus = new Primus(http, { redis, namespace, transformer: 'websockets', metroplex: { transport } })
            primus.plugin('metroplex', plugin)
            http.listen(port, '127.0.0.1')
            const address = await primus.metroplex.ready()
            await new Promise(resolve => {
              primus.destroy({}, resolve)
            })
            redis.disconnect()
            return address
          },
          __filename,
          ground.redis.url,
          `${ground.space}:pigeons`,
          port
        )
      )
    )
    assume(new Set(addresses).size).equals(2)
    for (const address of addresses) assume(address.endsWith('.invalid')).true()
  })

  it('register at their own listener when they are told to register the server that clients come to', async () => {
    const ground = await Ground.make(false)
    const [server] = (await start(ground, 1, false)) as [ServerProcess]
    const { address } = server
    const after = await server.run(async primus => {
      const metroplex = primus.metroplex as unknown as Own
      await metroplex.unregister()
      return metroplex.register(primus.server)
    })
    assume(after).equals(address)
    assume(address.endsWith(`:${server.port}`)).false()
    await ground.settled(server)
  })
})
