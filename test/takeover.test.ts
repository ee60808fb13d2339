import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex } from '../index'
import { namespaces as registries } from '../lib/registry/sharding'
import { openStage, type Stage } from './model/stage'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { forkApart, namespaces } from './support/netns'
import { loadPrimus, type PrimusUnderTest } from './support/primus-types'
import { startProxy, type TcpProxy } from './support/proxy'
import { SOCKET, startRedis } from './support/redis'
import { startServer } from './support/server'
import { makeSparks } from './support/unconnected-sparks'
import { eventually, once } from './support/wait'

/** In ms. A claimant is held up for much less than its lease, also on a busy machine, or for longer on purpose. */
const LEASE = 3000

/** One server that claims the address, on a connection to Redis of its own, with a spark of its own. */
interface Claimant {
  readonly server: Metroplex
  readonly link: TcpProxy
  readonly spark: string
  /** The codes of its errors that are about its address. */
  readonly complaints: string[]
  readonly reaped: string[]
}

for (const shards of [1, 3])
  describe(`an address that several servers claim, with shards: ${shards}`, function () {
    this.timeout(60_000)
    let stage: Stage
    let space: string
    let address: string
    let third: Metroplex
    let told: unknown[][]
    let reaped: string[]
    let holders: () => Promise<string[]>

    before(async () => {
      stage = await openStage()
    })
    after(() => stage.close())

    beforeEach(async () => {
      space = namespace()
      address = stage.door(0).address
      const { client } = stage
      holders = async () =>
        Promise.all(registries(space, shards).map(async name => (await client.get(`${name}:${address}:lease`)) ?? ''))
      ;[told, reaped] = [[], []]
      third = member(new Redis(stage.redis.port, { lazyConnect: true }), space, stage.door(1).address, {
        interval: 60_000,
        metroplex: { lease: LEASE, shards }
      })
      third.on('join', (at, life) => {
        if (at === address) told.push(['join', life])
      })
      third.on('leave', (at, why, life) => {
        if (at === address) told.push(['leave', why, life])
      })
      third.on('reap', (_at, ids) => {
        reaped.push(...ids)
      })
      await third.ready()
    })

    /**
     * Start a claimant, to which the address leads from now on; resolves when it is registered, or has said that
     * another one is.
     */
    const claim = async (spark: string): Promise<Claimant> => {
      const link = await startProxy({ port: stage.redis.port })
      const server = member(new Redis(link.port, { lazyConnect: true }), space, address, {
        interval: 60_000,
        metroplex: { lease: LEASE, timeout: 1000, shards }
      })
      stage.door(0).server = server
      const one: Claimant = { server, link, spark, complaints: [], reaped: [] }
      server.on('error', error => {
        if ((error as { code?: string }).code === 'EADDRESS') one.complaints.push(error.message)
      })
      server.on('reap', (_at, ids) => {
        one.reaped.push(...ids)
      })
      server.connect({ id: spark, readyState: 1, write: () => true, end: () => null })
      await server.ready()
      await eventually(async () =>
        (await Promise.all(registries(space, shards).map(name => stage.client.hget(`${name}:sparks`, spark)))).includes(
          address
        )
      )
      return one
    }

    /** Until a claimant holds the address in all registries. */
    const holds = ({ server }: Claimant, id = server.id): Promise<unknown> =>
      eventually(async () => (await holders()).every(lease => lease !== '' && lease === id), { within: 4 * LEASE })

    /** It dies: nothing of it reaches Redis any more. */
    const die = ({ link }: Claimant): void => {
      link.freeze()
      link.cut()
    }

    /** Nothing is left of the competition but what the holder has. */
    const clean = (): Promise<unknown> =>
      eventually(
        async () => {
          const keys = await stage.client.keys(`${space}*`)
          return keys.every(key => !/:(former|sparks|users):[^:]+$/.test(key.slice(key.indexOf(address))))
        },
        { within: 4 * LEASE, what: 'a registry without leftovers' }
      )

    it('goes back to a former life that beats before its lease has ended', async () => {
      const one = await claim('one')
      await eventually(() => told.length === 1)
      const { id } = one.server
      one.link.freeze()
      const two = await claim('two')
      await holds(two)
      one.link.thaw()
      await holds(one, id)
      await eventually(() => two.complaints.length > 0)
      await clean()
      assume(await third.spark('one')).equals(address)
      await eventually(async () => (await third.spark('two')) === null)
      assume([one.server.id, one.server.address, two.server.address]).eql([id, address, ''])
      assume([...one.reaped, ...two.reaped, ...reaped]).eql([])
      assume(told).eql([['join', id]])
      const registered = once(two.server, 'register', { within: 4 * LEASE })
      await one.server.close()
      await registered
      await holds(two)
      assume([one.complaints.length, two.complaints.length]).eql([0, 1])
      assume(two.complaints[0]).includes('listen: {}')
      await eventually(async () => (await third.spark('two')) === address)
    })

    it('stays with the newcomer when the former life is silent for its lease: peers hear of one exchange', async () => {
      const one = await claim('one')
      await eventually(() => told.length === 1)
      const { id } = one.server
      one.link.freeze()
      const two = await claim('two')
      assume(told).eql([['join', id]])
      await eventually(() => told.length === 3, { within: 4 * LEASE })
      assume(told.slice(1)).eql([
        ['leave', 'expired', id],
        ['join', two.server.id]
      ])
      await clean()
      assume(two.reaped).eql(['one'])
      one.link.thaw()
      await eventually(() => one.complaints.length > 0, { within: 4 * LEASE })
      await holds(two)
      assume([one.server.address, two.server.address]).eql(['', address])
      assume([one.complaints.length, two.complaints.length, told.length]).eql([1, 0, 3])
      assume(await third.spark('two')).equals(address)
    })

    it('goes back to a former life also when the newcomer has died, whose sparks are then reported', async () => {
      const one = await claim('one')
      const { id } = one.server
      one.link.freeze()
      const two = await claim('two')
      die(two)
      one.link.thaw()
      await holds(one, id)
      await eventually(() => one.reaped.length > 0, { within: 4 * LEASE })
      await clean()
      assume(one.reaped).eql(['two'])
      assume(reaped).eql([])
      assume(told.filter(([event]) => event === 'leave')).eql([])
    })

    it('is free when both have died: the sparks of both are reported, and peers hear of one leave', async () => {
      const one = await claim('one')
      await eventually(() => told.length === 1)
      const { id } = one.server
      die(one)
      const two = await claim('two')
      die(two)
      await eventually(() => reaped.length >= 2, { within: 6 * LEASE })
      await clean()
      assume([...new Set(reaped)].sort()).eql(['one', 'two'])
      await eventually(() => told.length === 2)
      assume(told).eql([
        ['join', id],
        ['leave', 'expired', id]
      ])
      assume(await holders()).eql(Array.from({ length: shards }, () => ''))
    })

    it('goes to the first of three live servers, and each of the others reports it once', async () => {
      const one = await claim('one')
      await eventually(() => told.length === 1)
      const { id } = one.server
      one.link.freeze()
      const two = await claim('two')
      two.link.freeze()
      const three = await claim('three')
      two.link.thaw()
      await eventually(() => three.complaints.length > 0, { within: LEASE })
      one.link.thaw()
      await holds(one, id)
      await eventually(() => two.complaints.length > 0, { within: LEASE })
      await clean()
      await holds(one, id)
      assume([one, two, three].map(({ complaints }) => complaints.length)).eql([0, 1, 1])
      assume([one, two, three].flatMap(claimant => claimant.reaped)).eql([])
      assume([reaped, told]).eql([[], [['join', id]]])
    })

    it('has one holder after a flush in the meantime, and nothing that is connected is reaped', async () => {
      const one = await claim('one')
      one.link.freeze()
      const two = await claim('two')
      await stage.client.flushall()
      one.link.thaw()
      await eventually(() => one.complaints.length + two.complaints.length > 0, { within: 4 * LEASE })
      const [loser, holder] = one.complaints.length > 0 ? [one, two] : [two, one]
      // It may have another life in each registry by now.
      await eventually(
        async () => holder.server.address === address && (await holder.server.core.shards.lives.held()),
        {
          within: 4 * LEASE
        }
      )
      await eventually(async () => (await third.spark(holder.spark)) === address, { within: 4 * LEASE })
      await clean()
      assume([loser.complaints.length, holder.complaints.length, loser.server.address]).eql([1, 0, ''])
      assume([...one.reaped, ...two.reaped, ...reaped]).eql([])
    })

    it('is given up by a server that waits for it when that registers elsewhere', async () => {
      const one = await claim('one')
      one.link.freeze()
      const two = await claim('two')
      await holds(two)
      one.link.thaw()
      await eventually(() => two.complaints.length > 0)
      const elsewhere = 'http://127.0.0.1:9'
      await two.server.register(elsewhere)
      assume(two.server.address).equals(elsewhere)
      await eventually(async () => (await third.spark('two')) === elsewhere)
      assume(one.server.address).equals(address)
    })

    it('goes back to a former life when the newcomer leaves', async () => {
      const one = await claim('one')
      await eventually(() => told.length === 1)
      const { id } = one.server
      one.link.freeze()
      const two = await claim('two')
      await two.server.close()
      one.link.thaw()
      await holds(one, id)
      await clean()
      assume(await third.spark('one')).equals(address)
      assume([one.complaints, one.reaped, reaped]).eql([[], [], []])
    })
  })

describe('two Primus servers on one HTTP server', () => {
  for (const own of [{ listen: {} }, { transport: 'redis' }]) {
    it(`both work with ${JSON.stringify(own)}`, async () => {
      const redis = await startRedis()
      const space = namespace()
      const http = createServer()
      const Primus = loadPrimus()
      const servers = ['/chat', '/news'].map(pathname => {
        const primus = new Primus(http, {
          pathname,
          transformer: 'websockets',
          redis: redis.client(),
          namespace: space,
          metroplex: own
        })
        primus.plugin('metroplex', metroplex)
        using(
          () =>
            new Promise(resolve =>
              primus.destroy({ close: false }, () => {
                resolve(null)
              })
            )
        )
        return primus as unknown as Both
      }) as [Both, Both]
      using(() => {
        http.close()
      })
      http.listen(0, '127.0.0.1')
      const addresses = await Promise.all(servers.map(({ metroplex: ours }) => ours.ready()))
      assume(new Set(addresses).size).equals(2)
      for (const [i, server] of servers.entries()) {
        const other = servers[1 - i] as Both
        makeSparks(server as unknown as PrimusUnderTest, [`spark-${i}`])
        await eventually(async () => (await other.metroplex.spark(`spark-${i}`)) === server.metroplex.address)
        assume(await other.forward.spark(`spark-${i}`, 'x')).eql({ ok: true, send: 1 })
      }
    })
  }
})

/** Primus with the plugin, as its types have it. */
interface Both {
  metroplex: Metroplex
  forward: { spark(id: string, message: unknown): Promise<unknown> }
}

/** Said where the machine does not allow it. */
const untried = namespaces() === null ? ' (not tried: no network namespace can be made here)' : ''

describe('health', () => {
  it(`warns of a loopback address when a peer is in another network${untried}`, async () => {
    if (namespaces() === null) return
    const redis = await startRedis({ args: ['--unixsocket', SOCKET] })
    const target = { path: redis.socket, namespace: namespace() }
    const [here, beside] = [await startServer({ redis: target }), await startServer({ redis: target })]
    await here.seen('join', { filter: address => address === beside.address })
    const warnings = async (): Promise<string[]> =>
      ((await here.call('metroplex.health')) as { warnings: string[] }).warnings
    assume(await warnings()).eql([])
    const apart = await startServer({ redis: target, fork: forkApart })
    await here.seen('join', { filter: address => address === apart.address, within: 10_000 })
    const [warning] = await warnings()
    assume(warning).includes(here.address)
    assume(warning).includes('set `address`')
  })
})
