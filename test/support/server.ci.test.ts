import { assume } from './assume'
import { openClient } from './client'
import { namespace } from './namespace'
import { createPrimus } from './primus'
import { load } from './primus-types'
import { anyRedis } from './redis'
import { rejection } from './rejection'
import { startServer, type ServerOptions, type ServerProcess } from './server'
import { deadline, eventually } from './wait'

/** These tests are about our support, so they run it under a plugin which is known. */
const metroplex = '1.0.2'

describe('support: servers in processes of their own', () => {
  let redis: Awaited<ReturnType<typeof anyRedis>>
  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())

  function server(options: Partial<ServerOptions> = {}): Promise<ServerProcess> {
    return startServer({ redis: { url: redis.url, namespace: namespace() }, metroplex, ...options })
  }

  it('have registered when they are there, and are asked with callbacks', async () => {
    const one = await server()
    assume(one.address).equals(one.url)
    assume(await one.callback('metroplex.servers', true)).deep.equals([one.address])
    assume(one.log.map(({ event }) => event)).deep.equals(['register'])
  })

  it('reach each other and their clients', async () => {
    const space = { redis: { url: redis.url, namespace: namespace() }, omega: true } as const
    const a = await server(space)
    const b = await server({ ...space, ioredis: 5 })
    const client = await openClient(b.url)
    assume(await b.sparks()).deep.equals([client.id])
    await eventually(async () => (await a.callback('metroplex.spark', client.id)) === b.address)
    await a.callback('forward.spark', client.id, { hello: 'world' })
    assume(await client.next()).deep.equals({ hello: 'world' })
    assume(a.crashes.concat(b.crashes)).deep.equals([])
  })

  it('run functions, also asynchronous ones, and read members', async () => {
    const one = await server()
    await one.run((primus, text: string) => {
      primus.on('connection', spark => (spark as { write(text: string): void }).write(text))
    }, 'welcome')
    const client = await openClient(one.url)
    assume(await client.count(1)).deep.equals(['welcome'])
    assume(await one.run(async primus => Promise.resolve(primus.connected))).equals(1)
    assume(await one.call('connected')).equals(1)
  })

  it('reject with the name, message and code of the error there', async () => {
    const one = await server()
    const error = await rejection(
      one.run(() => {
        throw Object.assign(new RangeError('too far'), { code: 'EFAR' })
      })
    )
    assume([error.name, error.message, error.code]).deep.equals(['RangeError', 'too far', 'EFAR'])
    assume((await rejection(one.call('no.such.thing', 1))).message).includes('no.such.thing')
    assume((await rejection(one.run(() => () => 0))).message).includes('could not be cloned')
  })

  it('report unhandled rejections', async () => {
    const one = await server()
    await one.run(() => {
      // eslint-disable-next-line @typescript-eslint/no-floating-promises -- the accident itself
      Promise.reject(new Error('dropped'))
    })
    await one.run(() => {
      setImmediate(() => {
        throw new Error('thrown')
      })
    })
    await eventually(() => one.crashes.length === 2)
    assume(one.crashes.join()).includes('dropped')
    assume(one.crashes.join()).includes('thrown')
  })

  it('re-emit the events of the plugin, errors as errors', async () => {
    const one = await server()
    const seen: unknown[] = []
    one.events.on('error', error => seen.push(error))
    await one.run(primus => {
      ;(primus.metroplex as unknown as { emit(...args: unknown[]): void }).emit('error', new TypeError('odd'))
    })
    const [error] = (await one.seen('error')) as [Error]
    assume(error).is.instanceOf(Error)
    assume(error.name).equals('TypeError')
    assume(seen.length).equals(1)
  })

  it('may be paused: then they answer nothing', async () => {
    const one = await server()
    one.pause()
    const answer = one.sparks()
    await rejection(deadline(answer, 100, 'an answer'))
    one.resume()
    assume(await answer).deep.equals([])
  })

  it('may be killed, which rejects what they were asked', async () => {
    const one = await server()
    one.pause()
    const answer = rejection(one.sparks())
    await one.kill()
    assume((await answer).message).includes('SIGKILL')
    assume(await one.exit).deep.equals({ code: null, signal: 'SIGKILL' })
    assume((await rejection(one.sparks())).message).includes('ended')
  })

  it('leave when they are stopped, and their process ends by itself', async () => {
    const one = await server()
    await one.destroy()
    assume(one.log.map(({ event }) => event)).deep.equals(['register', 'unregister'])
    assume(await one.stop()).deep.equals({ code: 0, signal: null })
    assume(await one.stop()).deep.equals({ code: 0, signal: null })
  })

  it('are killed when something keeps their process alive', async () => {
    const one = await server()
    await one.run(() => {
      setInterval(() => undefined, 1000)
    })
    assume((await one.stop()).signal).equals('SIGKILL')
  })

  it('start in the process of one that was stopped, which is as new', async () => {
    const one = await server()
    await one.run(primus => {
      Object.assign(globalThis, { left: true })
      Object.assign(primus.constructor, { left: true })
    })
    await one.stop()
    const two = await server()
    assume(two.pid).equals(one.pid)
    assume(await two.run(primus => ['left' in globalThis, 'left' in primus.constructor])).deep.equals([false, false])
    // The former one has ended: what is still done to it concerns the other no more.
    await one.kill()
    assume(await two.sparks()).deep.equals([])
    assume(one.log.map(({ event }) => event)).deep.equals(['register', 'unregister'])
  })

  it('start in another process than one that had an accident', async () => {
    const one = await server()
    await one.run(() => {
      setImmediate(() => {
        throw new Error('an accident')
      })
    })
    await eventually(() => one.crashes.length === 1)
    assume(await one.stop()).deep.equals({ code: 0, signal: null })
    assume((await server()).pid).does.not.equal(one.pid)
  })

  it('live at another time when their clock is shifted', async () => {
    const one = await server({ clockShift: 3_600_000 })
    const [now, date] = await one.run(() => [Date.now(), new Date().getTime()] as const)
    assume(now - Date.now()).is.within(3_590_000, 3_610_000)
    assume(date - Date.now()).is.within(3_590_000, 3_610_000)
  })

  it('prepare options that do not travel, and need not register', async () => {
    const one = await server({
      redis: { url: 'redis://127.0.0.1:1', namespace: namespace() },
      prepare: options => {
        options['idGenerator'] = () => 'me'
      },
      until: 'listening'
    })
    assume(one.address).equals('')
    assume((await openClient(one.url)).id).equals('me')
    // 1.x waits for Redis to say goodbye, for ever.
    await one.kill()
  })

  it('tell why they did not start', async () => {
    const error = await rejection(server({ primus: { transformer: 'telepathy' } }))
    assume(error.message).includes('telepathy')
    assume((await rejection(server({ metroplex: 'no-such-plugin' }))).message).includes('no-such-plugin')
  })

  it('speak sockjs to a sockjs client', async () => {
    const one = await server({ primus: { transformer: 'sockjs' } })
    const client = await openClient(one.url, { transformer: 'sockjs' })
    assume(await one.sparks()).deep.equals([client.id])
  })
})

describe('support: clients', () => {
  let redis: Awaited<ReturnType<typeof anyRedis>>
  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())

  const plugin = load('metroplex1') as unknown

  it('take messages one by one, and wait for those to come', async () => {
    const { primus, url } = await createPrimus({ redis: { url: redis.url, namespace: namespace() }, plugin })
    const client = await openClient(url)
    primus.write('one')
    primus.write('two')
    assume(await client.next()).equals('one')
    assume(await client.next()).equals('two')
    assume((await rejection(client.next({ within: 20 }))).message).includes('message 3')
    primus.write('three')
    assume(await client.next()).equals('three')
    assume((await client.count(3)).length).equals(3)
  })

  it('leave when they are closed', async () => {
    const { primus, url } = await createPrimus({ redis: { url: redis.url, namespace: namespace() }, plugin })
    const client = await openClient(url)
    await client.close()
    await client.close()
    await eventually(() => primus.connected === 0)
  })

  it('say why they could not connect', async () => {
    const error = await rejection(openClient('http://127.0.0.1:1', { options: { strategy: false } }))
    assume(error.message).includes('127.0.0.1:1')
  })
})

describe('support: a Primus in this process', () => {
  it('is destroyed by the test itself or after it', async () => {
    const redis = await anyRedis()
    const { primus, dispose } = await createPrimus({
      redis: { url: redis.url, namespace: namespace() },
      plugin: load('metroplex1') as unknown,
      omega: true
    })
    await dispose()
    assume(primus.server).equals(null)
    await dispose()
    await redis.stop()
  })
})
