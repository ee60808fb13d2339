import metroplex, { type Metroplex } from '../../index'
import { assume } from '../support/assume'
import { member } from '../support/member'
import { namespace } from '../support/namespace'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import { LEASE, SLACK } from './ground'
import { either, LAPSED, MISLED, NO_REDIS, peerEnded, UNREACHED } from './health'
import type { Row } from './row'

/** Ids that would mean something else if they were not taken as they are. */
const ODD_IDS = [
  ':',
  'a:b',
  '{',
  '}',
  '{tag}',
  '%s',
  '%',
  '*',
  '?',
  '[a]',
  ' ',
  '\n',
  'a\r\nb',
  '\0',
  '"',
  "'",
  '\\',
  '\\ud800',
  ']]',
  '--',
  '0',
  '-1',
  '1e3',
  '__proto__',
  'constructor',
  'toString',
  'servers',
  'ünïcödé',
  '日本語',
  '👩‍👩‍👧',
  'x'.repeat(10_240)
]

/** Namespaces with what Lua, globs and hash tags are written with. */
const ODD_NAMESPACES = [
  '"] return 1 --',
  ']]',
  '\') redis.call("FLUSHALL") --',
  '*',
  '[a-z]*',
  '%d+',
  'a b',
  'ü:ñ',
  '\n',
  '{}',
  '{a}{b}'
]

/** Why a metroplex without an HTTP server need not warn of its address. */
const UNCONNECTED = 'it may have been closed before it was asked'

/** How far the clock of a machine is off, in ms. */
const OFF = 600_000

export const hostile: readonly Row[] = [
  {
    id: 'F18',
    fault: 'clocks are ten minutes ahead and behind, and one jumps back and forth',
    promise: 'no effect: no `leave`, no `reap`',
    measures: [{ what: 'beats of the one that jumps, late by', unit: 'ms', atMost: LEASE / 3 + SLACK }],
    health: [],
    async provoke(ground) {
      const [right, before, behind] = [
        await ground.start(),
        await ground.start({}, { clockShift: OFF }),
        await ground.start({}, { clockShift: -OFF })
      ]
      await ground.crowd(behind, 100)
      await ground.settled(right, before, behind)
      const beats = async (): Promise<number> =>
        ((await right.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats
      let late = 0
      for (const shift of [OFF, -OFF, 24 * 3_600_000, 0]) {
        await right.run((_primus, ms: number) => {
          const { shiftClock } = globalThis as unknown as { shiftClock: (ms: number) => void }
          shiftClock(ms)
        }, shift)
        const seen = await beats()
        const began = performance.now()
        // Three beats, so that each has noticed all that there is to notice.
        await eventually(async () => (await beats()) >= seen + 3, { within: 10_000 })
        late = Math.max(late, performance.now() - began - LEASE)
      }
      await ground.settled(right, before, behind)
      ground.unharmed(right, before, behind)
      return [Math.max(0, late)]
    }
  },
  {
    id: 'F21',
    fault: 'ids and namespaces are hostile: `:` `{}` `%` `*`, newlines, Lua, unicode, 10 KB, `__proto__`, numbers',
    promise: 'stored and found unchanged, or refused with a sentence',
    measures: [{ what: 'found unchanged', unit: '%', atLeast: 100 }],
    health: [
      { warnings: either(MISLED, UNREACHED), unless: UNCONNECTED },
      { reasons: either(LAPSED, NO_REDIS), unless: UNCONNECTED }
    ],
    async provoke(ground) {
      let found = 0
      const spaces = [ground.space, ...ODD_NAMESPACES.map(odd => `${namespace()}${odd}`)]
      for (const space of spaces) {
        const [one, two] = ['http://one:1', 'http://two:1'].map(address =>
          ground.observeHere(member(ground.redis.client(), space, address))
        )
        if (one === undefined || two === undefined) throw new Error('there are two')
        await Promise.all([one.ready(), two.ready()])
        for (const id of ODD_IDS) one.connect({ id, write: () => true, end: () => undefined })
        await eventually(async () => (await two.count()) === ODD_IDS.length)
        const places = await two.sparks(ODD_IDS)
        found += places.filter(place => place === 'http://one:1').length
        assume(await two.servers(true)).eql(['http://two:1', 'http://one:1'])
        for (const id of ODD_IDS) one.disconnect({ id, write: () => true, end: () => undefined })
        await eventually(async () => (await two.count()) === 0)
        assume(await ground.client.exists(`${space}:sparks`)).equals(0)
        await one.close()
        await two.close()
      }
      for (const id of ['', null, undefined, {}, []]) {
        const one = member(ground.redis.client(), namespace(), 'http://one:1')
        assume((await rejection(one.spark(id as string))).message).matches(
          /spark id must be a string that is not empty/
        )
        await one.close()
      }
      return [(found / ODD_IDS.length / spaces.length) * 100]
    }
  },
  {
    id: 'F28',
    fault: 'servers have different intervals and leases',
    promise: 'each server is judged by its own lease; `latency >= interval` is refused with both values',
    measures: [{ what: 'the quick one gone after', unit: 'ms', atMost: 300 + (LEASE / 3) * 2 + 2 * SLACK }],
    health: [peerEnded()],
    async provoke(ground) {
      const watcher = await ground.start()
      const quick = await ground.start({ interval: 1000, latency: 900, metroplex: { lease: 300 } })
      const slow = await ground.start({ interval: 300_000, latency: 299_000, metroplex: { lease: 15_000 } })
      for (const server of [quick, slow]) await ground.crowd(server, 100)
      await ground.settled(watcher, quick, slow)
      await eventually(() => ground.existing('sweep'))
      const { counters } = (await watcher.call('metroplex.stats')) as { counters: { beats: number } }
      await eventually(
        async () =>
          ((await watcher.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats >
          counters.beats + 4
      )
      ground.unharmed(watcher, quick, slow)
      await quick.kill()
      const began = performance.now()
      await watcher.seen('leave', { within: 10_000 })
      const took = performance.now() - began
      await ground.settled(watcher, slow)
      assume(ground.told('leave', watcher).map(([address]) => address)).eql([quick.address])
      let refusal: unknown
      try {
        new metroplex({}, { redis: ground.redis.client(), interval: 2000, latency: 3000 })
      } catch (error) {
        refusal = error
      }
      assume(refusal).is.instanceOf(RangeError)
      assume((refusal as Error).message).matches(/latency 3000, interval 2000/)
      return [took]
    }
  },
  {
    id: 'F34',
    fault: 'two namespaces on one client; a `keyPrefix`; an address that is a key word, or no URL',
    promise: 'namespaces and prefixes work; the address is refused with a sentence',
    measures: [{ what: 'found in their own namespace alone', unit: '%', atLeast: 100 }],
    health: [{ warnings: either(MISLED, UNREACHED), unless: UNCONNECTED, stays: true }],
    async provoke(ground) {
      const client = ground.redis.client()
      const prefixed = ground.redis.client({ keyPrefix: 'ours:' })
      const [left, right] = [namespace(), namespace()]
      const [one, two, three] = [
        member(client, left, 'http://one:1'),
        member(client, right, 'http://two:1'),
        member(prefixed, left, 'http://three:1')
      ].map(one => ground.observeHere(one)) as [Metroplex, Metroplex, Metroplex]
      const all = [one, two, three]
      await Promise.all(all.map(server => server.ready()))
      all.forEach((server, i) => server.connect({ id: `of-${i}`, write: () => true, end: () => undefined }))
      for (const server of all) await eventually(async () => (await server.count()) === 1)
      const places = await Promise.all(all.map(server => server.sparks(['of-0', 'of-1', 'of-2'])))
      const own = places.filter((place, i) => place.every((address, at) => (at === i) === (address !== null))).length
      for (const server of all) assume(await server.servers()).eql([])
      assume(await client.exists(`ours:${left}:servers`)).equals(1)
      for (const address of ['servers', 'sparks', 'localhost:80', 'redis://x', 'http://']) {
        let refusal: unknown
        try {
          new metroplex({}, { redis: client, address })
        } catch (error) {
          refusal = error
        }
        assume(refusal).is.instanceOf(TypeError)
      }
      return [(own / all.length) * 100]
    }
  },
  {
    id: 'F37',
    fault: 'the secret is lost while a new server starts',
    promise: 'the secret returns unchanged, and the new server adopts it',
    measures: [{ what: 'back after', unit: 'ms', atMost: LEASE / 3 + SLACK }],
    health: [peerEnded()],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const secret = await ground.client.get(ground.key('secret'))
      assume((secret ?? '').length).is.above(40)
      const began = performance.now()
      const starting = ground.start()
      await ground.client.del(ground.key('secret'))
      await eventually(async () => (await ground.client.get(ground.key('secret'))) === secret, { every: 5 })
      const took = performance.now() - began
      const c = await starting
      assume(await ground.client.get(ground.key('secret'))).equals(secret)
      // Only the new one is left to bring it back.
      await a.stop()
      await b.stop()
      await ground.client.del(ground.key('secret'))
      await eventually(async () => (await ground.client.get(ground.key('secret'))) === secret)
      ground.sound(a, b, c)
      return [took]
    }
  }
]
