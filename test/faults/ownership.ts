import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { unsampled } from '../support/health-log'
import { reservePort } from '../support/ports'
import { startProxy } from '../support/proxy'
import { eventually } from '../support/wait'
import { LEASE, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, MISLED, NO_REDIS, REPAIRED, TAKEN, either, peerEnded } from './health'
import type { PrimusUnderTest } from '../support/primus-types'
import type { Row } from './row'
import type { ServerProcess } from '../support/server'

/** Until a beat is noticed and what it found is put right, in ms. */
const PUT_RIGHT = LEASE / 3 + 2000

/** What the id of the first spark of a server is, where two servers are to have the same one. */
const MOVER = 'mover'

interface Counted {
  counters: { beats: number }
}
const beats = async (server: ServerProcess): Promise<number> =>
  ((await server.call('metroplex.stats')) as Counted).counters.beats

/** Until a server has beaten so many times more. */
async function beaten(server: ServerProcess, times = 1): Promise<void> {
  const before = await beats(server)
  await eventually(async () => (await beats(server)) >= before + times, { within: 10_000 })
}

/** What the registry says of one id. */
const entry = (ground: Ground, id: string): Promise<string | null> => ground.client.hget(ground.key('sparks', id), id)

/** Names the first spark of a server; travels as source. */
const naming = (options: Record<string, unknown>): void => {
  let given = 0
  options['idGenerator'] = () => (given++ === 0 ? options['first'] : crypto.randomUUID())
}

const moves: readonly Row[] = (['nothing', 'connect', 'disconnect'] as const).map((lost): Row => ({
  id: 'F12',
  fault:
    "a spark moves while the old server's disconnect is late" +
    (lost === 'nothing' ? '' : `, and Redis's reply to its commit of the ${lost} is lost`),
  promise: 'the new entry stays; the old server stops answering for the spark, and finds it at the new one',
  measures: [{ what: 'the old server knows after', unit: 'ms', atMost: PUT_RIGHT }],
  health: [{ by: [0], reasons: either(NO_REDIS, REPAIRED), ...(lost !== 'connect' && { unless: BRIEF }) }],
  async provoke(ground) {
    const link = await startProxy({ port: ground.redis.port })
    // Beats that are a second apart leave time to lose the reply to a commit, and not that to a beat.
    const old = await ground.start(
      { first: MOVER, metroplex: { lease: 3 * LEASE } },
      {
        redis: { host: '127.0.0.1', port: link.port, namespace: ground.space },
        prepare: naming
      }
    )
    const next = await ground.start({ first: MOVER }, { prepare: naming })
    const route = await startProxy({ port: old.port })
    await ground.settled(old, next)
    // So that it is the reply to a commit which is lost, and not one to a sweep.
    for (const key of ground.keys('sweep')) await ground.client.set(key, 'another server', 'PX', 60_000)
    if (lost === 'connect') link.freezeReplies()
    const before = await openClient(`http://127.0.0.1:${route.port}`, { options: { strategy: false } })
    await eventually(async () => (await entry(ground, MOVER)) === old.address)
    if (lost === 'connect') {
      await link.refuse()
      link.cut()
      link.thaw()
    }
    // The network of the client is gone: its old server does not hear of it.
    route.freeze()
    if (lost === 'disconnect') await beaten(old)
    const after = await openClient(next.url)
    assume([before.id, after.id]).eql([MOVER, MOVER])
    await eventually(async () => (await entry(ground, MOVER)) === next.address)
    const moved = performance.now()
    if (lost === 'connect') await link.accept()
    if (lost === 'disconnect') {
      // The next reply must be that to the commit.
      await unsampled(old, async () => {
        link.dropNextReply({ cut: true })
        route.cut()
        await old.seen('state', { filter: state => state === 'degraded', since: old.log.length })
      })
    }
    await eventually(async () => (await old.call('metroplex.spark', MOVER)) === next.address)
    const took = performance.now() - moved
    assume(await old.call('forward.spark', MOVER, 'x')).eql({ ok: true, send: 1 })
    assume(await after.next()).equals('x')
    route.cut()
    await eventually(async () => (await old.sparks()).length === 0)
    // What is written behind the disconnect shows that it has been through.
    const last = await openClient(old.url)
    await eventually(async () => (await entry(ground, last.id)) === old.address)
    assume(await entry(ground, MOVER)).equals(next.address)
    await ground.settled(old, next)
    assume(await ground.size()).equals(2)
    ground.unharmed(old, next)
    return [took]
  }
}))

/**
 * A listener that takes its time, and stands before ours; it counts the sparks that it has let go too late. Travels as
 * source.
 */
const hesitating = (options: Record<string, unknown>): void => {
  options['plugin'] = {
    hesitating: {
      server(primus: PrimusUnderTest & { Spark: { CLOSED: number } }) {
        const late = { gone: 0 }
        Object.assign(globalThis, { late })
        primus.on('connection', function hesitate(spark, next) {
          setTimeout(() => {
            if ((spark as { readyState: number }).readyState === primus.Spark.CLOSED) late.gone++
            ;(next as () => void)()
          }, 200)
        })
      }
    }
  }
}

/**
 * Brings sparks back before the server is registered, and notes how long that takes from when it listens. Travels as
 * source.
 */
const returning = (options: Record<string, unknown>): void => {
  options['plugin'] = {
    returning: {
      server(primus: PrimusUnderTest) {
        let listened = NaN
        primus.server?.on('listening', () => {
          listened = performance.now()
        })
        primus.on('register', () => {
          Object.assign(globalThis, { registering: performance.now() - listened })
        })
        process.nextTick(() => {
          for (const id of options['back'] as string[])
            primus.metroplex.connect({ id, write: () => true, end: () => undefined })
        })
      }
    }
  }
}

export const ownership: readonly Row[] = [
  ...moves,
  {
    id: 'F13',
    fault: 'a `connection` listener takes 200 ms, and the client disconnects after 20 ms',
    promise: 'no entry',
    measures: [{ what: 'disconnected before they were registered', unit: '%', atLeast: 50 }],
    health: [],
    async provoke(ground) {
      const a = await ground.start({}, { prepare: hesitating })
      const count = 20
      for (let i = 0; i < count; i++) {
        const client = await openClient(a.url)
        // How soon the client has gone is the fault itself.
        await new Promise(resolve => setTimeout(resolve, 20))
        await client.close()
      }
      await eventually(async () => (await a.sparks()).length === 0)
      // Its listener ends behind those of the others.
      const stays = await openClient(a.url)
      await eventually(async () => (await entry(ground, stays.id)) === a.address)
      assume([...(await ground.entries()).keys()]).eql([stays.id])
      await ground.settled(a)
      ground.unharmed(a)
      const gone = await a.run(() => (globalThis as unknown as { late: { gone: number } }).late.gone)
      return [(gone / count) * 100]
    }
  },
  {
    id: 'F14',
    fault: 'a server with 100,000 sparks crashes and is restarted on its address',
    promise:
      'registered within a second of listening; the entries of the former life are cleaned up and reported; sparks ' +
      'that are back are spared',
    measures: [
      { what: 'registered after', unit: 'ms', atMost: 1000 },
      { what: 'cleaned up after', unit: 'ms', atMost: 15_000 }
    ],
    health: [peerEnded()],
    async provoke(ground) {
      const count = ground.long ? 100_000 : 20_000
      const [port, metroplex] = [await reservePort(), { lease: 6000 }]
      const first = await ground.start({ metroplex }, { port })
      const left = await ground.crowd(first, count, 'left')
      await ground.settled(first)
      const life = await first.call('metroplex.id')
      await first.kill()
      // As far as Redis knows it still lives: waiting for its lease would take too long.
      assume(await ground.client.get(ground.key(`${first.address}:lease`))).equals(life)
      const back = left.slice(0, 500)
      const second = await ground.start({ metroplex, back }, { port, prepare: returning })
      const began = performance.now()
      assume(second.address).equals(first.address)
      assume(await ground.client.pttl(ground.key(`${first.address}:lease`))).is.above(0)
      // Again, and this time known here: a spark is there as long as one of its name is.
      await ground.crowd(second, back.length, 'left')
      await ground.settled(second)
      const cleaned = performance.now() - began
      await eventually(() => ground.reaped(second.address, second).length >= count - back.length)
      const named = ground.reaped(second.address, second)
      assume([named.length, new Set(named).size]).eql([count - back.length, count - back.length])
      const spared = new Set(back)
      assume(named.filter(id => spared.has(id))).eql([])
      assume(ground.told('leave', second)).eql([])
      ground.sound(second)
      return [await second.run(() => (globalThis as unknown as { registering: number }).registering), cleaned]
    }
  },
  {
    id: 'F15',
    fault: 'two live processes are configured with one address',
    promise:
      'the first stays registered, and none of its entries is touched; the second reports `EADDRESS` once, serves ' +
      'its own clients, and registers when the first life ends',
    measures: [{ what: 'taken over after', unit: 'ms', atMost: LEASE + 500 + 250 + SLACK }],
    health: [
      { by: [1], reasons: TAKEN },
      { by: [1], reasons: either(LAPSED, NO_REDIS, REPAIRED), unless: BRIEF },
      { by: [1], warnings: MISLED, stays: true },
      peerEnded([1])
    ],
    async provoke(ground) {
      const first = await ground.start()
      const { address } = first
      const near = await openClient(first.url)
      const ids = [...(await ground.crowd(first, 1000)), near.id]
      await ground.settled(first)
      const life = await first.call('metroplex.id')
      const second = await ground.start({ address }, { until: 'listening' })
      const own = await openClient(second.url)
      await ground.crowd(second, 1000)
      const [error] = (await second.seen('error')) as [Error & { code: string; address: string }]
      assume([error.code, error.address]).eql(['EADDRESS', address])
      assume(error.message).includes('`address`')
      // It tries all the while.
      await beaten(first, 6)
      assume(ground.told('error', second)).has.length(1)
      assume([await first.call('metroplex.id'), second.address]).eql([life, ''])
      await ground.settled(first)
      assume(await second.call('forward.spark', own.id, 'own')).eql({ ok: true, send: 1, local: true })
      assume(await second.call('forward.spark', near.id, 'near')).eql({ ok: true, send: 1 })
      assume([await own.next(), await near.next()]).eql(['own', 'near'])
      ground.unharmed(first, second)
      await first.kill()
      const died = performance.now()
      await second.seen('register', { within: 10_000 })
      const took = performance.now() - died
      assume(second.address).equals(address)
      await ground.settled(second)
      await eventually(() => ground.reaped(address, second).length >= ids.length)
      assume(ground.reaped(address, second).sort()).eql([...ids].sort())
      assume(ground.told('error', second)).has.length(1)
      ground.sound(second)
      return [took]
    }
  },
  {
    id: 'F27',
    fault: 'sparks connect and disconnect while registration is still under way',
    promise: 'connected sparks are registered, and no others',
    measures: [{ what: 'right after', unit: 'ms', atMost: PUT_RIGHT }],
    health: [
      { by: [0], reasons: LAPSED },
      { by: [0], reasons: either(NO_REDIS, REPAIRED), unless: BRIEF }
    ],
    async provoke(ground) {
      const link = await startProxy({ port: ground.redis.port })
      // A question takes 300 ms now, and Redis knows no script yet.
      link.delay(150)
      const a = await ground.start(
        { metroplex: { lease: 3 * LEASE, timeout: 2000 } },
        {
          redis: { host: '127.0.0.1', port: link.port, namespace: ground.space },
          until: 'listening'
        }
      )
      const [stays, goes] = [await openClient(a.url), await openClient(a.url)]
      const ids = await ground.crowd(a, 2000)
      await ground.disperse(a, ids.slice(0, 500))
      await goes.close()
      await eventually(async () => (await a.sparks()).length === 1)
      assume(ground.told('register', a)).eql([])
      await a.seen('register', { within: 10_000 })
      const registered = performance.now()
      assume(await a.call('metroplex.spark', stays.id)).equals(a.address)
      await ground.settled(a)
      const took = performance.now() - registered
      link.delay(0)
      ground.unharmed(a)
      return [took]
    }
  },
  {
    id: 'F35',
    fault: '`unregister` of another server, dead or alive, and `register` at a second address',
    promise:
      'only the named server is removed, and a live one comes back; the first address is left properly, and all ' +
      'sparks are found at the second',
    measures: [
      { what: 'a dead one gone after', unit: 'ms', atMost: LEASE / 3 + SLACK },
      { what: 'a living one back after', unit: 'ms', atMost: PUT_RIGHT },
      { what: 'found at the second after', unit: 'ms', atMost: PUT_RIGHT }
    ],
    health: [
      { by: [1], reasons: LAPSED },
      { by: [0, 1], reasons: either(LAPSED, REPAIRED), unless: BRIEF },
      peerEnded([0, 1])
    ],
    async provoke(ground) {
      // The leases are so long that no server is missed for want of one.
      const metroplex = { lease: 3 * LEASE }
      const [a, b, c] = [await ground.start(), await ground.start(), await ground.start({ metroplex })]
      for (const server of [a, b, c]) await ground.crowd(server, 1000)
      const near = await openClient(a.url)
      await ground.settled(a, b, c)
      for (const { address } of [a, c]) await b.seen('join', { filter: joined => joined === address })
      const [lifeA, lifeB, lifeC] = await Promise.all([a, b, c].map(server => server.call('metroplex.id')))

      await c.kill()
      let began = performance.now()
      assume(await a.call('metroplex.unregister', c.address)).equals(c.address)
      await b.seen('leave')
      const gone = performance.now() - began
      await ground.settled(a, b)
      await beaten(a, 3)
      await beaten(b, 3)
      assume([await a.call('metroplex.id'), await b.call('metroplex.id')]).eql([lifeA, lifeB])
      assume(ground.told('leave', b)).eql([[c.address, 'shutdown', lifeC]])
      assume([ground.told('unregister', a), ground.told('unregister', b)]).eql([[[c.address]], []])

      began = performance.now()
      assume(await a.call('metroplex.unregister', b.address)).equals(b.address)
      await eventually(async () => {
        const life = await b.call('metroplex.id')
        return life !== '' && life !== lifeB
      })
      await ground.settled(a, b)
      const back = performance.now() - began
      assume(await a.call('metroplex.id')).equals(lifeA)

      const first = a.address
      const second = `http://127.0.0.1:${(await startProxy({ port: a.port })).port}`
      began = performance.now()
      assume(await a.call('metroplex.register', second)).equals(second)
      await eventually(async () => (await b.call('metroplex.spark', near.id)) === second)
      const found = performance.now() - began
      await a.seen('register', { filter: address => address === second })
      await ground.settled(a, b)
      assume(await ground.existing(...['', ':lease', ':sparks'].map(end => `${first}${end}`))).equals(0)
      await b.seen('leave', { filter: address => address === first })
      assume(ground.told('leave', b).filter(([address]) => address === first)).eql([[first, 'shutdown', lifeA]])
      assume(await b.call('forward.spark', near.id, 'x')).eql({ ok: true, send: 1 })
      assume(await near.next()).equals('x')
      ground.sound(a, b)
      return [gone, back, found]
    }
  }
]
