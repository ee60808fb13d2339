import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { forkWorker } from '../support/cluster-worker'
import { using } from '../support/dispose'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { Crowd } from '../../examples/rolling/crowd'
import { Fleet } from '../workers/fleet'
import { Requests } from '../workers/requests'
import { Sending } from '../workers/sending'
import { NOTICED, SLACK, type Ground } from './ground'
import { peerEnded } from './health'
import type { Row } from './row'

/** How long the event loop of a worker may answer nothing, in ms. */
const STALL = 3000

/** How many workers share a port, and how many clients come there. */
const [WORKERS, CLIENTS] = [4, 40]

/**
 * What part of messages to all sparks, from each of these servers, came to the client that was meant, and to no other
 * one, in per cent.
 */
async function right(servers: readonly ServerProcess[], url: string): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => openClient(url)))
  const sparks = await Promise.all(servers.map(server => server.sparks()))
  const place = new Map(servers.flatMap((server, i) => (sparks[i] ?? []).map(id => [id, server] as const)))
  await Promise.all(
    servers.flatMap(server =>
      clients.map(async ({ id }) => {
        await eventually(async () => (await server.call('metroplex.spark', id)) === place.get(id)?.address)
        assume(await server.call('forward.spark', id, `${id} ${server.pid}`)).eql({
          ok: true,
          send: 1,
          ...(place.get(id) === server && { local: true })
        })
      })
    )
  )
  for (const client of clients) await client.count(servers.length)
  const expected = clients.map(({ id }) => servers.map(({ pid }) => `${id} ${pid}`).sort())
  const came = clients.flatMap(({ messages }, i) =>
    [...messages].sort().filter((message, at) => message === expected[i]?.[at])
  )
  const all = clients.flatMap(({ messages }) => messages).length
  for (const client of clients) await client.close()
  return (100 * came.length) / Math.max(all, CLIENTS * servers.length)
}

async function settledIn(ground: Ground, servers: readonly ServerProcess[], began: number): Promise<number> {
  await ground.settled(...servers)
  return performance.now() - began
}

/** Sample `health()` of each worker of a fleet from when it is ready. */
function observeAll(ground: Ground, fleet: Fleet): void {
  const observed = new Set<ServerProcess>()
  fleet.supervisor.on('ready', () => {
    for (const server of fleet.servers.filter(one => !observed.has(one))) {
      observed.add(server)
      // A worker that ends meanwhile has nothing more to say.
      ground.observe(server).catch(() => undefined)
    }
  })
}

export const workers: readonly Row[] = [
  {
    id: 'F16',
    fault: 'of four workers of node:cluster on one port, one is destroyed and one is killed',
    promise:
      'four servers, each with its own listener; every forward reaches exactly the right one, before and after; ' +
      'the remaining ones keep all their sparks',
    measures: [
      { what: 'reached the right one', unit: '%', atLeast: 100 },
      { what: 'reached it after two had gone', unit: '%', atLeast: 100 },
      { what: 'the killed one is out of the registry after', unit: 'ms', atMost: NOTICED + SLACK }
    ],
    health: [peerEnded()],
    async provoke(ground) {
      const servers = await Promise.all(Array.from({ length: WORKERS }, () => ground.start({}, { fork: forkWorker })))
      const [one, two, three, four] = servers as [ServerProcess, ServerProcess, ServerProcess, ServerProcess]
      const addresses = servers.map(({ address }) => address).sort()
      assume(new Set(addresses).size).equals(WORKERS)
      assume(addresses.some(address => address.endsWith(`:${one.port}`))).false()
      for (const server of servers)
        await eventually(
          async () => ((await server.call('metroplex.servers', true)) as string[]).sort().join() === addresses.join()
        )
      const before = await right(servers, one.url)
      const stay = await openClient(one.url)
      const held = await holderOf(servers, stay.id)
      const gone = [one, two, three, four].filter(server => server !== held).slice(0, 2) as [
        ServerProcess,
        ServerProcess
      ]
      const left = servers.filter(server => !gone.includes(server))
      await ground.settled(...servers)
      await gone[0].destroy()
      await gone[1].kill()
      const noticed = await settledIn(ground, left, performance.now())
      for (const server of left) assume(await server.call('metroplex.spark', stay.id)).equals(held.address)
      const after = await right(left, one.url)
      ground.sound(...left)
      return [before, after, noticed]
    }
  },
  {
    id: 'F16',
    fault: 'four workers of a supervisor are recycled under 300 clients, a stream of messages and HTTP requests',
    promise:
      'never fewer than four are ready; no request fails; each message arrives once or is reported missing; all ' +
      'clients are back, and the registry is right',
    measures: [
      { what: 'requests answered', unit: '%', atLeast: 100 },
      { what: 'lost', unit: 'messages', atMost: 0 },
      { what: 'doubled', unit: 'messages', atMost: 0 }
    ],
    health: [
      {
        reasons: /is draining|HTTP server has been closed|is not registered/,
        unless: 'only workers that are replaced drain'
      },
      peerEnded()
    ],
    long: true,
    async provoke(ground) {
      const fleet = await Fleet.make(ground, WORKERS)
      observeAll(ground, fleet)
      await fleet.supervisor.start()
      const crowd = new Crowd()
      using(() => {
        crowd.close()
      })
      await crowd.open(fleet.url, 300)
      const sending = new Sending(ground.redis.url, ground.space, crowd)
      const requests = [new Requests(fleet.url, false, 2), new Requests(fleet.url, true, 2)]
      await eventually(() => sending.sums.arrived > 100, { within: 20_000, every: 100 })
      fleet.watch()
      await fleet.supervisor.recycle()
      assume(fleet.fewest).equals(WORKERS)
      for (const each of requests) await each.stop()
      await crowd.complete()
      const { arrived, lost, wrong } = await sending.stop()
      assume(arrived).is.above(500)
      await eventually(async () => (await ground.size()) === 300, { within: 20_000 })
      await ground.settled(...fleet.servers)
      ground.sound(...fleet.all)
      const [answered, failed] = [
        requests.reduce((sum, { count }) => sum + count, 0),
        requests.flatMap(each => each.failed).length
      ]
      return [(100 * answered) / (answered + failed), lost, wrong]
    }
  },
  {
    id: 'F60',
    fault: 'one of four workers of a supervisor, each with clients, is in an endless loop, and `stall` is 3 s',
    promise:
      'it is killed and replaced; its clients come back, and the registry is right; the other workers keep their ' +
      'processes and sparks',
    measures: [
      { what: 'replaced after', unit: 'ms', atMost: STALL + 2000 },
      { what: 'all clients are back after', unit: 'ms', atMost: STALL + 4000 },
      { what: 'other sparks that stayed', unit: '%', atLeast: 100 }
    ],
    health: [peerEnded()],
    async provoke(ground) {
      const fleet = await Fleet.make(ground, WORKERS, {}, {}, { stall: STALL })
      observeAll(ground, fleet)
      await fleet.supervisor.start()
      const crowd = new Crowd()
      using(() => {
        crowd.close()
      })
      await crowd.open(fleet.url, CLIENTS)
      await eventually(() => fleet.supervisor.workers().every(({ heard }) => heard !== undefined), { within: 10_000 })
      const looping = fleet.worker('web-2')
      const others = fleet.servers.filter(server => server !== looping)
      const stay = (await Promise.all(others.map(server => server.sparks()))).flat()
      const lost = await looping.sparks()
      assume(lost.length).is.above(0)
      const began = performance.now()
      await looping.run(() => {
        setTimeout(() => {
          for (;;) continue
        }, 20)
      })
      await fleet.whole(looping)
      const replaced = performance.now() - began
      await crowd.complete()
      await eventually(() => crowd.ids.every(id => !lost.includes(id)) && crowd.ids.length === CLIENTS)
      const back = performance.now() - began
      assume(fleet.deaths.map(({ name, signal }) => [name, signal])).eql([['web-2', 'SIGKILL']])
      assume(fleet.servers.filter(server => others.includes(server)).length).equals(WORKERS - 1)
      await eventually(async () => (await ground.size()) === CLIENTS, { within: 20_000 })
      await ground.settled(...fleet.servers)
      ground.sound(...fleet.servers)
      const still = stay.filter(id => crowd.ids.includes(id)).length
      return [replaced, back, (100 * still) / stay.length]
    }
  }
]

async function holderOf(servers: readonly ServerProcess[], id: string): Promise<ServerProcess> {
  for (const server of servers) if ((await server.sparks()).includes(id)) return server
  throw new Error('no server has it')
}
