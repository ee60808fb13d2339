import { createServer } from 'node:http'
import { createClient, type Result, type Statistics } from '../index'
import { addressesByTag, randomTag, taggedIds, tagIn } from '../lib/lookup/id-tags'
import { SparkIds } from '../lib/plugin/spark-ids'
import { Stats } from '../lib/reporting/stats'
import { Locator } from '../lib/shards/locator'
import type { Shard } from '../lib/shards/shard'
import type { Primus } from '../lib/common/types'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { watchCommands } from './support/monitor'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { loadPrimus } from './support/primus-types'
import { sharedRedis } from './support/shared-redis'
import { startRedis } from './support/redis'
import { rejection } from './support/rejection'
import { startServer, type ServerOptions, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** An id as Primus makes it: 21 characters of this alphabet. */
const ID = /^[A-Za-z0-9_-]{21}$/

describe('an id with a tag', () => {
  it('is as long as one of Primus, of the same characters, and ends in the tag of its server', () => {
    const tag = randomTag()
    const generate = taggedIds(tag)
    const ids = Array.from({ length: 1000 }, () => generate())
    for (const id of ids) {
      assume(id).matches(ID)
      assume(tagIn(id)).equals(tag)
    }
    assume(new Set(ids).size).equals(ids.length)
  })

  it('has 15 random characters, each of any value', () => {
    const generate = taggedIds(randomTag())
    const seen = Array.from({ length: 15 }, () => new Set<string>())
    for (let i = 0; i < 2000; i++) {
      const id = generate()
      seen.forEach((characters, at) => characters.add(id.charAt(at)))
    }
    assume(seen.map(({ size }) => size)).eql(new Array(15).fill(64))
  })

  it('is told from ids of another length', () => {
    assume([tagIn(''), tagIn('x'.repeat(20)), tagIn('x'.repeat(22))]).eql(['', '', ''])
  })
})

describe('the tags of servers', () => {
  it('lead to their addresses, except a tag that two servers have', () => {
    const found = addressesByTag([
      ['http://a', 'aaaaaa'],
      ['http://b', 'bbbbbb'],
      ['http://c', 'bbbbbb'],
      ['http://d', 'bbbbbb']
    ])
    assume([...found]).eql([['aaaaaa', 'http://a']])
  })

  it('lead nowhere while a server has none', () => {
    assume([
      ...addressesByTag([
        ['http://a', 'aaaaaa'],
        ['http://b', '']
      ])
    ]).eql([])
  })
})

describe('a place by a tag', () => {
  const id = `${'x'.repeat(15)}bbbbbb`

  /** Finds sparks while Redis cannot be asked. */
  const locatorOf = (own: string | undefined): Locator => {
    const shard = {
      registry: { reachable: false, sparks: { places: () => Promise.reject(new Error('Redis is away.')) } },
      members: {
        has: () => true,
        taggedWith: (tag: string) => (tag === 'bbbbbb' ? 'http://b' : '')
      },
      table: { owns: () => false }
    }
    const terms = { timeout: 100, young: 60_000, tag: own === undefined ? undefined : () => own }
    return new Locator([shard as unknown as Shard], () => 'http://a', terms, new Stats())
  }

  it('is used while Redis is away, but not where the registry has to be asked', async () => {
    const locator = locatorOf('aaaaaa')
    assume(locator.recent(id)).equals('http://b')
    assume(await locator.placesFor([id], false)).eql(['http://b'])
    assume((await rejection(locator.placesFor([id], true))).message).equals('Redis is away.')
    assume((await rejection(locator.places([id]))).message).equals('Redis is away.')
  })

  it('is known to a process without sparks, and not to a server without a tag, or with the same', () => {
    assume([undefined, '', 'bbbbbb'].map(own => locatorOf(own).recent(id))).eql(['http://b', undefined, undefined])
  })

  it('is not used once the registry has named another one, which is used while it is fresh', () => {
    const locator = locatorOf('aaaaaa')
    locator.note(id, 'http://c')
    assume(locator.recent(id)).equals('http://c')
    locator.note(id, 'http://b')
    assume(locator.recent(id)).equals('http://b')
  })
})

describe('the ids of a server', () => {
  const create = (options: Record<string, unknown>): Primus => {
    const primus = new (loadPrimus())(createServer(), options)
    using(() => {
      if (primus.server) primus.destroy()
    })
    return primus as unknown as Primus
  }

  /** The id of a spark that the transformer creates, which knows one or not. */
  const idOf = ({ transformer }: Primus, given: unknown = null): string => {
    const Spark = transformer.Spark as unknown as new (...args: unknown[]) => { id: string; end(): void }
    const spark = new Spark({}, {}, {}, given, { headers: {} }, null)
    using(() => {
      spark.end()
    })
    return spark.id
  }

  it('end in its tag, until Primus makes them again', () => {
    const primus = create({ transformer: 'websockets' })
    const ids = new SparkIds(primus)
    assume(ids.tag).matches(/^[A-Za-z0-9_-]{6}$/)
    assume([tagIn(idOf(primus)), tagIn(idOf(primus))]).eql([ids.tag, ids.tag])
    ids.release()
    assume(ids.tag).equals('')
    assume(tagIn(idOf(primus))).does.not.equal(tagIn(idOf(primus)))
  })

  it('end in its tag, also when Primus has been destroyed before it leaves', async () => {
    const primus = create({ transformer: 'websockets' })
    const ids = new SparkIds(primus)
    await new Promise(resolve => primus.destroy({}, resolve))
    assume(ids.tag).matches(/^[A-Za-z0-9_-]{6}$/)
    ids.release()
    assume(ids.tag).equals('')
  })

  it('are those that a transformer or the application gives', () => {
    const primus = create({ transformer: 'websockets' })
    const ids = new SparkIds(primus)
    assume(idOf(primus, 'given')).equals('given')
    const Spark = primus.Spark as unknown as new (...args: unknown[]) => { id: string }
    assume(new Spark({}, {}, {}, 'own', { headers: {} }).id).equals('own')
    assume(ids.tag).does.not.equal('')
  })

  it('have no tag where the transformer brings its own', () => {
    const primus = create({ transformer: 'sockjs' })
    assume(new SparkIds(primus).tag).equals('')
    assume(primus.transformer.Spark).equals(primus.Spark)
  })

  it('are those of an `idGenerator`, also of one that comes later', () => {
    const options: Record<string, unknown> = { transformer: 'websockets', idGenerator: () => 'own' }
    const early = create(options)
    assume([new SparkIds(early).tag, idOf(early)]).eql(['', 'own'])
    const late = create({ transformer: 'websockets' })
    const ids = new SparkIds(late)
    Object.assign(late.options, { idGenerator: () => 'later' })
    assume([ids.tag, idOf(late)]).eql(['', 'later'])
  })

  it('have a tag of each server where several were given the same options', () => {
    const options = { transformer: 'websockets' }
    const servers = [create(options), create(options)]
    const tags = servers.map(primus => new SparkIds(primus).tag)
    assume(servers.map(primus => tagIn(idOf(primus)))).eql(tags)
    assume(new Set(tags).size).equals(2)
  })
})

describe('sparks whose ids end in the tag of their server', function () {
  this.timeout(60_000)
  const shared = sharedRedis()

  const start = (metroplex: object = {}, more: Partial<ServerOptions> = {}): Promise<ServerProcess> =>
    startServer({ redis: { url: shared.redis.url, namespace: shared.space }, primus: { metroplex }, ...more })

  /** Until each of these servers knows all others, and so many strangers. */
  const acquainted = async (servers: readonly ServerProcess[], strangers = 0): Promise<void> => {
    for (const server of servers)
      await eventually(async () => (await stats(server)).peers === servers.length - 1 + strangers)
  }

  const stats = async (server: ServerProcess): Promise<Statistics> =>
    (await server.call('metroplex.stats')) as Statistics

  /** A client, and the registry knows it. */
  const connected = async (server: ServerProcess, options: { half?: boolean } = {}): Promise<Client> => {
    const client = await openClient(server.url, options)
    await eventually(async () => (await stats(server)).waiting === 0)
    return client
  }

  /** The commands to Redis that name a spark, while something is done. */
  const naming = async (id: string, work: () => Promise<unknown>): Promise<string[][]> => {
    const client = shared.redis.client()
    const commands: string[][] = []
    const stop = await watchCommands(shared.redis, (command, byScript) => {
      // A script tells what it does beside what it was called with.
      if (!byScript) commands.push(command)
    })
    try {
      await work()
      const mark = namespace()
      await client.echo(mark)
      await eventually(() => commands.some(args => args.includes(mark)))
    } finally {
      stop()
    }
    return commands.filter(args => args.includes(id))
  }

  /** How often a server has asked Redis for sparks. */
  const lookups = async (server: ServerProcess): Promise<number> => (await stats(server)).counters.lookups

  for (const [how, metroplex] of [
    ['over HTTP', {}],
    ['over Redis', { transport: 'redis' }],
    ['with three registries', { shards: 3 }]
  ] as const) {
    it(`are reached without a command to Redis that names them, ${how}`, async () => {
      const [a, b] = [await start(metroplex), await start(metroplex)]
      await acquainted([a, b])
      await b.run(primus => {
        const { metroplex } = primus as unknown as { metroplex: { method(name: string, fn: () => string): void } }
        metroplex.method('greet', () => 'hello')
      })
      for (const [method, args, expected] of [
        ['forward.spark', (id: string) => [id, 'one'], { ok: true, send: 1 }],
        ['forward.sparks', (id: string) => [[id], 'two'], { ok: true, send: 1 }],
        ['forward.request', (id: string) => [id, 'three'], 'three'],
        ['metroplex.apply', (id: string) => [id, 'greet'], 'hello'],
        ['metroplex.end', (id: string) => [id], { ok: true, send: 1 }]
      ] as const) {
        const client = await connected(b, { half: true })
        client.socket.on('request', (data, reply) => {
          ;(reply as (value: unknown) => void)(data)
        })
        const { id } = client
        assume(id).matches(ID)
        let answer: unknown
        const commands = await naming(id, async () => {
          answer = await a.call(method, ...args(id))
        })
        assume(answer).eql(expected)
        // That which writes down the end of a spark is a script.
        assume(commands.filter(([name]) => name?.toLowerCase() !== 'evalsha')).eql([])
      }
      assume(await lookups(a)).equals(0)
    })
  }

  it('are looked up by `spark` and `sparks`', async () => {
    const [a, b] = [await start(), await start()]
    await acquainted([a, b])
    const { id } = await connected(b)
    assume((await naming(id, () => a.call('metroplex.spark', id))).map(([name]) => name)).eql(['hmget'])
    assume((await naming(id, () => a.call('metroplex.sparks', [id]))).map(([name]) => name)).eql(['hmget'])
  })

  it('are reached by a process that is no server', async () => {
    const [a] = [await start(), await start()]
    const cluster = createClient({ redis: shared.redis.client(), namespace: shared.space })
    using(() => cluster.close())
    await eventually(() => cluster.stats().peers === 2)
    const client = await connected(a)
    assume(await cluster.forward.spark(client.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('hello')
    assume(cluster.stats().counters.lookups).equals(0)
  })

  it('are reached at once while Redis does not answer, though they were never seen before', async () => {
    const own = await startRedis()
    const at = { redis: { url: own.url, namespace: shared.space } }
    const [a, b] = [await start({}, at), await start({}, at)]
    await acquainted([a, b])
    const clients = [await connected(b), await connected(b), await connected(b)]
    own.pause()
    const began = performance.now()
    const sent = await Promise.all(clients.map(({ id }) => a.call('forward.spark', id, 'hello')))
    const took = performance.now() - began
    own.resume()
    assume(sent).eql(clients.map(() => ({ ok: true, send: 1 })))
    // Without the tags, each would wait for the lookup: for 5 s, and fail.
    assume(took).is.below(2500)
    for (const client of clients) assume(await client.next()).equals('hello')
  })

  it('that have gone are looked up, and missing', async () => {
    const [a, b] = [await start(), await start()]
    await acquainted([a, b])
    const { id } = await connected(b)
    await b.call('metroplex.end', id)
    await eventually(async () => (await b.sparks()).length === 0)
    await eventually(async () => (await a.call('metroplex.spark', id)) === null)
    const before = await lookups(a)
    assume(((await a.call('forward.spark', id, 'hello')) as Result).missing).eql([id])
    assume(await lookups(a)).equals(before + 1)
  })

  it('that have moved are found, and reached without a detour from then on', async () => {
    const [a, b, c] = [await start(), await start(), await start()]
    await acquainted([a, b, c])
    const { id } = await connected(b)
    // Its application makes an id that looks like one of another server, as if a cookie had kept it.
    const moved = `${'x'.repeat(15)}${id.slice(15)}`
    await c.run((primus, next: string) => {
      Object.assign(primus, {
        options: { ...(primus as unknown as { options: object }).options, idGenerator: () => next }
      })
    }, moved)
    const client = await connected(c)
    assume(client.id).equals(moved)
    assume(await a.call('forward.spark', moved, 'one')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('one')
    assume(await lookups(a)).equals(1)
    const detours = (await stats(b)).counters.batches
    assume(await a.call('forward.spark', moved, 'two')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('two')
    assume((await stats(b)).counters.batches).equals(detours)
  })

  it('are looked up while a server has an `idGenerator`, which may give a spark the id of another one', async () => {
    const [a, b] = [await start(), await start()]
    const c = await start(
      {},
      {
        prepare: options => {
          options['idGenerator'] = () => (globalThis as { nextId?: string }).nextId
        }
      }
    )
    await acquainted([a, b, c])
    const former = await connected(b)
    await c.run((_primus, id: string) => {
      Object.assign(globalThis, { nextId: id })
    }, former.id)
    const client = await connected(c)
    assume(client.id).equals(former.id)
    // The former server does not know yet that its spark is another one's.
    assume(await a.call('forward.spark', client.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await client.next()).equals('hello')
    assume(former.messages).eql([])
    assume(await lookups(a)).equals(1)
    // Nor does that server go by the tags of others.
    const far = await connected(a)
    assume(await c.call('forward.spark', far.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await lookups(c)).equals(1)
    await c.stop()
    await acquainted([a, b])
    const next = await connected(b)
    assume(await a.call('forward.spark', next.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await lookups(a)).equals(1)
  })

  it('are looked up while a server of 1.x is there', async () => {
    const [a, b] = [await start({}, { omega: true }), await start({}, { omega: true })]
    await start({}, { omega: true, metroplex: '1.0.2' })
    await acquainted([a, b], 1)
    const client = await connected(b)
    assume(await a.call('forward.spark', client.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await lookups(a)).equals(1)
  })

  it('follow a server that takes an address over, and those of the life before are missing', async () => {
    const [a, b] = [await start(), await start()]
    await acquainted([a, b])
    const { id } = await connected(b)
    assume(await a.call('forward.spark', id, 'hello')).eql({ ok: true, send: 1 })
    await b.kill()
    const again = await start({}, { port: b.port })
    await eventually(async () => {
      const client = await connected(again)
      const before = await lookups(a)
      assume(await a.call('forward.spark', client.id, 'hello')).eql({ ok: true, send: 1 })
      return (await lookups(a)) === before
    })
    const before = await lookups(a)
    assume(((await a.call('forward.spark', id, 'hello')) as Result).missing).eql([id])
    assume(await lookups(a)).is.above(before)
  })

  it('are reached on a server that drains, until they end', async () => {
    const [a, b] = [await start(), await start()]
    await acquainted([a, b])
    const client = await connected(b)
    await b.call('metroplex.drain', { timeout: 0 })
    assume(await a.call('forward.spark', client.id, 'hello')).eql({ ok: true, send: 1 })
    assume(await lookups(a)).equals(0)
  })

  it('are made by Primus again once the plugin is out', async () => {
    const { primus, url } = await createPrimus({ redis: { url: shared.redis.url, namespace: shared.space } })
    const tag = tagIn((await openClient(url)).id)
    assume(tagIn((await openClient(url)).id)).equals(tag)
    ;(primus as unknown as { plugout(name: string): void }).plugout('metroplex')
    const { id } = await openClient(url)
    assume(id).matches(ID)
    assume(tagIn(id)).does.not.equal(tag)
  })
})
