/**
 * Redis forgets everything: how long it takes until all is found again, and for how long others have to wait meanwhile.
 */
import { now } from './harness/clock'
import { beating } from './harness/cluster'
import { Observer, type Standing } from './harness/observer'
import { comeAll, makeUp } from './harness/pretend'
import { address, isSuccessor } from './harness/server'
import { namespace } from './harness/stage'
import type { Work } from './harness/work'

const PRETEND = require.resolve('./harness/pretend')
const SERVER = require.resolve('./harness/server')
const SPARKS = 50_000
/** Milliseconds. */
const LEASE = 3000

export const heal: Work = {
  name: 'heal',
  cast: () => ({ servers: 1, options: beating(LEASE) }),

  async *measure(stage, { size }) {
    const { sender } = stage
    if (!(await sender.run(SERVER, isSuccessor, undefined))) return
    const count = Math.ceil(SPARKS * size)
    await sender.run(PRETEND, makeUp, count)
    await sender.run(PRETEND, comeAll, undefined)
    const own = await sender.run(SERVER, address, undefined)
    await stage.registered(count)
    const observer = new Observer(stage.redis)
    await observer.noteScripts()
    const measured = await stage.measure({
      row: `of ${count} sparks`,
      operation: 'spark',
      run: async () => {
        await observer.redis.flushall()
        return {
          operations: count,
          failed: 0,
          ...(await observer.watch('the end of a heal', redis => foundAgain(redis, own, count), now()))
        }
      }
    })
    yield {
      ...measured,
      figures: {
        'longest script, ms': await observer.longestScript(),
        'from noticing to the last spark, ms': (count / measured.perSecond) * 1000
      }
    }
  }
}

/** How much of what Redis has forgotten is there again, of a server that holds all sparks. */
export async function foundAgain(redis: Observer['redis'], address: string, count: number): Promise<Standing> {
  const [keys, entries, own] = await Promise.all([
    redis.dbsize(),
    redis.hlen(`${namespace}:sparks`),
    redis.scard(`${namespace}:${address}:sparks`)
  ])
  return keys === 0 ? 'before' : entries === count && own === count ? 'over' : 'under way'
}
