import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { FULL, refuseWrites } from '../support/full'
import type { ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { LEASE, SLACK, type Ground } from './ground'
import { BRIEF, LAPSED, NO_REDIS, REPAIRED, either } from './health'
import type { Row } from './row'

/** Redis has no memory for new entries. */
const FULL_REDIS = /^Redis is full: it refuses entries that need memory/

/** So many beats of a server come about. */
async function beats(server: ServerProcess, count: number): Promise<void> {
  const beaten = async (): Promise<number> =>
    ((await server.call('metroplex.stats')) as { counters: { beats: number } }).counters.beats
  const until = (await beaten()) + count
  await eventually(async () => (await beaten()) >= until, { within: 30_000 })
}

/** How many errors each of these servers has reported, at most. */
function errors(ground: Ground, ...servers: readonly ServerProcess[]): number {
  return Math.max(...servers.map(server => ground.told('error', server).length))
}

/** How long until this many sparks are registered, in ms. */
async function until(ground: Ground, sparks: number): Promise<number> {
  const began = performance.now()
  await eventually(async () => (await ground.size()) === sparks, { within: 15_000, every: 5 })
  return performance.now() - began
}

/** A plugin whose listener throws, loaded before ours. */
const throwing = {
  connection: (options: Record<string, unknown>): void => {
    options['plugin'] = {
      early: {
        server: (primus: { on(event: string, fn: () => void): void }) =>
          primus.on('connection', () => {
            throw new Error('of the application')
          })
      }
    }
  },
  disconnection: (options: Record<string, unknown>): void => {
    options['plugin'] = {
      early: {
        server: (primus: { on(event: string, fn: () => void): void }) =>
          primus.on('disconnection', () => {
            throw new Error('of the application')
          })
      }
    }
  }
}

export const refusals: readonly Row[] = [
  {
    id: 'F45',
    fault: 'Redis is full (`maxmemory`, `noeviction`) for four leases while 500 sparks disconnect and 500 connect',
    promise:
      'leases are renewed; disconnects are written at once, connects when there is room; each server reports the ' +
      'reason once; no `leave`, no `reap`',
    measures: [
      { what: 'removed after', unit: 'ms', atMost: SLACK },
      { what: 'registered after there is room', unit: 'ms', atMost: LEASE / 3 + 2 * SLACK },
      { what: 'errors of one server', unit: 'messages', atMost: 1 }
    ],
    health: [
      { by: [0], reasons: /^Redis is full: .* 500 entries/ },
      { by: [0], reasons: FULL_REDIS, unless: BRIEF },
      { warnings: FULL_REDIS, unless: BRIEF }
    ],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const gone = await ground.crowd(a, 500)
      await ground.crowd(b, 100)
      await ground.settled(a, b)
      const client = ground.redis.client()
      await client.config('SET', 'maxmemory', FULL)
      await ground.disperse(a, gone)
      const removed = await until(ground, 100)
      await ground.crowd(a, 500, 'new')
      await Promise.all([beats(a, 12), beats(b, 12)])
      assume(await ground.size()).equals(100)
      await client.config('SET', 'maxmemory', '0')
      const registered = await until(ground, 600)
      await ground.settled(a, b)
      await ground.ready(a, b)
      ground.unharmed(a, b)
      return [removed, registered, errors(ground, a, b)]
    }
  },
  {
    id: 'F46',
    fault: 'Redis is full at the beats of one server and not at those of another',
    promise: 'no `leave`, no `reap`',
    measures: [{ what: 'right after', unit: 'ms', atMost: LEASE / 3 + 2 * SLACK }],
    health: [
      { warnings: FULL_REDIS, unless: BRIEF },
      { reasons: FULL_REDIS, unless: BRIEF }
    ],
    async provoke(ground) {
      const servers = [await ground.start(), await ground.start(), await ground.start()]
      for (const server of servers) await ground.crowd(server, 100)
      await ground.settled(...servers)
      const client = ground.redis.client()
      const over = new AbortController()
      const toggling = (async () => {
        while (!over.signal.aborted) for (const most of [FULL, '0']) await client.config('SET', 'maxmemory', most)
      })()
      await Promise.all(servers.map(server => beats(server, 20)))
      over.abort()
      await toggling
      const began = performance.now()
      await ground.settled(...servers)
      await ground.ready(...servers)
      const took = performance.now() - began
      ground.unharmed(...servers)
      return [took]
    }
  },
  ...(['connection', 'disconnection'] as const).map((event): Row => ({
    id: 'F47',
    fault: `a listener that was there before ours throws at each \`${event}\`, and the application only logs it`,
    promise: 'the registry agrees with Primus within two beats',
    measures: [{ what: 'right after', unit: 'ms', atMost: (2 * LEASE) / 3 + 2 * SLACK }],
    health: [],
    async provoke(ground) {
      const server = await ground.start({}, { prepare: throwing[event] })
      const clients = await Promise.all(Array.from({ length: 50 }, () => openClient(server.url)))
      let began = performance.now()
      await until(ground, 50)
      const came = performance.now() - began
      await Promise.all(clients.map(client => client.close()))
      await eventually(async () => (await server.call('connected')) === 0)
      began = performance.now()
      await until(ground, 0)
      const went = performance.now() - began
      await ground.settled(server)
      // They are the application's own.
      for (const { message } of server.crashes.splice(0)) assume(message).includes('of the application')
      return [Math.max(came, went)]
    }
  })),
  {
    id: 'F47',
    fault: 'the application changes the id of each spark after it was registered',
    promise: 'the registry is empty when all sparks have disconnected',
    measures: [{ what: 'right after', unit: 'ms', atMost: 2 * SLACK }],
    health: [],
    async provoke(ground) {
      const server = await ground.start()
      await server.run(primus => {
        primus.on('connection', spark => {
          Object.assign(spark as object, { id: `own-${(spark as { id: string }).id}` })
        })
      })
      const clients = await Promise.all(Array.from({ length: 50 }, () => openClient(server.url)))
      await until(ground, 50)
      await Promise.all(clients.map(client => client.close()))
      await eventually(async () => (await server.call('connected')) === 0)
      const took = await until(ground, 0)
      assume(await server.call('metroplex.count')).equals(0)
      ground.unharmed(server)
      return [took]
    }
  },
  {
    id: 'F48',
    fault: 'Redis refuses all writes for four leases after a failed BGSAVE while sparks connect and disconnect',
    promise: 'each server reports the reason once; no `leave`, no `reap`; afterwards the registry is right',
    measures: [
      { what: 'errors of one server', unit: 'messages', atMost: 1 },
      { what: 'right after', unit: 'ms', atMost: LEASE / 3 + 3 * SLACK }
    ],
    health: [{ reasons: /MISCONF/ }, { reasons: either(NO_REDIS, REPAIRED, LAPSED), unless: BRIEF }],
    async provoke(ground) {
      const [a, b] = [await ground.start(), await ground.start()]
      const gone = await ground.crowd(a, 100)
      await ground.crowd(b, 100)
      await ground.settled(a, b)
      const allow = await refuseWrites(ground.redis, ground.redis.client(), 'MISCONF')
      const over = ground.disabled(a, b)
      await ground.disperse(a, gone)
      await ground.crowd(a, 100, 'new')
      await eventually(() => errors(ground, a) > 0 && errors(ground, b) > 0)
      await new Promise(resolve => setTimeout(resolve, 4 * LEASE))
      over()
      await allow()
      const began = performance.now()
      await ground.settled(a, b)
      await ground.ready(a, b)
      const took = performance.now() - began
      ground.unharmed(a, b)
      return [errors(ground, a, b), took]
    }
  }
]
