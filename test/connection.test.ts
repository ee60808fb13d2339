import { inspect } from 'node:util'
import { Cluster, Redis } from 'ioredis'
import { ignore } from '../lib/common/callback'
import { Connection } from '../lib/registry/connection'
import type { MetroplexError } from '../lib/common/errors'
import { assume } from './support/assume'
import { calls } from './support/calls'
import { using } from './support/dispose'
import { startProxy, type TcpProxy } from './support/proxy'
import { startRedis, type RedisProcess } from './support/redis'
import { startCluster, type RedisCluster } from './support/redis-cluster'
import { synced } from './support/redis-replication'
import { openRedis } from './support/redis-target'
import { startSentinel, type SentinelledRedis } from './support/redis-sentinel'
import { rejection } from './support/rejection'
import { twoAddresses } from './support/two-addresses'
import { elapsed, eventually } from './support/wait'

/** A connection of ours, and what it told. */
interface Told {
  readonly connection: Connection
  readonly lost: MetroplexError[]
  readonly ready: number[]
  readonly dangers: MetroplexError[]
}

/** Opens a connection of ours beside a user's client, which is closed with it. */
function beside(
  user: Redis | Cluster,
  timeout = 5000,
  isReady: () => void = () => undefined,
  inspection?: number
): Told {
  const lost: MetroplexError[] = []
  const ready: number[] = []
  const dangers: MetroplexError[] = []
  user.on('error', () => undefined)
  const terms = { name: 'test', timeout, ...(inspection !== undefined && { inspection }) }
  const connection = new Connection(user, {}, terms, {
    ready: () => {
      ready.push(performance.now())
      isReady()
    },
    lost: error => {
      lost.push(error)
    },
    endangered: error => {
      dangers.push(error)
    },
    secured: () => undefined
  })
  using(() => {
    connection.close()
    user.disconnect()
  })
  return { connection, lost, ready, dangers }
}

/** What a user may have set for reasons of his own. */
const reckless = {
  reconnectOnError: (): 2 => 2,
  maxRetriesPerRequest: null,
  autoResendUnfulfilledCommands: true,
  enableOfflineQueue: true,
  enableAutoPipelining: true,
  stringNumbers: true,
  commandTimeout: 10_000,
  retryStrategy: (): number => 1
}

describe('our connection', () => {
  describe('to one Redis', () => {
    let redis: RedisProcess
    let proxy: TcpProxy
    beforeEach(async () => {
      redis = await startRedis()
      proxy = await startProxy({ port: redis.port })
    })

    it('is given up once, however many questions it fails at a time', async () => {
      const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 300)
      await connection.run('GET', ['key'])
      proxy.freeze()
      const failures = await Promise.all(Array.from({ length: 30 }, () => rejection(connection.run('GET', ['key']))))
      assume(failures.map(({ code }) => code)).eql(failures.map(() => 'EREGISTRY'))
      assume(lost).has.length(1)
      proxy.thaw()
      await eventually(() => connection.ready)
    })

    it('answers or fails within the deadline, of which waiting for it is a part', async () => {
      await proxy.refuse()
      const { connection } = beside(new Redis(proxy.port, { lazyConnect: true }), 4000, () => proxy.freezeReplies())
      const asked = elapsed(() => rejection(connection.pipeline([['GET', 'key']])))
      const began = performance.now()
      // For most of the deadline there is no connection, and for the rest of it no answer.
      await eventually(() => performance.now() - began > 2000)
      await proxy.accept()
      const { ms, value } = await asked
      assume(value.message).includes('did not answer pipeline')
      // The deadline for each of the two would be 6 s.
      assume(ms).is.within(3900, 5900)
    })

    it('fails at the deadline when nothing can be reached, and says why', async () => {
      await proxy.refuse()
      const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 300)
      const { ms, value } = await elapsed(() => rejection(connection.run('GET', ['key'])))
      assume(ms).is.within(290, 10_000)
      assume(value.code).equals('EREGISTRY')
      assume(value.message).includes('ECONNREFUSED')
      assume(lost).has.length(1)
    })

    it('names each address of the host when none can be reached', async () => {
      await proxy.refuse()
      const host = twoAddresses()
      const { connection, lost } = beside(new Redis(proxy.port, host, { lazyConnect: true }), 300)
      const { message } = await rejection(connection.run('GET', ['key']))
      for (const sentence of [message, lost[0]?.message ?? '']) {
        assume(sentence).includes(`ECONNREFUSED 127.0.0.1:${proxy.port}`)
        assume(sentence).includes(`::1:${proxy.port}`)
      }
      assume((lost[0]?.cause as NodeJS.ErrnoException).code).equals('ECONNREFUSED')
    })

    it('says that Redis is loading its data, and is open soon after that', async () => {
      const slow = await startRedis({ args: ['--loading-process-events-interval-bytes', '1024'] })
      await slow.ask(async client => {
        const pipeline = client.pipeline()
        for (let key = 0; key < 3000; key++) pipeline.set(`key ${key}`, 'x'.repeat(50))
        await pipeline.exec()
        await client.save()
      })
      const { connection, lost } = beside(slow.client(), 500)
      await connection.run('GET', ['key 1'])
      await slow.kill()
      // ms per key, so that it takes as long as a test can see.
      const loading = slow.start(['--key-load-delay', '1000'])
      const says = /^The connection to Redis cannot be used: Redis is loading its data\./
      await eventually(() => says.test(connection.trouble ?? ''), { within: 15_000 })
      assume((await rejection(connection.run('GET', ['key 1']))).message).includes('is loading its data')
      await loading
      await eventually(() => connection.run('GET', ['key 1']))
      assume(lost.filter(({ message }) => says.test(message))).has.length(1)
    })

    it('lets no argument of a command into an error, which may get into a log', async () => {
      const guarded = await startRedis({ args: ['--requirepass', 'right', '--rename-command', 'HGET', ''] })
      const wrong = beside(guarded.client({ password: 'the password' }), 300)
      const errors: Error[] = [await rejection(wrong.connection.run('GET', ['key']))]
      errors.push(...wrong.lost)
      const { connection } = beside(guarded.client())
      errors.push(await rejection(connection.run('SET', ['key', 'the secret', 'WRONG'])))
      errors.push(await rejection(connection.run('HGET', ['key', 'the secret'])))
      errors.push(await rejection(connection.pipeline([['INCR', 'key', 'the secret']])))
      assume(errors.length >= 5).is.true()
      for (const error of errors) assume(inspect(error, { depth: 9 })).does.not.match(/the (password|secret)/)
      assume(errors.at(-2)?.message).matches(/^Redis refused a command: ERR unknown command 'hget'\. docs/i)
    })

    it('says that a command was cut off, without advice about an option that is not used', async () => {
      const own = await startRedis()
      const { connection } = beside(own.client())
      await connection.run('GET', ['key'])
      own.pause()
      const failing = rejection(connection.run('GET', ['key']))
      await own.kill()
      assume((await failing).message).equals('The connection to Redis broke: it closed before an answer came')
    })

    it('is given up when a server accepts it and says nothing', async () => {
      proxy.freeze()
      const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 300)
      assume((await rejection(connection.run('GET', ['key']))).code).equals('EREGISTRY')
      await eventually(() => lost.length === 1)
      proxy.thaw()
      await eventually(() => connection.run('GET', ['key']).then(() => true))
    })

    it('says what is wrong with a client that cannot be duplicated, and goes on once it can', async () => {
      const redis = await startRedis()
      const user = redis.client()
      const duplicate = user.duplicate.bind(user)
      user.duplicate = () => {
        throw new Error('no second connection')
      }
      const { connection, lost } = beside(user, 300)
      const error = await rejection(connection.run('PING', []))
      assume(error.message).includes('`duplicate` of the client `redis` must return an ioredis client')
      assume(error.message).includes('it throws: no second connection')
      assume(lost.length).equals(1)
      user.duplicate = duplicate
      await eventually(() => connection.ready)
    })

    it('says the same of a client of a Cluster', async () => {
      const user = new Cluster([{ host: '127.0.0.1', port: proxy.port }], { lazyConnect: true })
      Object.assign(user, { duplicate: () => ({}) })
      const { connection } = beside(user, 300)
      const error = await rejection(connection.run('PING', []))
      assume(error.message).includes('`duplicate` of the client `redis` must return an ioredis client')
      assume(error.message).includes('it returns an object (Object)')
    })

    it("sends nothing twice, however the user's client is set", async () => {
      const { connection } = beside(new Redis(proxy.port, reckless))
      assume(await connection.run('INCR', ['counter'])).equals(1)
      proxy.dropNextReply({ cut: true })
      assume((await rejection(connection.run('INCR', ['counter']))).code).equals('EREGISTRY')
      assume(await connection.run('GET', ['counter'])).equals('2')
    })

    /** How many connections Redis has accepted, ours to ask for that included. */
    const received = async (): Promise<number> => {
      const stats = await redis.ask(client => client.info('stats'))
      return Number(/total_connections_received:(\d+)/.exec(stats)?.[1])
    }

    for (const [reason, refuse, allow] of [
      [
        'READONLY',
        (client: Redis) => client.replicaof('127.0.0.1', 1),
        (client: Redis) => client.replicaof('NO', 'ONE')
      ],
      [
        'NOREPLICAS',
        (client: Redis) => client.config('SET', 'min-replicas-to-write', 1),
        (client: Redis) => client.config('SET', 'min-replicas-to-write', 0)
      ]
    ] as const) {
      it(`has another look when it is refused with ${reason}, in no hurry, and tells of it once`, async () => {
        const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 500)
        await connection.run('SET', ['key', '1'])
        await redis.ask(refuse)
        const before = await received()
        const began = performance.now()
        await eventually(async () => {
          await rejection(connection.run('SET', ['key', '2']))
          // One without replicas answers questions: that does not make it take writes.
          await connection.run('GET', ['key']).catch(ignore)
          return performance.now() - began > 2000 && (await received()) > before + 1
        })
        const seconds = (performance.now() - began) / 1000
        assume(lost).has.length(1)
        assume(lost[0]?.message).includes(`Redis refused a command: ${reason}`)
        assume(lost[0]?.message).does.not.include('down')
        assume(((await received()) - before) / seconds).is.below(7.5)
        await redis.ask(allow)
        await eventually(() => connection.run('SET', ['key', '3']).then(() => true))
      })

      it(`says what refused it with ${reason}, and not that nothing can be reached`, async () => {
        await redis.ask(refuse)
        const { connection } = beside(new Redis(proxy.port, { lazyConnect: true }), 1000)
        const failures = [await rejection(connection.run('SET', ['key', '1']))]
        await eventually(() => connection.trouble !== undefined)
        const sentences = [failures[0]?.message, connection.trouble]
        for (const sentence of sentences) {
          assume(sentence).matches(reason === 'READONLY' ? /Redis is a replica of 127\.0\.0\.1:1,/ : /NOREPLICAS/)
          assume(sentence).matches(
            /^(Redis refused a command|Redis could not be used|The connection to Redis cannot be used)/
          )
        }
        await redis.ask(allow)
      })
    }

    it('is replaced once when many commands are refused at a time, and warns of no leak', async () => {
      const warnings: string[] = []
      const heard = ({ message }: Error): void => {
        warnings.push(message)
      }
      process.on('warning', heard)
      using(() => {
        process.removeListener('warning', heard)
      })
      const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }))
      await connection.run('SET', ['key', '1'])
      await redis.ask(client => client.config('SET', 'min-replicas-to-write', 1))
      await Promise.all(Array.from({ length: 50 }, (_, i) => rejection(connection.run('SET', ['key', i]))))
      await eventually(() => connection.ready)
      assume([lost.length, warnings]).eql([1, []])
    })

    describe('that is a replica', () => {
      let master: RedisProcess

      beforeEach(async () => {
        master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
        await redis.ask(client => client.config('SET', 'replica-read-only', 'no'))
      })

      const follow = async (): Promise<void> => {
        await redis.ask(client => client.replicaof('127.0.0.1', master.port))
        await eventually(() => synced(redis))
      }

      it('is not used, though it takes writes, because it loses them', async () => {
        await follow()
        const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 1000)
        const { message } = await rejection(connection.run('SET', ['key', '1']))
        assume(message).includes(`Redis is a replica of 127.0.0.1:${master.port}`)
        assume(message).includes('It loses what is written to it')
        assume(lost).has.length(1)
        await redis.ask(client => client.replicaof('NO', 'ONE'))
        await eventually(() => connection.run('SET', ['key', '1']).then(() => true))
      })

      it('is left when it has become one, though it takes writes', async () => {
        const { connection, lost } = beside(new Redis(proxy.port, { lazyConnect: true }), 1000, undefined, 200)
        await connection.run('SET', ['key', '1'])
        await follow()
        await eventually(async () => {
          await connection.run('GET', ['key']).catch(ignore)
          return lost.length > 0
        })
        assume(lost[0]?.message).includes(`Redis is a replica of 127.0.0.1:${master.port}`)
        await redis.ask(client => client.replicaof('NO', 'ONE'))
        await eventually(() => connection.run('SET', ['key', '2']).then(() => true))
        assume(lost).has.length(1)
      })
    })

    it('reports settings of Redis that become dangerous while it is open, each time once', async () => {
      const { connection, dangers } = beside(new Redis(proxy.port, { lazyConnect: true }), 1000, undefined, 50)
      const set = async (policy: string): Promise<void> => {
        await redis.ask(client => client.config('SET', 'maxmemory-policy', policy))
      }
      await redis.ask(client => client.config('SET', 'maxmemory', '256mb'))
      await connection.run('GET', ['key'])
      for (const times of [1, 2]) {
        await set('allkeys-lru')
        await eventually(async () => {
          await connection.run('GET', ['key'])
          return dangers.length === times
        })
        assume(dangers[times - 1]?.message).includes('its maxmemory-policy is allkeys-lru')
        await set('noeviction')
        await eventually(async () => (await connection.danger()) === undefined)
      }
      assume(dangers).has.length(2)
    })
  })

  describe('to a master of Sentinels', function () {
    this.timeout(120_000)
    let redis: SentinelledRedis
    before(async () => {
      redis = await startSentinel({ scope: 'suite' })
    })
    after(() => redis.stop())

    it("writes, though the user's client reads from a replica, and one Sentinel says nothing", async () => {
      const [silent] = redis.sentinels
      silent?.pause()
      using(() => {
        silent?.resume()
      })
      const { connection } = beside(openRedis({ ...redis.target, role: 'slave' }))
      assume(await connection.run('SET', ['key', 'value'])).equals('OK')
    })

    it("outlives Sentinels that are not there, though the user's client does not", async () => {
      const user = new Redis({ ...redis.target, lazyConnect: true, sentinelRetryStrategy: () => null })
      const { connection, lost } = beside(user, 1000)
      for (const sentinel of redis.sentinels) await sentinel.kill()
      assume((await rejection(connection.run('GET', ['key']))).code).equals('EREGISTRY')
      assume(lost).has.length(1)
      for (const sentinel of redis.sentinels) await sentinel.restart({ empty: false })
      await eventually(() => connection.run('GET', ['key']).then(() => true), { within: 10_000 })
    })

    it('leaves nothing behind when it is closed while it is opened', async () => {
      for (let i = 0; i < 10; i++) {
        const { connection } = beside(new Redis({ ...redis.target, lazyConnect: true }))
        const asked = connection.run('GET', ['key']).catch((error: unknown) => (error as MetroplexError).code)
        for (let turn = 0; turn < i; turn++) await new Promise(resolve => setImmediate(resolve))
        connection.close()
        assume(await asked).either(['ECLOSED', 'value', null])
      }
    })
  })

  describe('to a Redis Cluster', function () {
    this.timeout(120_000)
    const key = '{a}key'
    let cluster: RedisCluster
    beforeEach(async () => {
      cluster = await startCluster()
    })

    it("asks the owner of the keys alone, though the user's client reads from replicas", async () => {
      const { connection } = beside(
        new Cluster(cluster.target.cluster ?? [], { scaleReads: 'slave', enableAutoPipelining: true })
      )
      await connection.run('SET', [key, 'value'])
      for (let i = 0; i < 20; i++) assume(await connection.run('GET', [key])).equals('value')
      const owner = await cluster.owner(key)
      for (const node of cluster.nodes) {
        assume(await calls(node, 'get')).equals(node === owner ? 20 : 0)
      }
    })

    it('goes where natMap says, sends nothing twice when an answer is lost, follows a slot that moves', async () => {
      const proxies = new Map<number, TcpProxy>()
      for (const { port } of cluster.nodes) proxies.set(port, await startProxy({ port }))
      const natMap = Object.fromEntries(
        [...proxies].map(([port, proxy]) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: proxy.port }])
      )
      const [first] = proxies.values()
      const user = new Cluster([{ host: '127.0.0.1', port: first?.port ?? 0 }], {
        natMap,
        lazyConnect: true,
        redisOptions: reckless
      })
      const { connection, lost, ready } = beside(user)
      assume(await connection.run('INCR', [key])).equals(1)
      const owner = await cluster.owner(key)
      proxies.get(owner.port)?.dropNextReply({ cut: true })
      assume((await rejection(connection.run('INCR', [key]))).code).equals('EREGISTRY')
      assume(await connection.run('GET', [key])).equals('2')
      assume([lost.length, ready.length]).eql([1, 2])

      await cluster.handOver(key)
      assume((await rejection(connection.run('INCR', [key]))).message).includes('MOVED')
      assume(await connection.run('INCR', [key])).equals(3)
      assume([lost.length, ready.length]).eql([2, 3])
      assume(proxies.get((await cluster.owner(key)).port)?.connections).is.above(0)
    })

    it('reports that the owner of the keys died, and finds the next one, though only that node was named', async () => {
      const owner = await cluster.owner(key)
      const { connection, lost, ready } = beside(
        new Cluster([{ host: '127.0.0.1', port: owner.port }], { lazyConnect: true })
      )
      await connection.run('SET', [key, 'value'])
      const other = await cluster.owner('{b}key')
      assume(other).does.not.equal(owner)
      await cluster.failover('{b}key', master => master.kill())
      assume(await connection.run('GET', [key])).equals('value')
      assume([lost.length, ready.length]).eql([0, 1])

      await cluster.failover(key, master => master.kill())
      await eventually(async () => (await connection.run('GET', [key])) === 'value', { within: 10_000 })
      assume([lost.length, ready.length]).eql([1, 2])
    })
  })
})
