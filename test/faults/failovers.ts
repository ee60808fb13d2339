import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { namespace } from '../support/namespace'
import type { RedisProcess } from '../support/redis'
import { startCluster } from '../support/redis-cluster'
import { startSentinel } from '../support/redis-sentinel'
import type { RedisTarget } from '../support/redis-target'
import type { ServerProcess } from '../support/server'
import { LEASE, type Ground } from './ground'
import { LAPSED, NO_REDIS, REPAIRED, either } from './health'
import type { Row } from './row'

/** A Redis whose master can be lost. */
interface Replicated {
  readonly target: RedisTarget
  /** What is written from now on is not there after the failover. */
  lag(): Promise<void>
  /** Resolves when another master is there. */
  failover(harm: (master: RedisProcess) => unknown): Promise<RedisProcess>
  demoted(former: RedisProcess): Promise<void>
}

/**
 * A lease that is longer than what each server may take to find the new master: the first one there must not bury the
 * others.
 */
const PATIENT = { metroplex: { lease: 3 * LEASE } }

interface Kind {
  readonly name: string
  readonly ioredis: 5 | 6
  start(space: string): Promise<Replicated>
}

/** What happens, on a ground with two servers. */
interface Scenario {
  readonly fault: string
  /** Resolves with the former master as soon as another one is there. */
  happen(redis: Replicated, ground: Ground, servers: readonly [ServerProcess, ServerProcess]): Promise<RedisProcess>
  /** What happens once all was right again. */
  after?(redis: Replicated, former: RedisProcess): Promise<void>
}

const sentinel = (ioredis: 5 | 6): Kind => ({
  name: `Sentinel, ioredis ${ioredis}`,
  ioredis,
  start: () => startSentinel()
})

const cluster = (ioredis: 5 | 6): Kind => ({
  name: `Cluster, ioredis ${ioredis}`,
  ioredis,
  async start(space) {
    const redis = await startCluster()
    const key = `${space}:servers`
    return {
      target: redis.target,
      lag: () => redis.lag(key),
      failover: harm => redis.failover(key, harm),
      demoted: former => redis.demoted(former)
    }
  }
})

/** Lets clients come and go on both servers until it is told to stop; some of them stay. */
function churn(servers: readonly [ServerProcess, ServerProcess]): () => Promise<void> {
  const ending = new AbortController()
  const turn = async (): Promise<void> => {
    const held: Client[] = []
    for (let i = 0; !ending.signal.aborted; i++) {
      held.push(await openClient(servers[i % 2 === 0 ? 0 : 1].url))
      if (held.length > 5) await held.shift()?.close()
    }
  }
  const ended = turn()
  return async () => {
    ending.abort()
    await ended
  }
}

const killed: Scenario = {
  fault: 'its master is killed while sparks connect and disconnect',
  async happen(redis, _ground, servers) {
    const stop = churn(servers)
    const former = await redis.failover(master => master.kill())
    await stop()
    return former
  }
}

const paused: Scenario = {
  fault: 'its master is paused, and comes back as a second master',
  async happen(redis, _ground, servers) {
    const stop = churn(servers)
    const former = await redis.failover(master => master.pause())
    await stop()
    return former
  },
  async after(redis, former) {
    former.resume()
    await redis.demoted(former)
  }
}

const behind: Scenario = {
  fault: 'the replica missed the last connects and disconnects',
  async happen(redis, ground, servers) {
    const before = await openClient(servers[0].url)
    await ground.settled(...servers)
    await redis.lag()
    await before.close()
    await openClient(servers[1].url)
    await openClient(servers[1].url)
    await ground.settled(...servers)
    return redis.failover(master => master.kill())
  }
}

const alike: Scenario = {
  fault: 'the replica missed one connect and one disconnect, so the counts are equal',
  async happen(redis, ground, servers) {
    const before = await openClient(servers[0].url)
    await ground.settled(...servers)
    await redis.lag()
    await before.close()
    await openClient(servers[0].url)
    await ground.settled(...servers)
    return redis.failover(master => master.kill())
  }
}

const unseen: Scenario = {
  fault: 'the replica missed that a server joined',
  async happen(redis, ground, servers) {
    await redis.lag()
    const late = await ground.start(PATIENT)
    await openClient(late.url)
    await ground.settled(...servers, late)
    return redis.failover(master => master.kill())
  }
}

function row(kind: Kind, scenario: Scenario, long: boolean): Row {
  return {
    id: 'F5',
    fault: `Redis fails over (${kind.name}): ${scenario.fault}`,
    promise: 'the registry is right again; no `leave`, no `reap`',
    // A beat, the deadline at which the old connection is given up, and the pause before the next attempt.
    measures: [
      { what: 'right, after a new master was elected, after', unit: 'ms', atMost: LEASE + 1000 + 1000 + 2000 }
    ],
    health: [{ reasons: either(NO_REDIS, REPAIRED, LAPSED) }],
    runs: 2,
    long,
    async provoke(here) {
      const space = `{${namespace()}}`
      const redis = await kind.start(space)
      const ground = here.beside(redis.target, space, kind.ioredis)
      const servers = [await ground.start(PATIENT), await ground.start(PATIENT)] as const
      await servers[0].seen('join')
      const former = await scenario.happen(redis, ground, servers)
      const there = performance.now()
      await ground.settled(...ground.servers)
      const took = performance.now() - there
      await scenario.after?.(redis, former)
      await ground.settled(...ground.servers)
      ground.unharmed(...ground.servers)
      for (const server of ground.servers) {
        const ids = await ground.held(server)
        assume(await servers[0].call('metroplex.sparks', ids)).eql(ids.map(() => server.address))
      }
      return [took]
    }
  }
}

export const failovers: readonly Row[] = [
  row(sentinel(6), killed, false),
  row(sentinel(6), paused, true),
  row(sentinel(6), behind, true),
  row(sentinel(6), alike, false),
  row(sentinel(6), unseen, true),
  row(sentinel(5), killed, true),
  row(cluster(6), killed, false),
  row(cluster(6), paused, true),
  row(cluster(6), behind, true),
  row(cluster(6), alike, true),
  row(cluster(6), unseen, true),
  row(cluster(5), killed, true)
]
