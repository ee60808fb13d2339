import { existsSync } from 'node:fs'
import { Redis } from 'ioredis'
import { assume } from './assume'
import { using } from './dispose'
import { anyRedis, startRedis, type RedisProcess } from './redis'
import { openRedis } from './redis-target'
import { rejection } from './rejection'
import { deadline, elapsed } from './wait'

describe("support: a Redis of one's own", () => {
  let left: RedisProcess | undefined

  it('answers on its url as soon as it is there', async () => {
    left = await startRedis()
    assume(await left.client().ping()).equals('PONG')
  })

  it('has gone after the test that started it', async () => {
    assume(left?.pid).equals(undefined)
    assume((await rejection(left?.restart() ?? Promise.resolve())).message).includes('stopped')
  })

  it('keeps nothing on disk', async () => {
    const redis = await startRedis()
    assume(await redis.client().config('GET', 'save')).deep.equals(['save', ''])
  })

  it('takes arguments, a password too', async () => {
    const redis = await startRedis({ args: ['--requirepass', 'p@ss', '--cluster-enabled', 'yes'] })
    const client = redis.client()
    await client.select(0)
    assume(await client.info('cluster')).includes('cluster_enabled:1')
  })

  it('speaks TLS, and nothing else, when it is told to', async () => {
    const redis = await startRedis({ tls: true })
    assume(redis.url).startsWith('rediss://')
    assume(await redis.client().ping()).equals('PONG')
    const plain = new Redis(redis.port, { lazyConnect: true, retryStrategy: null })
    plain.on('error', () => undefined)
    using(() => plain.disconnect())
    await rejection(plain.connect())
  })

  it('has users with exactly the rights they were given', async () => {
    const redis = await startRedis()
    const limited = openRedis(await redis.user('limited', ['+get', '+info', '~mine:*']))
    assume(await limited.get('mine:key')).equals(null)
    assume((await rejection(limited.get('other:key'))).message).includes('NOPERM')
    assume((await rejection(limited.set('mine:key', 'value'))).message).includes('NOPERM')
  })

  it('answers nothing while it is paused, and everything afterwards', async () => {
    const redis = await startRedis()
    const client = redis.client()
    await client.ping()
    redis.pause()
    const answer = client.set('key', 'value')
    await rejection(deadline(answer, 100, 'an answer'))
    redis.resume()
    assume(await answer).equals('OK')
  })

  it('forgets everything when it is restarted', async () => {
    const redis = await startRedis()
    const client = redis.client()
    await client.set('key', 'value')
    const before = redis.pid
    await redis.restart()
    assume(await client.get('key')).equals(null)
    assume(redis.pid).does.not.equal(before)
  })

  it('remembers everything when it is restarted so', async () => {
    const redis = await startRedis()
    const client = redis.client()
    await client.set('key', 'value')
    await redis.restart({ empty: false })
    assume(await client.get('key')).equals('value')
  })

  it('comes back on its port after it was killed', async () => {
    const redis = await startRedis()
    const client = redis.client()
    await client.ping()
    redis.pause()
    await redis.kill()
    assume(redis.pid).equals(undefined)
    await redis.restart()
    assume(await client.ping()).equals('PONG')
  })

  it('may be stopped twice, quickly, and while it is paused', async () => {
    const redis = await startRedis()
    redis.pause()
    const { ms } = await elapsed(() => redis.stop())
    await redis.stop()
    assume(ms).is.below(20_000)
  })

  it('says why it could not start', async () => {
    const first = await startRedis()
    const error = await rejection(startRedis({ port: first.port }))
    assume(error.message).includes('Address already in use')
    assume((await rejection(startRedis({ args: ['--nonsense', '1'] }))).message).includes('nonsense')
  })

  it('removes its directory', async () => {
    const redis = await startRedis()
    const [, directory] = (await redis.client().config('GET', 'dir')) as [string, string]
    assume(existsSync(directory)).is.true()
    await redis.stop()
    assume(existsSync(directory)).is.false()
  })

  it('is replaced by that of REDIS_URL where faults are not needed', async () => {
    const mine = await startRedis()
    const original = process.env['REDIS_URL']
    using(() => {
      if (original === undefined) delete process.env['REDIS_URL']
      else process.env['REDIS_URL'] = original
    })
    process.env['REDIS_URL'] = mine.url
    const shared = await anyRedis()
    assume(shared.url).equals(mine.url)
    await shared.stop()
    assume(await mine.client().ping()).equals('PONG')

    delete process.env['REDIS_URL']
    const own = await anyRedis()
    using(() => own.stop())
    assume(own.url).does.not.equal(mine.url)
  })
})

describe('support: a Redis for a whole suite', () => {
  let redis: RedisProcess
  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())

  it('is there for the first test', async () => {
    await redis.client().set('key', 'value')
  })

  it('is there for the second', async () => {
    assume(await redis.client().get('key')).equals('value')
  })
})
