import { execFile } from 'node:child_process'
import { createServer as createHttp } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { once as emitted } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import metroplex, { type Metroplex } from '../../index'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { createPrimus, type PrimusOptions } from '../support/primus'
import { load, loadPlugin, loadPrimus } from '../support/primus-types'
import { startRedis } from '../support/redis'
import { anySpace } from '../support/shared-redis'
import { eventually, once } from '../support/wait'
import { answer, member, sparkOf, typed, value, type Answer, type Member } from './support'

describe('compatibility: the plugin of 1.x', () => {
  const place = anySpace()

  const create = async (options: Partial<PrimusOptions> = {}): Promise<ReturnType<typeof typed>> =>
    typed(await createPrimus({ redis: { url: place.redis.url, namespace: place.space }, ...options }))
  const start = (options: Partial<PrimusOptions> = {}): Promise<Member> => member(place.redis.url, place.space, options)

  describe('the export', () => {
    const exported = load('metroplex') as typeof metroplex

    it('is a function', () => {
      assume(exported).is.a('function')
    })

    it('carries the server half of the plugin', () => {
      assume(exported.server).is.a('function')
    })

    it('adds its client half to the library of Primus, and nothing else', async () => {
      const { primus } = await create({ listen: false })
      const bundler = primus as unknown as { library(): string; ark: Record<string, unknown> }
      const bundled = bundler.library()
      delete bundler.ark['metroplex']
      assume(bundled.replace(`Primus.prototype.ark["metroplex"] = ${exported.client.toString()};\n`, '')).equals(
        bundler.library()
      )
    })

    it('constructs an instance', () => {
      assume(new exported()).is.instanceOf(exported)
    })

    it('constructs an instance without new', () => {
      assume(exported()).is.instanceOf(exported)
    })

    it('takes a Primus and its options, both ways', async () => {
      const { primus } = await create({ listen: false })
      const client = new Redis(place.redis.url, { lazyConnect: true })
      using(() => client.disconnect())
      for (const made of [
        new exported(primus as never, { redis: client, namespace: 'one' }),
        exported(primus as never, { redis: client, namespace: 'one' })
      ]) {
        assume(made.redis).equals(client)
        assume(made.namespace).equals('one:')
      }
    })

    it('has methods that can be called on an instance no server belongs to', () => {
      const alone = new exported() as unknown as Record<string, unknown>
      for (const method of ['connect', 'disconnect', 'parse', 'register', 'servers', 'spark', 'sparks', 'unregister']) {
        assume(alone[method]).is.a('function')
      }
    })
  })

  describe('the instance', () => {
    it('is on primus as soon as plugin() returns', async () => {
      const server = createHttp()
      const client = new Redis(place.redis.url, { lazyConnect: true })
      using(() => client.disconnect())
      const primus = new (loadPrimus())(server, { redis: client, transformer: 'websockets', namespace: place.space })
      primus.plugin('metroplex', metroplex)
      assume(primus.metroplex).is.truthy()
      assume(primus.metroplex).is.instanceOf(metroplex)
      await new Promise(resolve => primus.destroy({ close: false }, () => resolve(null)))
    })

    it('has the very Redis client of the options', async () => {
      const created = await create({ listen: false })
      assume(created.metroplex.redis).equals(created.redis)
    })

    it('has its namespace with a colon', async () => {
      const { metroplex: ours } = await create({ listen: false })
      assume(ours.namespace).equals(`${place.space}:`)
    })

    it('has the namespace metroplex: when none is given', () => {
      assume(new metroplex().namespace).equals('metroplex:')
    })

    it('has its interval as a number of milliseconds', async () => {
      const { metroplex: ours } = await create({ listen: false, primus: { interval: 60_000 } })
      assume(ours.interval).equals(60_000)
    })

    it('has an interval of five minutes and a latency of two seconds when none are given', () => {
      const { interval, latency } = new metroplex()
      assume({ interval, latency }).deep.equals({ interval: 300_000, latency: 2000 })
    })

    it('has no address before the server listens', async () => {
      const { metroplex: ours } = await create({ listen: false })
      assume(ours.address).is.falsy()
    })

    it('has a string as its address from then on, and keeps it', async () => {
      const { server, metroplex: ours } = await start()
      const { port } = server.address() as AddressInfo
      assume(ours.address).equals(`http://127.0.0.1:${port}`)
      await value<string[]>(fn => ours.servers(fn))
      assume(ours.address).equals(`http://127.0.0.1:${port}`)
    })

    it('has the address of the options instead', async () => {
      const { metroplex: ours } = await create({ primus: { address: 'http://balancer.example:4000' } })
      await ours.ready()
      assume(ours.address).equals('http://balancer.example:4000')
    })
  })

  describe('parse', () => {
    const parse = (server: unknown): string => new metroplex().parse(server)

    it('takes a string for the address itself', () => {
      assume(parse('localhost:3131')).equals('localhost:3131')
    })

    it('answers an empty string to nothing', () => {
      assume(parse(undefined)).equals('')
      assume(parse('')).equals('')
    })

    it('answers an empty string for a server that does not listen', () => {
      assume(parse(createHttp())).equals('')
    })

    for (const [scheme, make] of [
      ['http', () => createHttp()],
      ['https', () => createHttps()]
    ] as const) {
      it(`finds scheme, host and port of an ${scheme} server`, async () => {
        const server = make().listen(0, '127.0.0.1')
        using(() => server.close())
        await emitted(server, 'listening')
        assume(parse(server)).equals(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`)
      })
    }

    it('finds another host than 0.0.0.0 for a server on all interfaces', async () => {
      const server = createHttp().listen(0, '0.0.0.0')
      using(() => server.close())
      await emitted(server, 'listening')
      const url = new URL(parse(server))
      assume(url.port).equals(String((server.address() as AddressInfo).port))
      assume(url.hostname).is.not.equal('0.0.0.0')
    })
  })

  describe('loads', () => {
    it('before the server listens', async () => {
      const { primus, server, metroplex: ours } = await create({ listen: false })
      const registered = once(primus, 'register')
      server.listen(0, '127.0.0.1')
      assume(await registered).deep.equals([ours.parse(server)])
    })

    it('after the server listens', async () => {
      const server = createHttp().listen(0, '127.0.0.1')
      await emitted(server, 'listening')
      const client = new Redis(place.redis.url)
      const primus = new (loadPrimus())(server, { redis: client, transformer: 'websockets', namespace: place.space })
      using(async () => {
        await new Promise(resolve => primus.destroy({}, () => resolve(null)))
        client.disconnect()
      })
      primus.plugin('metroplex', metroplex)
      const [address] = await once(primus, 'register')
      assume(address).equals(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    })

    it('through the plugin option of Primus', async () => {
      const server = createHttp()
      const client = new Redis(place.redis.url)
      const primus = new (loadPrimus())(server, {
        redis: client,
        transformer: 'websockets',
        namespace: place.space,
        plugin: { 'omega-supreme': loadPlugin('omega-supreme'), metroplex }
      })
      using(async () => {
        await new Promise(resolve => primus.destroy({}, () => resolve(null)))
        client.disconnect()
      })
      const registered = once(primus, 'register')
      server.listen(0, '127.0.0.1')
      assume((await registered)[0]).equals(primus.metroplex.address)
    })

    for (const omega of ['before', 'after'] as const) {
      it(`with omega-supreme ${omega} it, and adds its methods to forward`, async () => {
        const { primus } = await create({ omega, listen: false })
        assume(primus.forward).is.a('function')
        const methods = primus.forward as unknown as Record<string, unknown>
        for (const method of ['broadcast', 'sparks', 'spark']) assume(methods[method]).is.a('function')
      })
    }
  })

  describe('events', () => {
    it('are reserved', async () => {
      const { primus } = await create({ listen: false })
      for (const event of ['register', 'unregister', 'error']) assume(primus.reserved.events[event]).is.truthy()
    })

    it('tell of the registration, on the instance and on primus', async () => {
      const { primus, server, metroplex: ours } = await create({ listen: false })
      const registered = [once(ours, 'register'), once(primus, 'register')]
      server.listen(0, '127.0.0.1')
      const address = ours.parse(await emitted(server, 'listening').then(() => server))
      for (const event of registered) assume(await event).deep.equals([address])
    })

    it('tell of the registration once Redis knows of it', async () => {
      const { primus, server, redis: client } = await create({ listen: false })
      const registered = once(primus, 'register')
      server.listen(0, '127.0.0.1')
      const [address] = await registered
      assume(await client.smembers(`${place.space}:servers`)).deep.equals([address])
    })

    it('tell of the departure, on the instance and on primus, before destroy calls back', async () => {
      const { primus, metroplex: ours, address } = await start()
      const told: unknown[] = []
      ours.on('unregister', gone => told.push(['instance', gone]))
      primus.on('unregister', gone => told.push(['primus', gone]))
      await new Promise<void>(resolve =>
        primus.destroy({}, () => {
          told.push('destroyed')
          resolve()
        })
      )
      assume(told.map(String).sort()).deep.equals(['destroyed', `instance,${address}`, `primus,${address}`])
      assume(told.at(-1)).equals('destroyed')
    })

    it('tell of the departure once Redis has forgotten us', async () => {
      const { primus, address } = await start()
      const left = once(primus, 'unregister')
      primus.destroy({})
      await left
      const client = new Redis(place.redis.url)
      using(() => client.disconnect())
      assume(await client.sismember(`${place.space}:servers`, address)).equals(0)
      assume(await client.exists(`${place.space}:${address}`)).equals(0)
    })

    it('tell of a Redis that has gone, on the instance and on primus', async () => {
      const own = await startRedis()
      const { primus, metroplex: ours } = await member(own.url, place.space, {
        primus: { metroplex: { timeout: 300 } }
      })
      const failed = [once(ours, 'error'), once(primus, 'error')]
      await own.kill()
      for (const event of failed) assume((await event)[0]).is.instanceOf(Error)
    })
  })

  describe('chaining', () => {
    const calls: Record<
      string,
      (ours: Metroplex, fn: (error: Error | null | undefined, value?: unknown) => void) => unknown
    > = {
      servers: (ours, fn) => ours.servers(fn),
      'servers with self': (ours, fn) => ours.servers(true, fn),
      spark: (ours, fn) => ours.spark('unknown', fn),
      sparks: (ours, fn) => ours.sparks(['unknown'], fn),
      register: (ours, fn) => ours.register(ours.address, fn),
      unregister: (ours, fn) => ours.unregister(undefined, fn)
    }

    for (const [name, call] of Object.entries(calls)) {
      it(`${name} with a callback returns the instance`, async () => {
        const { metroplex: ours } = await start()
        const { returned, error } = await answer(fn => call(ours, fn))
        assume(error).is.falsy()
        assume(returned).equals(ours)
      })
    }

    it('connect and disconnect return the instance', async () => {
      const { metroplex: ours } = await start()
      const spark = sparkOf('made-up')
      assume(ours.connect(spark).disconnect(spark)).equals(ours)
    })

    for (const name of ['broadcast', 'sparks', 'spark'] as const) {
      it(`forward.${name} with a callback returns forward`, async () => {
        const { forward } = await start()
        const { returned } = await answer(fn =>
          name === 'broadcast'
            ? forward.broadcast('hi', fn)
            : name === 'sparks'
              ? forward.sparks(['unknown'], 'hi', fn)
              : forward.spark('unknown', 'hi', fn)
        )
        assume(returned).equals(forward)
      })
    }
  })

  describe('a callback', () => {
    it('may be left out everywhere', async () => {
      const { metroplex: ours, forward, primus, address } = await start()
      // What is not awaited must not surface as an unhandled rejection either: the hooks look.
      const loose: unknown[] = [
        ours.servers(),
        ours.servers(true),
        ours.spark('unknown'),
        ours.sparks(['unknown']),
        ours.register(address),
        forward([], 'hi'),
        forward([], 'hi', 'unknown'),
        forward([], 'hi', ['unknown']),
        forward.broadcast('hi'),
        forward.sparks(['unknown'], 'hi'),
        forward.spark('unknown', 'hi'),
        ours.unregister()
      ]
      await Promise.allSettled(loose)
      assume(primus.metroplex).equals(ours)
    })

    it('may be left out where the call fails', async () => {
      const own = await startRedis()
      const { metroplex: ours, forward } = await member(own.url, place.space, {
        primus: { metroplex: { timeout: 300 } }
      })
      await own.kill()
      const loose: unknown[] = [
        ours.servers(),
        ours.spark('unknown'),
        ours.sparks(['unknown']),
        ours.register('http://127.0.0.1:1'),
        ours.unregister(),
        forward('http://127.0.0.1:1', 'hi'),
        forward.spark('unknown', 'hi'),
        forward.sparks(['unknown'], 'hi')
      ]
      await Promise.allSettled(loose)
    })

    it('that throws is not swallowed', async () => {
      const { metroplex: ours } = await start()
      const before = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      using(() => {
        process.removeAllListeners('uncaughtException')
        for (const listener of before) process.on('uncaughtException', listener)
      })
      const thrown = new Promise(resolve => process.once('uncaughtException', resolve))
      ours.servers(() => {
        throw new Error('mine')
      })
      assume(((await thrown) as Error).message).equals('mine')
    })
  })

  describe('methods from outside', () => {
    it('register calls back with the address', async () => {
      const { metroplex: ours } = await create({ listen: false })
      assume(await value(fn => ours.register('http://127.0.0.1:9', fn))).equals('http://127.0.0.1:9')
      assume(ours.address).equals('http://127.0.0.1:9')
    })

    it('register and unregister take a callback alone', async () => {
      const { metroplex: ours } = await create()
      const address = await ours.ready()
      assume(await value<string>(fn => ours.unregister(fn))).equals(address)
      assume(await value<string>(fn => ours.register(fn))).equals(address)
    })

    it('register takes a server that listens', async () => {
      const { metroplex: ours } = await create({ listen: false })
      const other = createHttp().listen(0, '127.0.0.1')
      using(() => other.close())
      await emitted(other, 'listening')
      assume(await value(fn => ours.register(other, fn))).equals(
        `http://127.0.0.1:${(other.address() as AddressInfo).port}`
      )
    })

    it('register calls back without an error when there is no address yet', async () => {
      const { metroplex: ours } = await create({ listen: false })
      const { error, value: address }: Answer<string> = await answer(fn => ours.register(undefined, fn))
      assume(error).is.falsy()
      assume(address).is.falsy()
    })

    it('unregister calls back with our address', async () => {
      const { metroplex: ours, address } = await start()
      assume(await value(fn => ours.unregister(undefined, fn))).equals(address)
    })

    it('unregister removes the address it is given', async () => {
      const { metroplex: ours, redis: client } = await start()
      await client.sadd(`${place.space}:servers`, 'http://127.0.0.1:2')
      await client.sadd(`${place.space}:http://127.0.0.1:2:sparks`, 'lost')
      await client.hset(`${place.space}:sparks`, 'lost', 'http://127.0.0.1:2')
      assume(await value(fn => ours.unregister('http://127.0.0.1:2', fn))).equals('http://127.0.0.1:2')
      assume(await client.sismember(`${place.space}:servers`, 'http://127.0.0.1:2')).equals(0)
      assume(await client.hget(`${place.space}:sparks`, 'lost')).equals(null)
      assume(await client.exists(`${place.space}:http://127.0.0.1:2:sparks`)).equals(0)
    })

    it('unregister leaves the server able to register again', async () => {
      const { metroplex: ours, address } = await start()
      await value(fn => ours.unregister(undefined, fn))
      assume(await value(fn => ours.register(address, fn))).equals(address)
      assume(await value<string[]>(fn => ours.servers(true, fn))).deep.equals([address])
    })

    it("connect makes a connection of one's own known", async () => {
      const { metroplex: ours, redis: client, address } = await start()
      ours.connect(sparkOf('made-up'))
      await eventually(async () => (await client.hget(`${place.space}:sparks`, 'made-up')) === address)
      assume(await client.sismember(`${place.space}:${address}:sparks`, 'made-up')).equals(1)
    })

    it('disconnect removes it, whichever caller asks', async () => {
      const { metroplex: ours, redis: client, address } = await start()
      ours.connect(sparkOf('made-up'))
      await eventually(async () => (await client.hget(`${place.space}:sparks`, 'made-up')) === address)
      // Another object of the same id: 1.x looked at the id alone.
      ours.disconnect(sparkOf('made-up'))
      await eventually(async () => (await client.hget(`${place.space}:sparks`, 'made-up')) === null, {
        what: 'the end of the entry'
      })
      assume(await client.sismember(`${place.space}:${address}:sparks`, 'made-up')).equals(0)
    })
  })

  describe('in a client', () => {
    /** Runs a program in a process of its own, and resolves with what it printed once it has ended by itself. */
    const run = async (program: string, ...args: string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, ...args], {
        cwd: join(__dirname, '..', '..', '..'),
        timeout: 45_000
      })
      return stdout.trim()
    }

    it('does nothing: no connection, nothing that keeps the process', async () => {
      const program = `
        const Primus = require('primus')
        const Socket = Primus.createSocket({ transformer: 'websockets', plugin: { metroplex: require('./dist') } })
        if (typeof Socket !== 'function') throw new Error('no constructor')
        setImmediate(() => {
          const active = process.getActiveResourcesInfo().filter(name => /TCP|Timeout/.test(name))
          console.log(JSON.stringify(active))
        })
      `
      assume(await run(program)).equals('[]')
    })

    it('leaves the client able to connect, and to end', async () => {
      const { url } = await start()
      const program = `
        const Primus = require('primus')
        const Socket = Primus.createSocket({ transformer: 'websockets', plugin: { metroplex: require('./dist') } })
        const socket = new Socket(process.argv[1])
        socket.on('open', () => { console.log('open'); socket.end() })
      `
      assume(await run(program, url)).equals('open')
    })
  })
})
