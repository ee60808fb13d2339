import { fork } from 'node:child_process'
import { once as onceOf } from 'node:events'
import { join } from 'node:path'
import { Crowd } from '../examples/rolling/crowd'
import { Ground, LEASE } from './faults/ground'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { alive, killAtExit } from './support/orphans'
import { reservePort } from './support/ports'
import { startProxy } from './support/proxy'
import type { ServerProcess } from './support/server'
import { deadline, eventually } from './support/wait'
import { environment, Fleet } from './workers/fleet'
import { Requests } from './workers/requests'
import { Sending } from './workers/sending'

/** How many workers there are: as many as it takes, and more where there is load. */
const [WORKERS, MANY] = [3, 4]

/** Their names. */
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `web-${i + 1}`)

/** Clients that come back whenever they are cut off. */
async function crowd(url: string, count: number): Promise<Crowd> {
  const one = new Crowd()
  using(() => {
    one.close()
  })
  await one.open(url, count)
  return one
}

/** Until all clients are connected to these servers, and the registry says so. */
async function home(ground: Ground, clients: Crowd, count: number, servers: readonly ServerProcess[]): Promise<void> {
  await clients.complete()
  await eventually(
    async () => {
      const lists = await Promise.all(servers.map(server => server.sparks()))
      assume(lists.flat().sort()).eql([...clients.ids].sort())
      return lists.flat().length === count
    },
    { within: 20_000, every: 100, what: 'the return of all clients' }
  )
  await ground.settled(...servers)
}

/** Workers of a supervisor, with clients that are at home there. */
async function peopled(): Promise<{ ground: Ground; fleet: Fleet; clients: Crowd }> {
  const ground = await Ground.make(false)
  const fleet = await Fleet.make(ground, WORKERS)
  await fleet.supervisor.start()
  const clients = await crowd(fleet.url, 40)
  await home(ground, clients, 40, fleet.servers)
  return { ground, fleet, clients }
}

describe('workers of the supervisor', function () {
  this.timeout(120_000)

  it('are servers with the names of their slots, and ready when they are registered', async () => {
    const ground = await Ground.make(false)
    const way = await startProxy({ port: ground.redis.port })
    await way.refuse()
    const fleet = await Fleet.make(ground, WORKERS, {
      redis: { host: '127.0.0.1', port: way.port, namespace: ground.space }
    })
    const early: string[] = []
    const started = fleet.supervisor.start()
    fleet.supervisor.on('ready', ({ name }) => {
      early.push(name)
    })
    await eventually(
      () => fleet.all.length === WORKERS && fleet.all.every(({ log }) => log.some(({ event }) => event === 'error')),
      { within: 15_000, what: 'workers that know that there is no Redis' }
    )
    assume(early).eql([])
    await way.accept()
    await started
    assume([...fleet.ready.keys()].sort()).eql(names(WORKERS))
    const { servers } = fleet
    await ground.settled(...servers)
    for (const [name, server] of fleet.ready)
      assume(await ground.client.hget(ground.key(`${server.address}:life`), 'name')).equals(name)
    assume(await fleet.supervisor.stop()).eql({ killed: [] })
    await ground.settled()
    ground.sound(...fleet.all)
  })

  it('move their sparks to the others when one is told to end, and leave nothing behind when all are', async () => {
    const { ground, fleet, clients } = await peopled()
    const [gone, others] = [fleet.worker('web-2'), fleet.servers.filter(server => server !== fleet.worker('web-2'))]
    const moved = await gone.sparks()
    assume(moved).is.not.empty()
    gone.signal('SIGTERM')
    assume(await deadline(gone.exit, 15_000, 'the end of a worker')).eql({ code: 0, signal: null })
    const servers = await fleet.whole(gone)
    for (const other of others)
      await other.seen('leave', { filter: (address, reason) => address === gone.address && reason === 'shutdown' })
    await home(ground, clients, 40, servers)
    assume(clients.returns).equals(moved.length)
    assume(fleet.deaths).eql([])
    assume(await fleet.supervisor.drain()).eql({ killed: [] })
    await ground.settled()
    await fleet.supervisor.resume()
    await home(ground, clients, 40, await fleet.whole(...servers))
    ground.sound(...fleet.all)
  })

  it('end within their grace when Redis is away, and need not be killed', async () => {
    const ground = await Ground.make(false)
    const way = await startProxy({ port: ground.redis.port })
    const fleet = await Fleet.make(ground, 1, {
      redis: { host: '127.0.0.1', port: way.port, namespace: ground.space },
      primus: { metroplex: { lease: LEASE, timeout: 100_000 } }
    })
    await fleet.supervisor.start()
    await crowd(fleet.url, 20)
    await way.refuse()
    way.cut()
    assume(await fleet.supervisor.stop({ grace: 40_000 })).eql({ killed: [] })
    ground.sound(...fleet.all)
  })

  for (const transport of ['http', 'redis']) {
    it(`let go of the port before they move their sparks, when peers talk by ${transport}`, async () => {
      const ground = await Ground.make(false)
      const fleet = await Fleet.make(ground, 1, { primus: { metroplex: { lease: LEASE, transport } } })
      await fleet.supervisor.start()
      const clients = await crowd(fleet.url, 20)
      const [server] = fleet.servers as [ServerProcess]
      // What it is told comes in the order in which it is told it.
      const said: Promise<unknown>[] = []
      fleet.supervisor.once('drain', () => {
        said.push(server.run(primus => ({ listening: primus.server?.listening, all: primus.connected > 10 })))
      })
      await fleet.supervisor.recycle()
      assume(await Promise.all(said)).eql([{ listening: false, all: true }])
      await home(ground, clients, 20, fleet.servers)
    })
  }

  it('are recycled without a failed request or a lost message, and are never fewer than wanted', async () => {
    const [CLIENTS, WAYS] = [300, 4]
    const ground = await Ground.make(false)
    const fleet = await Fleet.make(ground, MANY)
    await fleet.supervisor.start()
    const before = fleet.servers
    const clients = await crowd(fleet.url, CLIENTS)
    await home(ground, clients, CLIENTS, before)
    const sending = new Sending(ground.redis.url, ground.space, clients)
    const [fresh, kept] = [new Requests(fleet.url, false, WAYS), new Requests(fleet.url, true, WAYS)]
    await eventually(() => sending.sums.arrived > 100 && fresh.count > 100 && kept.reused > 100, {
      within: 20_000,
      every: 100,
      what: 'requests and messages'
    })
    fleet.watch()
    const began = performance.now()
    await fleet.supervisor.recycle()
    const took = performance.now() - began
    const servers = await fleet.whole(...before)
    await eventually(() => [...before, ...servers].every(({ pid }) => fresh.answered.has(String(pid))), {
      within: 20_000,
      what: 'an answer of each worker'
    })
    await Promise.all([fresh.stop(), kept.stop()])
    await home(ground, clients, CLIENTS, servers)
    const sums = await sending.stop()
    measured({ took, fresh: fresh.count, kept: kept.count, reused: kept.reused, returns: clients.returns, ...sums })
    assume([...fresh.failed, ...kept.failed]).eql([])
    assume(fleet.fewest).equals(MANY)
    const { lost, wrong, failed, arrived } = sums
    assume(sending.errors).eql([])
    assume({ lost, wrong, failed }).eql({ lost: 0, wrong: 0, failed: 0 })
    // How many there are depends on how long the machine takes for all of this.
    assume(arrived).is.above(300)
    assume(fleet.deaths).eql([])
    assume([...fleet.ready.keys()].sort()).eql(names(MANY))
    ground.sound(...fleet.all)
  })

  it('come back under their names when one is killed, and when all are, and so do their clients', async () => {
    const { ground, fleet, clients } = await peopled()
    const one = fleet.worker('web-3')
    await one.kill()
    const after = await fleet.whole(one)
    await home(ground, clients, 40, after)
    assume(fleet.deaths.map(({ name, signal }) => [name, signal])).eql([['web-3', 'SIGKILL']])
    await Promise.all(after.map(server => server.kill()))
    const last = await fleet.whole(one, ...after)
    await home(ground, clients, 40, last)
    assume([...fleet.ready.keys()].sort()).eql(names(WORKERS))
    assume(fleet.deaths).has.length(1 + WORKERS)
    for (const server of last) {
      const name = [...fleet.ready].find(([, other]) => other === server)?.[0]
      assume(await ground.client.hget(ground.key(`${server.address}:life`), 'name')).equals(name)
    }
  })

  it('end in good order when their supervisor is killed, and are out of the registry', async () => {
    const ground = await Ground.make(false)
    const port = await reservePort()
    const primary = fork(join(__dirname, 'workers', 'primary.js'), [String(WORKERS)], {
      env: { ...process.env, ...environment(ground, port) },
      silent: true
    })
    killAtExit(primary)
    using(() => primary.kill('SIGKILL'))
    const [pids] = (await deadline(onceOf(primary, 'message'), 30_000, 'workers that are ready')) as [number[]]
    assume(pids).has.length(WORKERS)
    const other = await ground.start()
    const clients = await crowd(`http://127.0.0.1:${port}`, 40)
    await eventually(async () => (await ground.size()) === 40, { within: 15_000 })
    const addresses = ((await other.call('metroplex.servers')) as string[]).sort()
    assume(addresses).has.length(WORKERS)
    primary.kill('SIGKILL')
    await eventually(() => pids.every(pid => !alive(pid)), { within: 20_000, what: 'the end of all workers' })
    // Each has left: no server had to find it dead.
    for (const address of addresses) await other.seen('leave', { filter: left => left === address })
    assume(
      ground
        .told('leave', other)
        .map(([address, reason]) => [address, reason])
        .sort()
    ).eql(addresses.map(address => [address, 'shutdown']))
    assume(ground.told('reap', other)).eql([])
    await ground.settled(other)
    const heir = await ground.start({}, { port })
    await home(ground, clients, 40, [other, heir])
  })
})

/** For who wants to see the figures. */
function measured(figures: object): void {
  if (process.env['METROPLEX_FIGURES'] !== undefined) process.stderr.write(`${JSON.stringify(figures)}\n`)
}
