import { namespaces, shardOf } from '../lib/registry/sharding'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess, type RedisProcessOptions } from './support/redis'
import { findValkey } from './support/redis-binary'
import { startCluster, type ClusterSettings, type RedisCluster } from './support/redis-cluster'
import { startSentinel } from './support/redis-sentinel'
import { openRedis, type RedisTarget } from './support/redis-target'
import { documentedRights } from './support/rights'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** Some Redis, and how its users reach it. */
interface Topology {
  /** What a user gives ioredis for this namespace. */
  target(space: string): RedisTarget | Promise<RedisTarget>
  /** Makes all masters forget everything. */
  flush(): Promise<unknown>
  stop(): Promise<unknown>
}

/** What has to make no difference. */
interface Variant extends Pick<ServerOptions, 'ioredis'> {
  readonly name: string
  /** Into how many the registry is split. @default 1 */
  readonly shards?: number
  /** @default as it is */
  readonly namespace?: (name: string) => string
  readonly start: () => Promise<Topology>
}

const untagged = (name: string): string => name
const tagged = (name: string): string => `{${name}}`

/** One Redis of its own, and ioredis's options for it. */
async function single(
  more: RedisProcessOptions,
  target: (redis: RedisProcess, space: string) => RedisTarget | Promise<RedisTarget>
): Promise<Topology> {
  const redis = await startRedis({ ...more, scope: 'suite' })
  return {
    target: space => target(redis, space),
    flush: () => redis.ask(client => client.flushall()),
    stop: () => redis.stop()
  }
}

/** A Redis Cluster, and ioredis's options for it. */
async function clustered(
  settings: ClusterSettings = {},
  target: (cluster: RedisCluster, space: string) => RedisTarget | Promise<RedisTarget> = cluster => cluster.target
): Promise<Topology> {
  const cluster = await startCluster({ ...settings, scope: 'suite' })
  return { target: space => target(cluster, space), flush: () => cluster.flush(), stop: () => cluster.stop() }
}

async function sentinelled(): Promise<Topology> {
  const sentinel = await startSentinel({ scope: 'suite' })
  return { target: () => sentinel.target, flush: () => sentinel.flush(), stop: () => sentinel.stop() }
}

const valkey = findValkey()

/**
 * Each choice is in one of them, and not each with each other: ioredis 6 and RESP3 on one Redis are what all other
 * tests use.
 */
const variants: readonly Variant[] = [
  {
    name: 'ioredis 6 told to speak RESP2, with a keyPrefix, another database and a password',
    start: () =>
      single({ args: ['--requirepass', 'secret'] }, ({ target }) => ({
        ...target,
        protocol: 2,
        keyPrefix: 'ours:',
        db: 3
      }))
  },
  { name: 'ioredis 5, and TLS', ioredis: 5, start: () => single({ tls: true }, ({ target }) => target) },
  {
    name: 'a user with the documented rights',
    start: () => single({}, (redis, space) => redis.user('limited', documentedRights(space)))
  },
  { name: 'Sentinel, with ioredis 5', ioredis: 5, start: sentinelled },
  {
    name: 'Redis Cluster, with ioredis 5, TLS, a password and a keyPrefix',
    ioredis: 5,
    namespace: tagged,
    start: () =>
      clustered({ tls: true, args: ['--requirepass', 'secret'] }, ({ target }) => ({ ...target, keyPrefix: 'ours:' }))
  },
  {
    name: 'Redis Cluster, split into 16 shards, as a user with the documented rights',
    shards: 16,
    start: () => clustered({}, (cluster, space) => cluster.user('limited', [...documentedRights(space), '+cluster']))
  },
  // Only where there is one.
  ...(valkey === undefined ? [] : [{ name: 'Valkey', start: () => single({ binary: valkey }, ({ target }) => target) }])
]

/** How long leases last, in ms, where a server dies, and where none may seem to: on a busy machine beats are late. */
const [SHORT, LONG] = [2000, 6000]

for (const { name, ioredis = 6, shards = 1, namespace: dress = untagged, start } of variants) {
  describe(`on ${name}`, function () {
    this.timeout(120_000)
    let topology: Topology
    let target: RedisTarget
    let space: string

    before(async () => {
      topology = await start()
    })
    after(() => topology.stop())
    beforeEach(async () => {
      space = dress(namespace())
      target = await topology.target(space)
    })

    const server = (lease = LONG): Promise<ServerProcess> =>
      startServer({
        redis: { ...target, namespace: space },
        ioredis,
        omega: true,
        primus: { metroplex: { shards, lease, timeout: 15_000, grace: 500 } }
      })

    /** What Redis says of sparks, in whichever registry they lie. */
    const entries = (...ids: string[]): Promise<(string | null)[]> => {
      const redis = openRedis(target)
      const names = namespaces(space, shards)
      return Promise.all(ids.map(id => redis.hget(`${names[shardOf(id, shards)] ?? ''}:sparks`, id)))
    }

    const unharmed = (...servers: ServerProcess[]): void => {
      for (const { log, crashes } of servers) {
        assume(log.filter(({ event }) => event === 'error').map(({ args }) => args)).eql([])
        assume(crashes).eql([])
      }
    }

    it("servers see each other, and reach each other's sparks", async () => {
      const [a, b] = [await server(), await server()]
      await a.seen('join')
      const both = [a.address, b.address].sort()
      for (const one of [a, b]) assume(((await one.call('metroplex.servers', true)) as string[]).sort()).eql(both)
      const [near, far] = [await openClient(a.url), await openClient(b.url)]
      for (const one of [a, b]) {
        await eventually(async () => (await one.call('metroplex.count')) === 2)
        assume(await one.call('metroplex.sparks', [near.id, far.id, 'unknown'])).eql([a.address, b.address, null])
      }
      assume(await a.call('metroplex.sparksOn', b.address)).eql([far.id])
      assume(await a.call('forward.spark', far.id, 'from a')).eql({ ok: true, send: 1 })
      assume(await far.next()).equals('from a')
      assume(await b.call('forward.broadcast', 'to all')).eql({ ok: true, send: 2 })
      assume([await near.next(), await far.next()]).eql(['to all', 'to all'])
      await b.stop()
      assume(await a.seen('leave')).eql([b.address, 'shutdown', (await a.seen('join'))[1]])
      await eventually(async () => (await entries(far.id))[0] === null)
      assume(await entries(near.id)).eql([a.address])
      unharmed(a, b)
    })

    it('a server that was killed is noticed and reaped', async () => {
      const [a, b] = [await server(SHORT), await server(SHORT)]
      const client = await openClient(b.url)
      await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
      const life = await b.call('metroplex.id')
      await b.kill()
      assume(await a.seen('leave')).eql([b.address, 'expired', life])
      assume(await a.seen('reap')).eql([b.address, [client.id]])
      assume(await a.call('metroplex.spark', client.id)).equals(null)
      await eventually(async () => (await entries(client.id))[0] === null)
      unharmed(a)
    })

    it('users are told online and offline, over a flush and the death of their server', async () => {
      const [a, b] = [await server(SHORT), await server(SHORT)]
      await a.run(primus => {
        const metroplex = primus.metroplex as unknown as {
          watch(handlers: Record<string, (name: string) => void>): () => void
        }
        const told: string[] = []
        Object.assign(globalThis, { told })
        metroplex.watch({
          online: name => void told.push(`+${name}`),
          offline: name => void told.push(`-${name}`)
        })
      })
      const told = async (): Promise<string[]> =>
        [...new Set(await a.run(() => (globalThis as unknown as { told: string[] }).told))].sort()
      // So many that each registry has some.
      const users = Array.from({ length: 40 }, (_, i) => `u${i}`)
      await b.run(async (primus, users: string[]) => {
        const metroplex = primus.metroplex as unknown as { identify(id: string, user: string): Promise<void> }
        for (const id of users) primus.metroplex.connect({ id, write: () => true, end: () => undefined })
        await Promise.all(users.map(id => metroplex.identify(id, id)))
      }, users)
      const came = users.map(name => `+${name}`).sort()
      await eventually(async () => (await told()).join() === came.join(), { within: 10_000, every: 50 })
      const states = async (): Promise<string> =>
        [
          ...new Set(((await a.call('metroplex.present', users)) as { state: string }[]).map(({ state }) => state))
        ].join()
      assume(await states()).equals('online')
      await topology.flush()
      await eventually(async () => (await states()) === 'online', { within: 10_000, every: 50 })
      await b.kill()
      const gone = [...came, ...users.map(name => `-${name}`)].sort()
      await eventually(async () => (await told()).join() === gone.join(), { within: 15_000, every: 50 })
      assume(await states()).equals('offline')
      unharmed(a)
    })

    it('groups are entered, reached, restored after a flush, and left with a server that was killed', async () => {
      const [a, b] = [await server(SHORT), await server(SHORT)]
      await a.seen('join')
      const [near, far] = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.call('metroplex.count')) === 2)
      // So many that each registry has some.
      const groups = Array.from({ length: 40 }, (_, i) => `g${i}`)
      assume(await a.call('metroplex.join', [near.id, far.id], groups)).eql({ ok: true, send: 2 })
      const found = async (): Promise<string> =>
        JSON.stringify(
          ((await a.call('metroplex.groups', groups)) as { sparks: number; servers: string[] }[]).map(
            ({ sparks, servers }) => [sparks, servers.length]
          )
        )
      const all = (sparks: number): string => JSON.stringify(groups.map(() => [sparks, sparks]))
      assume(await found()).equals(all(2))
      assume(await b.call('forward.group', groups, 'to groups')).eql({ ok: true, send: 2 })
      assume([await near.next(), await far.next()]).eql(['to groups', 'to groups'])
      await topology.flush()
      await eventually(async () => (await found()) === all(2), { within: 10_000, every: 50 })
      await b.kill()
      await eventually(async () => (await found()) === all(1), { within: 10_000, every: 50 })
      unharmed(a)
    })

    it('all entries are restored when all masters were flushed, and no server leaves', async () => {
      const [a, b] = [await server(), await server()]
      const clients = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.call('metroplex.count')) === 2)
      await topology.flush()
      await a.seen('heal')
      await b.seen('heal')
      for (const one of [a, b]) {
        // Of several registries each tells of its own heal.
        await eventually(
          async () =>
            JSON.stringify(
              await one.call(
                'metroplex.sparks',
                clients.map(({ id }) => id)
              )
            ) === JSON.stringify([a.address, b.address])
        )
        assume(one.log.filter(({ event }) => event === 'leave' || event === 'reap')).eql([])
      }
      unharmed(a, b)
    })
  })
}

describe('the protocol of Redis', () => {
  const greetings = async (options: { protocol?: 2 | 3; ioredis: 5 | 6 }): Promise<boolean> => {
    const { ioredis, ...more } = options
    const redis = await startRedis()
    const client = redis.client()
    await client.config('RESETSTAT')
    await startServer({ redis: { ...redis.target, ...more, namespace: namespace() }, ioredis })
    // RESP3 begins with HELLO.
    return (await client.info('commandstats')).includes('cmdstat_hello')
  }

  it('is RESP3 with ioredis 6 unless it is configured otherwise, and RESP2 with ioredis 5', async () => {
    assume(await greetings({ ioredis: 6 })).equals(true)
    assume(await greetings({ ioredis: 6, protocol: 2 })).equals(false)
    assume(await greetings({ ioredis: 5, protocol: 3 })).equals(false)
  })
})
