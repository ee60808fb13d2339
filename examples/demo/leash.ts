/**
 * Loaded before the programs of the examples: they are as you would write them, and know nothing of a demo. When what started them is gone without a goodbye, so are they, and
 * what there is of Redis goes with them.
 */
import { Redis } from 'ioredis'
import { deadline } from '../../test/support/wait'
import { part } from './part'
import { clear } from './registry'

/** How long cleaning up may take, in ms. */
const PATIENCE = 3000

const { redisUrl, ...rest } = part()

process.stdin.once('close', () => {
  const redis = new Redis(redisUrl, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => undefined)
  const clearing = redis.connect().then(() => clear(redis, rest))
  deadline(clearing, PATIENCE, 'the end of Redis').then(() => process.exit(0), () => process.exit(1))
})
process.stdin.resume()
// A program that has nothing left to do ends by itself.
;(process.stdin as NodeJS.ReadStream & { unref(): void }).unref()
