import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Redis, Cluster } from 'ioredis'
import { namespaces as registries } from '../lib/registry/sharding'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { startCluster, type RedisCluster } from './support/redis-cluster'
import { openRedis, type RedisTarget } from './support/redis-target'
import { startServer, type ServerProcess } from './support/server'
import { makeSparks } from './support/unconnected-sparks'
import { eventually } from './support/wait'

/** Leases in ms: one whose end is awaited, and one that a busy machine does not bring to its end. */
const [SHORT, LONG] = [3000, 16_000]

/** An address that leads to one process at a time, as a virtual address or a reused container address does. */
class Door {
  target = 0
  readonly #sockets = new Set<Socket>()

  private constructor(private readonly server: Server) {}

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  static async open(): Promise<Door> {
    const server = createServer(socket => {
      const other = connect(door.target, '127.0.0.1')
      for (const one of [socket, other]) {
        door.#sockets.add(one)
        one
          .on('error', () => undefined)
          .on('close', () => {
            socket.destroy()
            other.destroy()
          })
      }
      socket.pipe(other).pipe(socket)
    }).listen(0, '127.0.0.1')
    const door = new Door(server)
    await once(server, 'listening')
    using(() => {
      for (const socket of door.#sockets) socket.destroy()
      server.close()
    })
    return door
  }
}

for (const how of ['one registry', 'three registries on a Redis Cluster'] as const)
  describe(`an address that several processes claim, with ${how}`, function () {
    this.timeout(240_000)
    const shards = how === 'one registry' ? 1 : 3
    let redis: RedisProcess | RedisCluster
    let target: RedisTarget
    let client: Redis | Cluster
    let space: string
    let door: Door
    let third: ServerProcess
    let servers: ServerProcess[]
    let lease: number

    before(async () => {
      redis = shards === 1 ? await startRedis({ scope: 'suite' }) : await startCluster({ scope: 'suite' })
      target = redis instanceof Object && 'target' in redis ? redis.target : { url: (redis as RedisProcess).url }
    })
    after(() => redis.stop())

    beforeEach(async () => {
      space = namespace()
      client = openRedis(target)
      door = await Door.open()
      servers = []
    })

    /** Starts the server that looks on; from now on all have this lease. */
    const watch = async (ms: number): Promise<void> => {
      lease = ms
      third = await startServer({ redis: { ...target, namespace: space }, primus: { metroplex: { lease, shards } } })
    }

    /** Starts a process that claims the address, to which that leads from now on, with a spark of this id. */
    const claim = async (id: string): Promise<ServerProcess> => {
      const server = await startServer({
        redis: { ...target, namespace: space },
        primus: { address: door.address, metroplex: { lease, shards, timeout: 1000 } },
        until: 'listening'
      })
      door.target = server.port
      servers.push(server)
      await server.run(makeSparks, [id])
      return server
    }
    const settled = (server: ServerProcess): Promise<unknown> => server.seen('register', { within: 4 * lease })
    /** Starts a process that claims the address, and waits until it has it. */
    const hold = async (id: string): Promise<ServerProcess> => {
      const server = await claim(id)
      await settled(server)
      return server
    }
    /** A process that has the address and is stopped, and the newcomer that takes it over. */
    const supplanted = async (): Promise<[stopped: ServerProcess, newcomer: ServerProcess]> => {
      const stopped = await hold('one')
      stopped.pause()
      return [stopped, await hold('two')]
    }
    const place = (id: string): Promise<unknown> => third.call('metroplex.spark', id)
    const until = (id: string, where: string | null): Promise<unknown> =>
      eventually(async () => (await place(id)) === where, { within: 4 * lease, what: `${id} at ${where ?? 'none'}` })
    const told = (event: string): unknown[][] =>
      third.log.filter(one => one.event === event && one.args[0] === door.address).map(({ args }) => args)
    const reaped = (): unknown[] =>
      [third, ...servers].flatMap(({ log }) =>
        log.filter(({ event }) => event === 'reap').flatMap(({ args }) => args[1] as string[])
      )
    const complaints = (server: ServerProcess): number =>
      server.log.filter(({ event, args }) => event === 'error' && (args[0] as { code?: string }).code === 'EADDRESS')
        .length
    /** Until each registry has one life at the address, and nothing that was put aside. */
    const clean = (): Promise<unknown> =>
      eventually(
        async () => {
          const lives = await Promise.all(
            registries(space, shards).map(name =>
              client.hmget(`${name}:${door.address}:life`, 'aside', 'over', 'state')
            )
          )
          return lives.every(([aside, over, state]) => aside === '' && over === '' && state === 'up')
        },
        { within: 4 * lease, what: 'an address without leftovers' }
      )

    it('goes back to a process that was stopped for less than its lease', async () => {
      await watch(LONG)
      const one = await hold('one')
      await eventually(() => told('join').length === 1)
      one.pause()
      const two = await hold('two')
      one.resume()
      await until('one', door.address)
      await eventually(() => complaints(two) === 1, { within: lease })
      await clean()
      await until('two', null)
      assume([complaints(one), complaints(two), reaped(), told('leave').length, told('join').length]).eql([
        0,
        1,
        [],
        0,
        1
      ])
      await two.stop()
      await until('one', door.address)
    })

    it('goes to the first of three, also when the second has been stopped in the meantime', async () => {
      await watch(LONG)
      const [one, two] = await supplanted()
      two.pause()
      const three = await hold('three')
      one.resume()
      await until('one', door.address)
      two.resume()
      await eventually(() => complaints(two) === 1 && complaints(three) === 1, { within: lease })
      await clean()
      await until('one', door.address)
      assume([one, two, three].map(complaints)).eql([0, 1, 1])
      assume([reaped(), told('leave').length]).eql([[], 0])
    })

    it('goes back to a stopped process when the newcomer crashes before that has been settled', async () => {
      await watch(LONG)
      const [one, two] = await supplanted()
      await until('two', door.address)
      await two.kill()
      one.resume()
      door.target = one.port
      await until('one', door.address)
      await until('two', null)
      await clean()
      assume([complaints(one), reaped(), told('leave').length]).eql([0, ['two'], 0])
    })

    // The rest does not depend on the number of registries.
    if (shards > 1) return

    it('stays with the newcomer of a process that was paused for longer: it waits and keeps its clients', async () => {
      await watch(SHORT)
      const one = await hold('one')
      await eventually(() => told('join').length === 1)
      one.pause()
      const two = await hold('two')
      await eventually(() => told('leave').length === 1 && told('join').length === 2, { within: 4 * lease })
      one.resume()
      await eventually(() => complaints(one) === 1, { within: 4 * lease })
      await until('two', door.address)
      await clean()
      assume([complaints(one), complaints(two), await one.sparks()]).eql([1, 0, ['one']])
      assume(reaped()).eql(['one'])
      await two.stop()
      door.target = one.port
      await until('one', door.address)
      await clean()
      assume([complaints(one), reaped()]).eql([1, ['one']])
    })

    it('goes to a third process when both crash before that has been settled', async () => {
      await watch(SHORT)
      const [one, two] = await supplanted()
      await until('two', door.address)
      await one.kill()
      await two.kill()
      const three = await hold('three')
      await until('three', door.address)
      for (const id of ['one', 'two']) await until(id, null)
      await clean()
      assume(reaped().sort()).eql(['one', 'two'])
      assume(complaints(three)).equals(0)
    })

    it('is told to be free once when the stopped process is killed after the newcomer has left', async () => {
      await watch(LONG)
      const one = await hold('one')
      await eventually(() => told('join').length === 1)
      one.pause()
      const two = await hold('two')
      await until('two', door.address)
      await third.call('metroplex.servers', true)
      await two.destroy()
      await one.kill()
      await eventually(() => told('leave').length === 1, { within: 6 * lease })
      await until('one', null)
      await eventually(async () => ((await third.call('metroplex.servers')) as string[]).length === 0)
      assume(told('leave').map(([, why]) => why)).eql(['expired'])
      assume([told('join').length, reaped()]).eql([1, ['one']])
    })

    for (const verb of ['destroy', 'unregister'] as const) {
      it(`goes back to a stopped process after a ${verb} of the newcomer`, async () => {
        await watch(LONG)
        const [one, two] = await supplanted()
        await until('two', door.address)
        // It looks at the list, whether the newcomer is there or has left.
        await third.call('metroplex.servers', true)
        await (verb === 'destroy' ? two.destroy() : two.call('metroplex.unregister'))
        await third.call('metroplex.servers', true)
        one.resume()
        door.target = one.port
        await until('one', door.address)
        await until('two', null)
        await clean()
        assume([complaints(one), complaints(two), reaped(), told('leave').length]).eql([0, 0, [], 0])
      })

      it(`stays with the newcomer after a ${verb} of the stopped process`, async () => {
        await watch(LONG)
        const [one] = await supplanted()
        await until('two', door.address)
        const ended = verb === 'destroy' ? one.destroy() : one.call('metroplex.unregister')
        one.resume()
        await ended
        await until('two', door.address)
        await until('one', null)
        await clean()
        await until('two', door.address)
        assume([complaints(one), reaped()]).eql([0, []])
      })
    }
  })
