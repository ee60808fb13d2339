/**
 * A server dies with very many sparks: how long it takes until nothing is left of them, and for how long others have to
 * wait meanwhile.
 */
import { beating } from './harness/cluster'
import { Observer, type Standing } from './harness/observer'
import type { Child } from './harness/child'
import { fill, madeUp, makeUp } from './harness/pretend'
import { address, server } from './harness/server'
import { namespace, type Measured, type Stage } from './harness/stage'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
const SERVER = require.resolve('./harness/server')
const SPARKS = 1_000_000
/** So many in so many groups each; and so many of them enter groups at a time. */
const [IN_GROUPS, GROUPS, TOGETHER] = [100_000, 3, 1000]
/** Milliseconds. */
const LEASE = 3000

export const reap: Work = {
  name: 'reap',
  cast: () => ({ servers: 2, options: beating(LEASE) }),

  async *measure(stage, { size }) {
    const {
      receivers: [victim]
    } = stage
    if (victim === undefined) return
    const count = Math.ceil(SPARKS * size)
    await victim.run(PRETEND, makeUp, count)
    await victim.run(PRETEND, fill, undefined)
    await stage.registered(count)
    yield await reaped(stage, victim, count, `of ${count} sparks`, cleanedUp)
  }
}

/** A server dies whose sparks were in groups, each of which no other spark was in: the most entries there can be. */
export const reapGroups: Work = {
  name: 'reap of groups',
  command: 'groups',
  ours: true,
  cast: () => ({ servers: 2, options: beating(LEASE) }),

  async *measure(stage, { size }) {
    const {
      receivers: [victim]
    } = stage
    if (victim === undefined) return
    const count = Math.ceil(IN_GROUPS * size)
    await victim.run(PRETEND, makeUp, count)
    await victim.run(PRETEND, fill, undefined)
    await stage.registered(count)
    await victim.run(__filename, enterOwn, undefined)
    yield await reaped(stage, victim, count, `of ${count} sparks in ${GROUPS} groups each`, async (redis, gone) => {
      const left = await redis.exists(`${namespace}:${gone}:groups`)
      const sparks = await cleanedUp(redis, gone)
      return sparks === 'over' && left > 0 ? 'under way' : sparks
    })
  }
}

/** In the server: each spark enters groups of its own. */
export async function enterOwn(): Promise<void> {
  const { metroplex } = server()
  const ids = madeUp()
  for (let at = 0; at < ids.length; at += TOGETHER)
    await Promise.all(
      ids.slice(at, at + TOGETHER).map(async id =>
        metroplex.join?.(
          id,
          Array.from({ length: GROUPS }, (_, group) => `${id} ${group}`)
        )
      )
    )
}

/** Kills a server, and measures its reap. */
async function reaped(
  stage: Stage,
  victim: Child,
  count: number,
  row: string,
  look: (redis: Observer['redis'], gone: string) => Promise<Standing>
): Promise<Measured> {
  const gone = await victim.run(SERVER, address, undefined)
  const observer = new Observer(stage.redis)
  await observer.noteScripts()
  await stage.lose(victim)
  const measured = await stage.measure({
    row,
    operation: 'spark',
    run: async () => ({
      operations: count,
      failed: 0,
      ...(await observer.watch('the end of a dead server', redis => look(redis, gone)))
    })
  })
  return {
    ...measured,
    figures: {
      'longest script, ms': await observer.longestScript(),
      'from noticing to the last key, ms': (count / measured.perSecond) * 1000
    }
  }
}

/** How far a dead server has been cleaned up after. */
export async function cleanedUp(redis: Observer['redis'], address: string): Promise<Standing> {
  const [listed, lives, entries, set] = await Promise.all([
    redis.sismember(`${namespace}:servers`, address),
    redis.sismember(`${namespace}:lives`, address),
    redis.hlen(`${namespace}:sparks`),
    redis.exists(`${namespace}:${address}:sparks`)
  ])
  return listed > 0 ? 'before' : lives + entries + set > 0 ? 'under way' : 'over'
}
