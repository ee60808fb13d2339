import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { namespace } from './support/namespace'
import type { RedisProcess } from './support/redis'
import { startCluster } from './support/redis-cluster'
import { startSentinel } from './support/redis-sentinel'
import { openRedis, type RedisTarget } from './support/redis-target'
import { startServer, type ServerProcess } from './support/server'
import { eventually } from './support/wait'

/** A Redis whose master can be lost. */
interface Replicated {
  readonly target: RedisTarget
  /** What is written from now on is not there after the failover. */
  lag(): Promise<void>
  failover(harm: (master: RedisProcess) => unknown): Promise<RedisProcess>
  demoted(former: RedisProcess): Promise<void>
}

const kinds: readonly { name: string, ioredis: 5 | 6, start: (space: string) => Promise<Replicated> }[] = [
  ...([6, 5] as const).map(ioredis => ({ name: `Sentinel, with ioredis ${ioredis}`, ioredis, start: () => startSentinel() })),
  ...([6, 5] as const).map(ioredis => ({
    name: `Redis Cluster, with ioredis ${ioredis}`,
    ioredis,
    start: async (space: string) => {
      const cluster = await startCluster()
      const key = `${space}:servers`
      return {
        target: cluster.target,
        lag: () => cluster.lag(key),
        failover: (harm: (master: RedisProcess) => unknown) => cluster.failover(key, harm),
        demoted: (former: RedisProcess) => cluster.demoted(former)
      }
    }
  }))
]

for (const { name, ioredis, start } of kinds) {
  describe(`a failover of ${name}`, function () {
    this.timeout(120_000)
    let redis: Replicated
    let space: string
    let servers: [ServerProcess, ServerProcess]

    const join = (): Promise<ServerProcess> => startServer({
      redis: { ...redis.target, namespace: space }, ioredis, omega: true,
      primus: { interval: 2000, latency: 400, metroplex: { timeout: 1000 } }
    })

    beforeEach(async () => {
      space = `{${namespace()}}`
      redis = await start(space)
      servers = [await join(), await join()]
      await servers[0].seen('join')
    })

    /** What the master says: each spark's place, and the sparks of each server. */
    const registry = async (all: readonly ServerProcess[]): Promise<unknown> => {
      const client = openRedis(redis.target)
      try {
        return {
          servers: (await client.smembers(`${space}:servers`)).sort(),
          lives: await Promise.all(all.map(({ address }) => client.hget(`${space}:${address}:life`, 'id'))),
          places: Object.entries(await client.hgetall(`${space}:sparks`)).sort(),
          sets: await Promise.all(all.map(async ({ address }) => (await client.smembers(`${space}:${address}:sparks`)).sort()))
        }
      } finally {
        client.disconnect()
      }
    }

    /** The same, by what the servers hold. */
    const reality = async (all: readonly ServerProcess[]): Promise<unknown> => {
      const sets = await Promise.all(all.map(async server => (await server.sparks()).sort()))
      return {
        servers: all.map(({ address }) => address).sort(),
        lives: await Promise.all(all.map(server => server.call('metroplex.id'))),
        places: all.flatMap(({ address }, i) => (sets[i] ?? []).map(id => [id, address])).sort(),
        sets
      }
    }

    const right = (...all: ServerProcess[]): Promise<boolean> => eventually(async () => {
      assume(await registry(all)).eql(await reality(all))
      return true
    }, { within: 20_000, every: 100, what: 'a registry that says what is true' })

    const unharmed = (...all: ServerProcess[]): void => {
      for (const { log, crashes } of all) {
        assume(log.filter(({ event }) => event === 'leave' || event === 'reap').map(({ event, args }) => [event, ...args])).eql([])
        assume(crashes).eql([])
      }
    }

    /** Lets clients come and go on both servers until it is told to stop; some of them stay. */
    const churn = (): () => Promise<void> => {
      let going = true
      const turn = async (): Promise<void> => {
        const held: Client[] = []
        for (let i = 0; going; i++) {
          held.push(await openClient(servers[i % 2 === 0 ? 0 : 1].url))
          if (held.length > 5) await held.shift()?.close()
        }
      }
      const ended = turn()
      return async () => {
        going = false
        await ended
      }
    }

    it('after its master was killed: all that is connected is found, nobody leaves', async () => {
      const stop = churn()
      await redis.failover(master => master.kill())
      await stop()
      await right(...servers)
      unharmed(...servers)
    })

    it('while its master was only paused, and comes back believing that it still is the master', async () => {
      const stop = churn()
      const former = await redis.failover(master => master.pause())
      former.resume()
      await redis.demoted(former)
      await stop()
      await right(...servers)
      unharmed(...servers)
    })

    it('to a replica that has not seen what came and went last', async () => {
      const before = await openClient(servers[0].url)
      await right(...servers)
      await redis.lag()
      await before.close()
      await openClient(servers[1].url)
      await openClient(servers[1].url)
      await right(...servers)
      await redis.failover(master => master.kill())
      await right(...servers)
      unharmed(...servers)
    })

    it('to a replica that has not seen that one spark came and one went: the numbers are the same', async () => {
      const before = await openClient(servers[0].url)
      await right(...servers)
      await redis.lag()
      await before.close()
      const after = await openClient(servers[0].url)
      await right(...servers)
      await redis.failover(master => master.kill())
      await right(...servers)
      assume(await servers[1].call('metroplex.sparks', [before.id, after.id])).eql([null, servers[0].address])
      unharmed(...servers)
    })

    it('to a replica that has not seen a server join', async () => {
      await redis.lag()
      const late = await join()
      const client = await openClient(late.url)
      await right(...servers, late)
      await redis.failover(master => master.kill())
      await right(...servers, late)
      assume(await servers[0].call('metroplex.spark', client.id)).equals(late.address)
      unharmed(...servers, late)
    })
  })
}
