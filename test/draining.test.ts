import { createServer } from 'node:http'
import type { Drained, Metroplex } from '../index'
import { Drain, drainTerms } from '../lib/drain/drain'
import type { Spark } from '../lib/common/types'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { member } from './support/member'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { startRedis, type RedisProcess } from './support/redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { eventually, once } from './support/wait'

const QUICK = { interval: 3000, latency: 300, metroplex: { lease: 1500, timeout: 500 } }

describe('a server that drains', () => {
  let redis: RedisProcess
  let space: string

  beforeEach(async () => {
    redis = await startRedis()
    space = namespace()
  })

  const start = (): Promise<Registered> =>
    createRegistered({ redis: { url: redis.url, namespace: space }, primus: QUICK })

  const crowd = async ({ url }: { url: string }, count: number): Promise<void> => {
    await Promise.all(Array.from({ length: count }, () => openClient(url, { options: { strategy: false } })))
  }

  const others = (): Metroplex => member(redis.client(), space, 'http://other:1', QUICK)

  it('before it is registered does not register by itself, and does when it is told to', async () => {
    const { metroplex } = (await createPrimus({
      redis: { url: redis.url, namespace: space },
      primus: QUICK
    })) as unknown as { metroplex: Metroplex }
    assume(await metroplex.drain()).eql({ moved: 0, left: 0 })
    assume(metroplex.stats().state).equals('draining')
    const other = others()
    await other.ready()
    assume(await other.servers()).eql([])
    const address = await metroplex.register()
    assume(await metroplex.ready()).equals(address)
    assume(metroplex.stats().state).equals('ready')
    await eventually(async () => (await other.servers()).includes(address), { what: 'a server that came back' })
  })

  it('before it listens does not register when it does', async () => {
    const server = createServer()
    const { metroplex } = (await createPrimus({
      redis: { url: redis.url, namespace: space },
      primus: QUICK,
      server,
      listen: false
    })) as unknown as { metroplex: Metroplex }
    assume(await metroplex.drain()).eql({ moved: 0, left: 0 })
    assume(await metroplex.register()).equals('')
    const listening = once(server, 'listening')
    server.listen(0, '127.0.0.1')
    await listening
    assume(metroplex.stats().state).equals('draining')
    assume(await metroplex.register()).equals(metroplex.address)
    assume(metroplex.stats().state).equals('ready')
  })

  it('moves its sparks while Redis is away, reports that it cannot leave, is listed until its lease ends', async () => {
    const one = await start()
    await crowd(one, 3)
    await redis.kill()
    const errors: string[] = []
    one.metroplex.on('error', error => {
      errors.push((error as { code?: string }).code ?? error.message)
    })
    assume(await one.metroplex.drain({ rate: 1000 })).eql({ moved: 3, left: 0 })
    assume(errors).includes('EREGISTRY')
    assume(one.metroplex.address).equals('')
    assume((await one.metroplex.health()).state).equals('draining')
  })

  it('reports what was done when it is destroyed', async () => {
    const [one, two] = [await start(), await start()]
    await crowd(one, 3)
    const drained = one.metroplex.drain({ rate: 0.001 })
    one.primus.destroy()
    assume(await drained).eql({ moved: 3, left: 0 })
    assume((await rejection(one.metroplex.drain())).code).equals('ECLOSED')
    await eventually(async () => !(await two.metroplex.servers()).includes(one.address), {
      what: 'the end of a server'
    })
  })

  it('serves what is left while it is being destroyed', async () => {
    const one = await start()
    await crowd(one, 2)
    const errors: Error[] = []
    one.metroplex.on('error', error => {
      errors.push(error)
    })
    const drained = one.metroplex.drain({ rate: 0.001 })
    const destroyed = new Promise(resolve => {
      one.primus.destroy({ timeout: 100 }, resolve)
    })
    assume(one.primus.connected).equals(2)
    assume(await one.forward.broadcast('still')).eql({ ok: true, send: 2, local: true })
    assume(await drained).eql({ moved: 2, left: 0 })
    await destroyed
    assume(errors).eql([])
  })

  it('refuses wrong options with a sentence, and continues as before', async () => {
    const one = await start()
    for (const [terms, kind, words] of WRONG) {
      const error = await rejection(one.metroplex.drain(terms as object))
      assume(error).instanceOf(kind)
      assume(error.message).includes(words)
    }
    assume(() => one.metroplex.drain({}, 'no function' as never)).throws('callback')
    assume(one.metroplex.stats().state).equals('ready')
  })
})

const WRONG: [terms: unknown, kind: typeof TypeError | typeof RangeError, words: string][] = [
  [{ rate: 0 }, RangeError, 'above 0; given: 0'],
  [{ rate: -1 }, RangeError, 'given: -1'],
  [{ rate: Infinity }, RangeError, 'given: Infinity'],
  [{ rate: '5' }, TypeError, "given: '5'"],
  [{ timeout: -1 }, RangeError, 'from 0 to 2147483647; given: -1'],
  [{ timeout: 2 ** 31 }, RangeError, 'given: 2147483648'],
  [{ timeout: 1.5 }, RangeError, 'given: 1.5'],
  [{ timeout: '5' }, TypeError, "given: '5'"],
  [{ timeuot: 5 }, TypeError, 'such as { timeout: 60000, rate: 100 }'],
  [[], TypeError, 'an array of 0'],
  ['soon', TypeError, "given: 'soon'"]
]

describe('a drain', () => {
  const terms = drainTerms({ rate: 1000 })

  /** Sparks, of which `ended` tells which were told to come back. */
  function sparks(count: number, end?: (at: number) => void): { all: Spark[]; ended: number[] } {
    const ended: number[] = []
    const all = Array.from({ length: count }, (_, at): Spark => ({
      id: String(at),
      write: () => true,
      end: (_data, options) => {
        if (options?.reconnect === true) ended.push(at)
        end?.(at)
      }
    }))
    return { all, ended }
  }

  const over = {
    began: () => undefined,
    emptied: () => Promise.resolve(),
    lifted: () => undefined,
    failed: () => undefined
  }

  it('continues when a listener of an ended spark throws, and reports it', async () => {
    const errors: string[] = []
    const { all, ended } = sparks(3, at => {
      throw new Error(`of ${at}`)
    })
    const drain = new Drain({
      ...over,
      sparks: () => all,
      failed: error => {
        errors.push(error.message)
      }
    })
    assume(await drain.run(terms)).eql({ moved: 3, left: 0 })
    assume(ended).eql([0, 1, 2])
    assume(errors).eql(['of 0', 'of 1', 'of 2'])
  })

  it('stops at once when a listener of an ended spark lifts it', async () => {
    const { all, ended } = sparks(5, at => {
      if (at === 1) drain.lift()
    })
    const drain: Drain = new Drain({ ...over, sparks: () => all })
    assume(await drain.run(terms)).eql({ moved: 1, left: 4 })
    assume(drain.active).false()
    assume(ended).eql([0, 1])
  })

  it('leaves once, however often it is asked meanwhile', async () => {
    let left = 0
    let done: () => void = () => undefined
    const emptied = (): Promise<void> => {
      left++
      return new Promise(resolve => {
        done = resolve
      })
    }
    const drain = new Drain({ ...over, sparks: () => [], emptied })
    const runs: Promise<Drained>[] = [drain.run(terms), drain.run(terms)]
    assume(left).equals(1)
    done()
    assume(await Promise.all(runs)).eql([
      { moved: 0, left: 0 },
      { moved: 0, left: 0 }
    ])
  })

  it('has 60 seconds and a rate of 100, unless it is told otherwise', () => {
    for (const nothing of [undefined, null, {}]) assume(drainTerms(nothing)).eql({ timeout: 60_000, rate: 100 })
    assume(drainTerms({ timeout: 0, rate: 0.5 })).eql({ timeout: 0, rate: 0.5 })
  })
})
