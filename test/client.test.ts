import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createClient, type Client, type ClientOptions } from '../index'
import { assume } from './support/assume'
import { openClient, type Client as PrimusClient } from './support/client'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { reservePort } from './support/ports'
import { startProxy } from './support/proxy'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { startUpgradeless } from './support/upgradeless'
import { eventually } from './support/wait'

/** A process that is no server, in this process; closed at the end of the test. */
function client(redis: RedisProcess, options: ClientOptions): Client {
  const made = createClient({ redis: redis.client(), ...options })
  using(() => made.close())
  return made
}

/** Parts that only a server has: the file below `lib/`, and the class. */
const SERVER_ONLY = [
  ['delivery/client-replies', 'ClientReplies'],
  ['delivery/local', 'LocalDelivery'],
  ['drain/drain', 'Drain'],
  ['drain/gate', 'Gate'],
  ['membership/auditor', 'Auditor'],
  ['membership/life', 'Life'],
  ['membership/reaper', 'Reaper'],
  ['membership/registration', 'Registration'],
  ['rpc/membership-hints', 'MembershipHints'],
  ['rpc/methods', 'Methods'],
  ['rpc/responder', 'RpcResponder'],
  ['rpc/subscriptions', 'Subscriptions'],
  ['health/health-check', 'HealthCheck'],
  ['health/peer-reachability', 'PeerReachability'],
  ['sync/healer', 'Healer'],
  ['sync/writer', 'Writer']
] as const

describe('a client of the cluster', () => {
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  for (const transport of ['http', 'redis'] as const) {
    describe(`over ${transport}`, () => {
      const space = namespace()
      const terms: ClientOptions = { namespace: space, metroplex: { transport } }
      let servers: ServerProcess[]
      let cluster: Client

      before(async () => {
        const start = (): Promise<ServerProcess> =>
          startServer({
            redis: { url: redis.url, namespace: space },
            scope: 'suite',
            primus: { interval: 3000, latency: 500, metroplex: { transport } }
          })
        servers = await Promise.all([start(), start(), start()])
      })
      after(() => Promise.all(servers.map(server => server.stop())))
      beforeEach(() => {
        cluster = client(redis, terms)
      })

      const first = (): ServerProcess => servers[0] as ServerProcess
      const connected = async (): Promise<PrimusClient[]> => {
        const clients = await Promise.all(servers.map(server => openClient(server.url)))
        await eventually(async () => (await cluster.sparks(clients.map(({ id }) => id))).every(place => place !== null))
        return clients
      }

      it('finds servers, sparks and counts, and is no server itself', async () => {
        const clients = await connected()
        assume((await cluster.servers()).sort()).eql(servers.map(({ address }) => address).sort())
        assume((await cluster.servers(true)).sort()).eql(servers.map(({ address }) => address).sort())
        assume(await cluster.spark(clients[1]?.id ?? '')).equals(servers[1]?.address)
        assume(await cluster.spark('unknown')).equals(null)
        assume((await rejection(cluster.sparks(new Array<string>(1)))).message).includes(
          'must be a string that is not empty'
        )
        assume((await rejection(cluster.user(new Array<string>(1)))).message).includes(
          'must be a string of 1 to 1024 bytes'
        )
        await eventually(async () => (await cluster.count()) === 3)
        const ids: string[] = []
        for await (const id of cluster.sparksOn(first().address)) ids.push(id)
        assume(ids).eql([clients[0]?.id])
      })

      it('sends to one, to some and to all', async () => {
        const clients = await connected()
        const [one, two, three] = clients as [PrimusClient, PrimusClient, PrimusClient]
        assume(await cluster.forward.spark(two.id, 'one')).eql({ ok: true, send: 1 })
        assume(await cluster.forward.sparks([one.id, three.id, 'unknown'], 'some')).eql({
          ok: true,
          send: 2,
          missing: ['unknown']
        })
        assume(await cluster.forward.broadcast('all')).eql({ ok: true, send: 3 })
        assume(await cluster.forward.except([one.id], 'others')).eql({ ok: true, send: 2 })
        assume(await one.count(2)).eql(['some', 'all'])
        assume(await two.count(3)).eql(['one', 'all', 'others'])
      })

      it('ends sparks, after what it sent them before', async () => {
        const [one, two] = (await connected()) as [PrimusClient, PrimusClient, PrimusClient]
        const sent = cluster.forward.spark(one.id, 'last words')
        assume(await cluster.end([one.id, 'unknown'])).eql({ ok: false, send: 1, missing: ['unknown'] })
        assume((await sent).ok).true()
        assume(await one.next()).equals('last words')
        await eventually(async () => (await cluster.spark(one.id)) === null)
        const back = new Promise<void>(resolve => {
          two.socket.on('reconnected', () => {
            resolve()
          })
        })
        assume((await cluster.end(two.id, { reconnect: true })).send).equals(1)
        await back
        const id = await two.identify()
        await eventually(async () => (await cluster.spark(id)) !== null)
      })

      it('calls all servers, and the one that holds a spark, and gets their answers', async () => {
        const [one] = (await connected()) as [PrimusClient]
        for (const server of servers) {
          await server.run(primus => {
            const { metroplex } = primus as unknown as { metroplex: { method(name: string, fn: unknown): void } }
            try {
              metroplex.method(
                'where',
                function (this: { address: string; from: string; spark?: { id: string } }, word: string) {
                  return Promise.resolve([word, this.address, this.from, this.spark?.id ?? null])
                }
              )
            } catch {
              // It is there from the test before.
            }
          })
        }
        const answers = await cluster.call('where', ['x'])
        assume(answers.map(answer => (answer.ok ? answer.value : answer.error.message)).sort()).eql(
          servers.map(({ address }) => ['x', address, '', null]).sort()
        )
        assume(await cluster.apply(one.id, 'where', ['y'])).eql(['y', first().address, '', one.id])
        assume(await cluster.first('where', ['z'])).has.length(4)
        assume((await rejection(cluster.apply('unknown', 'where'))).code).equals('ENOSPARK')
        const [unknown] = await cluster.call('nothing', [], { to: first().address })
        assume(unknown?.ok === false ? (unknown.error as Error & { code: string }).code : 'ok').equals('ENOMETHOD')
      })

      it('publishes events', async () => {
        for (const server of servers) {
          await server.run(primus => {
            const { metroplex } = primus as unknown as {
              metroplex: {
                subscribe(type: string, handler: (data: unknown) => void): () => void
                emit(event: string, data: unknown): void
              }
            }
            const off = metroplex.subscribe('news', data => {
              off()
              metroplex.emit('heard', data)
            })
          })
        }
        assume(await cluster.publish('news', { at: 7 })).eql({ ok: true, send: 3 })
        assume(await cluster.publish('news', { at: 8 })).eql({ ok: true, send: 0 })
      })

      it('notices that a server has died', async () => {
        const doomed = await startServer({
          redis: { url: redis.url, namespace: space },
          primus: { interval: 3000, latency: 500, metroplex: { transport, lease: 500 } }
        })
        const { id } = await openClient(doomed.url)
        await eventually(async () => (await cluster.spark(id)) === doomed.address)
        await doomed.kill()
        await eventually(async () => (await cluster.spark(id)) === null, { within: 15_000 })
        assume(await cluster.servers()).does.not.include(doomed.address)
      })
    })
  }

  it('gets its answers although connections break while it waits, over HTTP', async () => {
    const space = namespace()
    const port = await reservePort()
    const between = await startProxy({ port }, { at: { host: '127.0.0.2', port } })
    const server = await startServer({
      redis: { url: redis.url, namespace: space },
      port,
      primus: { address: `http://127.0.0.2:${port}` }
    })
    await server.run(primus => {
      const { metroplex } = primus as unknown as {
        metroplex: { method(name: string, fn: unknown): void; once(event: string, fn: () => void): void }
      }
      metroplex.method(
        'long',
        () =>
          new Promise(resolve => {
            metroplex.once('end of it', () => {
              resolve('done')
            })
          })
      )
    })
    const cluster = client(redis, { namespace: space })
    await eventually(async () => (await cluster.servers()).length === 1)
    const answer = cluster.call('long', [], { timeout: 20_000 })
    await eventually(() =>
      server.run(
        primus =>
          (primus as unknown as { metroplex: { stats(): { answering: number } } }).metroplex.stats().answering === 1
      )
    )
    for (let cut = 0; cut < 3; cut++) {
      between.cut()
      await eventually(() => between.connections === 1, {
        what: 'a stream that was opened again, though nothing is asked'
      })
    }
    await server.run(primus => {
      ;(primus as unknown as { metroplex: { emit(event: string): void } }).metroplex.emit('end of it')
    })
    assume(await answer).eql([{ address: server.address, ok: true, value: 'done' }])
  })

  it('fails calls at once where a proxy refuses upgrades, and nothing is called', async () => {
    const space = namespace()
    const port = await reservePort()
    const proxy = await startUpgradeless(port)
    const server = await startServer({
      redis: { url: redis.url, namespace: space },
      port,
      primus: { address: `http://127.0.0.1:${proxy.port}` }
    })
    await server.run(primus => {
      const { metroplex } = primus as unknown as {
        metroplex: { method(name: string, fn: unknown): void; emit(event: string): void }
      }
      metroplex.method('count', () => {
        metroplex.emit('called')
      })
    })
    const cluster = client(redis, { namespace: space })
    const [answer] = await cluster.call('count', [], { timeout: 60_000 })
    const { code, maybe } = (answer?.ok === false ? answer.error : {}) as { code?: string; maybe?: boolean }
    assume([code, maybe]).eql(['EUNREACHABLE', false])
    assume(await cluster.forward.broadcast('x')).eql({ ok: true, send: 0 })
    assume(server.log.filter(({ event }) => event === 'called')).has.length(0)
  })

  it('lets its process end once it is closed, and fails what is under way', async () => {
    const script = `
      const { createClient } = require(${JSON.stringify(join(__dirname, '..', 'index.js'))})
      const Redis = require('ioredis')
      const redis = new Redis(${JSON.stringify(redis.url)})
      const cluster = createClient({ redis, namespace: ${JSON.stringify(namespace())} })
      cluster.servers().then(async servers => {
        const late = cluster.call('x', [], { to: 'http://127.0.0.1:9' })
        await cluster.close()
        await cluster.close()
        const after = await cluster.servers().catch(error => error.code)
        console.log(JSON.stringify([servers, (await late)[0].ok, after]))
        redis.disconnect()
      })`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
      timeout: 45_000,
      cwd: join(__dirname, '..', '..')
    })
    assume(JSON.parse(stdout)).eql([[], false, 'ECLOSED'])
  })

  it('says once it is closed that it was closed, and not that a server was destroyed', async () => {
    const closed = client(redis, { namespace: namespace() })
    await closed.close()
    const { failed } = await closed.forward.broadcast('late')
    const [called] = await closed.call('method', [], { to: 'http://10.0.0.5:8080' })
    for (const error of [failed?.[0], called?.error]) {
      assume(error?.code).equals('ECLOSED')
      assume(error?.message).matches(/^metroplex was closed in this process: it /)
    }
  })

  it('reports nothing when it is closed, however soon', async () => {
    const errors: Error[] = []
    for (let turns = 0; turns < 40; turns++) {
      const made = client(redis, { namespace: namespace() })
      made.on('error', error => {
        errors.push(error)
      })
      if (turns >= 20) await made.servers()
      for (let turn = 0; turn < turns % 20; turn++)
        await new Promise(resolve => {
          setImmediate(resolve)
        })
      await made.close()
    }
    assume(errors).eql([])
  })

  it('has none of the parts that only a server needs', async () => {
    // Every class is replaced by one that notes each construction.
    const script = `
      const made = []
      for (const [file, name] of ${JSON.stringify(SERVER_ONLY)}) {
        const exported = require('./dist/lib/' + file)
        const construct = (...args) => (made.push(name), Reflect.construct(...args))
        exported[name] = new Proxy(exported[name], { construct })
      }
      const { createClient, Metroplex } = require('./dist/index.js')
      const primus = { spark() {}, forEach() {}, Spark: { CLOSED: 2 }, options: {} }
      const redis = { host: '127.0.0.1', port: ${redis.port} }
      const Redis = require('ioredis').Redis
      const options = { redis: new Redis({ ...redis, lazyConnect: true }), namespace: '${namespace()}' }
      const opened = process.argv[1] === 'client' ? createClient(options) : new Metroplex(primus, options)
      console.log(JSON.stringify(made.sort()))
      opened.close().then(() => process.exit())`
    const present = async (what: 'client' | 'server'): Promise<unknown> => {
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', script, what], {
        timeout: 45_000,
        cwd: join(__dirname, '..', '..')
      })
      return JSON.parse(stdout)
    }
    assume(await present('client')).eql([])
    assume(await present('server')).eql(SERVER_ONLY.map(([, name]) => name).sort())
  })

  it('says which options are wrong', () => {
    for (const [options, sentence] of [
      [{ address: 'http://a' }, /no option `address`/],
      [{ metroplex: { listen: {} } }, /`metroplex.listen` is for servers/],
      [{ metroplex: { user: () => 'x' } }, /`metroplex.user` is for servers/],
      [{ redis: {} }, /must be an ioredis client/],
      [{ metroplex: null }, /`metroplex` must be an object/],
      [null, /must be an object/]
    ] as const)
      assume(() => createClient(options as unknown as ClientOptions)).throws(sentence)
  })
})
