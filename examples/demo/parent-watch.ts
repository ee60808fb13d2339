/**
 * Loaded before the programs of the examples, which contain no code for the demo. When the process that started them
 * has died, it ends them and cleans up Redis.
 */
import { Redis } from 'ioredis'
import { deadline } from '../../test/support/wait'
import { cleanupTerms } from './cleanup-terms'
import { clear } from './redis'

/** How long cleaning up may take, in ms. */
const PATIENCE = 3000

const { redisUrl, ...rest } = cleanupTerms()

process.stdin.once('close', () => {
  const redis = new Redis(redisUrl, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => undefined)
  const clearing = redis.connect().then(() => clear(redis, rest))
  deadline(clearing, PATIENCE, 'the end of Redis').then(
    () => process.exit(0),
    () => process.exit(1)
  )
})
process.stdin.resume()
// This stream must not keep a finished program alive.
;(process.stdin as NodeJS.ReadStream & { unref(): void }).unref()
