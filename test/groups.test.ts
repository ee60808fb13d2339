import { createClient, type Client, type GroupSpark, type MetroplexOptions, type Spark } from '../index'
import { assume } from './support/assume'
import { openClient, type Client as PrimusClient } from './support/client'
import { using } from './support/dispose'
import { startProxy } from './support/proxy'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

type Own = NonNullable<MetroplexOptions['metroplex']>

/** Values that are no names of groups, and the error that each of them is. */
const BAD: readonly [unknown, ErrorConstructor, RegExp][] = [
  ['', TypeError, /a group must be a string of 1 to 1024 bytes of UTF-8; given: ''\./],
  [7, TypeError, /1 to 1024 bytes .* given: 7\./],
  [null, TypeError, /given: null\./],
  [{}, TypeError, /given: an object/],
  [[['a']], TypeError, /given: an array of 1\./],
  [['a', ''], TypeError, /given: ''\./],
  ['x'.repeat(1025), RangeError, /a group must have at most 1024 bytes of UTF-8; given: 1025/],
  ['é'.repeat(513), RangeError, /given: 1026/]
]

describe('groups', () => {
  const shared = sharedRedis()

  const start = (own: Own = {}, more: Record<string, unknown> = {}): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus: { metroplex: own, ...more } })

  const cluster = (own: Own = {}): Promise<Registered[]> => Promise.all([start(own), start(own), start(own)])

  /** A client of each server, which all servers find. */
  const clients = async (servers: readonly Registered[]): Promise<PrimusClient[]> => {
    const opened = await Promise.all(servers.map(({ url }) => openClient(url)))
    for (const { metroplex } of servers)
      await eventually(async () => (await metroplex.sparks(opened.map(({ id }) => id))).every(place => place !== null))
    return opened
  }

  const outside = (own: Own = {}): Client => {
    const made = createClient({ redis: shared.redis.client(), namespace: shared.space, metroplex: own })
    using(() => made.close())
    return made
  }

  const listed = async (list: AsyncIterable<GroupSpark>): Promise<GroupSpark[]> => {
    const sparks: GroupSpark[] = []
    for await (const spark of list) sparks.push(spark)
    return sparks.sort((x, y) => (x.spark < y.spark ? -1 : 1))
  }

  /** Everything that Redis has of groups. */
  const stored = async (): Promise<string[]> =>
    (await shared.redis.client().keys(`${shared.space}*`)).filter(key => /:group:|:groups(:|$)/.test(key)).sort()

  for (const transport of ['http', 'redis'] as const) {
    for (const shards of [1, 3]) {
      describe(`over ${transport}, in ${shards === 1 ? '1 registry' : `${shards} registries`}`, () => {
        const own: Own = { transport, shards }

        it('get a message on all servers, each spark once, from any server and from outside', async () => {
          const servers = await cluster(own)
          const [a, b, c] = servers as [Registered, Registered, Registered]
          const [one, two, three] = (await clients(servers)) as [PrimusClient, PrimusClient, PrimusClient]
          await a.metroplex.join(one.id, ['news', 'sport'])
          await b.metroplex.join(two.id, 'news')
          assume(servers.map(({ metroplex }) => metroplex.stats().groups)).eql([2, 1, 0])
          for (const { forward } of [...servers, outside(own)]) {
            assume(await forward.group(['news', 'sport'], 'hello')).eql({ ok: true, send: 2 })
            assume(await one.next()).equals('hello')
            assume(await two.next()).equals('hello')
          }
          assume(await c.forward.group('news', 'not one', { except: one.id })).eql({ ok: true, send: 1 })
          assume(await two.next()).equals('not one')
          assume(await c.forward.group(['news', 'unknown'], 'x', { except: [one.id, two.id] })).eql({
            ok: false,
            send: 0,
            missing: ['unknown']
          })
          assume(one.messages.concat(three.messages)).not.includes('not one')
          assume(three.messages).eql([])
        })

        it('are entered and left by sparks of any server, from any server and from outside', async () => {
          const servers = await cluster(own)
          const [a, b] = servers as [Registered, Registered, Registered]
          const ids = (await clients(servers)).map(({ id }) => id)
          const cluster_ = outside(own)
          assume(await a.metroplex.join([...ids, 'unknown'], ['x', 'y'])).eql({
            ok: false,
            send: 3,
            missing: ['unknown']
          })
          assume(
            (await cluster_.groups(['x', 'none', 'y'])).map(({ group, sparks, servers }) => [
              group,
              sparks,
              servers.length
            ])
          ).eql([
            ['x', 3, 3],
            ['none', 0, 0],
            ['y', 3, 3]
          ])
          for (const id of ids) assume((await b.metroplex.groupsOf(id)).sort()).eql(['x', 'y'])
          assume(await b.metroplex.groupsOf('unknown')).eql([])
          assume(await cluster_.leave(ids[0] ?? '', 'x')).eql({ ok: true, send: 1 })
          assume(await a.metroplex.groupsOf(ids[0] ?? '')).eql(['y'])
          assume(await b.metroplex.leave(ids)).eql({ ok: true, send: 3 })
          for (const { sparks } of await b.metroplex.groups(['x', 'y'])) assume(sparks).equals(0)
          await eventually(async () => (await stored()).length === 0)
        })

        it('list their sparks with their users, and servers list their groups', async () => {
          const servers = await cluster(own)
          const [a, b, c] = servers as [Registered, Registered, Registered]
          const [one, two, three] = (await clients(servers)) as [PrimusClient, PrimusClient, PrimusClient]
          await b.metroplex.identify(two.id, 'bob')
          await a.metroplex.join([one.id, two.id, three.id], 'all')
          const wanted = [
            { spark: one.id, user: null, address: a.address },
            { spark: two.id, user: 'bob', address: b.address },
            { spark: three.id, user: null, address: c.address }
          ].sort((x, y) => (x.spark < y.spark ? -1 : 1))
          for (const { metroplex } of servers) assume(await listed(metroplex.sparksIn('all'))).eql(wanted)
          assume(await listed(outside(own).sparksIn('all'))).eql(wanted)
          for (const { metroplex } of servers) {
            for (const { address } of servers) {
              const groups: string[] = []
              for await (const group of metroplex.groupsOn(address)) groups.push(group)
              assume(groups).eql(['all'])
            }
          }
        })

        it('are entered and left by all sparks of users', async () => {
          const servers = await cluster(own)
          const [a, b, c] = servers as [Registered, Registered, Registered]
          const [one, two, three] = (await clients(servers)) as [PrimusClient, PrimusClient, PrimusClient]
          await a.metroplex.identify(one.id, 'ann')
          await b.metroplex.identify(two.id, 'ann')
          await c.metroplex.identify(three.id, 'bob')
          assume(await c.metroplex.joinUser(['ann', 'eve'], 'x')).eql({ ok: false, send: 2, missing: ['eve'] })
          assume((await listed(a.metroplex.sparksIn('x'))).map(({ user }) => user)).eql(['ann', 'ann'])
          assume(await outside(own).leaveUser('ann')).eql({ ok: true, send: 2 })
          assume((await a.metroplex.groups('x'))[0]?.sparks).equals(0)
        })

        it('are ended with their sparks, or disbanded without', async () => {
          const servers = await cluster(own)
          const [a, b] = servers as [Registered, Registered, Registered]
          const opened = await clients(servers)
          const ids = opened.map(({ id }) => id)
          await a.metroplex.join(ids, ['x', 'y'])
          assume(await b.metroplex.disband(['y', 'none'])).eql({ ok: false, send: 3, missing: ['none'] })
          assume(await a.metroplex.groupsOf(ids[2] ?? '')).eql(['x'])
          assume(await outside(own).endGroup('x')).eql({ ok: true, send: 3 })
          await eventually(() => servers.every(({ primus }) => primus.connected === 0))
          await eventually(async () => (await stored()).length === 0)
        })
      })
    }
  }

  describe('of a spark that connects', () => {
    it('are those that the option `groups` returns, which knows its user', async () => {
      const a = await start({
        user: ({ query }) => query['user'],
        groups: ({ query }, user) => {
          const names = query['user'] === undefined ? null : ['news', `of ${String(user)}`]
          return query['later'] === undefined ? names : Promise.resolve(names)
        }
      })
      const ann = await openClient(`${a.url}?user=ann`)
      const bob = await openClient(`${a.url}?user=bob&later=1`)
      const none = await openClient(a.url)
      await eventually(async () => (await a.metroplex.groups('news'))[0]?.sparks === 2)
      assume((await a.metroplex.groupsOf(ann.id)).sort()).eql(['news', 'of ann'])
      assume((await a.metroplex.groupsOf(bob.id)).sort()).eql(['news', 'of bob'])
      assume(await a.metroplex.groupsOf(none.id)).eql([])
    })

    it('are none when the option throws, hangs or returns rubbish, which is one error for each kind', async () => {
      const a = await start({
        timeout: 300,
        groups: ({ query: { how } }) => {
          if (how === 'throws') throw new Error('no groups')
          if (how === 'odd') return ['fine', 7]
          if (how === 'long') return 'x'.repeat(2000)
          return how === 'hangs' ? new Promise(() => undefined) : 'fine'
        }
      })
      const errors: Error[] = []
      a.metroplex.on('error', error => errors.push(error))
      const hows = ['throws', 'odd', 'long', 'hangs'].flatMap(how => [how, how, how])
      const opened = await Promise.all(hows.map(how => openClient(`${a.url}?how=${how}`)))
      const well = await openClient(a.url)
      await eventually(() => errors.length === 4)
      assume(errors.map(error => (error as { code?: string }).code)).eql(['EGROUP', 'EGROUP', 'EGROUP', 'EGROUP'])
      for (const { id } of opened) assume(await a.metroplex.groupsOf(id)).eql([])
      assume(await a.metroplex.groupsOf(well.id)).eql(['fine'])
      assume(
        await a.forward.sparks(
          opened.map(({ id }) => id),
          'x'
        )
      ).eql({ ok: true, send: 12, local: true })
      assume(errors).has.length(4)
    })

    it('are left when it disconnects', async () => {
      const [a, b] = [await start({ groups: () => 'x' }), await start({ groups: () => 'x' })]
      const [one, two] = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.metroplex.groups('x'))[0]?.sparks === 2)
      await one.close()
      await eventually(async () => (await b.metroplex.groups('x'))[0]?.servers.length === 1)
      assume(await a.forward.group('x', 'hello')).eql({ ok: true, send: 1 })
      assume(await two.next()).equals('hello')
      await two.close()
      await eventually(async () => (await stored()).length === 0)
    })
  })

  it('have names of 1 to 1024 bytes; any other is one sentence, and nothing has changed', async () => {
    const a = await start()
    const [client] = (await clients([a])) as [PrimusClient]
    const { metroplex, forward } = a
    await metroplex.join(client.id, 'kept')
    for (const [name, type, sentence] of BAD) {
      const bad = name as string
      const calls: (() => Promise<unknown>)[] = [
        () => metroplex.join(client.id, bad),
        () => metroplex.leave(client.id, bad),
        () => metroplex.joinUser('ann', bad),
        () => metroplex.leaveUser('ann', bad),
        () => metroplex.groups(bad),
        () => metroplex.disband(bad),
        () => metroplex.endGroup(bad),
        () => forward.group(bad, 'x'),
        ...(Array.isArray(name) ? [] : [() => listed(metroplex.sparksIn(bad))])
      ]
      for (const call of calls) {
        const error = await rejection(call())
        assume(error).instanceOf(type)
        assume(error.message).matches(sentence)
      }
    }
    assume(await metroplex.groupsOf(client.id)).eql(['kept'])
    assume(client.messages).eql([])
    for (const except of [{}, [{}], '', null])
      assume(await rejection(forward.group('kept', 'x', { except: except as never }))).instanceOf(TypeError)
    assume((await rejection(forward.group('kept', 'x', { without: [] } as never))).message).matches(/\{ except: ids \}/)
    for (const name of [':', '*', '{a}', 'a\nb', '__proto__', ' ', 'é'.repeat(512)]) {
      await metroplex.join(client.id, name)
      assume(await forward.group(name, name)).eql({ ok: true, send: 1, local: true })
      assume(await client.next()).equals(name)
    }
  })

  it('cost Redis nothing where the server has them already', async () => {
    const a = await start({ lease: 60_000 }, { interval: 60_000 })
    const [one, two] = (await clients([a, a])) as [PrimusClient, PrimusClient]
    await a.metroplex.join(one.id, 'x')
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await shared.redis.client().info('commandstats'))?.[1])
    const before = await scripts()
    await a.metroplex.join(two.id, 'x')
    await a.metroplex.leave(one.id, 'x')
    await a.metroplex.join(one.id, 'x')
    assume(await scripts()).equals(before)
    assume((await a.metroplex.groups('x'))[0]?.sparks).equals(2)
    // The number follows within a second, for all servers.
    await eventually(async () => (await shared.redis.client().hget(`${shared.space}:group:x`, a.address)) === '2')
  })

  it('keep the order of messages of one server to one group', async () => {
    const [a, b] = [await start(), await start()]
    const [, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    await a.metroplex.join(two.id, ['x', 'y'])
    const sent = Array.from({ length: 500 }, (_, i) => i)
    const results = await Promise.all(sent.map(i => a.forward.group(i % 3 === 0 ? ['x', 'y'] : 'x', i)))
    assume(results.every(({ ok, send }) => ok && send === 1)).true()
    await eventually(() => two.messages.length === 500)
    assume(two.messages).eql(sent)
  })

  it('are read again when a server has none of their sparks any more', async () => {
    const [a, b, c] = (await cluster()) as [Registered, Registered, Registered]
    const [, two, three] = (await clients([a, b, c])) as [PrimusClient, PrimusClient, PrimusClient]
    await b.metroplex.join(two.id, 'x')
    const { groups } = a.metroplex.core.shards
    const peers = groups.peers.bind(groups)
    groups.peers = async (...args) => {
      groups.peers = peers
      const found = await peers(...args)
      // The group moves to another server before the message arrives.
      await b.metroplex.leave(two.id, 'x')
      await c.metroplex.join(three.id, 'x')
      return found
    }
    assume(await a.forward.group('x', 'hello')).eql({ ok: true, send: 1 })
    assume(await three.next()).equals('hello')
    assume(two.messages).eql([])
  })

  it('are reached at all known servers while Redis is away, and entered here at once', async () => {
    const network = await startProxy({ port: shared.redis.port })
    const exposed = (): Promise<Registered> =>
      createRegistered({
        redis: { url: `redis://127.0.0.1:${network.port}`, namespace: shared.space },
        primus: { metroplex: { timeout: 1000 } }
      })
    const servers = [await exposed(), await exposed(), await exposed()]
    const [a, b] = servers as [Registered, Registered, Registered]
    const [one, two] = (await clients(servers)) as [PrimusClient, PrimusClient, PrimusClient]
    await b.metroplex.join(two.id, 'x')
    await network.refuse()
    network.cut()
    await eventually(() => a.metroplex.stats().state === 'degraded')
    const joining = rejection(a.metroplex.join(one.id, 'x'))
    assume(await a.forward.group(['x', 'nothing'], 'hello')).eql({ ok: false, send: 2, missing: ['nothing'] })
    for (const client of [one, two]) assume(await client.next()).equals('hello')
    assume(((await joining) as { code?: string }).code).equals('EREGISTRY')
    for (const asked of [a.metroplex.groups('x'), a.metroplex.groupsOf('unknown'), listed(b.metroplex.sparksIn('x'))])
      assume(((await rejection(asked)) as { code?: string }).code).equals('EREGISTRY')
    assume(await a.metroplex.groupsOf(one.id)).eql(['x'])
    await network.accept()
    await eventually(async () => (await b.metroplex.groups('x'))[0]?.sparks === 2)
  })

  it('are not asked of a server of an earlier release, which is sent nothing of them', async () => {
    const [a, b] = (await cluster()) as [Registered, Registered]
    const [one, two] = (await clients([a, b])) as [PrimusClient, PrimusClient]
    await b.metroplex.join([one.id, two.id], 'x')
    const kinds = 'some all end ask answer drop wait notice'
    Object.defineProperty(b.metroplex.core.gateway, 'kinds', { value: kinds })
    await b.metroplex.unregister()
    await b.metroplex.register()
    await eventually(() => a.metroplex.core.shards.peers.description(b.address)?.kinds === kinds)
    await eventually(async () => (await a.metroplex.groups('x'))[0]?.sparks === 2)
    await eventually(async () => (await a.metroplex.spark(two.id)) === b.address)
    assume(await a.forward.group('x', 'hello')).eql({ ok: true, send: 1 })
    const { failed, send } = await a.metroplex.join([one.id, two.id], 'y')
    assume(send).equals(1)
    assume(failed?.map(({ address, code, sparks, maybe }) => ({ address, code, sparks, maybe }))).eql([
      { address: b.address, code: 'EPROTOCOL', sparks: [two.id], maybe: false }
    ])
    const partial = (await rejection(listed(a.metroplex.sparksIn('x')))) as AggregateError
    assume((partial.errors as { address?: string }[]).map(({ address }) => address)).eql([b.address])
    // It would take them: it only does not say so.
    assume(await b.metroplex.groupsOf(two.id)).eql(['x'])
    assume(two.messages).eql([])
  })

  it('take callbacks, which get the first failure and the whole result', async () => {
    const a = await start()
    const [client] = (await clients([a])) as [PrimusClient]
    const { metroplex, forward } = a
    const called = <T>(call: (fn: (error: Error | null, value?: T) => void) => unknown, self: unknown): Promise<T> =>
      new Promise((resolve, reject) => {
        const returned = call((error, value) => {
          if (error === null) resolve(value as T)
          else reject(error)
        })
        assume(returned).equals(self)
      })
    const one = { ok: true, send: 1 }
    assume(await called(fn => metroplex.join(client.id, 'x', fn), metroplex)).eql(one)
    assume(await called(fn => metroplex.groupsOf(client.id, fn), metroplex)).eql(['x'])
    assume(await called(fn => metroplex.groups('x', fn), metroplex)).eql([
      { group: 'x', sparks: 1, servers: [a.address] }
    ])
    assume(await called(fn => forward.group('x', 1, fn), forward)).eql({ ...one, local: true })
    assume(await called(fn => forward.group('x', 1, { except: [] }, fn), forward)).eql({ ...one, local: true })
    assume(await called(fn => metroplex.leave(client.id, fn), metroplex)).eql(one)
    assume(await called(fn => metroplex.leave(client.id, 'x', fn), metroplex)).eql(one)
    await metroplex.identify(client.id, 'ann')
    assume(await called(fn => metroplex.joinUser('ann', 'x', fn), metroplex)).eql(one)
    assume(await called(fn => metroplex.leaveUser('ann', fn), metroplex)).eql(one)
    assume(await called(fn => metroplex.disband('x', fn), metroplex)).eql({ ok: false, send: 0, missing: ['x'] })
    assume(await called(fn => metroplex.endGroup('x', fn), metroplex)).eql({
      ok: false,
      send: 0,
      local: true,
      missing: ['x']
    })
    assume((await rejection(called(fn => metroplex.join(client.id, '', fn), metroplex))) instanceof TypeError).true()
  })

  it('take a spark itself, also within the event `connection`', async () => {
    const a = await start()
    a.primus.on('connection', spark => {
      a.metroplex.join(spark as Spark, 'x').catch(() => undefined)
    })
    const { id } = await openClient(a.url)
    await eventually(async () => (await a.metroplex.groups('x'))[0]?.sparks === 1)
    assume(await a.metroplex.groupsOf(id)).eql(['x'])
  })

  it('get nothing at a server whose spark another server holds', async () => {
    const [a, b] = [await start(), await start()]
    const [one] = (await clients([a])) as [PrimusClient]
    await a.metroplex.join(one.id, 'x')
    b.metroplex.connect({ id: one.id, write: () => true, end: () => null })
    await eventually(() => a.metroplex.stats().disowned === 1)
    await eventually(async () => (await b.metroplex.groups('x'))[0]?.servers.length === 0)
    assume(await b.forward.group('x', 'hello')).eql({ ok: false, send: 0, local: true, missing: ['x'] })
    b.metroplex.disconnect({ id: one.id, write: () => true, end: () => null })
    await eventually(async () => (await b.metroplex.groups('x'))[0]?.sparks === 1)
    assume(await b.forward.group('x', 'again')).eql({ ok: true, send: 1 })
    assume(await one.next()).equals('again')
  })

  it('are unknown to clients: no message of one lets it enter', async () => {
    const a = await start({ groups: () => undefined })
    const client = await openClient(`${a.url}?groups=x&group=x&join=x`)
    client.socket.write({ join: 'x', groups: ['x'] })
    await eventually(async () => (await a.metroplex.spark(client.id)) !== null)
    assume(await a.metroplex.groupsOf(client.id)).eql([])
  })
})
