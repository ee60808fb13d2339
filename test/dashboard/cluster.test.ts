import type { DrainAnswer, ActionAnswer, DoctorAnswer, EventsAnswer, FindAnswer } from '../../lib/dashboard/wire'
import type { ServerAnswer, ServersAnswer, SparksAnswer } from '../../lib/dashboard/wire'
import { dialledBy } from '../../lib/dashboard/watch/redis-address'
import { Redis } from 'ioredis'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { servePage } from '../support/dashboard'
import { using } from '../support/dispose'
import { reservePort } from '../support/ports'
import { createRegistered, type Registered } from '../support/registered'
import { startRedis } from '../support/redis'
import { sharedRedis } from '../support/shared-redis'
import { startServer } from '../support/server'
import { eventually } from '../support/wait'

const MARKUP = '<b onclick="alert(1)">&amp;'

describe('the page of a cluster', function () {
  this.timeout(60_000)
  const shared = sharedRedis()
  const registry = (): { url: string; namespace: string } => ({ url: shared.redis.url, namespace: shared.space })
  const serve = (options: object = {}): ReturnType<typeof servePage> =>
    servePage(shared.redis.url, { namespace: shared.space, ...options })
  const start = (name: string, more: object = {}): Promise<Registered> =>
    createRegistered({
      redis: registry(),
      primus: {
        metroplex: { name, user: () => MARKUP, groups: () => ['news'], info: () => ({ agent: MARKUP }), ...more }
      }
    })

  it('lists the servers, what hurts first, and in what they differ', async () => {
    const a = await start('a', { lease: 4000 })
    const b = await start('b', { lease: 4000 })
    const other = await start('c', { lease: 5000 })
    const mute = await startServer({
      redis: registry(),
      primus: { metroplex: { name: 'd', lease: 60_000 }, interval: 300_000 }
    })
    await openClient(a.url)
    const { ask } = await serve({ environment: 'production', metroplex: { timeout: 500 } })
    mute.pause()
    const { head, servers, page, pages } = await eventually(
      async () => {
        const answer = await ask<ServersAnswer>('servers')
        return answer.servers[0]?.state === 'mute' && answer.head.sparks === 1 && answer
      },
      { within: 20_000 }
    )
    mute.resume()
    assume(servers.map(({ address, state, hurt }) => [address, state, hurt])).eql([
      [mute.address, 'mute', 3],
      [other.address, 'ready', 1],
      ...[a, b]
        .map(({ address }) => address)
        .sort(new Intl.Collator('en', { numeric: true }).compare)
        .map(address => [address, 'ready', 0])
    ])
    assume(servers[0]?.error).includes(mute.address)
    assume(servers.map(({ differs }) => differs)).eql([[], ['lease'], [], []])
    assume([page, pages]).eql([0, 1])
    assume([head.servers, head.alive, head.wrong, head.sparks, head.users]).eql([4, 4, 1, 1, 1])
    assume([head.namespace, head.environment, head.redis.state]).eql([shared.space, 'production', 'ok'])
    assume(head.differences).eql(['lease differs: 4000 on 2 servers, 5000 on 1 server'])
    const named = (await ask<ServersAnswer>('servers?sort=name&reverse=1')).servers
    assume(named.map(({ name }) => name)).eql(['d', 'c', 'b', 'a'])
    assume((await ask<ServersAnswer>('servers?sort=sparks')).servers[0]?.address).equals(a.address)
    // It is no server itself.
    assume((await a.metroplex.servers(true)).length).equals(4)
  })

  it('tells all about one server, and lists its sparks page by page', async () => {
    const a = await start('web-1', { lease: 4000 })
    const clients = await Promise.all([1, 2, 3].map(() => openClient(a.url)))
    await eventually(async () => (await a.metroplex.count()) === 3)
    const { ask } = await serve()
    const what = `server?address=${encodeURIComponent(a.address)}`
    const answer = await eventually(async () => {
      const one = await ask<ServerAnswer>(what)
      return one.health !== null && one.server?.sparks === 3 && one
    })
    assume([answer.server?.name, answer.server?.state, answer.drainable]).eql(['web-1', 'ready', true])
    assume([answer.health?.reasons, answer.options['lease'], answer.options['node']]).eql([
      [],
      '4000 ms',
      process.version
    ])
    assume([answer.figures['sparks'], answer.figures['connects']]).eql([3, 3])
    assume(Object.keys(answer.latencies)).eql(['commit', 'beat', 'heal', 'lookup', 'forward'])
    const { sparks, next } = await ask<SparksAnswer>(`sparks?address=${encodeURIComponent(a.address)}`)
    assume(sparks.map(({ spark }) => spark).sort()).eql(clients.map(({ id }) => id).sort())
    assume(next).equals(null)
    assume((await ask<ServerAnswer>('server?address=http://nowhere')).server).equals(null)
  })

  it('finds sparks, users, groups and servers by one text, and shows their names as they are', async () => {
    const a = await start('web-1')
    const client = await openClient(a.url)
    await eventually(() => a.metroplex.stats().groups === 1)
    const { ask } = await serve()
    const find = (text: string): Promise<FindAnswer> => ask(`find?q=${encodeURIComponent(text)}`)
    const spark = await find(client.id)
    assume([spark.spark?.spark, spark.spark?.address, spark.spark?.alive]).eql([client.id, a.address, true])
    assume([spark.spark?.user, spark.spark?.groups, spark.spark?.info]).eql([
      MARKUP,
      ['news'],
      JSON.stringify({ agent: MARKUP })
    ])
    assume([spark.user, spark.group, spark.failures]).eql([null, null, []])
    const user = await find(MARKUP)
    assume([user.user?.total, user.user?.sparks[0]?.spark, user.spark]).eql([1, client.id, null])
    const group = await find('news')
    assume([group.group?.total, group.group?.servers]).eql([1, [{ address: a.address, sparks: 1 }]])
    assume(group.group?.sparks.map(({ spark, user }) => [spark, user])).eql([[client.id, MARKUP]])
    assume((await find('WEB-')).servers.map(({ address }) => address)).eql([a.address])
    const none = await find('not there')
    assume([none.spark, none.user, none.group, none.servers]).eql([null, null, null, []])
  })

  it('sends, ends and drains', async () => {
    const a = await start('web-1')
    const b = await start('web-2')
    const [first, second] = await Promise.all([openClient(a.url), openClient(b.url)])
    await eventually(async () => (await a.metroplex.count()) === 2)
    const { ask } = await serve()
    const to = (kind: string, name: string, message: unknown): Promise<ActionAnswer> =>
      ask('send', { kind, name, message })
    assume(await to('spark', second.id, { one: 1 })).eql({ send: 1, missing: [], failed: [] })
    assume(await second.next()).eql({ one: 1 })
    assume((await to('user', MARKUP, 'hello')).send).equals(2)
    assume([await first.next(), await second.next()]).eql(['hello', 'hello'])
    assume((await to('group', 'news', 2)).send).equals(2)
    assume((await to('all', '', 3)).send).equals(2)
    assume(await first.count(3)).eql(['hello', 2, 3])
    assume(await to('spark', 'gone', 1)).eql({ send: 0, missing: ['gone'], failed: [] })
    const ended = new Promise(resolve => first.socket.on('end', resolve))
    assume((await ask<ActionAnswer>('end', { kind: 'spark', name: first.id })).send).equals(1)
    await ended
    const begun = await ask<DrainAnswer>('drain', { address: b.address, timeout: 0 })
    assume(begun.sparks).equals(1)
    assume(b.metroplex.stats().state).equals('draining')
    const refused = await ask('drain', { address: 'http://nowhere' }).catch((error: unknown) => String(error))
    assume(refused).includes("404: No server is registered as 'http://nowhere'")
  })

  it('tells what happens, by numbers, and what is wrong', async () => {
    await start('web-1')
    const { ask } = await serve()
    assume((await ask<EventsAnswer>('events')).events).eql([])
    const b = await start('web-2')
    const events = await eventually(
      async () => {
        const { events: told } = await ask<EventsAnswer>('events?after=0')
        return told.length > 0 && told
      },
      { within: 10_000 }
    )
    assume(events.map(({ seq, event, address, name }) => [seq, event, address, name])).eql([
      [1, 'join', b.address, 'web-2']
    ])
    assume((await ask<EventsAnswer>('events?after=1')).events).eql([])
    const { findings } = await ask<DoctorAnswer>('doctor')
    for (const { code, what, remedy } of findings) assume([code, what, remedy].every(text => text.length > 0)).true()
  })

  it('opens while Redis is away, says what it dialled and why that fails, and recovers', async () => {
    const redis = await startRedis({ args: ['--requirepass', 'a-password'] })
    await createRegistered({ redis: { url: redis.url, namespace: shared.space } })
    await redis.kill()
    const { ask, url } = await servePage(redis.url, { namespace: shared.space, metroplex: { timeout: 500 } })
    assume((await fetch(url)).status).equals(200)
    const { head } = await eventually(async () => {
      const answer = await ask<ServersAnswer>('servers')
      return answer.head.redis.state === 'away' && answer
    })
    assume(head.redis.dialled).equals(`127.0.0.1:${redis.port}`)
    assume(head.redis.why).includes('ECONNREFUSED')
    assume(JSON.stringify(head)).does.not.include('a-password')
    const found = await ask('find?q=alice').catch((error: unknown) => String(error))
    assume(found).matches(/503: .*ECONNREFUSED/)
    await redis.restart()
    await eventually(
      async () => {
        const { head: back, servers } = await ask<ServersAnswer>('servers')
        return back.redis.state === 'ok' && servers.length === 1
      },
      { within: 20_000 }
    )
    await redis.kill()
    const away = await eventually(
      async () => {
        const answer = await ask<ServersAnswer>('servers')
        return answer.head.redis.state === 'away' && answer
      },
      { within: 20_000 }
    )
    assume(away.servers.length).equals(1)
    assume((await ask<EventsAnswer>('events')).events[0]?.event).equals('registry')
  })

  it('says where Redis is expected, and never how to log in', () => {
    const clients = [
      new Redis('redis://me:secret@10.0.0.1:7000/3', { lazyConnect: true }),
      new Redis('/run/redis.sock', { lazyConnect: true }),
      new Redis({
        lazyConnect: true,
        name: 'main',
        sentinels: [{ host: '::1', port: 26379 }],
        sentinelPassword: 'secret'
      }),
      new Redis.Cluster(['redis://me:secret@10.0.0.1:7000', { host: 'b', port: 1 }], { lazyConnect: true })
    ]
    using(() => {
      for (const client of clients) client.disconnect()
    })
    assume(clients.map(dialledBy)).eql([
      '10.0.0.1:7000, database 3',
      '/run/redis.sock',
      'the master main of the Sentinels at [::1]:26379',
      'the Redis Cluster at 10.0.0.1:7000, b:1'
    ])
  })

  it('needs no cluster to open', async () => {
    const { ask } = await servePage(`redis://127.0.0.1:${await reservePort()}`, { metroplex: { timeout: 300 } })
    const { head, servers } = await ask<ServersAnswer>('servers')
    assume(head.redis.state).not.equals('ok')
    assume(servers).eql([])
  })

  it('closes its connections when it is closed, and answers no more', async () => {
    await start('web-1')
    const { ask, page } = await serve()
    assume((await ask<ServersAnswer>('servers')).servers.length).equals(1)
    await Promise.all([page.close(), page.close()])
    assume(await ask('servers').catch((error: unknown) => String(error))).includes('503: This page has been closed.')
  })
})
