import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cluster, type Redis } from 'ioredis'
import type { Health, Metroplex, MetroplexOptions, Result } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { killAtExit } from './support/orphans'
import { startRedis, type RedisProcess } from './support/redis'
import { findRedis } from './support/redis-binary'
import { startCluster, type RedisCluster } from './support/redis-cluster'
import { openRedis } from './support/redis-target'
import { startSentinel } from './support/redis-sentinel'
import { documentedRights } from './support/rights'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { eventually, once } from './support/wait'

const QUICK = { interval: 1000, latency: 200, metroplex: { timeout: 600 } }

/** How long a server may take to be ready again once it can be, in ms, on a machine that has other things to do. */
const SECONDS = 10_000

async function health(server: ServerProcess): Promise<Health> {
  return (await server.call('metroplex.health')) as Health
}

/** What the application sets in the options of its client. */
function set(server: ServerProcess, options: Record<string, unknown>): Promise<void> {
  return server.run((primus, given: Record<string, unknown>) => {
    Object.assign((primus.metroplex as unknown as { redis: { options: object } }).redis.options, given)
  }, options)
}

/** The sentences of the errors that a server has reported. */
function errors(server: ServerProcess): string[] {
  return server.log.filter(({ event }) => event === 'error').map(({ args }) => (args[0] as Error).message)
}

/** Breaks all connections but that of who asks. */
async function kill(client: Redis): Promise<void> {
  for (const type of ['NORMAL', 'PUBSUB']) await client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
}

/** Until a server reports words of Redis; then its health has to name them, too. */
async function refused(server: ServerProcess, words: string): Promise<void> {
  await server.seen('error', { within: SECONDS, filter: error => (error as Error).message.includes(words) })
  await eventually(
    async () => {
      const { ok, reasons } = await health(server)
      return !ok && reasons.join().includes(words)
    },
    { within: SECONDS, what: `a reason that says ${words}` }
  )
}

async function well(server: ServerProcess): Promise<void> {
  await eventually(async () => (await health(server)).ok, { within: SECONDS, what: 'a server that is well' })
}

/** An IPv4 address of this machine that is not loopback; `undefined` where it has none. */
function otherAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}

describe('the client of an application', () => {
  let space: string
  beforeEach(() => {
    space = namespace()
  })

  for (const ioredis of [5, 6] as const) {
    for (const transport of ['http', 'redis'] as const) {
      it(`is followed when its password changes, with ioredis ${ioredis}, transport '${transport}'`, async () => {
        const redis = await startRedis({ args: ['--requirepass', 'one'] })
        const admin = redis.client()
        const start = (): Promise<ServerProcess> =>
          startServer({
            redis: { ...redis.target, namespace: space },
            ioredis,
            primus: { ...QUICK, metroplex: { ...QUICK.metroplex, transport } }
          })
        const [a, b] = [await start(), await start()]
        await Promise.all([well(a), well(b)])
        await admin.config('SET', 'requirepass', 'two')
        await kill(admin)
        await refused(a, 'WRONGPASS')
        assume((await health(a)).reasons.join()).includes('`redis.options`')
        // A refusal is reported once for each connection that has its own reports, and so is what came before it.
        assume(errors(a).filter(sentence => sentence.includes('WRONGPASS')).length).is.within(
          1,
          transport === 'redis' ? 2 : 1
        )
        await set(a, { password: 'two' })
        await well(a)
        await set(b, { password: 'two' })
        await well(b)
        const client = await openClient(b.url)
        await eventually(
          async () => ((await a.call('forward.spark', client.id, 'hello')) as { send: number }).send === 1,
          { within: SECONDS }
        )
        assume(await client.next()).equals('hello')
      })
    }

    it(`is followed when another user takes the place of one that was deleted, with ioredis ${ioredis}`, async () => {
      const redis = await startRedis()
      const first = await redis.user('first', ['~*', '&*', '+@all'])
      const a = await startServer({ redis: { ...first, namespace: space }, ioredis, primus: QUICK })
      await redis.ask(client => client.call('ACL', 'DELUSER', 'first'))
      await refused(a, 'WRONGPASS')
      const { username, password } = await redis.user('second', ['~*', '&*', '+@all'])
      // What is set wrong at first is corrected later.
      await set(a, { username, password: 'wrong' })
      await set(a, { password })
      await well(a)
    })

    it(`has its database refused, and no other one is used, with ioredis ${ioredis}`, async () => {
      const redis = await startRedis({ args: ['--databases', '1'] })
      const start = (db: number, more: Partial<ServerOptions> = {}): Promise<ServerProcess> =>
        startServer({
          redis: { ...redis.target, db, namespace: space },
          ioredis,
          primus: { ...QUICK, metroplex: { ...QUICK.metroplex, transport: 'redis' } },
          ...more
        })
      const production = await start(0)
      const client = await openClient(production.url)
      const staging = await start(1, { until: 'listening' })
      await refused(staging, 'Redis refused SELECT 1: ERR DB index is out of range')
      assume((await health(staging)).state).equals('connecting')
      assume(((await staging.call('forward.broadcast', 'of staging')) as Result).send).equals(0)
      assume(await redis.client().smembers(`${space}:servers`)).eql([production.address])
      await production.call('forward.broadcast', 'of production')
      assume(await client.next()).equals('of production')
      await redis.restart({ empty: true })
      await well(production)
      // Once for the registry, and once for the transport, which are connections of their own.
      assume(errors(staging).filter(sentence => sentence.includes('SELECT 1')).length).is.within(1, 2)
    })

    it(`is in the database that is selected when the plugin is loaded, with ioredis ${ioredis}`, async () => {
      const redis = await startRedis()
      const prepare = (options: Record<string, unknown>): void => {
        ;(options['redis'] as Redis).select(3).catch(() => undefined)
      }
      const a = await startServer({ redis: { ...redis.target, namespace: space }, ioredis, primus: QUICK, prepare })
      const there = redis.client({ db: 3 })
      assume(await there.smembers(`${space}:servers`)).eql([a.address])
      assume(await redis.client().keys(`${space}*`)).eql([])
      // Later the registry must not move, also when the application selects another one and when a connection breaks.
      await a.run(primus => (primus.metroplex as unknown as { redis: Redis }).redis.select(5))
      await kill(there)
      await well(a)
      assume(await there.exists(`${space}:${a.address}:lease`)).equals(1)
      assume(await redis.client({ db: 5 }).keys(`${space}*`)).eql([])
    })
  }

  it('may lack the right to select its database: then none is used', async () => {
    const redis = await startRedis()
    const target = await redis.user('limited', ['~*', '&*', '+@all', '-select'])
    const a = await startServer({ redis: { ...target, db: 1, namespace: space }, until: 'listening', primus: QUICK })
    await refused(a, 'Redis refused SELECT 1: NOPERM')
    assume(await redis.client().keys('*')).eql([])
    await redis.ask(client => client.call('ACL', 'SETUSER', 'limited', '+select'))
    await a.seen('register', { within: SECONDS })
    assume(await redis.client({ db: 1 }).smembers(`${space}:servers`)).eql([a.address])
  })

  it('may be one for MONITOR: ours is not', async () => {
    const redis = await startRedis()
    const one = member(openRedis({ ...redis.target, monitor: true }) as Redis, space, 'http://one:1', QUICK)
    assume(await one.ready()).equals('http://one:1')
  })

  it('is followed behind Sentinels, when their password or that of the master changes', async function () {
    this.timeout(60_000)
    const sentinel = await startSentinel()
    const protect =
      (password: string) =>
      async (redis: Redis): Promise<void> => {
        await redis.call('ACL', 'SETUSER', 'default', 'resetpass', `>${password}`)
        for (const type of ['NORMAL', 'PUBSUB']) await redis.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
      }
    const a = await startServer({ redis: { ...sentinel.target, namespace: space }, primus: QUICK })
    const master = await sentinel.master()
    for (const one of sentinel.sentinels) await one.ask(protect('of the Sentinels'))
    await master.ask(protect('of the master'))
    await refused(a, 'NOAUTH')
    assume((await health(a)).reasons.join()).includes('`sentinelPassword`')
    await set(a, { sentinelPassword: 'of the Sentinels' })
    await eventually(async () => !(await health(a)).reasons.join().includes('entinel'), {
      within: SECONDS,
      what: 'a master that is found'
    })
    assume((await health(a)).ok).false()
    await set(a, { password: 'of the master' })
    await well(a)
  })
})

describe('the client of an application on Redis Cluster', function () {
  this.timeout(60_000)
  let cluster: RedisCluster
  before(async () => {
    cluster = await startCluster({ scope: 'suite' })
  })
  after(() => cluster.stop())

  it('is followed when its password changes, with any version of ioredis', async () => {
    const space = `{${namespace()}}`
    const target = await cluster.user('application', ['~*', '&*', '+@all'])
    const start = (ioredis: 5 | 6): Promise<ServerProcess> =>
      startServer({
        redis: { ...target, namespace: space },
        ioredis,
        primus: { ...QUICK, metroplex: { ...QUICK.metroplex, transport: 'redis' } }
      })
    const servers = [await start(5), await start(6)]
    for (const node of cluster.nodes) {
      await node.ask(async redis => {
        await redis.call('ACL', 'SETUSER', 'application', 'resetpass', '>two')
        await redis.call('CLIENT', 'KILL', 'USER', 'application')
      })
    }
    for (const server of servers) {
      await refused(server, 'WRONGPASS')
      assume((await health(server)).reasons.join()).includes('`redis.options.redisOptions`')
      await server.run(primus => {
        ;(primus.metroplex as unknown as { redis: Cluster }).redis.options.redisOptions = {
          username: 'application',
          password: 'two'
        }
      })
      await well(server)
    }
  })

  it('is refused a database that a Cluster does not have, and warns of one on another Redis', async () => {
    const a = await startServer({
      redis: { ...cluster.target, db: 1, namespace: `{${namespace()}}` },
      until: 'listening',
      primus: QUICK
    })
    await refused(a, 'Redis refused SELECT 1')
    assume((await health(a)).reasons.join()).includes('leave `db` out of `redisOptions`')
    const redis = await startRedis()
    const b = await startServer({
      redis: { cluster: [{ host: '127.0.0.1', port: redis.port }], namespace: '{x}' },
      until: 'listening',
      primus: QUICK
    })
    await refused(b, 'hand over `new Redis()` instead')
  })
})

describe('a Redis', () => {
  let space: string
  let redis: RedisProcess
  beforeEach(() => {
    space = namespace()
  })

  const one = (options: MetroplexOptions = {}, client = redis.client()): { metroplex: Metroplex; errors: string[] } => {
    const metroplex = member(client, space, 'http://one:1', { ...QUICK, ...options })
    const reported: string[] = []
    metroplex.on('error', error => {
      reported.push(error.message)
    })
    return { metroplex, errors: reported }
  }

  describe('in cluster mode, with a plain client', () => {
    const slots = async (from: RedisProcess, first: number, last: number): Promise<void> => {
      await from.ask(client => client.call('CLUSTER', 'ADDSLOTSRANGE', first, last))
      await eventually(() => from.ask(async client => (await client.cluster('INFO')).includes('cluster_state:ok')), {
        within: SECONDS
      })
    }
    beforeEach(async () => {
      redis = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no'] })
    })

    it('needs a hash tag, and says so, also in health', async () => {
      await slots(redis, 0, 16_383)
      const { metroplex, errors: said } = one()
      await eventually(() => said.length > 0, { within: SECONDS })
      assume(said[0]).matches(/CROSSSLOT.*cluster mode.*`namespace` a hash tag, '\{metroplex\}'/)
      await eventually(async () => (await metroplex.health()).reasons.join().includes('give `namespace` a hash tag'), {
        within: SECONDS
      })
      assume((await metroplex.health()).state).equals('connecting')
      assume(said).has.length(1)
      const tagged = member(redis.client(), `{${space}}`, 'http://two:1', QUICK)
      assume(await tagged.ready()).equals('http://two:1')
    })

    it('may be one of several masters: then it takes a Redis.Cluster, which is said', async () => {
      const other = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no'] })
      await redis.ask(client => client.cluster('MEET', '127.0.0.1', other.port))
      await slots(redis, 0, 8191)
      await slots(other, 8192, 16_383)
      const tag = 'other'
      await eventually(
        () =>
          redis.ask(client =>
            client.get(`{${tag}}`).then(
              () => false,
              (error: unknown) => String(error).includes('MOVED')
            )
          ),
        { within: SECONDS }
      )
      space = `{${tag}}`
      const { metroplex, errors: said } = one()
      await eventually(() => said.length > 0, { within: SECONDS })
      assume(said[0]).matches(/MOVED.*hand over `new Redis\.Cluster\(nodes\)`/)
      await eventually(async () => (await metroplex.health()).reasons.join().includes('Redis.Cluster'), {
        within: SECONDS
      })
      assume(said.filter(sentence => sentence.includes('Redis.Cluster'))).has.length(1)
      // With several registries `namespace` must carry no hash tag, so that advice alone would be refused.
      space = namespace()
      const split = { metroplex: { ...QUICK.metroplex, shards: 4 } }
      const { errors } = one(split)
      await eventually(() => errors.length > 0, { within: SECONDS })
      assume(errors[0]).matches(/MOVED.*With `metroplex\.shards` above 1 it needs none/)
      const advised = new Cluster([{ host: '127.0.0.1', port: redis.port }])
      using(() => {
        advised.disconnect()
      })
      const three = member(advised as unknown as Redis, space, 'http://three:1', { ...QUICK, ...split })
      assume(await three.ready()).equals('http://three:1')
    })
  })

  for (const ioredis of [5, 6] as const) {
    for (const args of [[], ['--requirepass', 'a password']]) {
      it(`that has no room for our connections is quoted, with ioredis ${ioredis} ${args.join(' ')}`, async () => {
        const redis = await startRedis({ args })
        const holders = Array.from({ length: 4 }, () => redis.client())
        await Promise.all(holders.map(holder => holder.ping()))
        await holders[0]?.config('SET', 'maxclients', String(holders.length))
        const server = await startServer({
          redis: { ...redis.target, namespace: namespace() },
          primus: { metroplex: { transport: 'redis' } },
          until: 'listening',
          ioredis
        })
        await refused(server, 'max number of clients')
        assume(errors(server).join()).includes('Raise `maxclients`')
        for (const holder of holders) holder.disconnect()
        await well(server)
      })
    }
  }

  for (const ioredis of [5, 6] as const) {
    for (const password of [undefined, 'a password']) {
      const given = password === undefined ? 'without' : 'with'
      it(`in protected mode is quoted, with ioredis ${ioredis}, ${given} a password`, async function () {
        const host = otherAddress()
        if (host === undefined) {
          this.skip()
          return
        }
        const redis = await startRedis({ args: ['--bind', '0.0.0.0', '--protected-mode', 'yes'] })
        const server = await startServer({
          redis: { ...redis.target, host, namespace: namespace(), ...(password !== undefined && { password }) },
          primus: { metroplex: { transport: 'redis' } },
          until: 'listening',
          ioredis
        })
        await refused(server, 'DENIED Redis is running in protected mode')
        assume(errors(server).join()).includes('`requirepass`')
        await redis.ask(client => client.config('SET', 'protected-mode', 'no'))
        await well(server)
      })
    }
  }

  it('that is a Sentinel is recognised', async () => {
    const sentinel = await startSentinel()
    const [port] = sentinel.sentinels.map(each => each.port)
    const { errors: said } = one({}, openRedis({ host: '127.0.0.1', port: port ?? 0 }) as Redis)
    await eventually(() => said.some(sentence => sentence.includes('new Redis({ sentinels, name })')), {
      within: SECONDS
    })
  })

  describe('that evicts keys', () => {
    beforeEach(async () => {
      redis = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'volatile-lru'] })
    })

    it('is said once, and in health until it has been set right', async () => {
      const { metroplex, errors: said } = one()
      await eventually(() => said.length > 0, { within: SECONDS })
      assume(said[0]).matches(/maxmemory-policy is volatile-lru.*Set maxmemory-policy to noeviction/)
      await metroplex.ready()
      const { warnings } = await metroplex.health()
      assume(warnings.join()).includes('Set maxmemory-policy to noeviction')
      const client = redis.client()
      const again = once(metroplex, 'state', { within: SECONDS, filter: state => state === 'ready' })
      await kill(client)
      await again
      assume((await metroplex.health()).warnings.join()).includes('Set maxmemory-policy to noeviction')
      assume(said.filter(sentence => sentence.includes('noeviction'))).has.length(1)
      await client.config('SET', 'maxmemory-policy', 'noeviction')
      assume((await metroplex.health()).warnings.join()).does.not.include('noeviction')
    })

    it('and lets us not ask for it is no trouble', async () => {
      const target = await redis.user('limited', [...documentedRights(space), '-info'])
      const { metroplex, errors: said } = one({}, openRedis(target) as Redis)
      await metroplex.ready()
      await eventually(async () => (await metroplex.health()).state === 'ready')
      assume(said).eql([])
    })
  })

  it('that does not know INFO will do, when the application says so to its client', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'metroplex-redis-'))
    const path = join(directory, 'redis.sock')
    const child = spawn(await findRedis(), [
      '--port',
      '0',
      '--unixsocket',
      path,
      '--save',
      '',
      '--dir',
      directory,
      '--rename-command',
      'INFO',
      ''
    ])
    killAtExit(child, directory)
    using(async () => {
      child.kill('SIGKILL')
      await rm(directory, { recursive: true, force: true })
    })
    const client = openRedis({ path, enableReadyCheck: false }) as Redis
    await eventually(
      () =>
        client.info().then(
          () => false,
          (error: unknown) => String(error).includes('unknown command')
        ),
      { within: SECONDS }
    )
    const { metroplex, errors: said } = one({ metroplex: { ...QUICK.metroplex, transport: 'redis' } }, client)
    await metroplex.ready()
    await eventually(async () => (await metroplex.health()).state === 'ready')
    assume(said).eql([])
  })

  describe('through which servers talk', () => {
    beforeEach(async () => {
      redis = await startRedis()
    })

    const start = async (rules: string[]): Promise<ServerProcess> =>
      startServer({
        redis: { ...(await redis.user('limited', rules)), namespace: space },
        primus: { ...QUICK, metroplex: { ...QUICK.metroplex, transport: 'redis' } }
      })
    const grant = (...rules: string[]): Promise<unknown> =>
      redis.ask(client => client.call('ACL', 'SETUSER', 'limited', ...rules))

    it('may deny all channels: then a server is not ready, and says why', async () => {
      const a = await start(['resetchannels', '~*', '+@all'])
      await refused(a, 'NOPERM')
      const { state, reasons } = await health(a)
      assume(state).equals('connecting')
      assume(reasons.join()).includes('docs/keys.md')
      assume(errors(a)).has.length(1)
      await grant('allchannels')
      await well(a)
      assume((await health(a)).state).equals('ready')
      assume(a.log.filter(({ event }) => event === 'state').map(({ args }) => args[0])).eql(['ready'])
    })

    it('may deny PUBLISH alone, or take a right away later', async () => {
      const a = await start(['~*', '&*', '+@all', '-publish'])
      await refused(a, 'Redis refused PUBLISH: NOPERM')
      await grant('+publish')
      await well(a)
      await grant('resetchannels')
      await refused(a, 'NOPERM')
      assume((await health(a)).state).equals('degraded')
      await grant('allchannels')
      await well(a)
    })
  })
})
