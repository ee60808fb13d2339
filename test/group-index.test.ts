import { Keys } from '../lib/registry/keys'
import { namespaces, shardOf } from '../lib/registry/sharding'
import { assume } from './support/assume'
import { FULL } from './support/full'
import { startRedis, type RedisProcess } from './support/redis'
import { ShardsServer, starter } from './support/shards-server'
import { sharedRedis } from './support/shared-redis'
import { rejection } from './support/rejection'
import { eventually } from './support/wait'

/** A server without Primus: its sparks, and the groups that they are in. */
class Server extends ShardsServer {
  /** A spark in these groups; resolves when the registry has it. */
  async grouped(groups: readonly string[], id?: string): Promise<string> {
    const spark = this.connect(id)
    await this.enter(spark, ...groups)
    return spark
  }

  enter(id: string, ...groups: string[]): Promise<void> {
    return this.shards.groups.change('enter', [id], groups).written
  }

  exit(id: string, ...groups: string[]): Promise<void> {
    return this.shards.groups.change('exit', [id], groups).written
  }
}

describe('the index of groups', () => {
  const shared = sharedRedis()
  const { start, exposed } = starter(Server, () => ({ redis, space }))
  let redis: RedisProcess
  let space: string
  let keys: Keys

  beforeEach(() => {
    ;({ redis, space } = shared)
    keys = new Keys(space)
  })

  /** The hashes of groups in Redis, without their namespaces; and which groups the lists of servers name. */
  const stored = async (): Promise<Record<string, unknown>> => {
    const client = redis.client()
    const found: Record<string, unknown> = {}
    for (const key of (await client.keys(`${space}*`)).sort()) {
      const name = key.replace(/^[^:]*:(\{\d+\}:)?/, '')
      if (name.startsWith('group:')) found[name] = await client.hgetall(key)
      else if (/:groups(:|$)/.test(name)) {
        const before = (found[name] ?? []) as string[]
        found[name] = [...before, ...(await client.smembers(key))].sort()
      }
    }
    return found
  }

  /** Until that is all that Redis has of groups. */
  const becomes = (wanted: Record<string, unknown>): Promise<unknown> => {
    const text = JSON.stringify(wanted)
    return eventually(
      async () => {
        const now = await stored()
        const sorted = Object.fromEntries(
          Object.keys(now)
            .sort()
            .map(key => [key, now[key]])
        )
        if (JSON.stringify(sorted) !== text) throw new Error(JSON.stringify(sorted))
        return true
      },
      { within: 10_000, what: text }
    )
  }

  const many = Array.from({ length: 20 }, (_, i) => `group ${i}`)

  for (const shards of [1, 3]) {
    describe(`in ${shards === 1 ? '1 registry' : `${shards} registries`}`, () => {
      it('has a field for each server with its number of sparks, in the registry of the name of a group', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        await a.grouped(many)
        await b.grouped(['group 3'])
        for (const group of many) {
          const key = `${namespaces(space, shards)[shardOf(group, shards)] ?? ''}:group:${group}`
          const wanted = group === 'group 3' ? { [a.address]: '1', [b.address]: '1' } : { [a.address]: '1' }
          assume(await redis.client().hgetall(key)).eql(wanted)
        }
        const [found] = await b.shards.groups.find(['group 3'])
        assume(found).eql({ group: 'group 3', sparks: 2, servers: [b.address, a.address] })
      })

      it('is right again after a flush, without a join', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        const id = await a.grouped(many)
        await redis.client().flushall()
        await eventually(async () => (await b.shards.groups.find(many)).every(({ sparks }) => sparks === 1))
        await a.settled()
        a.disconnect(id)
        await becomes({})
      })

      it('gets back what is deleted from the list of a server, and loses what is too much', async () => {
        const a = await start('a', { shards })
        await a.grouped(['x'])
        const name = namespaces(space, shards)[shardOf('x', shards)] ?? ''
        const [own, group] = [`${name}:${a.address}:groups`, `${name}:group:x`]
        await redis.client().del(own)
        await eventually(async () => (await redis.client().sismember(own, 'x')) === 1)
        await redis.client().multi().sadd(own, 'ghost').hset(`${name}:group:ghost`, a.address, 3).exec()
        await eventually(async () => (await redis.client().exists(`${name}:group:ghost`)) === 0)
        assume(await redis.client().smembers(own)).eql(['x'])
        assume(await redis.client().hgetall(group)).eql({ [a.address]: '1' })
      })

      it('loses a server that leaves, and keeps the others', async () => {
        const [a, b] = [await start('a', { shards }), await start('b', { shards })]
        await a.grouped(many)
        await b.grouped(['x'])
        await a.shards.lives.unregister()
        await becomes({ 'group:x': { [b.address]: '1' }, [`${b.address}:groups`]: ['x'] })
      })

      it('follows a server to another address', async () => {
        const a = await start('a', { shards })
        await a.grouped(['x'])
        await a.shards.lives.register('http://other:1', true)
        await becomes({ 'group:x': { 'http://other:1': '1' }, 'http://other:1:groups': ['x'] })
      })

      it('loses a server that dies, which no answer names before', async () => {
        const { server: a, network } = await exposed('a', { shards, timeout: 300 })
        const b = await start('b', { shards })
        await a.grouped(many)
        await b.grouped(['x'])
        await network.refuse()
        network.cut()
        await eventually(async () => (await b.shards.groups.find(many)).every(({ servers }) => servers.length === 0), {
          within: 10_000
        })
        await becomes({ 'group:x': { [b.address]: '1' }, [`${b.address}:groups`]: ['x'] })
      })

      it('loses what a former life at an address left behind, and spares what is back', async () => {
        const { server: a, network } = await exposed('a', { shards, timeout: 300, lease: 3000 })
        await a.grouped(many)
        await network.refuse()
        network.cut()
        const again = await start('a', { shards })
        await again.grouped(['group 3'])
        await becomes({ 'group:group 3': { [a.address]: '1' }, [`${a.address}:groups`]: ['group 3'] })
      })
    })
  }

  it('goes back to a life whose address another one had taken while it lived', async () => {
    const { server: a, network } = await exposed('a', { timeout: 300, lease: 3000 })
    await a.grouped(['x', 'y'])
    network.freeze()
    const rival = await start('a', { lease: 3000 })
    await rival.grouped(['y', 'z'])
    network.thaw()
    await becomes({
      'group:x': { [a.address]: '1' },
      'group:y': { [a.address]: '1' },
      [`${a.address}:groups`]: ['x', 'y']
    })
  })

  it('counts no spark that another server holds, until it is back', async () => {
    const [a, b] = [await start('a'), await start('b')]
    const id = await a.grouped(['x'])
    b.connect(id)
    await eventually(() => !a.shards.sparks.owns(id))
    await becomes({})
    assume(a.shards.groups.sparks('x')).eql([])
    b.disconnect(id)
    await becomes({ 'group:x': { [a.address]: '1' }, [`${a.address}:groups`]: ['x'] })
    assume(a.shards.groups.sparks('x')).eql([id])
  })

  it('writes nothing of a group that a spark has entered and left in one turn', async () => {
    const a = await start('a', { lease: 60_000 })
    const id = a.connect()
    await a.settled()
    const scripts = async (): Promise<string | undefined> =>
      /cmdstat_evalsha:calls=(\d+)/.exec(await redis.client().info('commandstats'))?.[1]
    const before = await scripts()
    await Promise.all([a.enter(id, 'x'), a.exit(id, 'x')])
    assume(await scripts()).equals(before)
    assume(await stored()).eql({})
  })

  it('goes with a server in whose place one of 1.x was started', async () => {
    const { server: a, network } = await exposed('a', { timeout: 300 })
    await start('b')
    await a.grouped(['x'])
    await network.refuse()
    network.cut()
    await redis.client().set(keys.alive(a.address), '1', 'PX', 60_000)
    await becomes({})
  })

  describe('while Redis cannot be reached', () => {
    it('is right here at once; `EREGISTRY` says that the write is pending, and it is done later', async () => {
      const { server: a, network } = await exposed('a', { timeout: 300, lease: 60_000 })
      const b = await start('b')
      const [early, id] = [await a.grouped(['x']), a.connect()]
      await a.settled()
      await network.refuse()
      network.cut()
      const error = await rejection(a.enter(id, 'x', 'y'))
      assume(error.code).equals('EREGISTRY')
      assume(error.message).matches(/did not confirm within 300 ms .* It is written as soon as Redis can be reached/)
      a.disconnect(early)
      assume(a.shards.groups.sparks('x')).eql([id])
      assume((await rejection(a.shards.groups.find(['x']))).code).equals('EREGISTRY')
      await network.accept()
      await eventually(async () => (await b.shards.groups.find(['x', 'y'])).every(({ sparks }) => sparks === 1))
    })

    it('is right in the end, though the outcome of a write is unknown', async () => {
      const { server: a, network } = await exposed('a', { timeout: 1000, lease: 60_000 })
      const id = await a.grouped(['kept'])
      await a.settled()
      for (const [first, then] of [
        ['x', 'y'],
        ['y', 'x'],
        ['x', 'z']
      ] as const) {
        network.dropNextReply({ cut: true })
        const entered = a.enter(id, first)
        await eventually(() => a.shards.state === 'degraded', { every: 1 })
        await Promise.all([entered, a.exit(id, first), a.enter(id, then), a.enter(id, 'kept')])
        await a.settled()
        await becomes({
          'group:kept': { [a.address]: '1' },
          [`group:${then}`]: { [a.address]: '1' },
          [`${a.address}:groups`]: ['kept', then].sort()
        })
        await a.exit(id, then)
      }
    })
  })

  it('gets what a full Redis did not take as soon as it has room, except what has gone meanwhile', async () => {
    const full = await startRedis()
    const before = redis
    redis = full
    try {
      const a = await start('a')
      const [id, gone] = [await a.grouped(['old']), a.connect()]
      await a.settled()
      await full.client().config('SET', 'maxmemory', FULL)
      const entered = Promise.allSettled([a.enter(id, 'new'), a.enter(gone, 'lost')])
      await eventually(() => a.shards.sparks.waiting > 0)
      await a.exit(id, 'old')
      a.disconnect(gone)
      await becomes({})
      await full.client().config('SET', 'maxmemory', '0')
      await entered
      await becomes({ 'group:new': { [a.address]: '1' }, [`${a.address}:groups`]: ['new'] })
    } finally {
      redis = before
    }
  })
})
