import type { Health, Result } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { namespace } from '../support/namespace'
import { startRedis } from '../support/redis'
import { startServer, type ServerOptions, type ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { LEASE, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, NO_REDIS, REPAIRED, either } from './health'
import type { Row } from './row'

/** The longest pause between two attempts to reach Redis, in ms. */
const RETRY = 1000

const PATIENCE = 15_000

const options = { metroplex: { lease: LEASE, timeout: 1000 } }

async function health(server: ServerProcess): Promise<Health> {
  return (await server.call('metroplex.health')) as Health
}

/** Until the errors and the health of a server say some words; how long that takes, in ms. */
async function named(server: ServerProcess, words: string): Promise<number> {
  const began = performance.now()
  await server.seen('error', { within: PATIENCE, filter: error => (error as Error).message.includes(words) })
  await eventually(
    async () => {
      const { reasons, warnings } = await health(server)
      return [...reasons, ...warnings].join().includes(words)
    },
    { within: PATIENCE, what: `a reason or a warning that says ${words}` }
  )
  return performance.now() - began
}

/** Until a server says that it is well; how long that takes, in ms. */
async function well(server: ServerProcess): Promise<number> {
  const began = performance.now()
  await eventually(async () => (await health(server)).ok, { within: PATIENCE, what: 'a server that is well' })
  return performance.now() - began
}

/** A server of a cluster of its own, on the Redis of the ground. */
async function strange(ground: Ground, more: Partial<ServerOptions>): Promise<ServerProcess> {
  const redis = { ...ground.redis.target, namespace: namespace() }
  return ground.observe(await startServer({ redis, primus: options, ...more }))
}

export const origin: readonly Row[] = [
  {
    id: 'F49',
    fault: 'the password of Redis changes, and the application sets the new one in the options of its client',
    promise:
      'while Redis refuses, errors and `health()` quote it; ready within seconds of the new password; no `leave`',
    measures: [
      { what: 'refusal named after', unit: 'ms', atMost: 2 * RETRY + SLACK },
      { what: 'ready after', unit: 'ms', atMost: RETRY + LEASE / 3 + 1000 + SLACK }
    ],
    health: [{ reasons: /WRONGPASS/ }, { reasons: either(NO_REDIS, REPAIRED), unless: BRIEF }],
    async provoke(ground) {
      const target = await ground.redis.user('application', ['~*', '&*', '+@all'])
      const start = (): Promise<ServerProcess> => ground.start({}, { redis: { ...target, namespace: ground.space } })
      const [a, b] = [await start(), await start()]
      await ground.crowd(a, 1000)
      await ground.settled(a, b)
      await ground.redis.ask(async redis => {
        await redis.call('ACL', 'SETUSER', 'application', 'resetpass', '>another')
        await redis.call('CLIENT', 'KILL', 'USER', 'application')
      })
      const refused = Math.max(...(await Promise.all([named(a, 'WRONGPASS'), named(b, 'WRONGPASS')])))
      await ground.crowd(a, 100, 'meanwhile')
      const began = performance.now()
      for (const server of [a, b]) {
        await server.run(primus => {
          const { redis } = primus.metroplex as unknown as { redis: { options: { password: string } } }
          redis.options.password = 'another'
        })
      }
      await Promise.all([well(a), well(b)])
      const took = performance.now() - began
      await ground.settled(a, b)
      ground.unharmed(a, b)
      return [refused, took]
    }
  },
  {
    id: 'F50',
    fault: 'Redis refuses SELECT: a staging server is configured with a database that does not exist',
    promise:
      'no other database is used: the server does not register and reports why; no production client gets a message',
    measures: [
      { what: 'messages of staging to production', unit: 'messages', atMost: 0 },
      { what: 'refusal named after', unit: 'ms', atMost: 2 * RETRY + SLACK }
    ],
    health: [
      { by: [1], reasons: /refused SELECT 1/, stays: true },
      { by: [1], reasons: LAPSED, stays: true },
      { by: [1], reasons: NO_REDIS, unless: BRIEF }
    ],
    async provoke(ground) {
      const redis = await startRedis({ args: ['--databases', '1'] })
      const start = (db: number, more: Partial<ServerOptions> = {}): Promise<ServerProcess> =>
        strange(ground, { redis: { ...redis.target, db, namespace: ground.space }, ...more })
      const production = await start(0)
      const client = await openClient(production.url)
      await eventually(async () => (await production.call('metroplex.spark', client.id)) === production.address)
      const staging = await start(1, { until: 'listening' })
      const took = await named(staging, 'refused SELECT 1')
      let strays = 0
      for (let i = 0; i < 10; i++) strays += ((await staging.call('forward.broadcast', 'of staging')) as Result).send
      await production.call('forward.broadcast', 'of production')
      assume(await client.next()).equals('of production')
      assume(await redis.ask(one => one.smembers(`${ground.space}:servers`))).eql([production.address])
      ground.unharmed(production)
      ground.sound(staging)
      return [strays, took]
    }
  },
  {
    id: 'F51',
    fault: 'Redis is in cluster mode, but the client is a plain `new Redis()` and the namespace has no hash tag',
    promise: '`error`, once and within seconds, and `health()` say what to set',
    measures: [{ what: 'named after', unit: 'ms', atMost: 2 * RETRY + SLACK }],
    health: [
      { by: [0], reasons: /give `namespace` a hash tag/, stays: true },
      { by: [0], reasons: LAPSED, stays: true },
      { by: [0], reasons: NO_REDIS, unless: BRIEF }
    ],
    async provoke(ground) {
      const redis = await startRedis({ args: ['--cluster-enabled', 'yes'] })
      await redis.ask(one => one.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383))
      await eventually(() => redis.ask(async one => (await one.cluster('INFO')).includes('cluster_state:ok')), {
        within: PATIENCE
      })
      const server = await strange(ground, {
        redis: { ...redis.target, namespace: ground.space },
        until: 'listening'
      })
      const took = await named(server, 'give `namespace` a hash tag')
      const again = await strange(ground, { redis: { ...redis.target, namespace: `{${ground.space}}` } })
      await well(again)
      assume(ground.told('error', server)).has.length(1)
      ground.sound(server, again)
      return [took]
    }
  },
  {
    id: 'F52',
    fault: 'Redis evicts keys when it is full',
    promise: 'errors and `health()` say what to set, before an entry is lost and until it is set',
    measures: [{ what: 'named after', unit: 'ms', atMost: RETRY + SLACK }],
    health: [{ warnings: /Set maxmemory-policy to noeviction/ }],
    async provoke(ground) {
      await ground.client.config('SET', 'maxmemory', '256mb')
      await ground.client.config('SET', 'maxmemory-policy', 'volatile-lru')
      const server = await strange(ground, {})
      const took = await named(server, 'Set maxmemory-policy to noeviction')
      await ground.client.config('SET', 'maxmemory-policy', 'noeviction')
      assume((await health(server)).warnings.join()).does.not.include('noeviction')
      assume(ground.told('error', server)).has.length(1)
      ground.sound(server)
      return [took]
    }
  },
  {
    id: 'F53',
    fault: 'an ACL denies all channels to servers that talk through Redis',
    promise:
      'a server is not `ready` before a message of its own has come back, and `health()` says why; it recovers ' +
      'when the right is granted',
    measures: [
      { what: 'named after', unit: 'ms', atMost: 2 * RETRY + SLACK },
      // An examination comes every 5 s.
      { what: 'ready after', unit: 'ms', atMost: 5000 + RETRY + SLACK }
    ],
    health: [{ reasons: /NOPERM/ }],
    async provoke(ground) {
      const target = await ground.redis.user('deaf', ['resetchannels', '~*', '+@all'])
      const server = await strange(ground, {
        redis: { ...target, namespace: ground.space },
        primus: { metroplex: { ...options.metroplex, transport: 'redis' } }
      })
      const took = await named(server, 'NOPERM')
      assume((await health(server)).state).equals('connecting')
      assume(ground.told('state', server)).eql([])
      await ground.redis.ask(redis => redis.call('ACL', 'SETUSER', 'deaf', 'allchannels'))
      const back = await well(server)
      assume(ground.told('error', server)).has.length(1)
      ground.sound(server)
      return [took, back]
    }
  }
]
