import type { Redis } from 'ioredis'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { anySpace } from '../support/shared-redis'
import { eventually } from '../support/wait'
import { answer, member, value, type Member } from './support'

describe('compatibility: the registry of 1.x', () => {
  const place = anySpace()

  const start = (primus: Record<string, unknown> = {}): Promise<Member> =>
    member(place.redis.url, place.space, { primus })

  /** The four keys of 1.x, as they are now. */
  const keys = async (client: Redis, address: string): Promise<Record<string, unknown>> => ({
    servers: await client.smembers(`${place.space}:servers`),
    sparks: await client.hgetall(`${place.space}:sparks`),
    alive: await client.exists(`${place.space}:${address}`),
    ours: await client.smembers(`${place.space}:${address}:sparks`)
  })

  describe('in Redis', () => {
    it('has the types it had', async () => {
      const { url, redis: client, address } = await start()
      const { id } = await openClient(url)
      await eventually(() => client.hexists(`${place.space}:sparks`, id))
      const types = await Promise.all(
        [
          `${place.space}:servers`,
          `${place.space}:sparks`,
          `${place.space}:${address}`,
          `${place.space}:${address}:sparks`
        ].map(key => client.type(key))
      )
      assume(types).deep.equals(['set', 'hash', 'string', 'set'])
    })

    it('lists the servers in NS:servers', async () => {
      const [a, b] = [await start(), await start()]
      assume((await a.redis.smembers(`${place.space}:servers`)).sort()).deep.equals([a.address, b.address].sort())
    })

    it('maps sparks to addresses in NS:sparks', async () => {
      const [a, b] = [await start(), await start()]
      const [one, two] = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.redis.hlen(`${place.space}:sparks`)) === 2)
      assume(await a.redis.hgetall(`${place.space}:sparks`)).deep.equals({ [one.id]: a.address, [two.id]: b.address })
    })

    it('lists the sparks of a server in NS:<address>:sparks', async () => {
      const { url, redis: client, address } = await start()
      const clients = [await openClient(url), await openClient(url)]
      const key = `${place.space}:${address}:sparks`
      await eventually(async () => (await client.scard(key)) === 2)
      assume((await client.smembers(key)).sort()).deep.equals(clients.map(({ id }) => id).sort())
    })

    it('keeps NS:<address> alive for the interval', async () => {
      const { redis: client, address } = await start({ interval: 60_000 })
      assume(await client.pttl(`${place.space}:${address}`)).is.within(50_000, 60_000)
    })

    it('says in NS:<address> when the server was last alive, as a plain number of milliseconds', async () => {
      const before = Date.now()
      const { redis: client, address } = await start()
      const stamp = await client.get(`${place.space}:${address}`)
      assume(stamp).matches(/^\d+$/)
      assume(Number(stamp)).is.within(before - 5, Date.now() + 5)
    })

    it('renews NS:<address> before it ends', async () => {
      const { redis: client, address } = await start({ interval: 600, latency: 100 })
      const stamps = new Set<string | null>()
      await eventually(async () => stamps.add(await client.get(`${place.space}:${address}`)).size === 4)
      assume([...stamps]).does.not.include(null)
    })

    it('forgets a spark that disconnects', async () => {
      const { url, redis: client, address } = await start()
      const connection = await openClient(url)
      await eventually(() => client.hexists(`${place.space}:sparks`, connection.id))
      await connection.close()
      await eventually(async () => (await client.hexists(`${place.space}:sparks`, connection.id)) === 0)
      assume(await client.sismember(`${place.space}:${address}:sparks`, connection.id)).equals(0)
    })

    it('forgets all of a server that is destroyed', async () => {
      const stays = await start()
      const goes = await start()
      const { id } = await openClient(goes.url)
      await eventually(() => stays.redis.hexists(`${place.space}:sparks`, id))
      await new Promise<void>(resolve => goes.primus.destroy({}, () => resolve()))
      assume(await keys(stays.redis, goes.address)).deep.equals({
        servers: [stays.address],
        sparks: {},
        alive: 0,
        ours: []
      })
    })
  })

  describe('servers', () => {
    it('leaves ourselves out', async () => {
      const [a, b] = [await start(), await start()]
      assume(await value<string[]>(fn => a.metroplex.servers(fn))).deep.equals([b.address])
      assume(await value<string[]>(fn => b.metroplex.servers(false, fn))).deep.equals([a.address])
    })

    it('names ourselves too when asked to', async () => {
      const [a, b] = [await start(), await start()]
      assume((await value<string[]>(fn => b.metroplex.servers(true, fn))).sort()).deep.equals(
        [a.address, b.address].sort()
      )
    })

    it('is an empty array for a server alone', async () => {
      const { metroplex } = await start()
      assume(await value<string[]>(fn => metroplex.servers(fn))).deep.equals([])
    })

    it('forgets a server that was destroyed', async () => {
      const [a, b] = [await start(), await start()]
      assume(await value<string[]>(fn => a.metroplex.servers(fn))).deep.equals([b.address])
      await new Promise<void>(resolve => b.primus.destroy({}, () => resolve()))
      assume(await value<string[]>(fn => a.metroplex.servers(fn))).deep.equals([])
    })

    it('calls back with nothing as the error', async () => {
      const { metroplex } = await start()
      assume((await answer(fn => metroplex.servers(fn))).error).is.falsy()
    })
  })

  describe('spark and sparks', () => {
    it('find the address of a spark, from everywhere', async () => {
      const [a, b] = [await start(), await start()]
      const { id } = await openClient(b.url)
      await eventually(() => a.redis.hexists(`${place.space}:sparks`, id))
      assume(await value(fn => a.metroplex.spark(id, fn))).equals(b.address)
      assume(await value(fn => b.metroplex.spark(id, fn))).equals(b.address)
    })

    it('find null for a spark that is not there', async () => {
      const { metroplex } = await start()
      const { error, value: address } = await answer(fn => metroplex.spark('unknown', fn))
      assume(error).is.falsy()
      assume(address).equals(null)
    })

    it('answer an array in the order of the ids', async () => {
      const [a, b] = [await start(), await start()]
      const [one, two] = [await openClient(a.url), await openClient(b.url)]
      await eventually(async () => (await a.redis.hlen(`${place.space}:sparks`)) === 2)
      const found = await value<(string | null)[]>(fn => a.metroplex.sparks([two.id, 'unknown', one.id, two.id], fn))
      assume(found).is.an('array')
      assume(found).deep.equals([b.address, null, a.address, b.address])
    })
  })
})
