import { namespace } from './namespace'
import { anyRedis, startRedis, type RedisProcess } from './redis'

/** A Redis for all tests of a suite, and a namespace for each of them. Read them in a hook or a test. */
export interface SharedRedis<R = RedisProcess> {
  readonly redis: R
  readonly space: string
}

/**
 * Starts a Redis before the tests of the suite that calls this, stops it after them, and makes a namespace before each.
 *
 * @example
 * describe('a server', () => {
 *   const shared = sharedRedis()
 *   it('registers', () => startServer({ redis: { url: shared.redis.url, namespace: shared.space } }))
 * })
 */
export function sharedRedis(): SharedRedis {
  return hooked(() => startRedis({ scope: 'suite' }))
}

/** As `sharedRedis`, for suites that do Redis no harm: that of REDIS_URL, or one of their own. See `anyRedis`. */
export function anySpace(): SharedRedis<{ readonly url: string }> {
  return hooked(anyRedis)
}

function hooked<R extends { stop(): Promise<void> }>(start: () => Promise<R>): SharedRedis<R> {
  let redis: R | undefined
  let space = ''
  before(async () => {
    redis = await start()
  })
  after(() => redis?.stop())
  beforeEach(() => {
    space = namespace()
  })
  return {
    get redis() {
      if (redis === undefined) throw new Error('no Redis before the hooks of the suite have run')
      return redis
    },
    get space() {
      return space
    }
  }
}
