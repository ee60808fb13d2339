import { setImmediate as turn } from 'node:timers/promises'
import { createClient, type MetroplexOptions } from '../index'
import type { Spark } from '../lib/common/types'
import { ignore } from '../lib/common/callback'
import { admit } from '../lib/registry/scripts/limits'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { openClient, type Client } from './support/client'
import { startProxy } from './support/proxy'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer } from './support/server'
import { sharedRedis } from './support/shared-redis'
import { eventually } from './support/wait'

type Limit = NonNullable<NonNullable<MetroplexOptions['metroplex']>['limit']>

/** What the event `refused` said of a spark. */
type Refusal = readonly [id: string, user: string, why: string]

/** A server, and the sparks that it has refused. */
interface Limited extends Registered {
  readonly refusals: Refusal[]
}

/** The user that a client names in its address. */
function userOfQuery({ query }: Spark): string | undefined {
  return (query as { user?: string }).user
}

/** The same server, with what it refuses from now on. */
function noted(server: Registered): Limited {
  const refusals: Refusal[] = []
  server.metroplex.on('refused', (spark, user, why) => refusals.push([spark.id, user, why]))
  return { ...server, refusals }
}

const ended = (client: Client): Promise<unknown> =>
  eventually(() => client.socket.readyState === 2, { what: 'the end of a client' })

const isOpen = (client: Client): boolean => client.socket.readyState === 3

describe('a limit', function () {
  this.timeout(60_000)
  const shared = sharedRedis()

  const start = async (
    limit: Limit,
    own: MetroplexOptions['metroplex'] = {},
    options: object = {}
  ): Promise<Limited> => {
    const server = await createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { ...options, metroplex: { timeout: 1000, limit, user: userOfQuery, ...own } }
    })
    return noted(server)
  }

  /** A client of a user. It does not reconnect by itself after a loss. */
  const come = (server: { url: string }, user: string): Promise<Client> =>
    openClient(`${server.url}?user=${user}`, { options: { strategy: false } })

  /** Until the registry has exactly these sparks of a user. */
  const has = (server: Limited, user: string, ids: readonly string[]): Promise<unknown> =>
    eventually(
      async () =>
        (await server.metroplex.user(user))
          .map(({ spark }) => spark)
          .sort()
          .join() === [...ids].sort().join(),
      {
        within: 10_000,
        what: `the sparks ${ids.join()} of ${user}`
      }
    )

  describe('that ends the oldest spark', () => {
    it('lets a new one in, and ends the oldest one of its user on whichever server it is', async () => {
      const [a, b] = [await start({ sparks: 2 }), await start({ sparks: 2 })]
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      const second = await come(b, 'alice')
      await has(a, 'alice', [first.id, second.id])
      const third = await come(b, 'alice')
      await ended(first)
      await has(a, 'alice', [second.id, third.id])
      assume(a.refusals).eql([[first.id, 'alice', 'limit']])
      assume(b.refusals).eql([])
      assume([isOpen(second), isOpen(third)]).eql([true, true])
    })

    it('lets a listener write to a spark before that is ended', async () => {
      const a = await start({ sparks: 1 })
      a.metroplex.on('refused', spark => (spark as unknown as { write(data: unknown): void }).write('elsewhere'))
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      const second = await come(a, 'alice')
      assume(await first.next()).equals('elsewhere')
      await ended(first)
      await has(a, 'alice', [second.id])
    })

    it('counts each user by itself, and sparks without a user not at all', async () => {
      const a = await start({ sparks: 1 })
      const clients = [await come(a, 'alice'), await come(a, 'bob'), await openClient(a.url), await openClient(a.url)]
      await has(a, 'alice', [clients[0]?.id ?? ''])
      await has(a, 'bob', [clients[1]?.id ?? ''])
      assume(clients.map(isOpen)).eql([true, true, true, true])
      assume(a.refusals).eql([])
    })

    it('counts a spark that is named anew, by the time of that', async () => {
      const a = await start({ sparks: 1 })
      const [guest, alice] = [await openClient(a.url), await come(a, 'alice')]
      await has(a, 'alice', [alice.id])
      await a.metroplex.identify(guest.id, 'alice')
      await ended(alice)
      await has(a, 'alice', [guest.id])
      await a.metroplex.identify(guest.id, null)
      assume(await a.metroplex.user('alice')).eql([])
    })

    it('is kept when a user comes to many servers at once', async () => {
      const servers = await Promise.all(Array.from({ length: 8 }, () => start({ sparks: 3 })))
      const clients = await Promise.all(servers.flatMap(server => [come(server, 'alice'), come(server, 'alice')]))
      await eventually(() => clients.filter(isOpen).length === 3, { within: 10_000, what: 'the end of all but three' })
      await has(
        servers[0] as Limited,
        'alice',
        clients.filter(isOpen).map(({ id }) => id)
      )
      assume(servers.flatMap(({ refusals }) => refusals).length).equals(13)
    })

    it('says what Redis has to allow, once, and lets sparks stay until it does', async () => {
      const { port, username, password } = await shared.redis.user('limited', ['+@all', '-zadd', '~*', '&*'])
      const a = await createRegistered({
        redis: { url: `redis://${username}:${password}@127.0.0.1:${port}`, namespace: shared.space },
        primus: { metroplex: { timeout: 500, limit: { sparks: 1 } } }
      })
      const errors: string[] = []
      a.metroplex.on('error', ({ message }) => errors.push(message))
      const guest = await openClient(a.url, { options: { strategy: false } })
      const error = await rejection(a.metroplex.identify(guest.id, 'alice'))
      assume(error.code).equals('EREGISTRY')
      assume(error.message).includes("whether the user 'alice' has too many sparks")
      assume(isOpen(guest)).true()
      assume(errors.length).equals(1)
      assume(errors[0]).includes('docs/keys.md lists the rights that a server needs.')
      const admin = shared.redis.client()
      await admin.acl('SETUSER', 'limited', '+zadd')
      await eventually(async () => (await admin.zcard(`${shared.space}:order:alice`)) === 1)
      assume(errors.length).equals(1)
    })

    it('waits for no decision about a spark that is not here', async () => {
      const { metroplex } = await start({ sparks: 1 })
      assume((await rejection(metroplex.identify('elsewhere', 'alice'))).code).equals('ENOSPARK')
      assume(metroplex.core.limits?.waiting).equals(0)
    })

    it('keeps no order of sparks that have gone', async () => {
      const a = await start({ sparks: 1 })
      const { metroplex } = a
      for (let i = 0; i < 40; i++) {
        const spark = { id: `s${i}`, write: () => true, end: () => undefined }
        metroplex.connect(spark)
        await metroplex.identify(spark.id, 'alice')
        metroplex.disconnect(spark)
      }
      assume(await shared.redis.client().zcard(`${shared.space}:order:alice`)).is.atmost(18)
    })

    it('is kept over a flush, which ends nothing that was there before', async () => {
      const [a, b] = [await start({ sparks: 2 }, { lease: 900 }), await start({ sparks: 2 }, { lease: 900 })]
      const clients = [await come(a, 'alice'), await come(b, 'alice')]
      await has(
        a,
        'alice',
        clients.map(({ id }) => id)
      )
      await shared.redis.client().flushall()
      await has(
        a,
        'alice',
        clients.map(({ id }) => id)
      )
      assume([...a.refusals, ...b.refusals]).eql([])
      const third = await come(b, 'alice')
      await ended(clients[0] as Client)
      await has(a, 'alice', [clients[1]?.id ?? '', third.id])
    })

    it('remembers since when a user has a spark, also when another object with its id has gone', async () => {
      const a = await start({ sparks: 1 }, { lease: 900 }, { idGenerator: () => 'same' })
      const [one, two] = [await come(a, 'alice'), await openClient(a.url)]
      await has(a, 'alice', ['same'])
      await one.close()
      await eventually(() => a.primus.connected === 1)
      assume(isOpen(two)).true()
      await shared.redis.client().flushall()
      await eventually(async () => (await shared.redis.client().zscore(`${shared.space}:order:alice`, 'same')) !== null)
    })

    it('is decided after an outage of Redis, during which all are let in', async () => {
      const a = await start({ sparks: 1 }, { lease: 900, timeout: 300 })
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      shared.redis.pause()
      const second = await come(a, 'alice')
      assume((await rejection(a.metroplex.identify(second.id, 'bob'))).code).equals('EREGISTRY')
      await rejection(a.metroplex.identify(second.id, 'alice'))
      assume([isOpen(first), isOpen(second)]).eql([true, true])
      shared.redis.resume()
      await ended(first)
      await has(a, 'alice', [second.id])
    })
  })

  describe('of which the answer of Redis was lost', () => {
    /** A server behind a network that can lose the answer to the next decision. */
    const behind = async (limit: Limit): Promise<Limited & { lose(): void }> => {
      const network = await startProxy({ port: shared.redis.port })
      const server = await createRegistered({
        redis: { url: `redis://127.0.0.1:${network.port}`, namespace: shared.space },
        primus: { metroplex: { timeout: 1000, limit, user: userOfQuery } }
      })
      const decision = String(await shared.redis.client().script('LOAD', admit.lua))
      // The first request of a connection has the script itself instead of its number.
      await come(server, 'bob')
      await eventually(async () => (await server.metroplex.user('bob')).length === 1)
      const lose = (): void => {
        network.dropReplyTo(decision)
      }
      return { ...noted(server), lose }
    }

    it('ends the oldest spark all the same', async () => {
      const [a, b] = [await start({ sparks: 1 }), await behind({ sparks: 1 })]
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      b.lose()
      const second = await come(b, 'alice')
      await ended(first)
      await has(a, 'alice', [second.id])
      assume([isOpen(second), a.refusals.length, b.refusals.length]).eql([true, 1, 0])
    })

    it('refuses the new spark all the same', async () => {
      const limit: Limit = { sparks: 1, over: 'refuse' }
      const [a, b] = [await start(limit), await behind(limit)]
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      b.lose()
      const second = await come(b, 'alice')
      await ended(second)
      await has(a, 'alice', [first.id])
      assume([isOpen(first), a.refusals.length, b.refusals.length]).eql([true, 0, 1])
    })
  })

  describe('that refuses the new spark', () => {
    const REFUSE: Limit = { sparks: 2, over: 'refuse' }

    it('ends it, and leaves the others alone', async () => {
      const [a, b] = [await start(REFUSE), await start(REFUSE)]
      const [first, second] = [await come(a, 'alice'), await come(b, 'alice')]
      await has(a, 'alice', [first.id, second.id])
      const third = await come(b, 'alice')
      await ended(third)
      assume(b.refusals).eql([[third.id, 'alice', 'limit']])
      await has(a, 'alice', [first.id, second.id])
      assume([isOpen(first), isOpen(second), a.refusals.length]).eql([true, true, 0])
    })

    it('rejects `identify` with ELIMIT, in a sentence', async () => {
      const a = await start({ sparks: 1, over: 'refuse' })
      const [alice, guest] = [await come(a, 'alice'), await openClient(a.url, { options: { strategy: false } })]
      await has(a, 'alice', [alice.id])
      const error = await rejection(a.metroplex.identify(guest.id, 'alice'))
      assume(error.code).equals('ELIMIT')
      assume(error.message).equals(
        "The user 'alice' has 1 spark already, as many as `metroplex.limit` allows: " +
          `the spark '${guest.id}' is ended.`
      )
      await ended(guest)
    })

    it('has a place again as soon as one has left', async () => {
      const a = await start({ sparks: 1, over: 'refuse' })
      const first = await come(a, 'alice')
      await has(a, 'alice', [first.id])
      await first.close()
      await has(a, 'alice', [])
      const second = await come(a, 'alice')
      await has(a, 'alice', [second.id])
      assume(a.refusals).eql([])
    })

    it('never lets more in when a user comes to twenty servers at once', async () => {
      const servers = await Promise.all(Array.from({ length: 20 }, () => start(REFUSE, { timeout: 5000 })))
      const counts: number[] = []
      const watch = { done: false }
      const key = `${shared.space}:user:alice`
      const client = shared.redis.client()
      const watching = (async () => {
        while (!watch.done) {
          counts.push(await client.zcard(`${shared.space}:order:alice`))
          await turn()
        }
      })()
      const clients = await Promise.all(servers.map(server => come(server, 'alice')))
      await eventually(() => clients.filter(isOpen).length === 2, { within: 10_000, what: 'the end of all but two' })
      watch.done = true
      await watching
      assume(Math.max(...counts)).equals(2)
      assume(await client.hlen(key)).equals(2)
      await has(
        servers[0] as Limited,
        'alice',
        clients.filter(isOpen).map(({ id }) => id)
      )
      assume(servers.flatMap(({ refusals }) => refusals).length).equals(18)
    })
  })

  for (const over of ['oldest', 'refuse'] as const)
    it(`that knows '${over}' lets a user back in within two seconds after its server was killed`, async () => {
      const limit: Limit = { sparks: 1, over }
      const holder = await startServer({
        redis: { url: shared.redis.url, namespace: shared.space },
        primus: { metroplex: { limit } }
      })
      const a = await start(limit)
      const first = await openClient(holder.url, { options: { strategy: false } })
      await holder.call('metroplex.identify', first.id, 'alice')
      await has(a, 'alice', [first.id])
      await holder.kill()
      const began = performance.now()
      const guest = await openClient(a.url, { options: { strategy: false } })
      await a.metroplex.identify(guest.id, 'alice')
      // Nothing listens at the address of the killed server, so the question fails at once.
      assume(performance.now() - began).is.below(2000)
      assume([isOpen(guest), a.refusals.length]).eql([true, 0])
      assume((await a.metroplex.user('alice')).map(({ spark }) => spark)).includes(guest.id)
    })

  it('ends no spark for one whose server was killed', async () => {
    const limit: Limit = { sparks: 2, over: 'oldest' }
    const killed = await startServer({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { limit } }
    })
    const a = await start(limit)
    const phone = await come(a, 'alice')
    await has(a, 'alice', [phone.id])
    const laptop = await openClient(killed.url, { options: { strategy: false } })
    await killed.call('metroplex.identify', laptop.id, 'alice')
    await has(a, 'alice', [phone.id, laptop.id])
    await killed.kill()
    const back = await come(a, 'alice')
    const decided = (): boolean => a.metroplex.core.limits?.waiting === 0
    await eventually(async () => (await a.metroplex.user('alice')).some(({ spark }) => spark === back.id) && decided())
    assume([isOpen(phone), isOpen(back), a.refusals.length]).eql([true, true, 0])
    const tablet = await come(a, 'alice')
    await ended(phone)
    await eventually(decided)
    assume([isOpen(back), isOpen(tablet)]).eql([true, true])
    assume(a.refusals).eql([[phone.id, 'alice', 'limit']])
  })

  it('over sixteen registries is one', async () => {
    const [a, b] = [await start({ sparks: 1 }, { shards: 16 }), await start({ sparks: 1 }, { shards: 16 })]
    for (const user of ['alice', 'bob', 'carol']) {
      const first = await come(a, user)
      await has(a, user, [first.id])
      const second = await come(b, user)
      await ended(first)
      await has(a, user, [second.id])
    }
  })

  it('costs Redis one script for all users that are named in one turn', async () => {
    const a = await start({ sparks: 5 })
    const clients = await Promise.all(Array.from({ length: 20 }, () => openClient(a.url)))
    const client = shared.redis.client()
    await client.config('RESETSTAT')
    await Promise.all(clients.map(({ id }, i) => a.metroplex.identify(id, `user ${i}`)))
    const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
    assume(calls).is.below(8)
  })
})

describe('a user that is kept out', function () {
  this.timeout(60_000)
  const shared = sharedRedis()

  const start = async (own: MetroplexOptions['metroplex'] = {}): Promise<Limited> => {
    const server = await createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { metroplex: { timeout: 1000, user: userOfQuery, ...own } }
    })
    const refusals: Refusal[] = []
    server.metroplex.on('refused', (spark, user, why) => refusals.push([spark.id, user, why]))
    return { ...server, refusals }
  }

  const come = (server: { url: string }, user: string): Promise<Client> =>
    openClient(`${server.url}?user=${user}`, { options: { strategy: false } })

  const known = async (server: Limited, clients: readonly Client[]): Promise<void> => {
    for (const { id } of clients)
      await eventually(async () => (await server.metroplex.user('alice')).some(({ spark }) => spark === id))
  }

  const guest = (server: { url: string }): Promise<Client> => openClient(server.url, { options: { strategy: false } })

  /** A client comes, gets the user, and is ended. */
  const refused = async (server: Limited): Promise<void> => {
    const client = await guest(server)
    assume((await rejection(server.metroplex.identify(client.id, 'alice'))).code).equals('EBARRED')
    await ended(client)
    assume(server.refusals.at(-1)).eql([client.id, 'alice', 'barred'])
  }

  it('loses all sparks at once, and gets no new one on any server', async () => {
    const [a, b] = [await start(), await start()]
    const clients = [await come(a, 'alice'), await come(b, 'alice'), await come(b, 'alice')]
    const bob = await come(b, 'bob')
    await known(a, clients)
    assume(await a.metroplex.endUser(['alice', 'unknown'], { for: 60_000 })).eql({
      ok: false,
      send: 3,
      missing: ['unknown']
    })
    await Promise.all(clients.map(ended))
    for (const server of [a, b]) await refused(server)
    assume(isOpen(bob)).true()
    const error = await rejection(b.metroplex.identify(bob.id, 'alice'))
    assume(error.code).equals('EBARRED')
    assume(error.message).matches(/^The user 'alice' is kept out for \d+ ms more: the spark '.*' is ended\.$/)
  })

  it('is let in again when the time is over, or by 0', async () => {
    const a = await start()
    assume(await a.metroplex.endUser('alice', { for: 60_000 })).eql({ ok: false, send: 0, missing: ['alice'] })
    await refused(a)
    assume(await a.metroplex.endUser('alice', { for: 0 })).eql({ ok: true, send: 0 })
    await known(a, [await come(a, 'alice')])
    assume((await a.metroplex.endUser('alice', { for: 200 })).send).equals(1)
    await eventually(async () => {
      await a.metroplex.identify((await guest(a)).id, 'alice')
      return true
    })
  })

  it('is kept out by servers that start later, after a flush, and by a process that has no sparks', async () => {
    const a = await start({ lease: 900 })
    const client = createClient({
      redis: shared.redis.client(),
      namespace: shared.space,
      metroplex: { timeout: 1000 }
    })
    using(() => client.close())
    await client.endUser('alice', { for: 60_000 })
    await refused(a)
    const heal = new Promise(resolve => a.metroplex.once('heal', resolve))
    const bob = await come(a, 'bob')
    await eventually(async () => (await a.metroplex.user('bob')).length === 1)
    await shared.redis.client().flushall()
    await heal
    assume(isOpen(bob)).true()
    await eventually(async () => (await shared.redis.client().zcard(`${shared.space}:barred`)) === 1)
    const b = await start({ lease: 900 })
    await eventually(async () => {
      await refused(b)
      return true
    })
  })

  it('is kept out while Redis is away, and nothing changes when the order cannot be written', async () => {
    const a = await start({ timeout: 300 })
    await a.metroplex.endUser('alice', { for: 60_000 })
    const bob = await come(a, 'bob')
    await eventually(async () => (await a.metroplex.user('bob')).length === 1)
    shared.redis.pause()
    await refused(a)
    assume((await rejection(a.metroplex.endUser('bob', { for: 60_000 }))).code).equals('EREGISTRY')
    assume(isOpen(bob)).true()
    shared.redis.resume()
    await eventually(async () => (await a.metroplex.health()).ok)
  })

  it('is ended by the option `user` as well, before it has an id to tell', async () => {
    const a = await start()
    await a.metroplex.endUser('alice', { for: 60_000 })
    // It is never told an id.
    come(a, 'alice').catch(ignore)
    await eventually(() => a.refusals.length === 1)
    assume(a.refusals[0]?.slice(1)).eql(['alice', 'barred'])
  })

  it('must be given a time that a timer can wait, in a sentence', async () => {
    const a = await start()
    for (const [given, kind] of [
      [-1, RangeError],
      [2 ** 31, RangeError],
      [1.5, RangeError],
      ['1m', TypeError]
    ] as const) {
      const error = await rejection(a.metroplex.endUser('alice', { for: given as number }))
      assume(error).instanceOf(kind)
      assume(error.message).matches(
        /^metroplex: `for` must be a whole number of milliseconds, from 0 to 2147483647; given: .*\.$/
      )
    }
    const error = await rejection(a.metroplex.endUser('alice', { until: 1 } as object))
    assume(error.message).includes(
      'the options of `endUser` must be an object such as { reconnect: true } or { for: 60000 }'
    )
    for (const wrong of [[], 'soon', 7])
      assume(await rejection(a.metroplex.endUser('alice', wrong as object))).instanceOf(TypeError)
    await known(a, [await come(a, 'alice')])
  })
})
