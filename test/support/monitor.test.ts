import { assume } from './assume'
import { watchCommands } from './monitor'
import { startRedis } from './redis'
import { eventually } from './wait'

describe('support: the commands of a Redis', () => {
  it('are reported with their arguments, and whether a script has run them', async () => {
    const redis = await startRedis()
    const client = redis.client()
    const seen: [string[], boolean][] = []
    const stop = await watchCommands(redis, (...args) => seen.push(args))
    await client.set('a "key"', 'line\r\nand \\x00\x00')
    await client.eval("return redis.call('GET', KEYS[1])", 1, 'a "key"')
    await eventually(() => seen.some(([, byScript]) => byScript))
    assume(seen.find(([[name]]) => name === 'set')).eql([['set', 'a "key"', 'line\r\nand \\x00\x00'], false])
    assume(seen.find(([, byScript]) => byScript)).eql([['GET', 'a "key"'], true])
    stop()
    await client.set('after', 'it')
    await client.ping()
    assume(seen.some(([args]) => args.includes('after'))).false()
  })

  it('are reported from the first one on, however busy it is', async () => {
    const redis = await startRedis()
    const client = redis.client()
    let ended = false
    const busy = (async () => {
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- a listener changes it meanwhile
      while (!ended) await Promise.all(Array.from({ length: 50 }, () => client.get('key')))
    })()
    try {
      for (let i = 0; i < 50; i++) {
        let count = 0
        const stop = await watchCommands(redis, ([name]) => {
          if (name === 'get') count++
        })
        await eventually(() => count > 0)
        stop()
      }
    } finally {
      ended = true
      await busy
    }
  })
})
