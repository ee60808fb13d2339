import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Metroplex, MetroplexOptions, Spark } from '../index'
import { assume } from './support/assume'
import { FULL, refuseWrites } from './support/full'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { startServer, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

const LEASE = 1000
const TERMS: MetroplexOptions = { interval: 1000, latency: 200, metroplex: { lease: LEASE, timeout: 2000 } }
const ONE = 'http://one:1'
const TWO = 'http://two:1'

/** What a server has reported. */
interface Told {
  readonly errors: Error[]
  /** Peers that it took for dead, and sparks that it removed. */
  readonly removed: unknown[][]
}

describe('a Redis that refuses writes', () => {
  let redis: RedisProcess
  let client: Redis
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    client = redis.client()
    space = namespace()
  })

  const fill = (): Promise<unknown> => client.config('SET', 'maxmemory', FULL)
  const empty = (): Promise<unknown> => client.config('SET', 'maxmemory', '0')

  const ids = (count: number, name = 's'): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`)
  const spark = (id: string): Spark => ({ id, readyState: 1, write: () => true, end: () => null })

  const listen = (server: Metroplex): Told => {
    const told: Told = { errors: [], removed: [] }
    server.on('error', error => told.errors.push(error))
    server.on('leave', (...args) => told.removed.push(args))
    server.on('reap', (...args) => told.removed.push(args))
    return told
  }

  const start = async (
    address: string,
    options: MetroplexOptions = TERMS
  ): Promise<{ server: Metroplex; told: Told }> => {
    const server = member(redis.client(), space, address, options)
    const told = listen(server)
    await server.ready()
    return { server, told }
  }

  /** The ids that the registry names, by their addresses. */
  const registered = async (): Promise<Record<string, string>> => await client.hgetall(`${space}:sparks`)
  const own = async (address: string): Promise<number> => await client.scard(`${space}:${address}:sparks`)

  /** So many beats of a server come about. */
  const beats = async (server: Metroplex, count: number): Promise<void> => {
    const until = server.stats().counters.beats + count
    await eventually(() => server.stats().counters.beats >= until, { within: 30_000 })
  }

  const codes = ({ errors }: Told): unknown[] =>
    errors.map(error => [(error as { code?: unknown }).code, (error.cause as Error).message.split(' ')[0]])

  describe('that need memory, because it is full', () => {
    it('gets the removals of disconnected sparks', async () => {
      const { server, told } = await start(ONE)
      const sparks = ids(500).map(spark)
      for (const one of sparks) server.connect(one)
      await eventually(async () => (await own(ONE)) === 500)
      await fill()
      for (const one of sparks) server.disconnect(one)
      await eventually(async () => (await own(ONE)) === 0)
      assume(await registered()).eql({})
      await beats(server, 1)
      assume(codes(told)).eql([['EREGISTRY', 'OOM']])
      assume(server.stats().waiting).equals(0)
    })

    it('keeps all leases, and each server reports the reason once', async () => {
      const [one, two] = [await start(ONE), await start(TWO)]
      await fill()
      await Promise.all([beats(one.server, 12), beats(two.server, 12)])
      assume(await one.server.servers()).eql([TWO])
      assume(await two.server.servers()).eql([ONE])
      for (const { told } of [one, two]) {
        assume(told.removed).eql([])
        assume(codes(told)).eql([['EREGISTRY', 'OOM']])
        assume(told.errors[0]?.message).includes('maxmemory')
      }
      const full = 'Redis is full: it refuses entries that need memory (OOM).'
      const { ok, warnings } = await one.server.health()
      assume(ok).true()
      assume(warnings).includes(full)
      await empty()
      await beats(one.server, 2)
      assume((await one.server.health()).warnings).not.includes(full)
    })

    it('gets new sparks and their users as soon as it has room, except those that disconnected meanwhile', async () => {
      const { server, told } = await start(ONE)
      server.connect(spark('before'))
      await eventually(async () => (await own(ONE)) === 1)
      await fill()
      const sparks = ids(1200).map(spark)
      for (const one of sparks) server.connect(one)
      const named = server.identify('s1', 'alice').catch((error: unknown) => error)
      await eventually(() => server.stats().waiting === 1201)
      for (const one of sparks.slice(600)) server.disconnect(one)
      assume(await registered()).eql({ before: ONE })
      await eventually(async () =>
        (await server.health()).reasons.join().includes('601 entries of this server (sparks, users, groups) wait')
      )
      assume(server.stats().state).equals('degraded')
      await beats(server, 3)
      assume(Object.keys(await registered())).eql(['before'])
      await empty()
      await eventually(async () => (await own(ONE)) === 601)
      assume(Object.keys(await registered()).sort()).eql([...ids(600), 'before'].sort())
      await eventually(() => server.stats().state === 'ready')
      assume(await client.hgetall(`${space}:user:alice`)).eql({ s1: ONE })
      await named
      assume(codes(told)).eql([['EREGISTRY', 'OOM']])
      assume(server.stats().counters.heals).equals(0)
    })

    it('gets the new place of a spark that moves', async () => {
      const [one, two] = [await start(ONE), await start(TWO)]
      one.server.connect(spark('s'))
      await eventually(async () => (await two.server.spark('s')) === ONE)
      await fill()
      two.server.connect(spark('s'))
      await eventually(async () => (await one.server.spark('s')) === TWO)
      await eventually(async () => (await own(ONE)) === 0)
      assume(await own(TWO)).equals(1)
    })

    it('is named by `identify` as the reason why a user is not written', async () => {
      const { server } = await start(ONE)
      server.connect(spark('s'))
      await eventually(async () => (await own(ONE)) === 1)
      await fill()
      const error: unknown = await server.identify('s', 'ann').catch((cause: unknown) => cause)
      assume((error as Error).message).matches(/did not confirm .* as soon as Redis has room: it is full \(OOM\)/)
      await empty()
      await server.identify('s', 'ann')
    })

    it('gets the removals of users', async () => {
      const { server } = await start(ONE)
      server.connect(spark('s'))
      await server.identify('s', 'alice')
      await fill()
      const named = server.identify('s', 'bob').catch((error: unknown) => error)
      await eventually(async () => (await client.exists(`${space}:user:alice`)) === 0)
      assume(await client.exists(`${space}:user:bob`, `${space}:${ONE}:users`)).equals(0)
      await empty()
      assume(await named).equals(undefined)
      assume(await client.hgetall(`${space}:user:bob`)).eql({ s: ONE })
      assume(await client.hgetall(`${space}:${ONE}:users`)).eql({ s: 'bob' })
    })

    it('takes a server that starts', async () => {
      await fill()
      const { server } = await start(ONE)
      assume(await client.smembers(`${space}:servers`)).eql([ONE])
      await beats(server, 2)
      assume((await server.health()).ok).true()
    })

    it('takes its servers back after it was flushed, and their sparks when it has room', async () => {
      const [one, two] = [await start(ONE), await start(TWO)]
      for (const id of ids(700)) one.server.connect(spark(id))
      await eventually(async () => (await own(ONE)) === 700)
      await eventually(() => two.server.stats().peers === 1)
      await client.flushall()
      await fill()
      await eventually(async () => (await client.smembers(`${space}:servers`)).length === 2)
      await eventually(() => one.server.stats().waiting === 700)
      assume(await registered()).eql({})
      await empty()
      await eventually(async () => (await own(ONE)) === 700)
      await eventually(() => one.server.stats().state === 'ready')
      assume(two.told.removed).eql([])
      assume(codes(one.told)).eql([['EREGISTRY', 'OOM']])
    })

    it('buries none that lives, though it is full for some beats and not for others', async () => {
      const all = await Promise.all([start(ONE), start(TWO), start('http://three:1')])
      for (const { server } of all) await eventually(() => server.stats().peers === 2)
      for (const id of ids(50)) all[0].server.connect(spark(id))
      const over = new AbortController()
      const toggling = (async () => {
        while (!over.signal.aborted) {
          await fill()
          await empty()
        }
      })()
      await Promise.all(all.map(({ server }) => beats(server, 15)))
      over.abort()
      await toggling
      for (const { told } of all) assume(told.removed).eql([])
      await eventually(async () => (await own(ONE)) === 50)
    })

    it('buries one that dies, and removes its sparks', async () => {
      const start = (): Promise<ServerProcess> =>
        startServer({ redis: { url: redis.url, namespace: space }, primus: { ...TERMS } })
      const [a, b] = [await start(), await start()]
      await b.seen('join')
      await a.run(primus => {
        for (let i = 0; i < 300; i++) primus.metroplex.connect({ id: `s${i}`, readyState: 1 } as never)
      })
      await eventually(async () => (await own(a.address)) === 300)
      await fill()
      await a.kill()
      await b.seen('leave', { within: 10_000 })
      await eventually(async () => Object.keys(await registered()).length === 0)
      await eventually(async () => (await client.exists(`${space}:${a.address}:sparks`)) === 0)
      assume(await client.hget(`${space}:${a.address}:life`, 'state')).equals('reaped')
    })

    it('keeps a server of 1.x, which cannot renew its alive key', async () => {
      const { server, told } = await start(ONE)
      const old = await startServer({
        redis: { url: redis.url, namespace: space },
        metroplex: '1.0.2',
        omega: true,
        primus: { interval: 1000, latency: 200, password: 'p' }
      })
      await eventually(async () => (await server.servers()).includes(old.address))
      await fill()
      await eventually(async () => (await client.exists(`${space}:${old.address}`)) === 0)
      await beats(server, 12)
      assume(await client.sismember(`${space}:servers`, old.address)).equals(1)
      assume(told.removed).eql([])
    })

    it('is as good to a cluster of several shards', async () => {
      const sharded = { ...TERMS, metroplex: { ...TERMS.metroplex, shards: 4 } }
      const [one, two] = [await start(ONE, sharded), await start(TWO, sharded)]
      const sparks = ids(100).map(spark)
      for (const each of sparks.slice(0, 50)) one.server.connect(each)
      await eventually(async () => (await one.server.sparks(ids(50))).every(Boolean))
      await fill()
      for (const each of sparks) one.server[Number(each.id.slice(1)) < 50 ? 'disconnect' : 'connect'](each)
      await eventually(() => one.server.stats().waiting === 50)
      await Promise.all([beats(one.server, 40), beats(two.server, 40)])
      assume((await two.server.sparks(ids(50))).some(Boolean)).false()
      await empty()
      await eventually(async () => (await two.server.sparks(ids(100).slice(50))).every(place => place === ONE))
      for (const { told } of [one, two]) {
        assume(told.removed).eql([])
        assume(codes(told)).eql([['EREGISTRY', 'OOM']])
      }
    })
  })

  for (const [how, word] of [
    ['after a BGSAVE that failed', 'MISCONF'],
    ['for want of replicas', 'NOREPLICAS']
  ] as const) {
    describe(`of all kinds, ${how}`, () => {
      it('is reported once by each server, none is buried, and all is right again afterwards', async () => {
        // For want of replicas they connect anew, after pauses of up to a second: their leases are longer than that.
        const terms = { ...TERMS, interval: 2 * LEASE, metroplex: { ...TERMS.metroplex, lease: 2 * LEASE } }
        const [one, two] = [await start(ONE, terms), await start(TWO, terms)]
        const sparks = ids(100).map(spark)
        for (const each of sparks) one.server.connect(each)
        await eventually(async () => (await own(ONE)) === 100)
        await eventually(() => two.server.stats().peers === 1)
        const allow = await refuseWrites(redis, client, word)
        for (const id of ids(100, 't')) one.server.connect(spark(id))
        for (const { told } of [one, two]) await eventually(() => told.errors.length > 0)
        await eventually(async () => (await client.exists(`${space}:${ONE}:lease`, `${space}:${TWO}:lease`)) === 0)
        for (const each of sparks.slice(50)) one.server.disconnect(each)
        // What is refused again and again is not reported again.
        const { errors } = one.server.stats().counters
        await sleep(3 * LEASE)
        assume(one.server.stats().counters.errors).equals(errors)
        for (const { told } of [one, two]) {
          assume(told.errors.length).equals(1)
          assume(told.errors[0]?.message).includes(word)
        }
        await allow()
        await eventually(async () => (await own(ONE)) === 150, { within: 10_000 })
        for (const { server } of [one, two]) await eventually(() => server.stats().state === 'ready')
        assume(await one.server.servers()).eql([TWO])
        for (const { told } of [one, two]) {
          assume(told.removed).eql([])
          assume(told.errors.length).equals(1)
        }
      })
    })
  }
})
