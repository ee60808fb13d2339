import fc from 'fast-check'
import { ignore } from '../lib/common/callback'
import type { Shards } from '../lib/shards/shards'
import { userOf } from '../lib/common/names'
import { Keys } from '../lib/registry/keys'
import { namespaces, shardOf } from '../lib/registry/sharding'
import { assume } from './support/assume'
import { calls } from './support/calls'
import { namespace } from './support/namespace'
import type { RedisProcess } from './support/redis'
import { ShardsServer, starter } from './support/shards-server'
import { sharedRedis } from './support/shared-redis'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

/** How long the last test goes on beginning runs, in ms. */
const LONG_ENOUGH = 5000

/** A server without Primus: what is connected to it, and the users behind that. */
class Server extends ShardsServer {
  get users(): Shards['users'] {
    return this.shards.users
  }

  /** A spark of this user's; resolves when the registry has it. */
  async named(user: string, id?: string): Promise<string> {
    const spark = this.connect(id)
    await this.users.identify(spark, user)
    return spark
  }
}

describe('users', () => {
  const shared = sharedRedis()
  const { start, exposed } = starter(Server, () => ({ redis, space }))
  let redis: RedisProcess
  let space: string
  let keys: Keys

  beforeEach(() => {
    ;({ redis, space } = shared)
    keys = new Keys(space)
  })

  /** Everything that is said of users in Redis. */
  const said = async (space: string): Promise<Record<string, Record<string, string>>> => {
    const client = redis.client()
    const names = (await client.keys(`${space}:*`))
      .filter(key => key.includes(':user:') || /:users(:|$)/.test(key))
      .sort()
    return Object.fromEntries(
      await Promise.all(
        names.map(async (key): Promise<[string, Record<string, string>]> => [
          key.slice(space.length + 1),
          await client.hgetall(key)
        ])
      )
    )
  }

  /** Where a user's sparks are, by the server that is asked. */
  const places = async (server: Server, user: string): Promise<Record<string, string>> =>
    Object.fromEntries((await server.users.find([user])).map(({ spark, address }) => [spark, address]))

  describe('by their names', () => {
    it('are strings that are not empty, and numbers as their string', () => {
      assume(userOf('ann')).equals('ann')
      assume(userOf(7)).equals('7')
      for (const none of ['', undefined, null, {}, [], true, Symbol('s'), 7n])
        assume(() => userOf(none)).throws(TypeError)
      assume(() => userOf('')).throws(/a user must be a string of 1 to 1024 bytes of UTF-8; given: ''/)
    })

    it('have at most 1024 bytes', () => {
      assume(userOf('é'.repeat(512))).equals('é'.repeat(512))
      assume(() => userOf('é'.repeat(513))).throws(RangeError)
      assume(() => userOf('x'.repeat(1025))).throws(/at most 1024 bytes of UTF-8; given: 1025/)
    })

    it('are what Redis makes of them where they are no Unicode', () => {
      assume(userOf('a\ud800')).equals('a\ufffd')
    })

    it('may be anything', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const names = [
        ':',
        '{}',
        '{a}:b',
        '*',
        'a\nb',
        'a\0b',
        'ünï 🚀',
        '__proto__',
        'constructor',
        '0',
        ' ',
        'http://a:1',
        'a:users',
        'x'.repeat(1024)
      ]
      const ids = await Promise.all(names.map(name => a.named(name)))
      const odd = await Promise.all(names.map((name, i) => b.named('odd ids', `${i}${name}`)))
      assume(await b.users.find(names)).eql(names.map((user, i) => ({ user, spark: ids[i], address: a.address })))
      assume((await a.users.find(['odd ids'])).map(({ spark }) => spark).sort()).eql([...odd].sort())
      ids.forEach(id => a.disconnect(id))
      odd.forEach(id => b.disconnect(id))
      await eventually(async () => Object.keys(await said(space)).length === 0)
    })
  })

  describe('of two servers', () => {
    it('are found with all their sparks, in the order that was asked for', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const [one, two, three] = [await a.named('ann'), await b.named('ann'), await b.named('bob')]
      for (const server of [a, b]) {
        assume(await places(server, 'ann')).eql({ [one]: a.address, [two]: b.address })
        assume(
          await server.users.find(['bob', 'unknown', 'ann', 'bob']).then(found => found.map(({ user }) => user))
        ).eql(['bob', 'ann', 'ann'])
      }
      assume(a.users.own('ann')).eql([one])
      assume(b.users.own('bob')).eql([three])
      assume(b.users.size).equals(2)
      assume(await said(space)).eql({
        'user:ann': { [one]: a.address, [two]: b.address },
        'user:bob': { [three]: b.address },
        [`${a.address}:users`]: { [one]: 'ann' },
        [`${b.address}:users`]: { [two]: 'ann', [three]: 'bob' }
      })
    })

    it('may be renamed and unnamed', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const id = await a.named('ann')
      await a.users.identify(id, 'eve')
      assume(await b.users.find(['ann', 'eve'])).eql([{ user: 'eve', spark: id, address: a.address }])
      assume(await said(space)).eql({ 'user:eve': { [id]: a.address }, [`${a.address}:users`]: { [id]: 'eve' } })
      await a.users.identify(id, undefined)
      assume(await b.users.find(['ann', 'eve'])).eql([])
      assume(await said(space)).eql({})
      assume(a.users.size).equals(0)
    })

    it('are known at once where they are, and nothing of what was replaced is written', async () => {
      const a = await start('a')
      const id = a.connect()
      const named = ['x', 'y', 'ann'].map(user => a.users.identify(id, user))
      assume(a.users.own('ann')).eql([id])
      assume(a.users.own('x')).eql([])
      await Promise.all(named)
      assume(await said(space)).eql({ 'user:ann': { [id]: a.address }, [`${a.address}:users`]: { [id]: 'ann' } })
    })

    it('cost Redis nothing when they are named as before, and are written with many others', async () => {
      const a = await start('a', { lease: 60_000 })
      const ids = Array.from({ length: 1200 }, () => a.connect())
      await a.settled()
      const before = await calls(redis, 'evalsha', 'eval')
      await Promise.all(ids.map((id, i) => a.users.identify(id, `user ${i % 400}`)))
      await Promise.all(ids.map((id, i) => a.users.identify(id, `user ${i % 400}`)))
      assume((await calls(redis, 'evalsha', 'eval')) - before).is.below(8)
      assume(await redis.client().hlen(keys.usersOf(a.address))).equals(1200)
      assume(Object.keys(await redis.client().hgetall(keys.user('user 7')))).has.length(3)
    })

    it('are forgotten when their sparks disconnect', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const [one, two] = [await a.named('ann'), await b.named('ann')]
      a.disconnect(one)
      assume(a.users.own('ann')).eql([])
      await eventually(async () => Object.keys(await places(b, 'ann')).length === 1)
      assume(await places(a, 'ann')).eql({ [two]: b.address })
      b.disconnect(two)
      await eventually(async () => Object.keys(await said(space)).length === 0)
    })

    it('are not for sparks of others to say', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const id = await a.named('ann')
      const error = await rejection(b.users.identify(id, 'eve'))
      assume(error.code).equals('ENOSPARK')
      assume(error.message).includes('is not connected to this server')
      assume(await places(b, 'ann')).eql({ [id]: a.address })
    })

    it('need no second lookup by the server that found them', async () => {
      const [a, b] = [await start('a', { lease: 60_000 }), await start('b', { lease: 60_000 })]
      const id = await a.named('ann')
      await b.users.find(['ann'])
      assume(b.shards.locator.recent(id)).equals(a.address)
    })

    it('follow a spark that moves, however late its former server hears of it', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const id = await a.named('ann')
      await b.named('ann', id)
      assume(await places(b, 'ann')).eql({ [id]: b.address })
      a.disconnect(id)
      await a.settled()
      await b.settled()
      assume(await said(space)).eql({ 'user:ann': { [id]: b.address }, [`${b.address}:users`]: { [id]: 'ann' } })
    })

    it('are not found by a spark that another server holds, until it is back', async () => {
      const [a, b] = [await start('a'), await start('b')]
      const id = await a.named('ann')
      b.connect(id)
      await eventually(() => a.users.own('ann').length === 0, { what: 'a to hear that it moved' })
      await eventually(async () => Object.keys(await said(space)).length === 0)
      assume(await places(a, 'ann')).eql({})
      b.disconnect(id)
      await eventually(() => a.users.own('ann').length === 1, { what: 'a to have it again' })
      await eventually(async () => (await places(b, 'ann'))[id] === a.address)
    })
  })

  for (const shards of [1, 3]) {
    describe(`in ${shards} ${shards === 1 ? 'registry' : 'registries'}`, () => {
      const many = Array.from({ length: 20 }, (_, i) => `user ${i}`)

      /** Three sparks of each of them; their ids by user. */
      const crowd = async (server: Server): Promise<Map<string, string[]>> =>
        new Map(
          await Promise.all(
            many.map(async (user): Promise<[string, string[]]> => [
              user,
              await Promise.all([1, 2, 3].map(() => server.named(user)))
            ])
          )
        )

      const allThere = async (server: Server, crowded: Map<string, string[]>, address: string): Promise<boolean> => {
        const found = await server.users.find(many)
        return (
          found.length === 60 &&
          found.every(({ user, spark, address: at }) => at === address && crowded.get(user)?.includes(spark) === true)
        )
      }

      it('lie in that of their name', async () => {
        const a = await start('a', { shards })
        const crowded = await crowd(a)
        assume(await allThere(a, crowded, a.address)).true()
        const names = namespaces(space, shards)
        for (const user of many) {
          const there = await redis.client().hkeys(`${names[shardOf(user, shards)] ?? ''}:user:${user}`)
          assume(there.sort()).eql([...(crowded.get(user) ?? [])].sort())
        }
        const counts = await Promise.all(names.map(name => redis.client().hlen(`${name}:${a.address}:users`)))
        assume(counts.reduce((sum, count) => sum + count)).equals(60)
      })

      it('may be renamed from one to another', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        const id = a.connect()
        for (const user of many) await a.users.identify(id, user)
        assume(await b.users.find(many)).eql([{ user: 'user 19', spark: id, address: a.address }])
        assume(Object.keys(await said(space))).has.length(2)
      })

      it('come back after a flush', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        const crowded = await crowd(a)
        await redis.client().flushall()
        await eventually(() => allThere(b, crowded, a.address))
        await a.settled()
        assume(a.healed.reduce((sum, count) => sum + count, 0)).equals(120)
      })

      it('are put back when one is deleted from the list of its server, and removed when one is too much', async () => {
        const a = await start('a', { shards })
        const [id, user] = [await a.named('ann'), 'ann']
        const space = namespaces(a.namespace, shards)[shardOf(user, shards)] ?? ''
        const [own, sparks] = [`${space}:${a.address}:users`, `${space}:user:${user}`]
        await redis.client().multi().hdel(own, id).hdel(sparks, id).exec()
        await eventually(
          async () =>
            (await redis.client().hget(own, id)) === user && (await redis.client().hget(sparks, id)) === a.address
        )
        await redis.client().multi().hset(own, 'ghost', user).hset(sparks, 'ghost', a.address).exec()
        await eventually(
          async () => (await redis.client().hlen(own)) === 1 && (await redis.client().hlen(sparks)) === 1
        )
      })

      it('go with a server that leaves', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        await crowd(a)
        const id = await b.named('user 3')
        await a.shards.lives.unregister()
        assume(await b.users.find(many)).eql([{ user: 'user 3', spark: id, address: b.address }])
        assume(Object.keys(await said(space))).has.length(2)
      })

      it('come along to another address', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        const crowded = await crowd(a)
        await a.shards.lives.register('http://other:1', true)
        await eventually(() => allThere(b, crowded, 'http://other:1'))
        await a.settled()
        assume((await said(space))[`${a.address}:users`]).equals(undefined)
      })

      it('of a server that dies are removed by another one, and are found no more before', async () => {
        const { server: a, network } = await exposed('a', { shards, timeout: 300 })
        const b = await start('b', { shards })
        await crowd(a)
        const id = await b.named('user 3')
        await network.refuse()
        network.cut()
        await eventually(async () => (await b.users.find(many)).length === 1, { within: 10_000 })
        await eventually(async () => Object.keys(await said(space)).length === 2, {
          within: 10_000,
          what: 'all that it left to be removed'
        })
        assume(await b.users.find(many)).eql([{ user: 'user 3', spark: id, address: b.address }])
        await eventually(() => b.reaped.length === 60)
      })

      it('that a former life at an address left behind are removed, and those that are back are spared', async () => {
        const { server: a, network } = await exposed('a', { shards, timeout: 300, lease: 3000 })
        const crowded = await crowd(a)
        await network.refuse()
        network.cut()
        const again = await start('a', { shards })
        const back = crowded.get('user 3')?.[0] ?? ''
        await again.named('user 3', back)
        await eventually(async () => Object.keys(await said(space)).length === 2, { within: 10_000 })
        assume(await again.users.find(many)).eql([{ user: 'user 3', spark: back, address: again.address }])
        await eventually(async () => (await redis.client().keys(`${space}*:users:*`)).length === 0)
      })
    })
  }

  it('go with a server in whose place one of 1.x was started', async () => {
    const { server: a, network } = await exposed('a', { timeout: 300 })
    const b = await start('b')
    await a.named('ann')
    await a.settled()
    await network.refuse()
    network.cut()
    await redis.client().set(keys.alive(a.address), '1', 'PX', 60_000)
    await eventually(async () => Object.keys(await said(space)).length === 0, { within: 10_000 })
    assume(await b.users.find(['ann'])).eql([])
    assume(await redis.client().exists(keys.life(a.address))).equals(0)
  })

  describe('while Redis cannot be reached', () => {
    it('are found locally; `identify` reports that the write is pending, and it is done later', async () => {
      const { server: a, network } = await exposed('a', { timeout: 300, lease: 60_000 })
      const b = await start('b')
      const [early, id] = [await a.named('ann'), a.connect()]
      await a.settled()
      await network.refuse()
      network.cut()
      const error = await rejection(a.users.identify(id, 'ann'))
      assume(error.code).equals('EREGISTRY')
      assume(error.message).matches(/did not confirm .* within 300 ms\. It is written as soon as Redis accepts it/)
      a.disconnect(early)
      assume(a.users.own('ann')).eql([id])
      assume((await rejection(a.users.find(['ann']))).code).equals('EREGISTRY')
      await network.accept()
      await eventually(async () => JSON.stringify(await places(b, 'ann')) === JSON.stringify({ [id]: a.address }))
      await a.users.identify(id, 'ann')
    })

    it('are right in the end, though the outcome of a write is unknown', async () => {
      const { server: a, network } = await exposed('a', { timeout: 1000, lease: 60_000 })
      const b = await start('b')
      const id = await a.named('ann')
      await a.settled()
      for (const [user, next] of [
        ['bob', 'eve'],
        ['ann', 'bob'],
        ['eve', 'ann']
      ] as const) {
        network.dropNextReply({ cut: true })
        const named = a.users.identify(id, user)
        await eventually(() => a.shards.state === 'degraded', { every: 1 })
        await Promise.all([named, a.users.identify(id, next)])
        assume(await b.users.find(['ann', 'bob', 'eve'])).eql([{ user: next, spark: id, address: a.address }])
        await a.settled()
        assume(await said(space)).eql({ [`user:${next}`]: { [id]: a.address }, [`${a.address}:users`]: { [id]: next } })
      }
    })
  })

  it('are put right by the server that has the spark, when another one that had it names it late', async () => {
    for (const shards of [1, 3]) {
      space = namespace()
      const [a, b] = [await start('a', { shards }), await start('b', { shards })]
      const id = await a.named('ann')
      await b.named('ann', id)
      // It does not know yet that its spark has moved.
      await a.users.identify(id, undefined)
      await a.users.identify(id, 'ann')
      await eventually(() => !a.shards.sparks.owns(id))
      await eventually(
        async () => Object.keys(await said(space)).length === 2 && (await places(a, 'ann'))[id] === b.address
      )
    }
  })

  it('agree with reality after any order of events', async function () {
    this.timeout(120_000)
    const [who, id] = [fc.constantFrom(0, 1), fc.constantFrom('p', 'q', 'r', 's')]
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), who, id }) },
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant('identify' as const),
          who,
          id,
          user: fc.constantFrom('ann', 'bob', 'eve', undefined)
        })
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('disconnect' as const), who, id }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const), who }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('flush' as const) }) }
    )
    const client = redis.client()
    const property = fc.asyncProperty(
      fc.constantFrom(1, 2),
      fc.array(step, { maxLength: 25 }),
      async (shards, steps) => {
        const name = namespace()
        const servers = ['http://a:1', 'http://b:1'].map(
          address => new Server(redis, name, address, { lease: 600, shards })
        )
        const at = (server: number): Server => servers[server] as Server
        const users = [new Map<string, string>(), new Map<string, string>()]
        const expected = (): Record<string, Record<string, string>> => {
          const tags = namespaces(name, shards).map(one => one.slice(name.length))
          const hashes: Record<string, Record<string, string>> = {}
          servers.forEach((server, i) =>
            users[i]?.forEach((user, spark) => {
              if (!server.shards.sparks.owns(spark)) return
              const tag = tags[shardOf(user, shards)] ?? ''
              const put = (key: string, value: string): void => {
                ;(hashes[`${tag}:${key}`.replace(/^:/, '')] ??= {})[spark] = value
              }
              put(`user:${user}`, server.address)
              put(`${server.address}:users`, user)
            })
          )
          return hashes
        }
        try {
          await Promise.all(servers.map(server => server.shards.lives.register(server.address, true)))
          for (const action of steps) {
            if (action.do === 'connect') {
              if (!at(action.who).holds(action.id)) at(action.who).connect(action.id)
            } else if (action.do === 'identify') {
              if (!at(action.who).holds(action.id)) continue
              at(action.who).users.identify(action.id, action.user).catch(ignore)
              if (action.user === undefined) users[action.who]?.delete(action.id)
              else users[action.who]?.set(action.id, action.user)
            } else if (action.do === 'disconnect') {
              at(action.who).disconnect(action.id)
              users[action.who]?.delete(action.id)
            } else if (action.do === 'settle') {
              await eventually(() => at(action.who).shards.sparks.waiting === 0)
            } else {
              const all = await client.keys(`${name}*`)
              if (all.length > 0) await client.del(...all)
            }
          }
          await eventually(
            async () => {
              for (const one of ['p', 'q', 'r', 's']) {
                const holders = servers.filter(server => server.holds(one))
                assume(holders.filter(server => server.shards.sparks.owns(one))).has.length(Math.min(1, holders.length))
              }
              assume(sorted(await said(name))).eql(sorted(expected()))
              const found = await Promise.all(servers.map(server => server.users.find(['ann', 'bob', 'eve'])))
              const places = (one: (typeof found)[number] | undefined): string[] =>
                (one ?? []).map(place => JSON.stringify(place)).sort()
              assume(places(found[0])).eql(places(found[1]))
              return true
            },
            { within: 15_000 }
          )
        } finally {
          await Promise.all(servers.map(server => server.shards.close()))
        }
      }
    )
    // Most of it is waiting for beats: so many are run beside each other.
    const end = performance.now() + LONG_ENOUGH
    let runs = 0
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (performance.now() < end) {
          await fc.assert(property, { numRuns: 1 })
          runs++
        }
      })
    )
    assume(runs).is.above(10)
  })
})

/** The same, in an order that does not depend on when anything was written. */
function sorted(hashes: Record<string, Record<string, string>>): unknown {
  return Object.entries(hashes)
    .map(([key, hash]) => [key, Object.entries(hash).sort()])
    .sort()
}
