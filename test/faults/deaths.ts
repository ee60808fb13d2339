import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { eventually } from '../support/wait'
import type { Result } from '../../index'
import { LEASE, NOTICED, SLACK, Witness, type Ground } from './ground'
import { BRIEF, LAPSED, REPAIRED, SLOW, UNNOTICED, UNREACHED, either, peerEnded } from './health'
import type { Row } from './row'
import type { ServerProcess } from '../support/server'

/** How long until a server that is given up is in no answer of the others, in ms. */
async function until(condition: () => Promise<boolean>, every = 5): Promise<number> {
  const began = performance.now()
  await eventually(condition, { within: 60_000, every })
  return performance.now() - began
}

const listed = async (server: ServerProcess): Promise<string[]> =>
  (await server.call('metroplex.servers', true)) as string[]

/** Until each of these has beaten for a lease without a break, and may look after the dead. */
async function experienced(ground: Ground, ...servers: ServerProcess[]): Promise<void> {
  await eventually(() => ground.existing('sweep'), { within: 10_000 })
  for (const server of servers)
    await eventually(
      async () => ((await server.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats > 3
    )
}

/** Fill in what a server that died would leave: so many sparks, and neither lease nor alive key. */
async function leave(ground: Ground, address: string, count: number): Promise<void> {
  const { client } = ground
  for (let i = 0; i < count; i += 5000) {
    const batch = Array.from({ length: Math.min(5000, count - i) }, (_, j) => `mfg3k2l1-${i + j}-x7Qp2`)
    await Promise.all(
      ground
        .spread(batch)
        .filter(({ ids }) => ids.length > 0)
        .flatMap(({ name, ids }) => [
          client.hset(name('sparks'), ...ids.flatMap(id => [id, address])),
          client.sadd(name(`${address}:sparks`), ...ids)
        ])
    )
  }
  for (const { name } of ground.spread([])) {
    await client.hset(name(`${address}:life`), { id: 'its-life', state: 'up', seq: 1, stamp: 1 })
    await client.sadd(name('lives'), address)
    await client.sadd(name('servers'), address)
  }
}

export const deaths: readonly Row[] = [
  {
    id: 'F1',
    fault: 'a server is killed',
    promise:
      'in no answer after L + 2L/3; each survivor emits `leave` once, one of them `reap` with every id; a message ' +
      'to it fails by name at once',
    measures: [
      { what: 'gone after', unit: 'ms', atMost: NOTICED + SLACK },
      { what: 'a message failed after', unit: 'ms', atMost: 250 }
    ],
    health: [{ by: [0], warnings: UNREACHED }, peerEnded([1])],
    async provoke(ground) {
      const [a, b, victim] = [await ground.start(), await ground.start(), await ground.start()]
      const ids = [...(await ground.crowd(victim, 2000)), (await openClient(victim.url)).id]
      const own = await openClient(a.url)
      await ground.settled(a, b, victim)
      await experienced(ground, a, b)
      const [life, address, [id = '']] = [await victim.call('metroplex.id'), victim.address, ids.slice(-1)]
      await victim.kill()
      const began = performance.now()
      const { ok, send, failed } = (await a.call('forward.spark', id, 'x')) as Result
      const failing = performance.now() - began
      assume({ ok, send, failed: failed?.map(({ code, maybe, sparks }) => ({ code, maybe, sparks })) }).eql({
        ok: false,
        send: 0,
        failed: [{ code: 'EUNREACHABLE', maybe: false, sparks: [id] }]
      })
      const gone = await until(async () => {
        const answers = await Promise.all(
          [a, b].map(async server => [await listed(server), await server.call('metroplex.sparks', [id, own.id])])
        )
        return answers.every(
          ([servers, places]) => !(servers as string[]).includes(address) && (places as unknown[])[0] === null
        )
      })
      await ground.settled(a, b)
      for (const survivor of [a, b]) assume(ground.told('leave', survivor)).eql([[address, 'expired', life]])
      assume(ground.reaped(address, a, b).sort()).eql([...ids].sort())
      ground.sound(a, b)
      return [gone, failing]
    }
  },
  {
    id: 'F2',
    fault: 'a server is paused for longer than its lease: SIGSTOP, or a blocked event loop',
    promise: 'when it runs again it registers as another life with all its sparks, within a beat and the time to heal',
    measures: [{ what: 'right after', unit: 'ms', atMost: LEASE / 3 + 2000 }],
    health: [
      { reasons: either(LAPSED, REPAIRED), unless: BRIEF },
      { warnings: either(UNREACHED, SLOW), unless: UNNOTICED }
    ],
    async provoke(ground) {
      const [a, still, busy] = [await ground.start(), await ground.start(), await ground.start()]
      for (const server of [still, busy]) await ground.crowd(server, 2000)
      await ground.settled(a, still, busy)
      await experienced(ground, a)
      still.pause()
      // Answers when it breathes again; it is blocked until the others have noticed, so that nothing is timed by
      // sleeping.
      const blocked = busy.run((_primus, ms: number) => {
        const end = performance.now() + ms
        while (performance.now() < end);
      }, 3 * LEASE)
      await a.seen('leave', { filter: address => address === still.address, within: 10_000 })
      await a.seen('leave', { filter: address => address === busy.address, within: 10_000 })
      await blocked
      const resumed = performance.now()
      still.resume()
      await ground.settled(a, still, busy)
      const right = performance.now() - resumed
      for (const server of [still, busy]) {
        await server.seen('heal')
        const told = (event: string): number =>
          ground.told(event, a).filter(([address]) => address === server.address).length
        // The registry is right before a has looked at it again.
        await eventually(() => told('join') >= 2, { within: 3 * LEASE })
        assume([told('leave'), told('join')]).eql([1, 2])
      }
      ground.sound(a, still, busy)
      return [right]
    }
  },
  {
    id: 'F17',
    fault: 'a server with 1,000,000 sparks dies',
    promise:
      'all are reaped, at least 200,000 a second, by scripts of at most 10 ms; a ping to Redis takes at most 10 ms ' +
      'longer',
    measures: [
      { what: 'sparks a second', unit: 'sparks/s', atLeast: 200_000, long: true },
      { what: 'longest script', unit: 'ms', atMost: 10, long: true },
      { what: 'a ping longer than without by', unit: 'ms', atMost: 10, long: true }
    ],
    health: [peerEnded()],
    runs: 2,
    async provoke(ground) {
      const count = ground.long ? 1_000_000 : 50_000
      const address = 'http://10.0.0.9:8080'
      await leave(ground, address, count)
      const witness = await Witness.start(ground.redis)
      await ground.slowest()
      await witness.watch()
      const reaper = await ground.start({}, { mute: ['reap'] })
      await reaper.run(primus => {
        const counts = { named: 0, ids: new Set<string>() }
        Object.assign(globalThis, { counts })
        primus.metroplex.on('reap', (...args: unknown[]) => {
          const [, ids] = args as [string, string[]]
          counts.named += ids.length
          for (const id of ids) counts.ids.add(id)
        })
      })
      // As long as the reaping will take, or longer: a lease, before the first sweep.
      const quiet = await witness.longest()
      await witness.watch()
      await reaper.seen('leave', { within: 10_000 })
      // Not so often that asking would slow it down.
      const took = await until(async () => (await ground.existing(`${address}:sparks`)) === 0, 50)
      const delay = Math.max(0, (await witness.longest()) - quiet)
      assume(await ground.size()).equals(0)
      const named = await reaper.run(() => {
        const { counts } = globalThis as unknown as { counts: { named: number; ids: Set<string> } }
        return [counts.named, counts.ids.size]
      })
      assume(named).eql([count, count])
      ground.sound(reaper)
      return [(count / took) * 1000, await ground.slowest(), delay]
    }
  },
  {
    id: 'F36',
    fault: 'the server that reaps is killed half-way',
    promise: 'another server continues; each id is reported',
    measures: [{ what: 'all reaped after', unit: 'ms', atMost: 15_000 }],
    health: [peerEnded([1])],
    async provoke(ground) {
      const address = 'http://10.0.0.9:8080'
      const count = 100_000
      await leave(ground, address, count)
      const first = await ground.start()
      await first.seen('reap', { within: 15_000 })
      await first.kill()
      const began = performance.now()
      const told = ground.reaped(address, first).length
      assume(told).is.below(count)
      const second = await ground.start()
      await eventually(async () => (await ground.existing(`${address}:sparks`)) === 0, { within: 30_000 })
      const took = performance.now() - began
      await ground.settled(second)
      await eventually(() => new Set(ground.reaped(address, first, second)).size === count)
      ground.sound(second)
      return [took]
    }
  }
]
