/** Redis forgets everything: how long it takes until all is found again, and for how long others have to wait meanwhile. */
import { Observer, type Standing } from './harness/observer'
import { comeAll, makeUp } from './harness/pretend'
import { address, server } from './harness/server'
import { namespace } from './harness/stage'
import type { Work } from './harness/work'
import { beatingQuickly } from './reap'

const PRETEND = require.resolve('./harness/pretend')
const SERVER = require.resolve('./harness/server')
const SPARKS = 50_000

export const heal: Work = {
  name: 'heal',
  cast: () => ({ servers: 1, options: beatingQuickly }),

  async *measure(stage, { size }) {
    const { sender } = stage
    if (!await sender.run(__filename, heals, undefined)) return
    const count = Math.ceil(SPARKS * size)
    await sender.run(PRETEND, makeUp, count)
    await sender.run(PRETEND, comeAll, undefined)
    const own = await sender.run(SERVER, address, undefined)
    const observer = new Observer(stage.redis)
    // Once more: the first time is slower, by what has never run before.
    for (const row of [`of ${count} sparks, the first time`, `of ${count} sparks`]) {
      await stage.registered(count)
      await observer.noteScripts()
      await observer.redis.flushall()
      const measured = await stage.measure({
        row, operation: 'spark',
        run: async () => ({ operations: count, failed: 0, ...await observer.watch('the end of a heal', redis => standing(redis, own, count)) })
      })
      yield {
        ...measured,
        figures: { 'longest script, ms': await observer.longestScript(), 'from noticing to the last spark, ms': count / measured.perSecond * 1000 }
      }
    }
  }
}

/** In the server: whether it notices that Redis has forgotten it. 1.x does not. */
export function heals(): boolean {
  return server().metroplex.stats !== undefined
}

/** How much of what Redis has forgotten is there again. */
async function standing(redis: Observer['redis'], address: string, count: number): Promise<Standing> {
  const [keys, entries, own] = await Promise.all([redis.dbsize(), redis.hlen(`${namespace}:sparks`), redis.scard(`${namespace}:${address}:sparks`)])
  return keys === 0 ? 'before' : entries === count && own === count ? 'over' : 'under way'
}
