import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { startProxy } from '../support/proxy'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import type { Result, Statistics } from '../../index'
import { LEASE, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, NO_REDIS, REPAIRED, either } from './health'
import type { Row } from './row'
import type { ServerProcess } from '../support/server'

/** How large a heap may have grown by an outage, in MB. */
const HEAP = 32

async function heap(server: ServerProcess): Promise<number> {
  return await server.run(() => {
    const { gc } = globalThis as { gc?: () => void }
    gc?.()
    return process.memoryUsage().heapUsed / 1e6
  })
}

/** The secret and the layout, which have to come back as they were. */
const agreed = (ground: Ground): Promise<(string | null)[]> =>
  ground.client.mget(ground.key('secret'), `${ground.space}:layout`)

export const outages: readonly Row[] = [
  ...(['flushed', 'restarted empty'] as const).map((how): Row => ({
    id: 'F3',
    fault: `Redis is ${how}`,
    promise:
      'all 50,000 sparks are found again within 5 s; secret and layout return unchanged; no `leave`, no `reap`; no ' +
      'script over 10 ms',
    measures: [
      { what: 'right after', unit: 'ms', atMost: 5000 },
      { what: 'longest script', unit: 'ms', atMost: 10, long: true }
    ],
    health: [{ reasons: either(LAPSED, REPAIRED, NO_REDIS) }],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const each = ground.long ? 25_000 : 5_000
      const ids = [...(await ground.crowd(a, each)), ...(await ground.crowd(b, each))]
      await ground.settled(a, b)
      const before = await agreed(ground)
      await ground.slowest()
      if (how === 'flushed') await ground.client.flushall()
      else await ground.redis.restart({ empty: true })
      const began = performance.now()
      const last = [ids[0] ?? '', ids[each - 1] ?? '', ids[each] ?? '', ids[2 * each - 1] ?? '']
      await eventually(async () => (await ground.size()) === ids.length, { within: 20_000, every: 5 })
      const took = performance.now() - began
      const slow = await ground.slowest()
      assume(await a.call('metroplex.sparks', last)).eql([a.address, a.address, b.address, b.address])
      await ground.settled(a, b)
      await eventually(async () => JSON.stringify(await agreed(ground)) === JSON.stringify(before))
      ground.unharmed(a, b)
      return [took, slow]
    }
  })),
  {
    id: 'F4',
    fault: 'Redis is away for longer than the lease while sparks connect and disconnect',
    promise:
      'processes live; local sparks are served; forwards use the last known places or fail with `EREGISTRY` in ' +
      'time; afterwards the registry is right; no `leave`',
    measures: [
      { what: 'right after', unit: 'ms', atMost: 5000 },
      { what: 'heap grown by', unit: 'MB', atMost: HEAP }
    ],
    health: [{ reasons: NO_REDIS }, { reasons: either(LAPSED, REPAIRED), unless: BRIEF }],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const [near, far] = [await openClient(a.url), await openClient(b.url)]
      const stay = await ground.crowd(b, 1000)
      const go = await ground.crowd(b, 1000, 'go')
      await ground.settled(a, b)
      assume(await a.call('metroplex.spark', far.id)).equals(b.address)
      const before = await heap(b)
      await ground.redis.restart({ empty: false })
      await ground.settled(a, b)
      await ground.ready(a, b)
      ground.redis.pause()
      const over = ground.disabled(a, b)
      const began = performance.now()
      await a.seen('state', { filter: state => state === 'degraded', since: a.log.length, within: 10_000 })
      // Local ones are served, those known last are reached, and others are reported as unknown in time.
      assume(await a.call('forward.spark', near.id, 'near')).eql({ ok: true, send: 1, local: true })
      assume(await a.call('forward.spark', far.id, 'far')).eql({ ok: true, send: 1 })
      assume([await near.next(), await far.next()]).eql(['near', 'far'])
      const asked = performance.now()
      assume((await rejection(a.call('forward.spark', stay[0], 'x'))).code).equals('EREGISTRY')
      assume(performance.now() - asked).is.below(1000 + SLACK)
      for (let round = 0; round < 5; round++) {
        const brief = await ground.crowd(b, 2000, `brief-${round}`)
        await ground.disperse(b, brief)
      }
      await ground.disperse(b, go)
      await ground.crowd(b, 500, 'came')
      // The length of the outage is the fault itself: every lease runs out meanwhile.
      await eventually(() => performance.now() - began > 2.5 * LEASE)
      const grown = (await heap(b)) - before
      over()
      ground.redis.resume()
      const back = performance.now()
      await ground.settled(a, b)
      ground.unharmed(a, b)
      return [performance.now() - back, Math.max(0, grown)]
    }
  },
  {
    id: 'F6',
    fault: 'the connection to Redis is half-open: packets vanish',
    promise: 'noticed within the deadline; lookups fail in time; right again when the network is back; no `leave`',
    measures: [
      { what: 'noticed after', unit: 'ms', atMost: LEASE / 3 + 1000 + SLACK },
      { what: 'right after', unit: 'ms', atMost: 5000 }
    ],
    health: [
      { by: [0], reasons: NO_REDIS },
      { by: [0], reasons: either(LAPSED, REPAIRED), unless: BRIEF }
    ],
    async provoke(ground) {
      const proxy = await startProxy({ port: ground.redis.port })
      const a = await ground.start({}, { redis: { host: '127.0.0.1', port: proxy.port, namespace: ground.space } })
      const b = await ground.start()
      await ground.crowd(a, 1000)
      await ground.settled(a, b)
      proxy.freeze()
      const over = ground.disabled(a)
      const frozen = performance.now()
      await a.seen('error', { within: 10_000 })
      const noticed = performance.now() - frozen
      const asked = performance.now()
      assume((await rejection(a.call('metroplex.spark', 'unknown'))).code).equals('EREGISTRY')
      assume(performance.now() - asked).is.below(1000 + SLACK)
      await ground.crowd(a, 100, 'meanwhile')
      over()
      proxy.thaw()
      const back = performance.now()
      await ground.settled(a, b)
      ground.sound(a, b)
      return [noticed, performance.now() - back]
    }
  },
  {
    id: 'F31',
    fault: 'messages are forwarded while Redis is down',
    promise: 'local sparks are served at once, others at their last known places or named in `failed`',
    measures: [{ what: 'a local spark served after', unit: 'ms', atMost: 50 + SLACK }],
    health: [{ reasons: NO_REDIS, stays: true }],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const [near, far] = [await openClient(a.url), await openClient(b.url)]
      // Its id has no tag, so only Redis knows where it is.
      const [stranger = ''] = await ground.crowd(b, 1)
      await ground.settled(a, b)
      assume(await a.call('metroplex.spark', far.id)).equals(b.address)
      await ground.redis.kill()
      await a.seen('error', { within: 10_000 })
      const began = performance.now()
      const sending = a.call('forward.sparks', [near.id, far.id, stranger], 'x')
      assume(await near.next()).equals('x')
      const took = performance.now() - began
      const { ok, send, failed } = (await sending) as Result
      assume({ ok, send, failed: failed?.map(({ code, sparks }) => ({ code, sparks })) }).eql({
        ok: false,
        send: 2,
        failed: [{ code: 'EREGISTRY', sparks: [stranger] }]
      })
      assume(await far.next()).equals('x')
      assume(((await a.call('forward.broadcast', 'all')) as Result).send).equals(2)
      ground.sound(a, b)
      return [took]
    }
  },
  ...(['killed', 'frozen'] as const).map((how): Row => ({
    id: 'F59',
    fault: `messages are forwarded to sparks that were never seen before while Redis is ${how}`,
    promise: 'sparks whose ids end in a tag are reached at once: by messages, requests and calls, and are ended',
    measures: [{ what: 'all reached after', unit: 'ms', atMost: 500 + SLACK }],
    health: [
      { reasons: NO_REDIS, stays: how === 'killed', ...(how === 'frozen' && { unless: BRIEF }) },
      { reasons: REPAIRED, stays: how === 'killed', unless: BRIEF }
    ],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      await b.run(primus => {
        const { metroplex } = primus as unknown as { metroplex: { method(name: string, fn: () => string): void } }
        metroplex.method('greet', () => 'hello')
      })
      const [first, second, last] = [await openClient(b.url), await openClient(b.url), await openClient(b.url)]
      const asked = await openClient(b.url, { half: true })
      asked.socket.on('request', (_question, reply) => {
        ;(reply as (value: unknown) => void)('fine')
      })
      const { lookups } = ((await a.call('metroplex.stats')) as Statistics).counters
      await ground.settled(a, b)
      if (how === 'killed') await ground.redis.kill()
      else ground.redis.pause()
      const began = performance.now()
      const answers = await Promise.all([
        a.call('forward.spark', first.id, 'x'),
        a.call('forward.sparks', [second.id, last.id], 'y'),
        a.call('forward.request', asked.id, 'how are you?'),
        a.call('metroplex.apply', first.id, 'greet'),
        a.call('metroplex.end', last.id)
      ])
      const took = performance.now() - began
      const reached = { ok: true, send: 1 }
      assume(answers).eql([reached, { ok: true, send: 2 }, 'fine', 'hello', reached])
      assume([await first.next(), await second.next(), await last.next()]).eql(['x', 'y', 'y'])
      assume(((await a.call('metroplex.stats')) as Statistics).counters.lookups).equals(lookups)
      if (how === 'frozen') ground.redis.resume()
      ground.sound(a, b)
      return [took]
    }
  }))
]
