import type { Redis } from 'ioredis'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { startServer, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** Short, so that what is put right by the next look is put right soon. */
const TERMS = { interval: 1000, latency: 200, metroplex: { lease: 600 } }

/** How many sparks Primus has, the server counts, and Redis names. */
interface Counts {
  readonly primus: unknown
  readonly count: unknown
  readonly redis: number
}

describe('the sparks of a server', () => {
  let redis: RedisProcess
  let client: Redis
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    client = redis.client()
    space = namespace()
  })

  const start = (prepare?: (options: Record<string, unknown>) => unknown): Promise<ServerProcess> =>
    startServer({ redis: { url: redis.url, namespace: space }, primus: TERMS, ...(prepare && { prepare }) })

  const counts = async (server: ServerProcess): Promise<Counts> => ({
    primus: await server.call('connected'),
    count: await server.call('metroplex.count'),
    redis: await client.hlen(`${space}:sparks`)
  })

  const all = async (server: ServerProcess, number: number): Promise<void> => {
    await eventually(
      async () => {
        const { primus, count, redis } = await counts(server)
        return primus === number && count === number && redis === number
      },
      { within: 10_000, what: `${number} sparks everywhere` }
    )
  }

  const connect = (server: ServerProcess, number: number): Promise<Client[]> =>
    Promise.all(Array.from({ length: number }, () => openClient(server.url)))

  /** What a listener before ours throws belongs to the application, which has it logged. */
  const forgive = (server: ServerProcess): void => {
    server.crashes.length = 0
  }

  it('are removed though a listener before ours has thrown at their disconnection', async () => {
    const server = await start(options => {
      options['plugin'] = {
        early: {
          server: (primus: { on(event: string, fn: () => void): void }) =>
            primus.on('disconnection', () => {
              throw new Error('of the application')
            })
        }
      }
    })
    const clients = await connect(server, 20)
    await all(server, 20)
    await Promise.all(clients.map(client => client.close()))
    await all(server, 0)
    forgive(server)
  })

  it('are registered with their users, though a listener before ours has thrown at their connection', async () => {
    const server = await start(options => {
      const metroplex = options['metroplex'] as Record<string, unknown>
      metroplex['user'] = (spark: { query: { user?: string } }) => spark.query.user
      options['plugin'] = {
        early: {
          server: (primus: { on(event: string, fn: () => void): void }) =>
            primus.on('connection', () => {
              throw new Error('of the application')
            })
        }
      }
    })
    const clients = await connect(server, 20)
    clients.push(await openClient(`${server.url}?user=alice`))
    await all(server, 21)
    await eventually(async () => (await client.hlen(`${space}:user:alice`)) === 1)
    assume(await server.call('forward.spark', clients[0]?.id, 'hello')).eql({ ok: true, send: 1, local: true })
    await Promise.all(clients.map(client => client.close()))
    await all(server, 0)
    await eventually(async () => (await client.exists(`${space}:user:alice`)) === 0)
    forgive(server)
  })

  it('are right when one too many and one too few leave the count unchanged', async () => {
    const server = await start(options => {
      let count = 0
      options['plugin'] = {
        early: {
          server: (primus: { on(event: string, fn: () => void): void }) => {
            for (const event of ['connection', 'disconnection'])
              primus.on(event, () => {
                if (++count % 2 === 0) throw new Error('of the application')
              })
          }
        }
      }
    })
    const first = await connect(server, 10)
    await Promise.all([...first.slice(0, 5).map(client => client.close()), connect(server, 5)])
    await all(server, 10)
    const sparks = (await server.sparks()).sort()
    assume(Object.keys(await client.hgetall(`${space}:sparks`)).sort()).eql(sparks)
    forgive(server)
  })

  for (const [where, early] of [
    ['behind', false],
    ['before', true]
  ] as const) {
    it(`are removed under the id that was registered, though a listener ${where} ours gives them another`, async () => {
      const server = await start(
        early
          ? options => {
              options['plugin'] = {
                early: {
                  server: (primus: { on(event: string, fn: (spark: { id: string }) => void): void }) =>
                    primus.on('connection', spark => {
                      spark.id = `own-${spark.id}`
                    })
                }
              }
            }
          : undefined
      )
      if (!early) {
        await server.run(primus => {
          primus.on('connection', spark => {
            const one = spark as { id: string }
            one.id = `own-${one.id}`
          })
        })
      }
      const clients = await connect(server, 20)
      await all(server, 20)
      const [id = ''] = Object.keys(await client.hgetall(`${space}:sparks`))
      assume(await server.call('forward.spark', id, 'hello')).eql({ ok: true, send: 1, local: true })
      await Promise.all(clients.map(client => client.close()))
      await all(server, 0)
    })
  }

  it('keep their users when the application changes their ids', async () => {
    const server = await start()
    await server.run(primus => {
      primus.on('connection', spark => {
        ;(spark as { id: string }).id = 'changed'
        const metroplex = primus.metroplex as unknown as { identify(spark: unknown, user: string): unknown }
        metroplex.identify(spark, 'alice')
      })
    })
    const one = await openClient(server.url)
    await eventually(async () => Object.values(await client.hgetall(`${space}:user:alice`)).join() === server.address)
    await server.call('forward.user', 'alice', 'hello')
    assume(await one.next()).equals('hello')
  })

  it('are found while one of several with the same id is connected', async () => {
    const server = await start(options => {
      options['idGenerator'] = () => 'same'
    })
    const [one, two] = [await openClient(server.url), await openClient(server.url)]
    await one.close()
    await eventually(async () => (await server.call('connected')) === 1)
    assume(await server.call('forward.spark', 'same', 'hello')).eql({ ok: true, send: 1, local: true })
    assume(await two.next()).equals('hello')
    await two.close()
    await all(server, 0)
  })

  /** The users and the groups that Redis knows. */
  const named = async (): Promise<string[]> => {
    const keys = [...(await client.keys(`${space}:user:*`)), ...(await client.keys(`${space}:group:*`))]
    return keys.map(key => key.slice(space.length + 1)).sort()
  }

  /**
   * All sparks have one id, and a client names its user and its group. One that replaces ends the former one, and our
   * listener does not hear of it.
   */
  const naming = (options: Record<string, unknown>): void => {
    interface One {
      readonly query: Readonly<Record<string, string | undefined>>
      end(): void
    }
    let former: One | undefined
    options['idGenerator'] = () => 'same'
    Object.assign(options['metroplex'] as Record<string, unknown>, {
      user: ({ query }: One) => query['user'],
      groups: ({ query }: One) => query['group']
    })
    options['plugin'] = {
      early: {
        server: (primus: { on(event: string, fn: (spark: One) => void): void }) =>
          primus.on('connection', spark => {
            if (spark.query['replaces'] !== undefined) {
              former?.end()
              throw new Error('of the application')
            }
            former = spark
          })
      }
    }
  }

  it('keep their user and groups while one of several with the same id is connected', async () => {
    const server = await start(naming)
    const one = await openClient(`${server.url}?user=alice&group=first`)
    await eventually(async () => (await named()).join() === 'group:first,user:alice')
    const two = await openClient(server.url)
    await one.close()
    await eventually(async () => (await server.call('connected')) === 1)
    await server.call('forward.user', 'alice', 'to the user')
    assume(await two.next()).equals('to the user')
    await server.call('forward.group', 'first', 'to the group')
    assume(await two.next()).equals('to the group')
    await two.close()
    await eventually(async () => (await named()).length === 0)
  })

  it('begin without the user and groups of one with the same id that ended before they were entered', async () => {
    const server = await start(naming)
    await openClient(`${server.url}?user=alice&group=first`)
    await eventually(async () => (await named()).join() === 'group:first,user:alice')
    const two = await openClient(`${server.url}?replaces=1&user=bob`)
    await eventually(async () => (await named()).join() === 'user:bob')
    await server.call('forward.user', 'bob', 'to the user')
    assume(await two.next()).equals('to the user')
    forgive(server)
  })

  it('are not registered while an earlier listener still runs, unless it never ends', async () => {
    const server = await start(options => {
      options['plugin'] = {
        // It never calls back.
        early: {
          server: (primus: { on(event: string, fn: (...args: unknown[]) => void): void }) =>
            primus.on(
              'connection',
              Object.defineProperty(() => undefined, 'length', { value: 2 })
            )
        }
      }
    })
    const clients = await connect(server, 3)
    await all(server, 3)
    await Promise.all(clients.map(client => client.close()))
    await all(server, 0)
  })

  it('that the application has removed itself stay removed, and those that it has entered stay', async () => {
    const server = await start()
    await connect(server, 3)
    await all(server, 3)
    await server.run(primus => {
      primus.forEach(spark => {
        primus.metroplex.disconnect(spark)
      })
      primus.metroplex.connect({ id: 'own', readyState: 1 } as never)
    })
    await eventually(async () => Object.keys(await client.hgetall(`${space}:sparks`)).join() === 'own')
    const beats = async (): Promise<number> =>
      ((await server.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats
    const before = await beats()
    await eventually(async () => (await beats()) > before + 4)
    assume(Object.keys(await client.hgetall(`${space}:sparks`))).eql(['own'])
  })
})
