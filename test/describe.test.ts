import { hostname } from 'node:os'
import {
  createClient,
  type Client,
  type ClusterError,
  type Descriptions,
  type MetroplexOptions,
  type Spark
} from '../index'
import { settings } from '../lib/common/options'
import { assume } from './support/assume'
import { openClient, type Client as PrimusClient } from './support/client'
import { using } from './support/dispose'
import { startProxy } from './support/proxy'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer } from './support/server'
import { eventually } from './support/wait'

type Own = NonNullable<MetroplexOptions['metroplex']>

/** A server, or a client of the cluster. */
interface Asked {
  describe(ids: string | readonly string[]): Promise<Descriptions>
  sessions(users: string | readonly string[]): Promise<Descriptions>
}

describe('descriptions of sparks', () => {
  const shared = sharedRedis()

  const start = (own: Own = {}, url = shared.redis.url): Promise<Registered> =>
    createRegistered({ redis: { url, namespace: shared.space }, primus: { metroplex: own } })

  /** A client of each server, with this query, which all servers find. */
  const clients = async (servers: readonly Registered[], query = ''): Promise<PrimusClient[]> => {
    const opened = await Promise.all(servers.map(({ url }) => openClient(`${url}${query}`)))
    await found(servers, opened)
    return opened
  }

  const found = async (servers: readonly Registered[], opened: readonly { id: string }[]): Promise<void> => {
    for (const { metroplex } of servers)
      await eventually(async () => (await metroplex.sparks(opened.map(({ id }) => id))).every(place => place !== null))
  }

  const outside = (own: Own = {}): Client => {
    const made = createClient({ redis: shared.redis.client(), namespace: shared.space, metroplex: own })
    using(() => made.close())
    return made
  }

  /** How many questions a server has been asked by others. */
  const counted = (server: Registered): { asked: number } => {
    const count = { asked: 0 }
    const { core } = server.metroplex
    const describe = core.descriptions.describe.bind(core.descriptions)
    core.descriptions.describe = ids => {
      count.asked++
      return describe(ids)
    }
    return count
  }

  for (const transport of ['http', 'redis'] as const) {
    for (const shards of [1, 3]) {
      describe(`over ${transport}, in ${shards === 1 ? '1 registry' : `${shards} registries`}`, () => {
        it('come from any server and from outside, in the order of the ids', async () => {
          const own: Own = {
            transport,
            shards,
            user: ({ query }) => query['user'],
            info: ({ query }) => query['device']
          }
          const [a, b] = [await start({ ...own, name: 'a' }), await start({ ...own, name: 'b' })]
          const before = Date.now()
          const one = await openClient(`${a.url}?user=ann&device=phone`)
          const two = await openClient(b.url)
          await found([a, b], [one, two])
          await a.metroplex.join([one.id, two.id], 'news')
          const asking: readonly Asked[] = [a.metroplex, b.metroplex, outside({ transport, shards })]
          for (const asked of asking) {
            const { ok, sparks, missing, failed } = await asked.describe([two.id, 'unknown', one.id])
            assume([ok, missing, failed]).eql([false, ['unknown'], undefined])
            for (const { since, age } of sparks) {
              assume(since >= before && since <= Date.now()).true()
              assume(Number.isInteger(age) && age >= 0 && age <= Date.now() - before + 1).true()
            }
            const common = { groups: ['news'], transport: 'websockets', since: 0, age: 0 }
            assume(sparks.map(one => ({ ...one, since: 0, age: 0 }))).eql([
              { ...common, spark: two.id, user: null, address: b.address, server: 'b', info: null },
              { ...common, spark: one.id, user: 'ann', address: a.address, server: 'a', info: 'phone' }
            ])
          }
        })

        it('are those of the sparks of users, in the order of the users', async () => {
          const own: Own = { transport, shards, user: ({ query }) => query['user'] }
          const servers = [await start(own), await start(own), await start(own)]
          const [a, b, c] = servers as [Registered, Registered, Registered]
          const [one, two] = (await clients([a, b], '?user=ann')) as [PrimusClient, PrimusClient]
          const [three] = (await clients([c], '?user=bob')) as [PrimusClient]
          await eventually(async () => (await a.metroplex.user(['ann', 'bob'])).length === 3)
          const counts = servers.map(counted)
          const asking: readonly Asked[] = [a.metroplex, c.metroplex, outside({ transport, shards })]
          for (const asked of asking) {
            const { ok, sparks, missing } = await asked.sessions(['bob', 'eve', 'ann'])
            assume([ok, missing]).eql([false, ['eve']])
            assume(sparks.map(({ user }) => user)).eql(['bob', 'ann', 'ann'])
            assume(sparks.map(({ spark }) => spark).sort()).eql([one.id, two.id, three.id].sort())
            assume((await asked.sessions('bob')).ok).true()
          }
          // Three times all are asked, and three times the server of bob alone.
          assume(counts.map(({ asked }) => asked)).eql([3, 3, 6])
        })
      })
    }
  }

  it('put nothing into Redis, and cost one question to each server that holds some', async () => {
    const own: Own = { info: ({ query }) => query['device'], lease: 60_000 }
    const servers = [await start(own), await start(own), await start(own)]
    const [a, b, c] = servers as [Registered, Registered, Registered]
    const opened = await clients([a, b, b, b], '?device=a+secret+phone')
    const counts = [counted(a), counted(b), counted(c)]
    const { sparks } = await a.metroplex.describe(opened.map(({ id }) => id))
    assume(sparks.map(({ info }) => info)).eql(Array(4).fill('a secret phone'))
    assume(counts.map(({ asked }) => asked)).eql([1, 1, 0])
    const client = shared.redis.client()
    for (const key of await client.keys(`${shared.space}*`)) {
      const dump = await client.dump(key)
      assume(dump).does.not.include('secret phone')
    }
  })

  it('have a value for all sparks of a server, where `info` is none of a function', async () => {
    const a = await start({ info: { region: 'eu', build: 7 } })
    const [client] = (await clients([a])) as [PrimusClient]
    assume((await a.metroplex.describe(client.id)).sparks[0]?.info).eql({ region: 'eu', build: 7 })
  })

  it('lack the info of a spark whose function throws, hangs or returns rubbish: one error for each kind', async () => {
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const a = await start({
      timeout: 300,
      groups: () => 'all',
      info: ({ query: { how } }) => {
        if (how === 'throws') throw new Error('no info')
        if (how === 'odd') return circular
        if (how === 'bare') return Symbol('x')
        if (how === 'long') return Promise.resolve('é'.repeat(512))
        if (how === 'rejects') return Promise.reject(new Error('no info'))
        return how === 'hangs' ? new Promise(() => undefined) : { how: how ?? 'fine' }
      }
    })
    const b = await start()
    const errors: ClusterError[] = []
    // On a busy machine Redis may not answer within so short a timeout either.
    a.metroplex.on('error', error => {
      if (error.code === 'EINFO') errors.push(error)
    })
    const hows = ['throws', 'odd', 'bare', 'long', 'rejects', 'hangs'].flatMap(how => [how, how])
    const bad = await Promise.all(hows.map(how => openClient(`${a.url}?how=${how}`)))
    const well = await openClient(a.url)
    await found([b], [...bad, well])
    await eventually(() => errors.length === 4)
    const kinds = [/has thrown/, /has returned no info .* JSON can express/, /at most 1024 bytes .* 1026/, /is slow/]
    for (const kind of kinds) assume(errors.filter(({ message }) => kind.test(message))).has.length(1)
    const { ok, sparks } = await b.metroplex.describe([...bad, well].map(({ id }) => id))
    assume(ok).true()
    assume(sparks.map(({ info }) => info)).eql([...hows.map(() => null), { how: 'fine' }])
    assume(sparks.every(({ groups }) => groups[0] === 'all')).true()
    assume(errors).has.length(4)
  })

  it('are refused as an option that is no info, in a sentence', () => {
    const told = (info: unknown): string => {
      try {
        settings({ redis: shared.redis.client(), metroplex: { info: info as object } })
        return ''
      } catch (error) {
        return (error as Error).message
      }
    }
    assume(told(10n)).includes('a value that JSON can express; given: 10.')
    assume(told('x'.repeat(1023))).includes('at most 1024 bytes of JSON; given: 1025.')
    assume(told('x'.repeat(1022))).equals('')
    assume(told(hostname)).equals('')
  })

  it('of a server that does not answer are missing alone, and it is named', async () => {
    const a = await start()
    const b = await start()
    const mute = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
    const [one, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    const three = await openClient(mute.url)
    await found([a, b], [three])
    await a.metroplex.identify(one.id, 'ann')
    await b.metroplex.identify(two.id, 'ann')
    await mute.call('metroplex.identify', three.id, 'ann')
    const client = outside()
    assume((await client.sessions('ann')).sparks).has.length(3)
    mute.pause()
    const terms = { timeout: 3000 }
    const answers = await Promise.all([
      a.metroplex.describe([three.id, two.id, one.id], terms),
      a.metroplex.sessions('ann', terms),
      client.describe([three.id, two.id, one.id], terms)
    ])
    mute.resume()
    for (const { ok, sparks, missing, failed } of answers) {
      assume([ok, missing]).eql([false, undefined])
      assume(sparks.map(({ spark }) => spark).sort()).eql([one.id, two.id].sort())
      assume(failed?.map(({ address, code, sparks }) => ({ address, code, sparks }))).eql([
        { address: mute.address, code: 'EDEADLINE', sparks: [three.id] }
      ])
    }
    await eventually(async () => (await a.metroplex.sessions('ann')).sparks.length === 3)
  })

  it('follow a spark that has moved, and leave out one whose user has changed', async () => {
    const [a, b, c] = [await start(), await start(), await start()]
    const [one] = (await clients([b])) as [PrimusClient]
    await found([a], [one])
    const spark = { id: 'moving', write: () => true, end: () => null }
    b.metroplex.connect(spark)
    await eventually(async () => (await a.metroplex.spark('moving')) === b.address)
    c.metroplex.connect({ ...spark })
    b.metroplex.disconnect(spark)
    await eventually(async () => (await c.metroplex.spark('moving')) === c.address)
    const { ok, sparks } = await a.metroplex.describe(['moving', one.id])
    assume(ok).true()
    assume(sparks.map(({ spark, address }) => [spark, address])).eql([
      ['moving', c.address],
      [one.id, b.address]
    ])
    await b.metroplex.identify(one.id, 'ann')
    const { users } = a.metroplex.core.shards
    const find = users.find.bind(users)
    users.find = async names => {
      const places = await find(names)
      await b.metroplex.identify(one.id, 'bob')
      return places
    }
    assume(await a.metroplex.sessions('ann')).eql({ ok: false, sparks: [], missing: ['ann'] })
  })

  it('need several questions where there are many sparks, or much to say of them', async () => {
    const [a, b] = [await start(), await start()]
    const ids = Array.from({ length: 1201 }, (_, i) => `spark-${i}`)
    for (const id of ids) b.metroplex.connect({ id, write: () => true, end: () => null })
    await eventually(async () => (await a.metroplex.count()) === ids.length)
    const many = counted(b)
    const { ok, sparks } = await a.metroplex.describe(ids)
    assume(ok).true()
    assume(sparks.map(({ spark }) => spark)).eql(ids)
    assume(many.asked).equals(3)
    const { descriptions } = b.metroplex.core
    const describe = descriptions.describe.bind(descriptions)
    // Info of 30 MB in all: too much for one answer.
    descriptions.describe = some => {
      const described = describe(some)
      return {
        ...described,
        sparks: described.sparks.map(([id, ...rest]) => [id, ...rest.slice(0, 4), 'x'.repeat(60_000)] as never)
      }
    }
    const large = await a.metroplex.describe(ids.slice(0, 500), { timeout: 30_000 })
    assume([large.ok, large.sparks.length]).eql([true, 500])
  })

  it('of own sparks need no Redis; its loss is in `failed`, or is the error when nothing else is known', async () => {
    const network = await startProxy({ port: shared.redis.port })
    const [a, b] = [await start({ timeout: 1000 }, `redis://127.0.0.1:${network.port}`), await start()]
    const [one, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    await a.metroplex.identify(one.id, 'ann')
    await network.refuse()
    network.cut()
    await eventually(() => a.metroplex.stats().state === 'degraded')
    const { sparks, failed, missing } = await a.metroplex.describe([one.id, 'unknown'])
    assume(sparks.map(({ spark }) => spark)).eql([one.id])
    assume(missing).equals(undefined)
    assume(failed?.map(({ address, code, sparks }) => ({ address, code, sparks }))).eql([
      { address: '', code: 'EREGISTRY', sparks: ['unknown'] }
    ])
    // Its id says where it is.
    assume((await a.metroplex.describe(two.id)).sparks.map(({ address }) => address)).eql([b.address])
    assume(((await rejection(a.metroplex.describe('unknown'))) as { code?: string }).code).equals('EREGISTRY')
    assume(((await rejection(a.metroplex.sessions('bob'))) as { code?: string }).code).equals('EREGISTRY')
    const own = await a.metroplex.sessions('ann')
    assume(own.sparks.map(({ spark }) => spark)).eql([one.id])
    assume(own.failed?.map(({ address }) => address)).eql([''])
    await network.accept()
    await eventually(() => a.metroplex.stats().state === 'ready')
  })

  it('are not asked of a server that does not name the question among its kinds', async () => {
    const [a, b] = [await start(), await start()]
    const [one, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    const kinds = b.metroplex.core.gateway.kinds.replace(' describe', '')
    assume(b.metroplex.core.gateway.kinds.split(' ')).includes('describe')
    Object.defineProperty(b.metroplex.core.gateway, 'kinds', { value: kinds })
    const count = counted(b)
    await b.metroplex.unregister()
    await b.metroplex.register()
    await eventually(() => a.metroplex.core.shards.peers.description(b.address)?.kinds === kinds)
    await eventually(async () => (await a.metroplex.spark(two.id)) === b.address)
    const { sparks, failed } = await a.metroplex.describe([one.id, two.id])
    assume(sparks.map(({ spark }) => spark)).eql([one.id])
    assume(failed?.map(({ address, code, maybe, sparks }) => ({ address, code, maybe, sparks }))).eql([
      { address: b.address, code: 'EPROTOCOL', maybe: false, sparks: [two.id] }
    ])
    assume(count.asked).equals(0)
  })

  it('refuse wrong arguments, end with a signal, and take callbacks', async () => {
    const [a, b] = [await start(), await start()]
    const [one, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    const { metroplex } = a
    for (const bad of ['', null, {}, [''], [[]]] as never[]) {
      assume(await rejection(metroplex.describe(bad))).instanceOf(TypeError)
      assume(await rejection(metroplex.sessions(bad))).instanceOf(TypeError)
    }
    assume(await rejection(metroplex.describe(one.id, { timeout: 0 }))).instanceOf(RangeError)
    assume((await rejection(metroplex.sessions('ann', { to: [] } as never))).message).includes('`to` is not known here')
    const why = new Error('enough')
    assume(await rejection(metroplex.describe([one.id, two.id], { signal: AbortSignal.abort(why) }))).equals(why)
    const called = (call: (fn: (error: Error | null, value?: Descriptions) => void) => unknown): Promise<unknown[]> =>
      new Promise(resolve => {
        const returned = call((error, value) => {
          resolve([error?.message ?? null, value?.sparks.length])
        })
        assume(returned).equals(metroplex)
      })
    assume(await called(fn => metroplex.describe([one.id, two.id], fn))).eql([null, 2])
    assume(await called(fn => metroplex.describe(one.id, { timeout: 1000 }, fn))).eql([null, 1])
    assume(await called(fn => metroplex.sessions('ann', fn))).eql([null, 0])
    assume(await called(fn => metroplex.sessions('ann', { timeout: 1000 }, fn))).eql([null, 0])
    assume(await metroplex.describe([])).eql({ ok: true, sparks: [] })
  })

  it('of a disowned spark come from the server that holds it', async () => {
    const [a, b] = [await start(), await start()]
    const [one] = (await clients([a])) as [PrimusClient]
    const taken: Spark = { id: one.id, write: () => true, end: () => null }
    b.metroplex.connect(taken)
    await eventually(() => a.metroplex.stats().disowned === 1)
    for (const { metroplex } of [a, b])
      assume((await metroplex.describe(one.id)).sparks.map(({ address }) => address)).eql([b.address])
  })
})
