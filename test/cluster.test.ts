import { Redis } from 'ioredis'
import metroplex, { type Forward, type Metroplex, type Result } from '../index'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { member as memberOf } from './support/member'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { startProxy } from './support/proxy'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { documentedRights } from './support/rights'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { elapsed, eventually } from './support/wait'

/** Quick enough to watch: a lease of one second. */
const QUICK = { interval: 1000, latency: 200 }

/** What a busy machine may add to anything, in ms; the table of faults measures how soon a death is noticed. */
const LATE = 5000

describe('a cluster', () => {
  let redis: RedisProcess
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  const start = (primus: Record<string, unknown> = {}, more: Partial<ServerOptions> = {}): Promise<ServerProcess> =>
    startServer({ redis: { url: redis.url, namespace: space }, omega: true, primus: { ...QUICK, ...primus }, ...more })

  /** A member of the cluster in this process, without Primus. */
  const member = (address: string, options: object = {}, client = redis.client()): Metroplex =>
    memberOf(client, space, address, { ...QUICK, ...options })

  const live = async (server: ServerProcess): Promise<string[]> =>
    ((await server.call('metroplex.servers', true)) as string[]).sort()

  /** A client whose connection can be harmed. */
  const through = ({ port }: { port: number }, options: { username?: string; password?: string } = {}): Redis => {
    const client = new Redis(port, options)
    client.on('error', () => undefined)
    using(() => client.disconnect())
    return client
  }

  const none = (server: ServerProcess, ...events: string[]): void => {
    assume(server.log.filter(({ event }) => events.includes(event)).map(({ event, args }) => [event, ...args])).eql([])
  }

  it('reports servers that join, and servers that leave on purpose', async () => {
    const a = await start()
    const b = await start()
    const life = await b.call('metroplex.id')
    assume(await a.seen('join')).eql([b.address, life])
    assume(await live(a)).eql([a.address, b.address].sort())
    assume(await a.call('metroplex.servers')).eql([b.address])
    assume((await b.stop()).signal).equals(null)
    assume(await a.seen('leave')).eql([b.address, 'shutdown', life])
    assume(await live(a)).eql([a.address])
    assume(a.log.filter(({ event }) => event === 'leave')).has.length(1)
  })

  it('notices within two intervals that a server was killed, and reaps its sparks, each named', async () => {
    const [a, b] = [await start(), await start()]
    const [near, far] = await Promise.all(
      [a, b].map(server => Promise.all(Array.from({ length: 10 }, () => openClient(server.url))))
    )
    const [ours, theirs] = [(near ?? []).map(({ id }) => id), (far ?? []).map(({ id }) => id)]
    await eventually(async () => (await a.call('metroplex.count')) === 20)
    const places = await a.call('metroplex.sparks', [...ours, ...theirs])
    assume(places).eql([...ours.map(() => a.address), ...theirs.map(() => b.address)])
    assume(await b.call('metroplex.sparks', [...ours, ...theirs])).eql(places)
    assume(((await a.call('metroplex.sparksOn', b.address)) as string[]).sort()).eql([...theirs].sort())

    const life = await b.call('metroplex.id')
    await b.kill()
    await a.seen('leave', { within: 2 * QUICK.interval + LATE })
    assume(a.log.find(({ event }) => event === 'leave')?.args).eql([b.address, 'expired', life])
    assume(await live(a)).eql([a.address])
    assume(await a.call('metroplex.sparks', theirs)).eql(theirs.map(() => null))
    assume(await a.call('metroplex.sparks', ours)).eql(ours.map(() => a.address))
    await eventually(async () => (await redis.client().hlen(`${space}:sparks`)) === 10)
    const reaped = a.log.filter(({ event }) => event === 'reap').flatMap(({ args }) => args[1] as string[])
    assume(reaped.sort()).eql([...theirs].sort())
    assume(a.crashes).eql([])
  })

  it('reaps with a patience of 25 s at most by default: the lease is 15 s', async () => {
    const a = await start({ interval: undefined, latency: undefined })
    assume(await redis.client().pttl(`${space}:${a.address}:lease`)).within(10_000, 15_000)
    assume(await redis.client().pttl(`${space}:${a.address}`)).is.above(290_000)
  })

  it('reaps many in slices, each named once, and holds the sweep for as long as that takes', async function () {
    this.timeout(120_000)
    const [client, dead] = [redis.client(), 'http://10.0.0.9:1']
    const ids = Array.from({ length: 100_000 }, (_, i) => `spark-${i}`)
    for (let i = 0; i < ids.length; i += 5000) {
      const part = ids.slice(i, i + 5000)
      await client.hset(`${space}:sparks`, ...part.flatMap(id => [id, dead]))
      await client.sadd(`${space}:${dead}:sparks`, ...part)
    }
    // One that has connected elsewhere meanwhile, to a server that lives: an audit removes what belongs to none.
    const elsewhere = member('http://10.0.0.8:1', { interval: 500, latency: 100 })
    elsewhere.connect({ id: 'spark-7', write: () => true, end: () => null })
    await eventually(async () => (await client.hget(`${space}:sparks`, 'spark-7')) === 'http://10.0.0.8:1')
    await client.hset(`${space}:${dead}:life`, { id: 'its-life', state: 'up', seq: 1, stamp: 1 })
    await client.sadd(`${space}:servers`, dead)
    await client.sadd(`${space}:lives`, dead)
    // Periods that are no whole number of milliseconds.
    const [one, two] = [
      member('http://10.0.0.1:1', { interval: 500, latency: 100 }),
      member('http://10.0.0.2:1', { interval: 500, latency: 100 })
    ]
    const named: string[] = []
    const left: unknown[] = []
    for (const reaper of [elsewhere, one, two]) {
      reaper.on('reap', (_address, sparks) => named.push(...sparks))
      reaper.on('leave', (...args) => left.push(args))
      reaper.on('error', error => left.push(error))
    }
    await eventually(async () => (await client.exists(`${space}:${dead}:sparks`)) === 0, { within: 30_000 })
    // The list itself would be a message of a megabyte.
    assume(named.length).equals(99_999)
    assume(new Set(named).size).equals(99_999)
    await eventually(() => left.length === 3)
    assume(left).eql(Array.from({ length: 3 }, () => [dead, 'expired', 'its-life']))
    assume(await client.hgetall(`${space}:sparks`)).eql({ 'spark-7': 'http://10.0.0.8:1' })
  })

  it('buries no server when all were paused together, as on a machine that sleeps', async () => {
    const servers = await Promise.all([start(), start(), start()])
    const clients = await Promise.all(servers.map(({ url }) => openClient(url)))
    await eventually(async () => (await servers[0].call('metroplex.count')) === 3)
    // Long enough for each to sweep if it thinks it may.
    for (const { address } of servers)
      await eventually(async () => (await redis.client().pttl(`${space}:${address}:lease`)) > 0)
    await eventually(() => redis.client().exists(`${space}:sweep`))
    for (const server of servers) server.pause()
    await eventually(
      async () => (await redis.client().exists(...servers.map(({ address }) => `${space}:${address}:lease`))) === 0
    )
    for (const server of servers) {
      server.resume()
      await eventually(() => redis.client().exists(`${space}:${server.address}:lease`))
    }
    await eventually(() => redis.client().exists(`${space}:sweep`))
    for (const server of servers) {
      none(server, 'leave', 'reap')
      assume(
        await server.call(
          'metroplex.sparks',
          clients.map(({ id }) => id)
        )
      ).eql(servers.map(({ address }) => address))
    }
  })

  it('starts without Redis, and registers when that comes', async () => {
    const { port } = redis
    await redis.kill()
    const a = await start({}, { until: 'listening' })
    const client = await openClient(a.url)
    // Which other servers there are is unknown: that is said.
    const sent = (await a.call('forward.broadcast', 'local')) as Result
    assume({ ok: sent.ok, send: sent.send, failed: sent.failed?.map(({ code, address }) => [code, address]) }).eql({
      ok: false,
      send: 1,
      failed: [['EREGISTRY', '']]
    })
    assume(await client.next()).equals('local')
    const [error] = (await a.seen('error')) as [Error & { code: string }]
    assume(error.code).equals('EREGISTRY')
    const again = await startRedis({ port })
    using(() => again.stop())
    await a.seen('register', { within: 10_000 })
    await eventually(async () => (await a.call('metroplex.spark', client.id)) === `http://127.0.0.1:${a.port}`)
    assume(a.crashes).eql([])
  })

  it('goes on after a connection that was cut in the middle of everything', async () => {
    const proxy = await startProxy({ port: redis.port })
    const one = member('http://one:1', {}, through(proxy))
    await one.ready()
    for (let i = 0; i < 30; i++) {
      one.connect({ id: `s${i}`, write: () => true, end: () => null })
      if (i % 10 === 5) proxy.cut()
    }
    await eventually(async () => (await redis.client().smembers(`${space}:http://one:1:sparks`)).length === 30)
    assume(await redis.client().hlen(`${space}:sparks`)).equals(30)
  })

  it('recovers from a lost answer of Redis', async () => {
    const proxy = await startProxy({ port: redis.port })
    const one = member('http://one:1', { metroplex: { timeout: 300 } }, through(proxy))
    await one.ready()
    const [first, second] = ['first', 'second'].map(id => ({ id, write: () => true, end: () => null }))
    if (!first || !second) throw new Error('no sparks')
    one.connect(first)
    await eventually(() => redis.client().hget(`${space}:sparks`, 'first'))
    proxy.dropNextReply({ cut: true })
    one.disconnect(first)
    one.connect(second)
    await eventually(async () => (await redis.client().hkeys(`${space}:sparks`)).join() === 'second')
    assume(await redis.client().smembers(`${space}:http://one:1:sparks`)).eql(['second'])
  })

  it('gives up a connection on which nothing comes back', async () => {
    const proxy = await startProxy({ port: redis.port })
    const one = member('http://one:1', { metroplex: { timeout: 300 } }, through(proxy))
    await one.ready()
    proxy.freeze()
    const { ms, value } = await elapsed(() => rejection(one.spark('s')))
    assume(value.code).equals('EREGISTRY')
    assume(ms).is.below(4000)
    proxy.thaw()
    await eventually(async () => (await one.spark('s').catch(() => 'not yet')) === null)
  })

  it('registers numeric ids, and reports invalid ids without harm to others', async () => {
    const ids: unknown[] = [7, {}, 'last']
    const {
      primus,
      metroplex: plugin,
      url
    } = await createPrimus({
      redis: { url: redis.url, namespace: space },
      omega: true,
      primus: { idGenerator: () => ids.shift() }
    })
    const ours = plugin as unknown as Metroplex
    await ours.ready()
    const errors: Error[] = []
    ours.on('error', error => errors.push(error))
    const seven = await openClient(url)
    await openClient(url)
    const last = await openClient(url)
    await eventually(() => redis.client().hexists(`${space}:sparks`, 'last'))
    assume((await redis.client().hkeys(`${space}:sparks`)).sort()).eql(['7', 'last'])
    assume(errors.map(({ message }) => message)).eql([
      'metroplex: a spark id must be a string that is not empty; given: an object (Object).'
    ])
    const { forward } = primus as unknown as { forward: Forward }
    assume((await forward.spark('7', 'to seven')).send).equals(1)
    assume(await seven.next()).equals('to seven')
    assume((await forward.except(['7'], 'not to seven')).send).equals(2)
    assume(await last.next()).equals('not to seven')
    assume(seven.messages).eql(['to seven'])
  })

  it('needs no more of Redis than the documents say', async () => {
    await redis.user('limited', documentedRights(space))
    const limited = (): Redis => through(redis, { username: 'limited', password: 'secret' })
    const [one, two] = [member('http://one:1', {}, limited()), member('http://two:1', {}, limited())]
    const errors: Error[] = []
    for (const server of [one, two]) server.on('error', error => errors.push(error))
    await one.ready()
    await two.ready()
    two.connect({ id: 'a', write: () => true, end: () => null })
    await eventually(async () => (await one.spark('a')) === 'http://two:1')
    await redis.client().del(`${space}:sparks`)
    await redis.client().srem(`${space}:http://two:1:sparks`, 'a')
    await eventually(async () => (await one.spark('a')) === 'http://two:1')
    for await (const id of one.sparksOn('http://two:1')) assume(id).equals('a')
    assume(await one.count()).equals(1)
    // Another server's death, seen by its lease alone.
    await redis
      .client()
      .multi()
      .hset(`${space}:http://three:1:life`, 'id', 'gone', 'state', 'up')
      .sadd(`${space}:lives`, 'http://three:1')
      .sadd(`${space}:servers`, 'http://three:1')
      .sadd(`${space}:http://three:1:sparks`, 'b')
      .hset(`${space}:sparks`, 'b', 'http://three:1')
      .exec()
    await eventually(async () => (await redis.client().hexists(`${space}:sparks`, 'b')) === 0)
    await two.close()
    await eventually(async () => (await one.servers()).length === 0)
    assume(errors).eql([])
  })

  it('audits what no beat can see, with no more rights either', async function () {
    this.timeout(120_000)
    await redis.user('limited', documentedRights(space))
    const one = member(
      'http://one:1',
      { interval: 300, latency: 100 },
      through(redis, { username: 'limited', password: 'secret' })
    )
    const errors: Error[] = []
    one.on('error', error => errors.push(error))
    const reaped: unknown[] = []
    one.on('reap', (...args) => reaped.push(args))
    await one.ready()
    for (const id of ['kept', 'deleted']) one.connect({ id, write: () => true, end: () => null })
    await eventually(async () => (await redis.client().hlen(`${space}:sparks`)) === 2)
    await redis.client().hdel(`${space}:sparks`, 'deleted')
    await redis.client().hset(`${space}:sparks`, 'ghost', 'http://one:1', 'orphan', 'http://unknown:1')
    const expected = JSON.stringify([
      ['deleted', 'http://one:1'],
      ['kept', 'http://one:1']
    ])
    await eventually(
      async () => {
        const entries = await redis.client().hgetall(`${space}:sparks`)
        return JSON.stringify(Object.entries(entries).sort()) === expected
      },
      { within: 30_000, what: 'an audit' }
    )
    assume(reaped).eql([['http://unknown:1', ['orphan']]])
    assume(errors).eql([])
  })

  it('goes on when a listener throws, which is thrown as from any timer', async () => {
    const thrown: string[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', error => thrown.push(error.message))
    using(() => {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    })
    const [one, two] = [member('http://one:1'), member('http://two:1')]
    await one.ready()
    one.on('leave', () => {
      throw new Error('by the user')
    })
    await two.ready()
    await eventually(async () => (await one.servers()).length === 1)
    await two.close()
    await eventually(() => thrown.length > 0)
    const stamp = await redis.client().get(`${space}:http://one:1`)
    await eventually(async () => (await redis.client().get(`${space}:http://one:1`)) !== stamp)
    assume(thrown).eql(['by the user'])
    assume(await one.servers()).eql([])
  })

  it('reports once a server of 1.x that returns after it was reaped', async () => {
    const client = redis.client()
    const old = 'http://10.0.0.9:1'
    await client
      .multi()
      .hset(`${space}:${old}:life`, 'id', '', 'state', 'reaped')
      .sadd(`${space}:servers`, old)
      .set(`${space}:${old}`, Date.now(), 'PX', 60_000)
      .exec()
    const one = member('http://one:1')
    const told: unknown[] = []
    one.on('join', address => {
      if (address === old) told.push('join')
    })
    one.on('leave', address => {
      if (address === old) told.push('leave')
    })
    await one.ready()
    for (const other of ['http://two:1', 'http://three:1']) {
      await member(other).ready()
      await eventually(async () => (await one.servers()).includes(other))
    }
    assume(told).eql(['join'])
  })

  it('lets a client know when it is closed', async () => {
    const one = member('http://one:1')
    await one.ready()
    await one.close()
    assume((await rejection(one.spark('s'))).code).equals('ECLOSED')
    assume((await rejection(one.register('http://two:1'))).code).equals('ECLOSED')
    assume(await redis.client().smembers(`${space}:servers`)).eql([])
  })

  describe('shuts down', () => {
    for (const options of [{}, { reconnect: true }, { timeout: 100 }, { close: false }]) {
      it(`with ${JSON.stringify(options)}: out of the registry, called back, and the process ends`, async () => {
        const a = await start()
        const b = await start()
        const client = await openClient(b.url)
        await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
        await b.destroy(options)
        await a.seen('leave')
        assume(await redis.client().hlen(`${space}:sparks`)).equals(0)
        assume(await redis.client().smembers(`${space}:servers`)).eql([a.address])
        none(a, 'reap')
        await client.close()
        assume(b.crashes).eql([])
        // Told not to close the HTTP server, Primus leaves that to the application.
        if (!('close' in options)) assume((await b.stop()).signal).equals(null)
      })
    }

    it('is found as long as its sparks are served', async () => {
      const a = await start()
      const b = await start()
      const client = await openClient(b.url)
      await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
      const destroyed = b.destroy({ timeout: 1000 })
      assume(await a.call('forward.spark', client.id, 'still there')).eql({ ok: true, send: 1 })
      assume(await client.next()).equals('still there')
      await destroyed
      await client.close()
    })

    it('when the plugin is taken out, without touching Primus', async () => {
      const { primus, metroplex: plugin, url } = await createPrimus({ redis: { url: redis.url, namespace: space } })
      const address = await (plugin as unknown as Metroplex).ready()
      ;(primus as unknown as { plugout(name: string): boolean }).plugout('metroplex')
      await eventually(async () => (await redis.client().sismember(`${space}:servers`, address)) === 0)
      const client = await openClient(url)
      assume(client.id).is.a('string')
    })

    it('closing a client of its own, and never that of its user', async () => {
      const client = new Redis(redis.url)
      using(() => client.disconnect())
      const one = member('http://one:1', {}, client)
      await one.ready()
      await one.close()
      assume(client.status).equals('ready')
      const own = new metroplex({}, {})
      assume(own.redis.status).equals('wait')
      await own.close()
      assume(own.redis.status).equals('end')
    })
  })
})
