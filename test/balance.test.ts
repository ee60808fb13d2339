import type { AddressInfo } from 'node:net'
import type { Balanced, ClusterError, Health } from '../index'
import { youngest } from '../lib/core/balancing'
import { Balance, type BalancedServer } from '../lib/drain/balance'
import { Returns, STRAIGHT, traceOf } from '../lib/drain/returns'
import type { Spark } from '../lib/common/types'
import { balanceTerms } from '../lib/common/validate'
import { assume } from './support/assume'
import { startBalancer, type Balancer } from './support/balancer'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import { startProxy } from './support/proxy'
import { startRedis, type RedisProcess } from './support/redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { eventually, once } from './support/wait'

/** Two leases without a join or departure are quiet. */
const QUICK = { interval: 6000, latency: 600, metroplex: { lease: 2000, timeout: 5000 } }

/** A client that is let go is back soon. */
const BACK = { reconnect: { min: 10, max: 50, retries: 1000 } }

/** The state of a client that is connected, as Primus names it. */
const OPEN = 3

describe('balance', () => {
  let redis: RedisProcess
  let space: string
  let servers: Registered[]
  let a: Registered
  let b: Registered
  let c: Registered
  let balancer: Balancer

  const port = ({ server }: Registered): number => (server.address() as AddressInfo).port

  const start = (metroplex: object = {}, scope: 'test' | 'suite' = 'test'): Promise<Registered> =>
    createRegistered({
      redis: { url: redis.url, namespace: space },
      primus: { ...QUICK, metroplex: { ...QUICK.metroplex, ...metroplex } },
      scope
    })

  /** The cluster is quiet: a balance would end sparks, if there were any. */
  const calm = async (): Promise<void> => {
    await eventually(() => servers.every(({ primus }) => primus.connected === 0), { what: 'servers without sparks' })
    for (const { metroplex } of servers) {
      await eventually(async () => (await metroplex.balance()).stopped === undefined, {
        what: 'a quiet cluster',
        within: 15_000
      })
    }
  }

  /** From now on each connection is led to the next server. */
  const even = (): void => {
    let turn = 0
    balancer.choose = () => port(servers[turn++ % servers.length] as Registered)
  }

  let opened = 0
  const clients = new Set<Client>()

  /** Connects clients through the balancer to one server, one after the other; each with a name of its own. */
  const crowd = async (server: Registered, count: number): Promise<Client[]> => {
    balancer.choose = () => port(server)
    const crowded: Client[] = []
    for (let i = 0; i < count; i++) {
      crowded.push(await openClient(`${balancer.url}?client=${++opened}`, { options: BACK }))
    }
    for (const client of crowded) {
      clients.add(client)
      // A server that is destroyed ends its clients for good.
      client.socket.on('end', () => clients.delete(client))
    }
    return crowded
  }

  const sparks = (): number[] => servers.map(({ primus }) => primus.connected)

  const all = (): number => sparks().reduce((sum, count) => sum + count, 0)

  before(async function () {
    this.timeout(60_000)
    redis = await startRedis({ scope: 'suite' })
    space = namespace()
    servers = [await start({}, 'suite'), await start({}, 'suite'), await start({}, 'suite')]
    ;[a, b, c] = servers as [Registered, Registered, Registered]
    balancer = await startBalancer(() => port(a), { scope: 'suite' })
  })

  after(async () => {
    await balancer.stop()
    for (const server of servers) await server.dispose()
    await redis.stop()
  })

  beforeEach(async function () {
    this.timeout(60_000)
    await calm()
  })

  /** A client that is closed while it reconnects goes on with that. */
  afterEach(async () => {
    await eventually(() => [...clients].every(({ socket }) => socket.readyState === OPEN), { what: 'all clients' })
    clients.clear()
  })

  it('leads what is above the mean and the tolerance elsewhere, and no client is lost', async () => {
    const crowded = await crowd(a, 30)
    const told = once(a.metroplex, 'balance', { within: 30_000 })
    even()
    const balanced = await a.metroplex.balance({ rate: 1000 })
    assume(balanced.target).equals(11)
    assume(balanced.sparks).equals(11)
    assume(balanced.stopped).equals(undefined)
    assume(balanced.ended).is.above(18)
    assume(await told).eql([balanced])
    await eventually(() => all() === 30, { what: 'all clients' })
    for (const count of sparks()) assume(count).is.below(12)
    for (const client of crowded) await client.identify()
    const ids = crowded.map(({ id }) => id)
    assume((await b.metroplex.sparks(ids)).every(place => place !== null)).true()
    // A second one has nothing to do, and neither have the others.
    for (const { metroplex } of servers) {
      const again = await metroplex.balance({ rate: 1000 })
      assume([again.ended, again.returned, again.target]).eql([0, 0, 11])
    }
  })

  it('ends the youngest first, at its rate', async () => {
    const ids = (await crowd(a, 24)).map(({ id }) => id)
    const went: { id: string; at: number }[] = []
    const note = (spark: Spark): void => {
      went.push({ id: spark.id, at: performance.now() })
    }
    a.primus.on('disconnection', note as never)
    balancer.choose = () => port(b)
    const { ended, target, stopped } = await a.metroplex.balance({ tolerance: 0.5, rate: 10 })
    a.primus.removeListener('disconnection', note as never)
    assume([ended, target, stopped]).eql([12, 12, undefined])
    assume(went.map(({ id }) => id)).eql(ids.slice(12).reverse())
    const most = Math.max(...went.map(({ at }, i) => went.slice(i).filter(later => later.at - at <= 1000).length))
    assume(most).is.below(11)
  })

  it('ends nothing at or below the target', async () => {
    for (const server of servers) await crowd(server, 4)
    for (const { metroplex } of servers)
      assume(await metroplex.balance({ tolerance: 0 })).eql({ ended: 0, returned: 0, sparks: 4, target: 4 })
    await crowd(a, 1)
    assume((await a.metroplex.balance({ tolerance: 0.1 })).ended).equals(0)
    assume((await b.metroplex.balance({ tolerance: 0 })).ended).equals(0)
  })

  for (const [what, together] of [
    ['at the same moment', true],
    ['one while clients of the other are on their way', false]
  ] as const) {
    it(`of two servers, ${what}, leaves neither below the mean`, async () => {
      await crowd(a, 30)
      await crowd(b, 30)
      const fewest = [30, 30]
      const looks = [a, b].map(({ primus }, at) => {
        const look = (): void => {
          fewest[at] = Math.min(fewest[at] ?? 0, primus.connected)
        }
        primus.on('disconnection', look)
        return () => primus.removeListener('disconnection', look)
      })
      even()
      const began = once(a.primus, 'disconnection', { within: 15_000 })
      const first = a.metroplex.balance({ rate: 1000 })
      if (!together) await began
      const second = b.metroplex.balance({ rate: 1000 })
      const done = await Promise.all([first, second])
      for (const look of looks) look()
      assume(done.map(({ stopped }) => stopped)).eql([undefined, undefined])
      await eventually(() => all() === 60, { what: 'all clients' })
      for (const count of fewest) assume(count).is.above(19)
      // The clients that one lets go may come to the other one, which has ended then.
      await eventually(
        async () => {
          for (const { metroplex } of servers) await metroplex.balance({ rate: 1000 })
          return all() === 60 && sparks().every(count => count <= 22)
        },
        { what: 'an even cluster', within: 15_000 }
      )
    })
  }

  it('shares one run between all callers, with the last options, and takes a callback', async () => {
    await crowd(a, 12)
    balancer.choose = () => port(b)
    const slow = a.metroplex.balance({ rate: 0.001, tolerance: 1 })
    const quick = new Promise<Balanced | undefined>((resolve, reject) => {
      a.metroplex.balance({ rate: 1000, tolerance: 0 }, (error, balanced) => {
        if (error === null) resolve(balanced)
        else reject(error)
      })
    })
    const both = await Promise.all([slow, quick])
    assume(both[0]).eql(both[1])
    assume(both[0].target).equals(4)
    assume(both[0].ended).equals(8)
  })

  describe('ends nothing', () => {
    it('while another server drains, and again when that is over', async () => {
      await crowd(c, 1)
      await crowd(a, 9)
      balancer.choose = () => port(b)
      assume(await c.metroplex.drain({ timeout: 0 })).eql({ moved: 0, left: 1 })
      const { ended, stopped } = await eventually(async () => {
        const balanced = await a.metroplex.balance({ rate: 1000 })
        return balanced.stopped === 'draining' && balanced
      })
      assume([ended, stopped]).eql([0, 'draining'])
      await c.metroplex.register()
      await eventually(async () => (await a.metroplex.balance({ rate: 1000 })).stopped === undefined, {
        within: 15_000
      })
      assume(a.primus.connected).equals(4)
    })

    it('while another server drains that could not note it at once', async () => {
      const proxy = await startProxy({ port: redis.port })
      const far = await createRegistered({
        redis: { url: `redis://127.0.0.1:${proxy.port}`, namespace: space },
        primus: { ...QUICK, metroplex: { ...QUICK.metroplex, lease: 6000 } },
        scope: 'suite'
      })
      await openClient(far.url, { options: { strategy: false } })
      await proxy.refuse()
      proxy.cut()
      await eventually(() => far.metroplex.stats().state === 'degraded')
      assume(await far.metroplex.drain({ timeout: 0 })).eql({ moved: 0, left: 1 })
      await proxy.accept()
      await crowd(a, 9)
      await eventually(async () => (await a.metroplex.balance()).stopped === 'draining', { within: 15_000 })
      assume(a.primus.connected).equals(9)
      await far.dispose()
    })

    it('while it drains itself', async () => {
      await crowd(a, 9)
      await a.metroplex.drain({ timeout: 0 })
      const balanced = await a.metroplex.balance({ rate: 1000 })
      assume(balanced).eql({ ended: 0, returned: 0, sparks: 9, target: null, stopped: 'draining' })
      await a.metroplex.register()
    })

    it('when a server has just joined or left', async () => {
      await crowd(a, 9)
      even()
      for (const event of ['join', 'leave'] as const) {
        const seen = once(a.metroplex, event)
        if (event === 'join') servers.push(await start({}, 'suite'))
        else await servers.pop()?.dispose()
        await seen
        const { ended, stopped } = await a.metroplex.balance({ rate: 1000 })
        assume([ended, stopped]).eql([0, 'membership'])
        await eventually(async () => (await b.metroplex.balance()).stopped === undefined, { within: 15_000 })
      }
    })
  })

  describe('stops', () => {
    /** Begins a balance that takes an hour, and waits for the first spark that it ends. */
    const begun = async (): Promise<{ balancing: Promise<Balanced> }> => {
      const gone = once(a.primus, 'disconnection', { within: 15_000 })
      await crowd(a, 9)
      even()
      const quick = eventually(async () => {
        const balanced = await a.metroplex.balance({ rate: 1000 })
        return balanced.ended > 0 && balanced
      })
      await gone
      const slow = a.metroplex.balance({ rate: 0.001 })
      return { balancing: Promise.all([quick, slow]).then(([balanced]) => balanced) }
    }

    it('when it is told to drain', async () => {
      const { balancing } = await begun()
      const drained = a.metroplex.drain({ timeout: 0 })
      const { ended, stopped } = await balancing
      assume(stopped).equals('draining')
      assume(ended).is.above(0)
      await drained
      await a.metroplex.register()
    })

    it('when another server begins to drain, and when one joins', async () => {
      await crowd(c, 1)
      const first = await begun()
      await c.metroplex.drain({ timeout: 0 })
      assume((await first.balancing).stopped).equals('draining')
      await c.metroplex.register()
      const second = await begun()
      const late = await start()
      assume((await second.balancing).stopped).equals('membership')
      await late.dispose()
    })

    it('when it is destroyed, and refuses to begin again', async () => {
      const { balancing } = await begun()
      balancer.choose = () => port(b)
      await a.dispose()
      assume((await balancing).stopped).equals('destroyed')
      assume((await rejection(a.metroplex.balance())).code).equals('ECLOSED')
      servers[0] = a = await start({}, 'suite')
    })

    it('and warns when most clients come straight back', async () => {
      const errors: ClusterError[] = []
      const note = (error: ClusterError): void => {
        errors.push(error)
      }
      a.metroplex.on('error', note)
      await crowd(a, 40)
      balancer.choose = () => port(a)
      const { ended, returned, target, stopped } = await a.metroplex.balance({ rate: 1000 })
      a.metroplex.removeListener('error', note)
      assume([target, stopped]).eql([15, 'returned'])
      assume(ended).is.above(7)
      assume(ended).is.below(30)
      assume(returned).is.above(ended / 2)
      assume(errors.map(({ code }) => code)).eql(['ESTICKY'])
      const { ok, warnings } = await health(a)
      assume(ok).true()
      assume(warnings).eql([errors[0]?.message])
      await eventually(() => a.primus.connected === 40, { what: 'all clients' })
      // The balancer has been mended.
      even()
      assume((await a.metroplex.balance({ rate: 1000 })).stopped).equals(undefined)
      assume((await health(a)).warnings).eql([])
    })
  })

  describe('with the option', () => {
    it('runs by itself after a while of quiet, and not while clients come straight back', async () => {
      const own = await start({ balance: { tolerance: 0.5, rate: 1000 } }, 'suite')
      servers.push(own)
      await crowd(own, 40)
      balancer.choose = () => port(own)
      const error = once(own.metroplex, 'error', { within: 30_000 })
      const balances: Balanced[] = []
      own.metroplex.on('balance', balanced => {
        balances.push(balanced)
      })
      assume(((await error)[0] as ClusterError).code).equals('ESTICKY')
      await eventually(() => own.primus.connected === 40, { what: 'all clients' })
      even()
      assume(balances.map(({ stopped }) => stopped)).eql(['returned'])
      // A server that leaves may have been the reason.
      await servers.splice(2, 1)[0]?.dispose()
      await eventually(() => balances.length > 1 && own.primus.connected <= 20, { within: 30_000, what: 'even sparks' })
      assume(balances.at(-1)).eql({ ...balances.at(-1), target: 20, sparks: own.primus.connected })
      servers.pop()
      await own.dispose()
      servers.push((c = await start({}, 'suite')))
    })
  })

  describe('refuses', () => {
    it('wrong options at once, in a sentence with the value and what is allowed', async () => {
      await crowd(a, 6)
      for (const [terms, kind, words] of WRONG) {
        const error = await rejection(a.metroplex.balance(terms as object))
        assume(error).instanceOf(kind)
        assume(error.message).includes(words)
      }
      assume(() => a.metroplex.balance({}, 'no function' as never)).throws('callback')
      assume(a.primus.connected).equals(6)
    })
  })

  it('ends while Redis is away, and does not begin', async () => {
    const own = await startRedis()
    const create = (): Promise<Registered> =>
      createRegistered({
        redis: { url: own.url, namespace: space },
        // Numbers are ids, too.
        primus: { ...QUICK, idGenerator: () => ++opened }
      })
    const [one, two] = [await create(), await create()]
    await eventually(async () => (await one.metroplex.balance()).stopped === undefined, { within: 15_000 })
    for (let i = 0; i < 8; i++) await openClient(one.url, { options: { strategy: false } })
    const gone = once(one.primus, 'disconnection', { within: 15_000 })
    const balancing = one.metroplex.balance({ rate: 1000 })
    await gone
    const slow = one.metroplex.balance({ rate: 0.001 })
    await own.kill()
    assume((await balancing).stopped).equals('degraded')
    const { ended, target, stopped } = await one.metroplex.balance()
    assume([ended, target, stopped]).eql([0, null, 'degraded'])
    assume(await slow).eql(await balancing)
    assume(two.primus.connected).equals(0)
  })
})

const health = async ({ metroplex }: Registered): Promise<Health> => metroplex.health()

const WRONG: [terms: unknown, kind: typeof TypeError | typeof RangeError, words: string][] = [
  [{ tolerance: -0.1 }, RangeError, '`tolerance` must be a share of the mean, from 0 to 1; given: -0.1.'],
  [{ tolerance: 1.1 }, RangeError, 'given: 1.1.'],
  [{ tolerance: NaN }, RangeError, 'given: NaN.'],
  [{ tolerance: '10%' }, TypeError, "given: '10%'."],
  [{ tolerance: null }, TypeError, 'given: null.'],
  [{ rate: 0 }, RangeError, '`rate` must be a number of sparks a second, above 0 and at most 1000; given: 0.'],
  [{ rate: 1001 }, RangeError, 'given: 1001.'],
  [{ rate: Infinity }, RangeError, 'given: Infinity.'],
  [{ rate: '5' }, TypeError, "given: '5'."],
  [{ rate: null }, TypeError, 'given: null.'],
  [{ toleranse: 0.1 }, TypeError, 'the option `toleranse` is not known. Did you mean `tolerance`?'],
  [{ timeout: 5 }, TypeError, 'Known are: tolerance, rate'],
  [[], TypeError, 'such as { tolerance: 0.1, rate: 50 }; given: an array of 0.'],
  ['soon', TypeError, "given: 'soon'."],
  [true, TypeError, 'given: true.']
]

describe('the terms of a balance', () => {
  it('are a tolerance of 10 % and a rate of 50, unless they are given', () => {
    for (const nothing of [undefined, null, {}]) assume(balanceTerms(nothing)).eql({ tolerance: 0.1, rate: 50 })
    assume(balanceTerms({ tolerance: 0, rate: 0.5 })).eql({ tolerance: 0, rate: 0.5 })
    assume(balanceTerms({ tolerance: 1, rate: 1000 })).eql({ tolerance: 1, rate: 1000 })
  })
})

/** A spark of a client with this name. */
const sparkOf = (client: string, end: () => void = () => undefined): Spark => ({
  id: client,
  query: { client, _primuscb: String(Math.random()) },
  headers: { 'user-agent': 'a browser' },
  address: { ip: '10.0.0.1' },
  write: () => true,
  end
})

describe('returns', () => {
  /** Lets clients go, of which so many come back. */
  const told = (gone: number, back: number): Returns => {
    const returns = new Returns()
    for (let i = 0; i < gone; i++) returns.letGo(traceOf(sparkOf(`${i}`)), 0)
    for (let i = 0; i < back; i++) assume(returns.arrived(sparkOf(`${i}`), STRAIGHT)).true()
    return returns
  }

  it('are sticky when more come back than a balancer would lead back by chance, and most do', () => {
    for (const [gone, back, servers, sticky] of [
      [16, 16, 3, true],
      [16, 5, 3, false],
      [7, 7, 3, false],
      [8, 8, 3, false],
      [9, 9, 3, true],
      [8, 8, 4, true],
      [100, 60, 2, false],
      [100, 80, 2, true],
      [100, 50, 50, false],
      [100, 51, 50, true]
    ] as const)
      assume(told(gone, back).sticky(servers)).equals(sticky)
    const returns = new Returns()
    for (let i = 0; i < 5000; i++) {
      returns.letGo(traceOf(sparkOf(`${i}`)), i)
      if (i % 3 === 0) returns.arrived(sparkOf(`${i}`), i)
    }
    assume(returns.sticky(3)).false()
  })

  it('are those of clients that were let go, each once, and not later', () => {
    const returns = new Returns()
    assume(returns.arrived(sparkOf('one'), 0)).false()
    returns.letGo(traceOf(sparkOf('one')), 0)
    assume(returns.arrived(sparkOf('two'), 1)).false()
    assume(returns.arrived(sparkOf('one'), 2)).true()
    assume(returns.arrived(sparkOf('one'), 3)).false()
    returns.letGo(traceOf(sparkOf('one')), 4)
    assume(returns.arrived(sparkOf('one'), 5 + STRAIGHT)).false()
  })

  it('are forgotten', () => {
    const returns = told(16, 16)
    returns.forget()
    assume(returns.sticky(3)).false()
  })
})

describe('the youngest sparks', () => {
  it('are as many as are asked for, youngest first', () => {
    const sparks = ['d', 'b', 'a', 'c', 'e'].map(name => sparkOf(name))
    const began = ({ id }: Spark): number => id.charCodeAt(0)
    const found = (count: number): string[] => youngest(sparks, count, began).map(({ id }) => id)
    assume(found(2)).eql(['e', 'd'])
    assume(found(9)).eql(['e', 'd', 'c', 'b', 'a'])
    assume(found(0)).eql([])
    assume(youngest(sparks, 3, () => 1).length).equals(3)
  })
})

describe('a balance', () => {
  /** A server without a network, with 40 sparks, of which `end` is called with each one that is ended. */
  const server = (
    end: (spark: Spark) => void,
    how: Partial<BalancedServer> = {}
  ): BalancedServer & { errors: string[] } => {
    const errors: string[] = []
    let count = 0
    return {
      errors,
      size: 40,
      youngest: asked =>
        Array.from({ length: asked }, () => {
          const spark: Spark = sparkOf(`${++count}`, () => {
            end(spark)
          })
          return spark
        }),
      holds: () => true,
      obstacle: () => undefined,
      others: () => Promise.resolve({ sparks: 20 + errors.length, peers: 1 }),
      unsettled: () => Promise.resolve(undefined),
      done: () => undefined,
      failed: error => {
        errors.push(error.message)
      },
      ...how
    }
  }

  it('continues when a listener of an ended spark throws, and reports it', async () => {
    const failing = server(() => {
      throw new Error('of a listener')
    })
    const done = await new Balance(failing, 0, 1).run({ tolerance: 0, rate: 1000 })
    assume(done).eql({ ended: 10, returned: 0, sparks: 30, target: 30 })
    assume(failing.errors).eql(Array.from({ length: 10 }, () => 'of a listener'))
  })

  it('stops when others come in the place of those that it lets go', async () => {
    const replaced = server(spark => {
      balance.disconnected(spark)
    })
    const balance = new Balance(replaced, 0, 1)
    const { ended, returned, stopped } = await balance.run({ tolerance: 0.3, rate: 1000 })
    assume([ended, returned, stopped]).eql([101, 0, 'returned'])
    assume(replaced.errors.length).equals(1)
    assume(replaced.errors[0]).includes('this server let 101 clients go')
  })

  it('ends when there is no spark that could be ended', async () => {
    const none = server(() => undefined, { youngest: () => [] })
    const done = await new Balance(none, 0, 1).run({ tolerance: 0, rate: 1000 })
    assume(done).eql({ ended: 0, returned: 0, sparks: 40, target: 30 })
  })

  it('ends as degraded when a part of it fails', async () => {
    const failing = server(() => undefined, {
      obstacle: () => {
        throw new Error('of a part')
      }
    })
    assume((await new Balance(failing, 0).run({ tolerance: 0, rate: 1 })).stopped).equals('degraded')
    assume(failing.errors).eql(['of a part'])
  })
})
