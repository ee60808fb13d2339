import { Redis } from 'ioredis'
import type { Health, Metroplex, MetroplexOptions, Result, Statistics } from '../index'
import { Stats } from '../lib/reporting/stats'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { startProxy } from './support/proxy'
import { startRedis, type RedisProcess } from './support/redis'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { elapsed, eventually, once } from './support/wait'

const QUICK = { interval: 1000, latency: 200, metroplex: { timeout: 600 } }

/** How long an operation may take where that is judged, in ms: long enough that a busy machine makes no difference. */
const TIMEOUT = 3000

describe('how a server stands', () => {
  let redis: RedisProcess
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  const start = (options: object = {}): Promise<ServerProcess> =>
    startServer({ redis: { url: redis.url, namespace: space }, omega: true, primus: { ...QUICK, ...options } })

  const one = (options: MetroplexOptions = {}, client = redis.client()): Metroplex =>
    member(client, space, 'http://one:1', { ...QUICK, ...options })

  const health = async (server: ServerProcess): Promise<Health> => (await server.call('metroplex.health')) as Health

  const states = (server: ServerProcess): unknown[] =>
    server.log.filter(({ event }) => event === 'state').map(({ args }) => args[0])

  it('is `connecting` until it is registered, then `ready`', async () => {
    const { port } = redis
    await redis.kill()
    const client = new Redis(port)
    client.on('error', () => undefined)
    using(() => client.disconnect())
    const a = one({}, client)
    assume(a.stats().state).equals('connecting')
    assume(await a.health()).eql({
      ok: false,
      state: 'connecting',
      reasons: ['This server is not registered.', 'The connection to Redis is down.'],
      warnings: []
    })
    const again = await startRedis({ port })
    using(() => again.stop())
    assume(await once(a, 'state')).eql(['ready'])
    assume(a.stats().state).equals('ready')
  })

  it('is `degraded` while Redis is away, with the reason, and `ready` again by itself', async () => {
    const a = await start()
    assume(await health(a)).eql({ ok: true, state: 'ready', reasons: [], warnings: [] })
    redis.pause()
    await a.seen('state', { filter: state => state === 'degraded' })
    const { value, ms } = await elapsed(() => health(a))
    assume(value.ok).false()
    assume(value.state).equals('degraded')
    assume(value.reasons.join()).matches(/connection to Redis|last beat failed/)
    assume(ms).is.below(10_000)
    redis.resume()
    await eventually(async () => (await health(a)).ok)
    assume(states(a)).eql(['ready', 'degraded', 'ready'])
  })

  it('stays `degraded` when a new connection opens and its first beat is refused', async () => {
    const a = one()
    const told: unknown[] = []
    a.on('state', state => told.push(state))
    await a.ready()
    const errors: string[] = []
    a.on('error', ({ message }) => errors.push(message))
    const admin = redis.client()
    // Both at once: no beat comes between.
    await admin
      .multi()
      .config('SET', 'min-replicas-to-write', 1)
      .call('CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES')
      .exec()
    await eventually(() => errors.some(error => error.includes('Redis refused a command: NOREPLICAS')))
    assume(told).eql(['ready', 'degraded'])
    await admin.config('SET', 'min-replicas-to-write', 0)
    await eventually(() => told.length > 2)
    assume(told).eql(['ready', 'degraded', 'ready'])
  })

  it('is `degraded` while the registry is being put right', async () => {
    const a = await start()
    await redis.client().flushall()
    await a.seen('heal')
    await eventually(async () => (await health(a)).ok)
    assume(states(a)).eql(['ready', 'degraded', 'ready'])
  })

  it('is not ok when it only seems well: another life has its lease', async () => {
    const a = await start({ interval: 300_000, latency: 2000 })
    await eventually(async () => (await health(a)).ok)
    await redis.client().set(`${space}:${a.address}:lease`, 'another')
    assume((await health(a)).reasons).eql(['The lease of this server is not held by its life: peers take it for dead.'])
  })

  it('warns when its address leads elsewhere, and takes it for a reason when that was not always so', async () => {
    const lost = one()
    await lost.ready()
    const odd = await lost.health()
    assume(odd).eql({
      ok: true,
      state: 'ready',
      reasons: [],
      warnings: ['Its own address, http://one:1, does not lead to this server.']
    })
    const a = await start()
    const proxy = await startProxy({ port: a.port })
    const address = `http://127.0.0.1:${proxy.port}`
    await a.call('metroplex.register', address)
    await eventually(async () => (await health(a)).ok)
    await proxy.refuse()
    assume((await health(a)).reasons).eql([`Its own address, ${address}, does not lead to this server.`])
  })

  it('stays ok when its address is slow to answer once, and is not when the address stays silent', async () => {
    const a = await start()
    const proxy = await startProxy({ port: a.port })
    const address = `http://127.0.0.1:${proxy.port}`
    await a.call('metroplex.register', address)
    await eventually(async () => (await health(a)).ok)
    proxy.freeze()
    assume(await health(a)).eql({
      ok: true,
      state: 'ready',
      reasons: [],
      warnings: [`Its own address, ${address}, is slow to answer: this server is busy, or cannot be reached there.`]
    })
    const lasting = await eventually(async () => (await health(a)).reasons[0], { within: 10_000 })
    assume(lasting).equals(`Its own address, ${address}, does not lead to this server.`)
    proxy.cut()
    proxy.thaw()
    await eventually(async () => (await health(a)).ok)
  })

  it('ends when the server is destroyed', async () => {
    const a = one()
    await a.ready()
    await a.close()
    assume((await a.health()).reasons).eql(['This server has been destroyed.'])
  })

  it('calls back, too', done => {
    const a = one()
    const returned = a.health((error, answer) => {
      assume(error).equals(null)
      assume(answer?.ok).false()
      done()
    })
    assume(returned).equals(a)
  })

  describe('in numbers', () => {
    it('counts what it did', async () => {
      const [a, b] = [await start(), await start()]
      const [here, there] = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.call('metroplex.spark', there.id)) === b.address)
      assume(await a.call('forward.sparks', [here.id, there.id, 'unknown'], 'x')).eql({
        ok: true,
        send: 2,
        missing: ['unknown']
      })
      await here.close()
      await eventually(async () => ((await a.call('metroplex.stats')) as Statistics).counters.disconnects === 1)
      await redis.client().flushall()
      await a.seen('heal')
      const { state, since, sparks, waiting, disowned, peers, places, counters, latencies } = (await a.call(
        'metroplex.stats'
      )) as Statistics
      assume({ state, sparks, waiting, disowned, peers, places }).eql({
        state: 'ready',
        sparks: 0,
        waiting: 0,
        disowned: 0,
        peers: 1,
        places: 1
      })
      assume(since).is.atleast(0)
      const { connects, forwards, delivered, missing, failed, joins, leaves, heals, errors } = counters
      assume({ connects, forwards, delivered, missing, failed, joins, leaves, heals, errors }).eql({
        connects: 1,
        forwards: 1,
        delivered: 2,
        missing: 1,
        failed: 0,
        joins: 1,
        leaves: 0,
        heals: 1,
        errors: 0
      })
      assume(counters.lookups).is.atleast(2)
      assume(counters.beats).equals(latencies.beat.count)
      assume(latencies.forward.count).equals(1)
      assume(latencies.commit.max).is.above(0)
    })

    it('has quantiles that are true within a fifth', () => {
      const stats = new Stats()
      assume(stats.latencies.beat).eql({ count: 0, p50: 0, p99: 0, max: 0 })
      for (let ms = 1; ms <= 1000; ms++) stats.took('beat', ms)
      const { count, p50, p99, max } = stats.latencies.beat
      assume({ count, max }).eql({ count: 1000, max: 1000 })
      assume(p50).within(500, 600)
      assume(p99).within(990, 1000)
      stats.took('heal', 1e9)
      assume(stats.latencies.heal.max).equals(1e9)
      assume(stats.latencies.heal.p50).is.above(0)
      stats.took('lookup', 0)
      assume(stats.latencies.lookup.p99).equals(0)
    })
  })
})

describe('a forward while Redis is away, to sparks whose ids do not say where they are', () => {
  let redis: RedisProcess
  let space: string
  let a: ServerProcess
  let b: ServerProcess

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
    const options = {
      redis: { url: redis.url, namespace: space },
      omega: true,
      primus: { ...QUICK, metroplex: { timeout: TIMEOUT } },
      prepare: (given: Record<string, unknown>) => {
        let sparks = 0
        given['idGenerator'] = () => `${process.pid}-${sparks++}`
      }
    }
    ;[a, b] = [await startServer(options), await startServer(options)]
  })

  it('goes to the last known places, at once', async () => {
    const client = await openClient(b.url)
    await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
    await redis.kill()
    await a.seen('error')
    const { value, ms } = await elapsed(() => a.call('forward.spark', client.id, 'still'))
    assume(value).eql({ ok: true, send: 1 })
    assume(ms).is.below(TIMEOUT / 2)
    assume(await client.next()).equals('still')
  })

  it('goes to the last known places also when Redis only says nothing, within the deadline', async () => {
    const client = await openClient(b.url)
    await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
    redis.pause()
    const { value, ms } = await elapsed(() => a.call('forward.spark', client.id, 'still'))
    assume(value).eql({ ok: true, send: 1 })
    assume(ms).is.below(2 * TIMEOUT)
    redis.resume()
  })

  it('fails within the deadline for unknown sparks, and reaches the others', async () => {
    const [known, own] = [await openClient(b.url), await openClient(a.url)]
    const unknown = await openClient(b.url)
    await eventually(async () => (await a.call('metroplex.spark', known.id)) === b.address)
    await redis.kill()
    await a.seen('error')
    const { value, ms } = await elapsed(() => a.call('forward.sparks', [known.id, own.id, unknown.id], 'x'))
    const { ok, send, failed } = value as Result
    assume({ ok, send, failed: failed?.map(({ code, maybe, sparks }) => ({ code, maybe, sparks })) }).eql({
      ok: false,
      send: 2,
      failed: [{ code: 'EREGISTRY', maybe: false, sparks: [unknown.id] }]
    })
    assume(ms).is.below(2 * TIMEOUT)
    const error = await rejection(a.call('forward.spark', unknown.id, 'x'))
    assume(error.code).equals('EREGISTRY')
    // The question where a spark is wants the truth.
    assume((await rejection(a.call('metroplex.spark', known.id))).code).equals('EREGISTRY')
  })

  it('reports EREGISTRY when a spark is no longer at its last place', async () => {
    const client = await openClient(b.url)
    await eventually(async () => (await a.call('metroplex.spark', client.id)) === b.address)
    await redis.kill()
    await a.seen('error')
    await client.close()
    await eventually(async () => (await b.sparks()).length === 0)
    const { ok, send, missing, failed } = (await a.call('forward.spark', client.id, 'x')) as Result
    assume({ ok, send, missing, failed: failed?.map(({ code, sparks }) => ({ code, sparks })) }).eql({
      ok: false,
      send: 0,
      missing: undefined,
      failed: [{ code: 'EREGISTRY', sparks: [client.id] }]
    })
  })

  it('forgets the places of a server that has gone', async () => {
    const proxy = await startProxy({ port: redis.port })
    const client = new Redis(proxy.port)
    client.on('error', () => undefined)
    using(() => client.disconnect())
    const watcher = member(client, space, 'http://watcher:1', QUICK)
    await watcher.ready()
    const far = await openClient(b.url)
    await eventually(async () => (await watcher.spark(far.id)) === b.address)
    assume(watcher.stats().places).equals(1)
    await b.kill()
    await once(watcher, 'leave')
    assume(watcher.stats().places).equals(0)
  })
})
