import { assume } from '../support/assume'
import { eventually } from '../support/wait'
import type { Statistics, UserPresence } from '../../index'
import { LEASE, NOTICED, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, REPAIRED, SLOW, UNNOTICED, UNREACHED, either, peerEnded } from './health'
import type { Row } from './row'
import type { ServerProcess } from '../support/server'

/** The `timeout` of the servers of a ground, which is also the turn of a teller, and twice that, in ms. */
const [TURN, PATIENCE] = [1000, 2000]

/** Longer than any row takes, in ms. */
const LONG = 600_000

/** The part of the plugin that runs in a server's process. */
interface Watching {
  readonly address: string
  readonly redis: { rpush(key: string, value: string): Promise<unknown> }
  watch(handlers: Record<string, (name: string, details: { at: number; since?: number }) => unknown>): () => void
  identify(id: string, user: string | null): Promise<void>
}

/** What a handler was told: the user, the number of the event, and the server that told it. */
interface Telling {
  readonly event: string
  readonly name: string
  readonly at: number
  readonly since?: number
  readonly by: string
}

/** Watch in the process of a server. Handlers note what they are told in Redis, before they settle, throw or hang. */
async function watch(ground: Ground, server: ServerProcess, how: 'settle' | 'throw' | 'hang'): Promise<void> {
  await server.run(
    (primus, key: string, how: string) => {
      const metroplex = primus.metroplex as unknown as Watching
      const handler = (event: string) => async (name: string, details: object) => {
        await metroplex.redis.rpush(key, JSON.stringify({ event, name, ...details, by: metroplex.address }))
        if (how === 'throw') throw new Error('No.')
        if (how === 'hang') await new Promise(() => undefined)
      }
      metroplex.watch({ online: handler('online'), offline: handler('offline') })
    },
    `${ground.space}-told`,
    how
  )
}

/** All that was told so far. */
async function told(ground: Ground): Promise<Telling[]> {
  return (await ground.client.lrange(`${ground.space}-told`, 0, -1)).map(text => JSON.parse(text) as Telling)
}

/** What was told, each event once, however often. */
async function events(ground: Ground): Promise<Telling[]> {
  return [...new Map((await told(ground)).map(one => [`${one.at} ${one.event} ${one.name}`, one])).values()]
}

/** The users that were told to have this event, each as often as it was. */
async function users(ground: Ground, event: string): Promise<string[]> {
  return (await told(ground)).filter(one => one.event === event).map(({ name }) => name)
}

/** Name the users of sparks of a server. Resolves when the registry has them, or the server has noted them. */
async function name(server: ServerProcess, ids: readonly string[], of: readonly string[]): Promise<void> {
  await server.run(
    async (primus, ids: readonly string[], of: readonly string[]) => {
      const metroplex = primus.metroplex as unknown as Watching
      const naming = ids.map((id, i) => metroplex.identify(id, of[i] ?? ''))
      for (const one of await Promise.allSettled(naming)) {
        // What Redis does not confirm in time is written later.
        if (one.status === 'rejected' && (one.reason as { code?: string }).code !== 'EREGISTRY') throw one.reason
      }
    },
    ids,
    of
  )
}

/** Sparks of as many users on a server. @returns the users */
async function people(ground: Ground, server: ServerProcess, count: number, prefix: string): Promise<string[]> {
  const ids = await ground.crowd(server, count, prefix)
  const of = ids.map(id => `user of ${id}`)
  await name(server, ids, of)
  return of
}

/** Until nothing is left to tell. */
async function silent(ground: Ground, within = 10_000): Promise<void> {
  await eventually(
    async () => {
      const left = await Promise.all(ground.keys('leaving').map(key => ground.client.zrange(key, '0', '-1')))
      // What is kept for servers that are late after a loss is nothing to tell.
      const waiting = left.flat().filter(name => !name.startsWith('!'))
      return waiting.length === 0 && (await ground.existing('untold')) === 0
    },
    { within, every: 20 }
  )
}

async function states(server: ServerProcess, of: readonly string[]): Promise<Set<string>> {
  return new Set(((await server.call('metroplex.present', of)) as UserPresence[]).map(({ state }) => state))
}

const since = (began: number): number => performance.now() - began

/** Until this is so. @returns the ms since `began` */
async function until(began: number, check: () => Promise<boolean>, within = 20_000): Promise<number> {
  await eventually(check, { within, every: 20 })
  return since(began)
}

export const presenceFaults: readonly Row[] = [
  {
    id: 'P1',
    fault: 'a process is killed while its handler of `watch` runs',
    promise: 'the event is told again by another one, with the same number, within twice `timeout` and two turns',
    measures: [{ what: 'told again after', unit: 'ms', atMost: PATIENCE + 2 * TURN + SLACK }],
    health: [peerEnded()],
    async provoke(ground) {
      const metroplex = { grace: LONG }
      const [holder, victim, other] = [
        await ground.start({ metroplex }),
        await ground.start({ metroplex }),
        await ground.start({ metroplex })
      ]
      await watch(ground, victim, 'hang')
      await people(ground, holder, 1, 'one')
      await eventually(async () => (await told(ground)).length === 1)
      await victim.kill()
      const began = performance.now()
      await watch(ground, other, 'settle')
      const took = await until(began, async () => (await told(ground)).length === 2)
      const [first, second] = await told(ground)
      assume([second?.event, second?.name, second?.at]).eql([first?.event, first?.name, first?.at])
      assume([first?.by, second?.by]).eql([victim.address, other.address])
      await silent(ground)
      assume((await events(ground)).length).equals(1)
      ground.sound(holder, other)
      return [took]
    }
  },
  ...(['throw', 'hang'] as const).map((how): Row => ({
    id: 'P2',
    fault: how === 'throw' ? 'the handlers of one process throw' : 'the handlers of one process never settle',
    promise: 'what they were told is told to another process, with the same number, and nothing is left untold',
    measures: [{ what: 'told again after', unit: 'ms', atMost: PATIENCE + 3 * TURN + SLACK }],
    health: [],
    async provoke(ground) {
      const metroplex = { grace: LONG }
      const [bad, good] = [await ground.start({ metroplex }), await ground.start({ metroplex })]
      await watch(ground, bad, how)
      const count = ground.long ? 100 : 20
      const began = performance.now()
      const of = await people(ground, bad, count, 'bad')
      await watch(ground, good, 'settle')
      const settled = async (): Promise<Telling[]> => (await told(ground)).filter(({ by }) => by === good.address)
      const took = await until(began, async () => new Set((await settled()).map(one => one.name)).size === count)
      await silent(ground)
      const at = new Map((await told(ground)).map(one => [one.name, one.at]))
      assume([...at.keys()].sort()).eql([...of].sort())
      for (const one of await told(ground)) assume(one.at).equals(at.get(one.name))
      ground.sound(bad, good)
      return [took]
    }
  })),
  {
    id: 'P3',
    fault: 'all clients reconnect to another server within the grace',
    promise: 'no `offline`, and no `online` but the first of each user',
    measures: [
      { what: 'told', unit: 'messages', atMost: 0 },
      { what: 'reconnects', unit: 'sparks/s', atLeast: 500, long: true }
    ],
    health: [],
    async provoke(ground) {
      const metroplex = { grace: ground.long ? 10_000 : LONG, timeout: 5000, lease: 10_000 }
      const [a, b] = [await ground.start({ metroplex }), await ground.start({ metroplex })]
      for (const server of [a, b]) await watch(ground, server, 'settle')
      const count = ground.long ? 10_000 : 1000
      const of = await people(ground, a, count, 'first')
      await eventually(async () => (await events(ground)).length === count, { within: 20_000, every: 50 })
      await silent(ground)
      const began = performance.now()
      const slice = count / 20
      for (let from = 0; from < count; from += slice) {
        const gone = Array.from({ length: slice }, (_, i) => `first-${from + i}`)
        await ground.disperse(a, gone)
        const back = await ground.crowd(b, slice, `second-${from}`)
        await name(b, back, of.slice(from, from + slice))
      }
      const rate = count / (since(began) / 1000)
      await silent(ground)
      assume(await states(a, of)).eql(new Set(['online']))
      assume([...new Set(await users(ground, 'online'))].sort()).eql([...of].sort())
      ground.unharmed(a, b)
      return [(await events(ground)).length - count, rate]
    }
  },
  {
    id: 'P4',
    fault: 'a server that has users and tells is killed',
    promise:
      'all its users are told offline by another process after L + 2L/3, the grace and two turns; others are not',
    measures: [{ what: 'all told after', unit: 'ms', atMost: NOTICED + 500 + 2 * TURN + SLACK }],
    health: [peerEnded()],
    async provoke(ground) {
      const metroplex = { grace: 500 }
      const [victim, other] = [await ground.start({ metroplex }), await ground.start({ metroplex })]
      await watch(ground, victim, 'settle')
      const count = ground.long ? 5000 : 500
      const [go, stay] = [await people(ground, victim, count, 'go'), await people(ground, other, 50, 'stay')]
      await watch(ground, other, 'settle')
      await eventually(async () => new Set(await users(ground, 'online')).size === count + 50, { within: 20_000 })
      await eventually(() => ground.existing('sweep'), { within: 10_000 })
      await victim.kill()
      const began = performance.now()
      const took = await until(began, async () => new Set(await users(ground, 'offline')).size === count, 30_000)
      await silent(ground)
      assume([...new Set(await users(ground, 'offline'))].sort()).eql([...go].sort())
      assume(await states(other, go)).eql(new Set(['offline']))
      assume(await states(other, stay)).eql(new Set(['online']))
      ground.sound(other)
      return [took]
    }
  },
  {
    id: 'P5',
    fault: 'the clocks of two servers are twenty minutes apart',
    promise: 'presence is the same: the clock of Redis alone counts',
    measures: [{ what: 'told offline after', unit: 'ms', atMost: 500 + 2 * TURN + SLACK }],
    health: [],
    async provoke(ground) {
      const metroplex = { grace: 500, lease: 10_000 }
      const ahead = await ground.start({ metroplex }, { clockShift: 600_000 })
      const behind = await ground.start({ metroplex }, { clockShift: -600_000 })
      for (const server of [ahead, behind]) await watch(ground, server, 'settle')
      const of = [...(await people(ground, ahead, 10, 'ahead')), ...(await people(ground, behind, 10, 'behind'))]
      await eventually(async () => (await users(ground, 'online')).length === of.length)
      const [seconds = 0] = await ground.client.time()
      const began = performance.now()
      for (const [server, prefix] of [
        [ahead, 'ahead'],
        [behind, 'behind']
      ] as const)
        await ground.disperse(
          server,
          Array.from({ length: 10 }, (_, i) => `${prefix}-${i}`)
        )
      const took = await until(began, async () => new Set(await users(ground, 'offline')).size === of.length)
      for (const one of await told(ground)) {
        if (one.event === 'offline') assume(one.since).within(seconds * 1000 - 1000, seconds * 1000 + 120_000)
      }
      const ats = new Map<string, number[]>()
      for (const one of await events(ground)) ats.set(one.name, [...(ats.get(one.name) ?? []), one.at])
      for (const [first = 0, last = 0] of ats.values()) assume(first).is.below(last)
      ground.unharmed(ahead, behind)
      return [took]
    }
  },
  {
    id: 'P6',
    fault: 'Redis is flushed while users are there, and others have just left',
    promise: 'nothing is told of users who were there before and are still; all who left are told offline',
    measures: [
      { what: 'told of others', unit: 'messages', atMost: 0 },
      { what: 'all told after', unit: 'ms', atMost: LEASE + 1000 + 2 * TURN + PATIENCE + SLACK }
    ],
    health: [{ reasons: either(LAPSED, REPAIRED) }],
    async provoke(ground) {
      // Long enough that no server seems to be dead while it writes and tells all of this.
      const lease = 3 * LEASE
      const metroplex = { grace: 1000, lease }
      const [a, b] = [await ground.start({ metroplex }), await ground.start({ metroplex })]
      for (const server of [a, b]) await watch(ground, server, 'settle')
      const count = ground.long ? 5000 : 500
      const stay = [...(await people(ground, a, count, 'a')), ...(await people(ground, b, count, 'b'))]
      const go = await people(ground, b, 50, 'go')
      await eventually(async () => new Set(await users(ground, 'online')).size === stay.length + go.length, {
        within: 20_000
      })
      await silent(ground)
      const beats = async (server: ServerProcess): Promise<number> =>
        ((await server.call('metroplex.stats')) as Statistics).counters.beats
      // What was written within two patiences before a loss may be told again.
      const old = Math.ceil((2 * PATIENCE) / (lease / 3)) + 3
      for (const server of [a, b]) {
        const before = await beats(server)
        await eventually(async () => (await beats(server)) >= before + old, { within: 20_000, every: 50 })
      }
      await ground.disperse(
        b,
        go.map(user => user.replace('user of ', ''))
      )
      await eventually(
        async () => (await ground.client.exists(...go.map(user => ground.key(`user:${user}`, user)))) === 0
      )
      await ground.client.flushall()
      const began = performance.now()
      const took = await until(began, async () => new Set(await users(ground, 'offline')).size === go.length)
      await silent(ground)
      await ground.settled(a, b)
      const [newcomer = ''] = await people(ground, a, 1, 'newcomer')
      await eventually(async () => (await users(ground, 'online')).includes(newcomer))
      assume([...new Set(await users(ground, 'offline'))].sort()).eql([...go].sort())
      assume(await states(a, stay)).eql(new Set(['online']))
      ground.unharmed(a, b)
      const others = (await told(ground)).filter(one => one.name !== newcomer && !go.includes(one.name))
      return [others.length, took]
    }
  },
  ...([LONG, 200] as const).map((grace): Row => ({
    id: 'P7',
    fault:
      'a server with users is paused until it is declared dead, and runs again ' +
      `${grace === LONG ? 'within' : 'after'} the grace`,
    promise:
      grace === LONG
        ? 'nothing is told: its users are leaving meanwhile, and online again'
        : 'its users are told offline, and online when it runs again, with greater numbers',
    measures: [{ what: 'online again after', unit: 'ms', atMost: LEASE / 3 + 2000 + PATIENCE }],
    health: [
      { reasons: either(LAPSED, REPAIRED), unless: BRIEF },
      { warnings: either(UNREACHED, SLOW), unless: UNNOTICED }
    ],
    async provoke(ground) {
      const metroplex = { grace }
      const [a, still] = [await ground.start({ metroplex }), await ground.start({ metroplex })]
      await watch(ground, a, 'settle')
      const count = ground.long ? 2000 : 200
      const of = await people(ground, still, count, 'still')
      await eventually(async () => new Set(await users(ground, 'online')).size === count)
      await silent(ground)
      await eventually(() => ground.existing('sweep'), { within: 10_000 })
      still.pause()
      await a.seen('leave', { filter: address => address === still.address, within: 10_000 })
      if (grace === LONG) {
        await eventually(async () => (await ground.existing(`${still.address}:users`)) === 0, { within: 10_000 })
        assume(await states(a, of)).eql(new Set(['leaving']))
      } else {
        await eventually(async () => new Set(await users(ground, 'offline')).size === count, { within: 10_000 })
      }
      still.resume()
      const began = performance.now()
      const took = await until(began, async () => {
        const back = grace === LONG || (await events(ground)).length >= 3 * count
        return back && [...(await states(a, of))].join() === 'online'
      })
      await silent(ground)
      const all = await events(ground)
      assume(all.length).equals(grace === LONG ? count : 3 * count)
      for (const user of of) {
        const ats = all.filter(one => one.name === user).map(({ at }) => at)
        assume([...ats].sort((x, y) => x - y)).eql(ats)
      }
      ground.sound(a, still)
      return [took]
    }
  }))
]
