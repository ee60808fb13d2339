import { pushTo } from '../../lib/common/multimap'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { startProxy } from '../support/proxy'
import { eventually } from '../support/wait'
import type { GroupPlace, Result } from '../../index'
import { LEASE, NOTICED, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, NO_REDIS, REPAIRED, SLOW, UNNOTICED, UNREACHED, either, peerEnded } from './health'
import type { Row } from './row'
import type { PrimusUnderTest } from '../support/primus-types'
import type { ServerProcess } from '../support/server'

/** For servers that are kept busy, on a machine that may be: they beat and answer later than usual, and yet in time. */
const PATIENT = { metroplex: { lease: 10 * LEASE, timeout: 10 * LEASE } }

/** The part of the plugin that runs in a server's process. */
interface Grouping {
  join(ids: string | readonly string[], groups: readonly string[]): Promise<unknown>
  leave(ids: string | readonly string[], groups?: readonly string[]): Promise<unknown>
}

/** In which groups the spark at this place is: three of so many. */
function groupsOf(nth: number, groups: number): string[] {
  return [0, 1, 2].map(i => `g${(nth * 3 + i) % groups}`)
}

/** Let sparks of a server enter three of so many groups each, a multiple of 3. Resolves when the registry has them. */
async function spread(server: ServerProcess, ids: readonly string[], groups: number): Promise<void> {
  const crowds = new Map<string, string[]>()
  ids.forEach((id, nth) => {
    pushTo(crowds, groupsOf(nth, groups).join(), id)
  })
  await server.run(
    async (primus, entries: readonly [string, string[]][]) => {
      const ours = primus.metroplex as unknown as Grouping
      const entering = entries.map(([names, some]) => ours.join(some, names.split(',')))
      for (const one of await Promise.allSettled(entering)) {
        // What Redis does not confirm in time is written later.
        if (one.status === 'rejected' && (one.reason as { code?: string }).code !== 'EREGISTRY') throw one.reason
      }
    },
    [...crowds]
  )
}

/** How many sparks of each group these servers have, by name, and on which servers. */
async function found(asked: ServerProcess, groups: readonly string[]): Promise<GroupPlace[]> {
  return (await asked.call('metroplex.groups', groups)) as GroupPlace[]
}

/** How many times `change` enters or leaves at a time. Even, so that it ends outside of the group. */
const PART = 500

/** Let a spark of this server enter and leave the group `hot` in turn. It travels as source. */
const change = async (primus: PrimusUnderTest, times: number): Promise<void> => {
  const ours = primus.metroplex as unknown as Grouping
  const id = `of ${primus.metroplex.address}`
  for (let i = 0; i < times; i++) {
    const done = i % 2 === 0 ? ours.join(id, ['hot']) : ours.leave(id, ['hot'])
    // What is not written resolves at once, which would keep the process from everything else.
    if (i % 10 === 0) await Promise.all([done, new Promise(resolve => setImmediate(resolve))])
  }
}

/** Until the groups of these sparks are exactly as they should be, as one of the servers sees them. */
async function right(
  asked: ServerProcess,
  crowds: ReadonlyMap<ServerProcess, readonly string[]>,
  groups: number
): Promise<void> {
  const names = Array.from({ length: groups }, (_, i) => `g${i}`)
  const sparks = new Map(names.map(name => [name, 0]))
  const servers = new Map(names.map(name => [name, new Set<string>()]))
  for (const [server, ids] of crowds) {
    ids.forEach((_, nth) => {
      for (const name of groupsOf(nth, groups)) {
        sparks.set(name, (sparks.get(name) ?? 0) + 1)
        servers.get(name)?.add(server.address)
      }
    })
  }
  await eventually(
    async () => {
      for (const place of await found(asked, names)) {
        assume(place.sparks).equals(sparks.get(place.group))
        assume([...place.servers].sort()).eql([...(servers.get(place.group) ?? [])].sort())
      }
      return true
    },
    { within: 20_000, every: 20, what: 'groups that are as they should be' }
  )
}

/** The keys of groups that name this address, in all registries. */
async function left(ground: Ground, address: string, groups: number): Promise<number> {
  const names = Array.from({ length: groups }, (_, i) => `g${i}`)
  const fields = await Promise.all(names.map(name => ground.client.hexists(ground.key(`group:${name}`, name), address)))
  return fields.filter(Boolean).length + (await ground.existing(`${address}:groups`))
}

const since = (began: number): number => performance.now() - began

export const groupFaults: readonly Row[] = [
  {
    id: 'G1',
    fault: 'a server dies whose sparks are in many groups',
    promise:
      'in no answer about a group after L + 2L/3; 3 s later nothing of it is left, by scripts of at most 10 ms; ' +
      'the groups of others are untouched',
    measures: [
      { what: 'in no answer after', unit: 'ms', atMost: NOTICED + SLACK },
      { what: 'nothing left after', unit: 'ms', atMost: NOTICED + SLACK + 3000 },
      { what: 'longest script', unit: 'ms', atMost: 10, long: true }
    ],
    health: [peerEnded()],
    async provoke(ground) {
      const [a, b, victim] = [await ground.start(), await ground.start(), await ground.start()]
      const groups = ground.long ? 999 : 198
      const [stay, go] = [await ground.crowd(a, 2000), await ground.crowd(victim, ground.long ? 30_000 : 5000)]
      await spread(a, stay, groups)
      await spread(victim, go, groups)
      await right(
        b,
        new Map([
          [a, stay],
          [victim, go]
        ]),
        groups
      )
      await eventually(() => ground.existing('sweep'), { within: 10_000 })
      await ground.slowest()
      await victim.kill()
      const began = performance.now()
      const names = Array.from({ length: groups }, (_, i) => `g${i}`)
      const { address } = victim
      await eventually(async () => (await found(b, names)).every(({ servers }) => !servers.includes(address)), {
        within: 20_000,
        every: 20
      })
      const gone = since(began)
      await eventually(async () => (await left(ground, address, groups)) === 0, { within: 30_000, every: 200 })
      const clean = since(began)
      await right(b, new Map([[a, stay]]), groups)
      ground.sound(a, b)
      return [gone, clean, await ground.slowest()]
    }
  },
  {
    id: 'G2',
    fault: 'Redis is flushed while sparks enter groups',
    promise: 'all groups are right again within a beat and 3 s; no `leave`, no `reap`',
    measures: [{ what: 'right after', unit: 'ms', atMost: LEASE / 3 + 3000 + SLACK }],
    health: [{ reasons: either(LAPSED, REPAIRED) }],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const groups = 300
      const each = ground.long ? 20_000 : 3000
      const [ofA, ofB] = [await ground.crowd(a, each), await ground.crowd(b, each)]
      await ground.settled(a, b)
      await spread(b, ofB, groups)
      const entering = spread(a, ofA, groups)
      await ground.client.flushall()
      const began = performance.now()
      await entering
      await right(
        b,
        new Map([
          [a, ofA],
          [b, ofB]
        ]),
        groups
      )
      const took = since(began)
      await ground.settled(a, b)
      ground.unharmed(a, b)
      return [took]
    }
  },
  {
    id: 'G3',
    fault: 'Redis is paused for longer than the lease while messages go to a group',
    promise: 'each message reaches all sparks in the group, on all servers, within the deadline',
    measures: [
      { what: 'longest', unit: 'ms', atMost: 1000 + SLACK },
      { what: 'lost', unit: 'messages', atMost: 0 }
    ],
    health: [{ reasons: NO_REDIS }, { reasons: either(LAPSED, REPAIRED), unless: BRIEF }],
    async provoke(ground) {
      const servers = [await ground.start(), await ground.start(), await ground.start()]
      const clients = await Promise.all(servers.map(server => openClient(server.url)))
      const [a] = servers as [ServerProcess]
      await ground.settled(...servers)
      await a.call(
        'metroplex.join',
        clients.map(({ id }) => id),
        'room'
      )
      ground.redis.pause()
      const began = performance.now()
      let [longest, sent] = [0, 0]
      while (since(began) < 2 * LEASE) {
        const asked = performance.now()
        const result = (await a.call('forward.group', 'room', sent++)) as Result
        longest = Math.max(longest, since(asked))
        assume(result).eql({ ok: true, send: 3 })
      }
      ground.redis.resume()
      const lost = clients.reduce((sum, { messages }) => sum + sent - messages.length, 0)
      for (const { messages } of clients) assume(messages).eql(Array.from({ length: sent }, (_, i) => i))
      ground.sound(...servers)
      return [longest, lost]
    }
  },
  {
    id: 'G4',
    fault: 'answers of Redis are lost while sparks enter and leave groups',
    promise: 'the registry is right soon after: no number is off, no group is left over',
    measures: [{ what: 'right after', unit: 'ms', atMost: 5000 }],
    health: [
      { by: [0], reasons: either(NO_REDIS, REPAIRED) },
      { by: [0], reasons: LAPSED, unless: BRIEF }
    ],
    async provoke(ground) {
      const proxy = await startProxy({ port: ground.redis.port })
      const a = await ground.start({}, { redis: { host: '127.0.0.1', port: proxy.port, namespace: ground.space } })
      const b = await ground.start()
      const ids = await ground.crowd(a, 300)
      const groups = 99
      await ground.settled(a, b)
      for (let round = 0; round < (ground.long ? 20 : 4); round++) {
        proxy.dropNextReply({ cut: round % 2 === 0 })
        await a.run((primus, some: readonly string[]) => {
          const ours = primus.metroplex as unknown as Grouping
          some.forEach((id, i) => {
            // What is not confirmed in time is written later.
            ours.join(id, [`g${i % 99}`]).catch(() => undefined)
            if (i % 3 === 0) ours.leave(id, [`g${i % 99}`]).catch(() => undefined)
          })
        }, ids)
        await eventually(async () => ((await a.call('metroplex.stats')) as { state: string }).state === 'ready', {
          within: 15_000
        })
      }
      const began = performance.now()
      await a.run((primus, some: readonly string[]) => {
        const ours = primus.metroplex as unknown as Grouping
        ours.leave(some).catch(() => undefined)
      }, ids)
      await spread(a, ids, groups)
      await right(b, new Map([[a, ids]]), groups)
      const took = since(began)
      ground.sound(a, b)
      return [took]
    }
  },
  {
    id: 'G5',
    fault: 'a server whose sparks are in groups is paused for longer than its lease',
    promise: 'it is in no answer meanwhile; when it runs again, its groups are back within a beat and the time to heal',
    measures: [{ what: 'right after', unit: 'ms', atMost: LEASE / 3 + 2000 }],
    health: [
      { reasons: either(LAPSED, REPAIRED), unless: BRIEF },
      { warnings: either(UNREACHED, SLOW), unless: UNNOTICED }
    ],
    async provoke(ground) {
      const [a, still] = [await ground.start(), await ground.start()]
      const ids = await ground.crowd(still, 2000)
      const groups = 99
      await spread(still, ids, groups)
      await right(a, new Map([[still, ids]]), groups)
      await eventually(() => ground.existing('sweep'), { within: 10_000 })
      still.pause()
      await a.seen('leave', { filter: address => address === still.address, within: 10_000 })
      await right(a, new Map(), groups)
      await eventually(async () => (await left(ground, still.address, groups)) === 0, { within: 10_000 })
      still.resume()
      const began = performance.now()
      await right(a, new Map([[still, ids]]), groups)
      const took = since(began)
      ground.sound(a, still)
      return [took]
    }
  },
  {
    id: 'G6',
    fault: 'two servers enter and leave one group all the time',
    promise: 'messages to it never fail, and in the end the group is exactly what both say',
    measures: [{ what: 'changes', unit: 'messages/s', atLeast: 100, long: true }],
    health: [],
    async provoke(ground) {
      const servers = [await ground.start(PATIENT), await ground.start(PATIENT)] as const
      const [a, b] = servers
      const witness = await openClient(a.url)
      await ground.settled(a, b)
      await a.call('metroplex.join', witness.id, 'hot')
      const changes = ground.long ? 50_000 : 2000
      const began = performance.now()
      const changing = servers.map(async server => {
        await server.run(primus => {
          const id = `of ${primus.metroplex.address}`
          primus.metroplex.connect({ id, write: () => true, end: () => undefined })
        })
        // In parts, because the answer to one order is not waited for as long as all of this may take.
        for (let done = 0; done < changes; done += PART) await server.run(change, PART)
        await server.run(primus =>
          (primus.metroplex as unknown as Grouping).join(`of ${primus.metroplex.address}`, ['hot'])
        )
      })
      const over = Promise.all(changing)
      let [going, sent] = [true, 0]
      over
        .finally(() => {
          going = false
        })
        .catch(() => undefined)
      while (going) {
        const { failed, missing } = (await b.call('forward.group', 'hot', sent++)) as Result
        assume([failed, missing]).eql([undefined, undefined])
      }
      await over
      const rate = (2 * changes) / (since(began) / 1000)
      await eventually(async () => (await found(a, ['hot']))[0]?.sparks === 3)
      await eventually(
        async () => {
          const hash = await ground.client.hgetall(ground.key('group:hot', 'hot'))
          assume(hash).eql({ [a.address]: '2', [b.address]: '1' })
          return true
        },
        { within: 10 * LEASE }
      )
      await eventually(() => witness.messages.length === sent)
      assume(witness.messages).eql(Array.from({ length: sent }, (_, i) => i))
      ground.unharmed(a, b)
      return [rate]
    }
  },
  {
    id: 'G7',
    fault: 'all servers are restarted one after the other under messages to a group',
    promise: 'no message is lost by a client that stays connected, and no group keeps a server that has left',
    measures: [{ what: 'lost', unit: 'messages', atMost: 0 }],
    health: [peerEnded()],
    async provoke(ground) {
      const sender = await ground.start(PATIENT)
      const count = ground.long ? 100 : 20
      const stay = await Promise.all(Array.from({ length: count }, () => openClient(sender.url)))
      await sender.call(
        'metroplex.join',
        stay.map(({ id }) => id),
        'room'
      )
      let sent = 0
      const send = async (others: number): Promise<void> => {
        const result = (await sender.call('forward.group', 'room', sent++)) as Result
        assume(result.send).within(count, count + others)
      }
      for (let round = 0; round < 3; round++) {
        const server = await ground.start(PATIENT)
        const clients: Client[] = await Promise.all(Array.from({ length: count }, () => openClient(server.url)))
        await sender.seen('join', { filter: address => address === server.address, within: 10_000 })
        const ids = clients.map(({ id }) => id)
        await eventually(async () => ((await sender.call('metroplex.join', ids, 'room')) as Result).send === count)
        for (let i = 0; i < 20; i++) await send(count)
        const stopping = server.stop()
        for (let i = 0; i < 20; i++) await send(count)
        await stopping
        await eventually(async () => (await found(sender, ['room']))[0]?.servers.length === 1, { within: 10_000 })
        await Promise.all(clients.map(client => client.close()))
      }
      await Promise.all(stay.map(client => client.count(sent)))
      const wanted = JSON.stringify(Array.from({ length: sent }, (_, i) => i))
      const lost = stay.reduce((sum, { messages }) => sum + sent - messages.length, 0)
      for (const { messages } of stay) assume(JSON.stringify(messages)).equals(wanted)
      ground.sound(sender)
      return [lost]
    }
  }
]
