/**
 * A server dies with very many sparks: how long it takes until nothing is left of them, and for how long others have to
 * wait meanwhile.
 */
import { beating } from './harness/cluster'
import { Observer, type Standing } from './harness/observer'
import { fill, makeUp } from './harness/pretend'
import { address } from './harness/server'
import { namespace } from './harness/stage'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
const SERVER = require.resolve('./harness/server')
const SPARKS = 1_000_000
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
    const gone = await victim.run(SERVER, address, undefined)
    const observer = new Observer(stage.redis)
    await observer.noteScripts()
    await stage.lose(victim)

    const measured = await stage.measure({
      row: `of ${count} sparks`,
      operation: 'spark',
      run: async () => ({
        operations: count,
        failed: 0,
        ...(await observer.watch('the end of a dead server', redis => cleanedUp(redis, gone)))
      })
    })
    yield {
      ...measured,
      figures: {
        'longest script, ms': await observer.longestScript(),
        'from noticing to the last key, ms': (count / measured.perSecond) * 1000
      }
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
