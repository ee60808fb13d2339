import { deferred } from '../lib/common/async'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { createRegistered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { eventually } from './support/wait'
import type { ClusterError, UserOption, UserPlace } from '../index'

/** Names the user behind a spark by the query of its URL: at once, later, not at all, or it throws. */
const prepare = (options: Record<string, unknown>): void => {
  const own = options['metroplex'] as Record<string, unknown>
  own['user'] = (spark: { query: { user?: string; how?: string } }) => {
    const { user, how } = spark.query
    if (how === 'throws') throw new Error(`no user named ${String(user)}`)
    if (how === 'odd') return 42.5
    if (how === 'long') return 'x'.repeat(1025)
    return how === 'later'
      ? new Promise(resolve => {
          setImmediate(() => {
            resolve(user)
          })
        })
      : user
  }
}

describe('users', () => {
  let redis: RedisProcess

  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  it('keep the name that `identify` gave while the option `user` was still pending', async () => {
    const asked: ReturnType<typeof deferred<string>>[] = []
    const user = (): Promise<string> => {
      const name = deferred<string>()
      asked.push(name)
      return name.promise
    }
    const { metroplex, url, address } = await createRegistered({
      redis: { url: redis.url, namespace: namespace() },
      primus: { metroplex: { user } }
    })
    const [one, two, three] = [await openClient(url), await openClient(url), await openClient(url)]
    await eventually(() => asked.length === 3)
    await metroplex.identify(one.id, 'ann')
    await metroplex.identify(two.id, undefined)
    for (const name of asked) name.resolve('guest')
    await eventually(async () => (await metroplex.user('guest')).length > 0)
    assume(await metroplex.user(['ann', 'guest'])).eql([
      { user: 'ann', spark: one.id, address },
      { user: 'guest', spark: three.id, address }
    ])
  })

  describe('of strangers', () => {
    /**
     * Starts a server, has so many clients connect by these queries, and resolves with its errors once all of them are
     * registered.
     */
    async function errorsOf(user: UserOption, queries: readonly string[]): Promise<ClusterError[]> {
      const { metroplex, url } = await createRegistered({
        redis: { url: redis.url, namespace: namespace() },
        primus: { metroplex: { user } }
      })
      const errors: ClusterError[] = []
      metroplex.on('error', error => {
        errors.push(error)
      })
      await Promise.all(queries.map(query => openClient(`${url}?${query}`)))
      await eventually(async () => (await metroplex.count()) === queries.length)
      return errors
    }
    const many = (query: string): string[] => Array.from({ length: 100 }, () => query)

    for (const nothing of [null, undefined]) {
      it(`have no user, and no error, when the option \`user\` returns ${String(nothing)}`, async () => {
        assume(await errorsOf(() => nothing, many(''))).eql([])
        assume(await errorsOf(() => Promise.resolve(nothing), many(''))).eql([])
      })
    }

    it('cause one error for each kind of a bad name, however many of them come', async () => {
      const queries = [...many('user='), ...many(`user=${'x'.repeat(2000)}`), ...many('user=a&user=b')]
      const errors = await errorsOf(spark => spark.query['user'], queries)
      assume(errors.map(({ code }) => code)).eql(['EUSER', 'EUSER'])
      assume(errors.map(({ cause }) => (cause as Error).name).sort()).eql(['RangeError', 'TypeError'])
    })

    it('cause one error when the option `user` throws for each of them, with any message', async () => {
      const errors = await errorsOf(
        spark => {
          throw new Error(`no user named ${String(spark.query['user'])}`)
        },
        Array.from({ length: 100 }, (_, i) => `user=${i}`)
      )
      assume(errors.map(({ code, message }) => [code, /no user named \d+/.test(message)])).eql([['EUSER', true]])
    })

    it('lose their name when `identify` is given null', async () => {
      const { metroplex, url } = await createRegistered({ redis: { url: redis.url, namespace: namespace() } })
      const { id } = await openClient(url)
      await metroplex.identify(id, 'ann')
      assume((await metroplex.user('ann')).length).equals(1)
      await metroplex.identify(id, null)
      assume(await metroplex.user('ann')).eql([])
    })

    it('cause one error when the ids that an application makes for them are no ids', async () => {
      const { metroplex, url } = await createRegistered({
        redis: { url: redis.url, namespace: namespace() },
        primus: { idGenerator: () => ({}) }
      })
      const errors: ClusterError[] = []
      metroplex.on('error', error => {
        errors.push(error)
      })
      const sockets = await Promise.all(
        many('')
          .slice(0, 10)
          .map(() => openClient(url))
      )
      await Promise.all(sockets.map(socket => socket.close()))
      assume(errors.map(({ name }) => name)).eql(['TypeError'])
    })
  })

  for (const transport of ['http', 'redis'] as const) {
    describe(`of a cluster that talks over ${transport}`, () => {
      const space = namespace()
      let servers: [ServerProcess, ServerProcess, ServerProcess]

      const start = (): Promise<ServerProcess> =>
        startServer({
          redis: { url: redis.url, namespace: space },
          scope: 'suite',
          prepare,
          primus: { interval: 3000, latency: 500, metroplex: { transport, lease: 1000 } }
        })
      before(async () => {
        servers = await Promise.all([start(), start(), start()])
      })
      after(() => Promise.all(servers.map(server => server.stop())))

      const as = (server: ServerProcess, user: string, how = ''): Promise<Client> =>
        openClient(`${server.url}?user=${encodeURIComponent(user)}&how=${how}`)
      const found = async (server: ServerProcess, users: string | string[]): Promise<[string, string, string][]> =>
        ((await server.call('metroplex.user', users)) as UserPlace[]).map(({ user, spark, address }) => [
          user,
          spark,
          address
        ])
      const settled = (user: string, ids: string[]): Promise<unknown> =>
        eventually(async () => {
          const seen = await Promise.all(
            servers.map(async server => (await found(server, user)).map(([, id]) => id).sort())
          )
          return seen.every(one => one.join() === [...ids].sort().join())
        })

      it('are found with all their sparks, from everywhere, whether they were named at once or later', async () => {
        const [a, b, c] = servers
        const clients = [
          await as(a, 'ann'),
          await as(b, 'ann', 'later'),
          await as(b, 'ann'),
          await as(c, 'ben: {x} *\n')
        ]
        const [one, two, three, four] = clients.map(({ id }) => id) as [string, string, string, string]
        await settled('ann', [one, two, three])
        await settled('ben: {x} *\n', [four])
        const sparks = await found(c, ['ben: {x} *\n', 'unknown', 'ann'])
        assume(sparks[0]).eql(['ben: {x} *\n', four, c.address])
        assume(sparks.slice(1).sort()).eql(
          [
            ['ann', one, a.address],
            ['ann', two, b.address],
            ['ann', three, b.address]
          ].sort()
        )
        await clients[1]?.close()
        await settled('ann', [one, three])
      })

      it('get messages on any server; users without a spark are missing, which is no error', async () => {
        const [a, b, c] = servers
        const [one, two, other] = [await as(a, 'cat'), await as(b, 'cat'), await as(c, 'dan')]
        await settled('cat', [one.id, two.id])
        await settled('dan', [other.id])
        for (const from of servers) {
          assume(await from.call('forward.user', 'cat', from.address)).eql({ ok: true, send: 2 })
        }
        assume(await one.count(3)).eql(servers.map(({ address }) => address))
        assume(await two.count(3)).eql(servers.map(({ address }) => address))
        assume(await a.call('forward.user', ['cat', 'unknown', 'dan', 'dan'], 'all')).eql({
          ok: false,
          send: 3,
          missing: ['unknown']
        })
        assume(await c.callback('forward.user', 'unknown', 'x')).eql({
          ok: false,
          send: 0,
          local: true,
          missing: ['unknown']
        })
        assume(await other.next()).equals('all')
      })

      it('get it in the order of the calls', async () => {
        const [a, b] = servers
        const [one, two] = [await as(b, 'eve'), await as(b, 'fay')]
        await settled('eve', [one.id])
        await settled('fay', [two.id])
        await a.run(async primus => {
          const { forward } = primus as unknown as {
            forward: { user(users: string | string[], msg: unknown): Promise<unknown> }
          }
          await Promise.all(
            Array.from({ length: 300 }, (_, i) => forward.user(i % 3 === 0 ? ['fay', 'eve'] : 'eve', i))
          )
        })
        assume(await one.count(300)).eql(Array.from({ length: 300 }, (_, i) => i))
        assume(await two.count(100)).eql(Array.from({ length: 100 }, (_, i) => 3 * i))
      })

      it('may be named, renamed and unnamed later, by the server that holds the spark alone', async () => {
        const [a, b] = servers
        const one = await openClient(a.url)
        await a.call('metroplex.identify', one.id, 'gil')
        assume(await found(b, ['gil'])).eql([['gil', one.id, a.address]])
        await a.run(
          (primus, id) =>
            (
              primus as unknown as {
                metroplex: { identify(spark: unknown, user: string): Promise<void> }
                spark(id: string): unknown
              }
            ).metroplex.identify((primus as unknown as { spark(id: string): unknown }).spark(id), 'hal'),
          one.id
        )
        assume(await found(b, ['gil', 'hal'])).eql([['hal', one.id, a.address]])
        await a.call('metroplex.identify', one.id, undefined)
        assume(await found(b, ['gil', 'hal'])).eql([])
        assume((await rejection(b.call('metroplex.identify', one.id, 'ida'))).code).equals('ENOSPARK')
        assume((await rejection(a.call('metroplex.identify', one.id, ''))).message).includes(
          'must be a string of 1 to 1024 bytes'
        )
        assume((await rejection(a.call('metroplex.user', {}))).name).equals('TypeError')
        assume((await rejection(a.call('forward.user', [''], 'x'))).name).equals('TypeError')
      })

      it('are ended with all their sparks', async () => {
        const [a, b, c] = servers
        const clients = [await as(a, 'joe'), await as(b, 'joe'), await as(c, 'kim')]
        await settled(
          'joe',
          clients.slice(0, 2).map(({ id }) => id)
        )
        await settled('kim', [clients[2]?.id ?? ''])
        assume(await c.call('metroplex.endUser', 'joe')).eql({ ok: true, send: 2 })
        await settled('joe', [])
        assume(await c.call('metroplex.endUser', ['joe', 'kim'])).eql({
          ok: false,
          send: 1,
          local: true,
          missing: ['joe']
        })
        assume((await rejection(c.call('metroplex.endUser', 'joe', { come: 'back' }))).name).equals('TypeError')
      })

      it('without a valid name keep their sparks, and an error says why', async () => {
        const [a, b] = servers
        for (const [how, sentence] of [
          ['throws', 'no user named lou'],
          ['odd', ''],
          ['long', 'at most 1024 bytes']
        ] as const) {
          const since = a.log.length
          const one = await as(a, 'lou', how)
          await eventually(async () => (await b.call('metroplex.spark', one.id)) === a.address)
          if (how !== 'odd')
            await a.seen('error', { since, filter: error => (error as Error).message.includes(sentence) })
        }
        assume(await found(b, ['lou'])).eql([])
        assume((await found(b, ['42.5'])).length).equals(1)
      })

      it('of a server that dies are gone with it', async () => {
        const [a] = servers
        const doomed = await start()
        const one = await as(doomed, 'mia')
        await settled('mia', [one.id])
        await doomed.kill()
        await settled('mia', [])
        assume(await a.call('forward.user', 'mia', 'x')).eql({ ok: false, send: 0, local: true, missing: ['mia'] })
        await eventually(
          () =>
            redis.ask(
              async client => (await client.exists(`${space}:user:mia`, `${space}:${doomed.address}:users`)) === 0
            ),
          { within: 15_000 }
        )
      })
    })
  }
})
