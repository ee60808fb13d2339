import { randomUUID } from 'node:crypto'
import type { Health, Metroplex } from '../index'
import { now } from '../lib/common/async'
import { namespaces, shardOf } from '../lib/registry/sharding'
import { slotOf } from '../lib/common/hash-slots'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { member } from './support/member'
import { watchCommands } from './support/monitor'
import { namespace } from './support/namespace'
import { startRedis, type RedisProcess } from './support/redis'
import { startCluster } from './support/redis-cluster'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { eventually, once } from './support/wait'

describe('shards', () => {
  let redis: RedisProcess
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  describe('by their rules', () => {
    it('are in the slots that Redis says', async () => {
      const cluster = await startRedis({ args: ['--cluster-enabled', 'yes'] })
      for (const key of ['', '0', '123456789', 'metroplex', 'héllo', '\n']) {
        assume(await cluster.client().cluster('KEYSLOT', key)).equals(slotOf(key))
      }
    })

    for (const shards of [2, 3, 16, 100, 256]) {
      it(`lie evenly on the slots, ${shards} of them`, () => {
        const slots = namespaces('ns', shards).map(name => slotOf(/\{(\d+)\}$/.exec(name)?.[1] ?? ''))
        assume(slots.map(slot => Math.floor((slot * shards) / 16_384))).eql(Array.from({ length: shards }, (_, i) => i))
      })
    }

    it('are the namespace itself when there is one', () => {
      assume(namespaces('ns', 1)).eql(['ns'])
      assume(shardOf('any', 1)).equals(0)
    })

    it('share the ids evenly, be they random or counted', () => {
      for (const ids of [
        Array.from({ length: 50_000 }, () => randomUUID()),
        Array.from({ length: 50_000 }, (_, i) => `spark-${i}`)
      ]) {
        const counts = new Array<number>(16).fill(0)
        for (const id of ids) counts[shardOf(id, 16)] = (counts[shardOf(id, 16)] ?? 0) + 1
        for (const count of counts) assume(count).within((50_000 / 16) * 0.9, (50_000 / 16) * 1.1)
      }
    })

    it('give an id the same place for ever: other programs look it up there', () => {
      // FNV-1a of '' is its offset basis, and of 'a' 0xe40c292c: the published test vectors.
      assume(shardOf('', 65_536)).equals((0x811c9dc5 >>> 16) ^ (0x811c9dc5 & 0xffff))
      assume(shardOf('a', 65_536)).equals((0xe40c292c >>> 16) ^ (0xe40c292c & 0xffff))
      assume(shardOf('foobar', 65_536)).equals((0xbf9cf968 >>> 16) ^ (0xbf9cf968 & 0xffff))
    })
  })

  describe('on the masters of a Redis Cluster', () => {
    it('fail one by one: what lies on the others is found, and all is right after a failover', async function () {
      this.timeout(120_000)
      const cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no'] })
      const shards = 16
      const server = (): Promise<ServerProcess> =>
        startServer({
          redis: { ...cluster.target, namespace: space },
          omega: true,
          primus: { metroplex: { shards, lease: 6000, timeout: 1000 } }
        })
      const [a, b] = [await server(), await server()]
      const ids = Array.from({ length: 3000 }, () => randomUUID())
      await b.run((primus, all: string[]) => {
        for (const id of all) primus.metroplex.connect({ id, write: () => true, end: () => undefined })
      }, ids)
      await eventually(async () => (await a.call('metroplex.count')) === ids.length)

      const names = namespaces(space, shards)
      const masters = await Promise.all(names.map(name => cluster.owner(`${name}:sparks`)))
      const nameOf = (id: string): string => names[shardOf(id, shards)] ?? ''
      const shares = new Map<unknown, number>()
      ids.forEach(id => {
        const master = masters[shardOf(id, shards)]
        shares.set(master, (shares.get(master) ?? 0) + 1)
      })
      // Sixteen shards on three masters: five or six on each.
      assume(
        [...shares.values()].every(
          share => share > ((ids.length * 5) / 16) * 0.85 && share < ((ids.length * 6) / 16) * 1.15
        )
      ).true()

      const broken = masters[0]
      const [lost = '', left = ''] = [
        ids.find(id => masters[shardOf(id, shards)] === broken),
        ids.find(id => masters[shardOf(id, shards)] !== broken)
      ]
      await cluster.failover(`${nameOf(lost)}:sparks`, async master => {
        master.pause()
        assume(await a.call('metroplex.spark', left)).equals(b.address)
        assume((await rejection(a.call('metroplex.spark', lost))).code).equals('EREGISTRY')
        assume(await a.call('metroplex.servers')).eql([b.address])
        assume(((await a.call('metroplex.health')) as Health).ok).false()
      })
      await eventually(
        async () => ((await a.call('metroplex.sparks', ids)) as unknown[]).every(place => place === b.address),
        { within: 30_000 }
      )
      await eventually(async () => ((await a.call('metroplex.health')) as Health).ok, { within: 30_000 })
      for (const { log, crashes } of [a, b]) {
        assume(log.filter(({ event }) => event === 'leave' || event === 'reap')).eql([])
        assume(crashes).eql([])
      }
    })
  })

  describe('of a cluster', () => {
    const quick = { interval: 1000, latency: 200, metroplex: { shards: 4 } }

    const start = (): Promise<ServerProcess> =>
      startServer({ redis: { url: redis.url, namespace: space }, omega: true, primus: quick })

    const one = (address: string, shards = 4, more: object = {}): Metroplex =>
      member(redis.client(), space, address, { ...quick, ...more, metroplex: { shards, ...more } })

    it('look like one registry: sparks are found, reached, counted and listed', async () => {
      const [a, b] = [await start(), await start()]
      const clients = await Promise.all(Array.from({ length: 12 }, () => openClient(b.url)))
      const ids = clients.map(({ id }) => id)
      await eventually(async () => (await a.call('metroplex.count')) === 12)
      assume(await a.call('metroplex.servers', true)).eql([a.address, b.address])
      assume(await a.call('metroplex.sparks', ['unknown', ...ids])).eql([null, ...ids.map(() => b.address)])
      assume(((await a.call('metroplex.sparksOn', b.address)) as string[]).sort()).eql([...ids].sort())
      assume(await a.call('forward.sparks', ids, 'hello')).eql({ ok: true, send: 12 })
      for (const client of clients) assume(await client.next()).equals('hello')
      assume(await a.call('forward.broadcast', 'all')).eql({ ok: true, send: 12 })
      const holders = await Promise.all(namespaces(space, 4).map(name => redis.client().hlen(`${name}:sparks`)))
      assume(holders.reduce((sum, count) => sum + count, 0)).equals(12)
      assume(await redis.client().exists(`${space}:sparks`, `${space}:servers`)).equals(0)
    })

    it('report joins, leaves, deaths and registrations once', async () => {
      const [a, b, c] = [await start(), await start(), await start()]
      const client = await openClient(c.url)
      await eventually(async () => (await a.call('metroplex.spark', client.id)) === c.address)
      const [left, died] = [await b.call('metroplex.id'), await c.call('metroplex.id')]
      await b.stop()
      await a.seen('leave')
      await c.kill()
      await a.seen('leave', { filter: address => address === c.address })
      await a.seen('reap')
      await eventually(async () => (await redis.client().keys(`${space}:*${c.address}:sparks`)).length === 0)
      const told = (event: string): unknown[] => a.log.filter(entry => entry.event === event).map(({ args }) => args)
      assume(told('register')).eql([[a.address]])
      assume(told('join')).has.length(2)
      assume(told('leave')).eql([
        [b.address, 'shutdown', left],
        [c.address, 'expired', died]
      ])
      assume(told('reap')).eql([[c.address, [client.id]]])
      assume(told('error')).eql([])
      assume(await a.call('metroplex.servers')).eql([])
    })

    it('are all put right after a flush', async () => {
      const [a, b] = [await start(), await start()]
      const clients = await Promise.all(Array.from({ length: 8 }, () => openClient(b.url)))
      await eventually(async () => (await a.call('metroplex.count')) === 8)
      await redis.client().flushall()
      await eventually(async () =>
        (
          (await a.call(
            'metroplex.sparks',
            clients.map(({ id }) => id)
          )) as unknown[]
        ).every(place => place === b.address)
      )
      await eventually(
        async () => (await a.call('metroplex.stats').then(stats => (stats as { state: string }).state)) === 'ready'
      )
      assume(a.log.filter(({ event }) => event === 'leave' || event === 'reap')).eql([])
    })

    it('are left altogether', async () => {
      const a = one('http://a:1')
      await a.ready()
      assume(await a.unregister()).equals('http://a:1')
      assume(a.address).equals('')
      assume(await redis.client().keys(`${space}:*:lease`)).eql([])
      assume(await a.register('http://b:1')).equals('http://b:1')
      assume(await a.servers(true)).eql(['http://b:1'])
    })

    it('are as many on all servers: another number is refused, and said', async () => {
      const a = one('http://a:1')
      await a.ready()
      for (const shards of [1, 8]) {
        const other = one('http://b:1', shards)
        const [error] = (await once(other, 'error')) as [Error & { code: string }]
        assume(error.code).equals('EPROTOCOL')
        assume(error.message).matches(new RegExp(`split into 4 shards, but .*\`shards: ${shards}\``))
        assume(other.address).equals('')
      }
    })

    it('may change their number a lease after the last server has gone', async () => {
      const first = one('http://a:1', 4, { lease: 300 })
      await first.ready()
      await first.close()
      const second = one('http://a:1', 2, { lease: 300 })
      assume(await second.ready()).equals('http://a:1')
    })

    it('agree on the same number and secret after a flush, whichever server is first', async () => {
      const a = one('http://a:1', 4, { lease: 300 })
      await a.ready()
      const key = `${namespaces(space, 4)[0] ?? ''}:secret`
      const secret = await redis.client().get(key)
      assume((secret ?? '').length).is.above(32)
      const layout = await redis.client().get(`${space}:layout`)
      const later = (agreed: string | null): number => Number(agreed?.split(' ')[0]) + 1
      await redis.client().flushall()
      // As a server would that has been started just after it.
      await redis.client().set(key, `${later(secret)} of-a-newcomer`)
      await redis.client().set(`${space}:layout`, `${later(layout)} 7`)
      await eventually(async () => (await redis.client().get(key)) === secret)
      await eventually(async () => (await redis.client().get(`${space}:layout`)) === layout)
      const b = one('http://b:1', 4)
      using(() => b.close())
      await b.ready()
      assume(await redis.client().get(key)).equals(secret)
    })
  })

  for (const shards of [1, 4]) {
    describe(`the secret and the layout of ${shards === 1 ? 'one registry' : `${shards} shards`}`, () => {
      const lease = 900
      let secret: string
      let layout: string

      beforeEach(async () => {
        secret = `${namespaces(space, shards)[0] ?? ''}:secret`
        layout = `${space}:layout`
        const server = member(redis.client(), space, 'http://a:1', { metroplex: { shards, lease } })
        await server.ready()
      })

      it('come back as they were when one alone is deleted, or replaced by a newer value', async () => {
        const client = redis.client()
        const values = await client.mget(secret, layout)
        const back = async (): Promise<boolean> => (await client.mget(secret, layout)).join() === values.join()
        const newer = (value: string | null | undefined): number => Number(value?.split(' ')[0]) + 1
        await client.del(secret)
        await eventually(back, { what: 'the deleted secret' })
        await client.del(layout)
        await eventually(back, { what: 'the deleted layout' })
        await client.set(secret, `${newer(values[0])} of-a-newcomer`)
        await eventually(back, { what: 'the replaced secret' })
        await client.set(layout, `${newer(values[1])} 7`)
        await eventually(back, { what: 'the replaced layout' })
      })

      it('need no script beside a beat of the first registry, and the layout does not expire', async () => {
        const keys: string[] = []
        // A script is called with its hash, the number of its keys, and the keys.
        await watchCommands(redis, ([command, , , key]) => {
          if (command?.toLowerCase().startsWith('eval') === true && key !== undefined) keys.push(key)
        })
        const registry = namespaces(space, shards)[0] ?? ''
        const began = now()
        const beats = (): number => keys.filter(key => key === `${registry}:http://a:1:life`).length
        await eventually(() => beats() >= 6, { within: 10_000, what: 'six beats' })
        assume(keys.filter(key => key === secret)).is.empty()
        const renewals = keys.filter(key => key === layout).length
        if (shards === 1) assume(renewals).equals(0)
        // At most one in a period, which is a third of a lease: shards beat at times of their own.
        else assume(renewals).is.within(1, (now() - began) / (lease / 3) + 2)
        assume(await redis.client().pttl(layout)).is.within(1, lease)
      })
    })
  }
})
