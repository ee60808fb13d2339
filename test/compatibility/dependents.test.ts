import { once as happens } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import metroplex from '../../index'
import { RoomsAdapter } from '../../lib/rooms'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { load, loadPlugin, loadPrimus, type SocketConstructor, type SocketUnderTest } from '../support/primus-types'
import { sharedRedis } from '../support/shared-redis'
import { eventually } from '../support/wait'
import type { Primus } from './support'

/** What the packages add to a server. */
interface Extended extends Primus {
  readonly Socket: SocketConstructor
  room(name: string | string[]): Room
  channel(name: string): Channel
  isRoomEmpty(name: string, fn: (error: Error | null, empty?: boolean) => void): void
}

interface Room {
  write(msg: unknown): unknown
  except(ids: string[]): Room
  clients(fn: (error: Error | null, ids?: string[]) => void): void
}

interface Channel {
  on(event: string, fn: (spark: ExtendedSpark) => void): unknown
  write(msg: unknown): unknown
}

/** What they add to a connection on the server. */
interface ExtendedSpark {
  readonly id: string
  on(event: string, fn: (...args: never[]) => void): unknown
  write(msg: unknown): unknown
  join(room: string, fn: () => void): void
  writeAndWait(msg: unknown, fn: (answer: unknown) => void): void
}

/** What they add to a connection of a client. */
interface ExtendedSocket extends SocketUnderTest {
  emit(event: string, ...args: unknown[]): unknown
  send(event: string, ...args: unknown[]): unknown
  writeAndWait(msg: unknown, fn: (answer: unknown) => void): void
  channel(name: string): { on(event: string, fn: (data: unknown) => void): unknown; write(msg: unknown): unknown }
}

interface Server {
  readonly primus: Extended
  readonly redis: Redis
  readonly url: string
  readonly space: string
}

interface Caller {
  readonly id: string
  readonly socket: ExtendedSocket
  readonly got: unknown[]
}

/** Packages written for 1.x, as they are published, in a cluster of two servers. */
describe('compatibility: what was built on 1.x', () => {
  const shared = sharedRedis()

  /** A server that has loaded what `extend` loads beside metroplex and omega-supreme. */
  const start = async (
    extend: (primus: Extended, redis: Redis) => void,
    options: (redis: Redis) => object = () => ({})
  ): Promise<Server> => {
    const client = new Redis(shared.redis.url)
    const server = createServer()
    const primus = new (loadPrimus())(server, {
      transformer: 'websockets',
      redis: client,
      namespace: shared.space,
      ...options(client)
    }) as unknown as Extended
    using(async () => {
      await new Promise(resolve => primus.destroy({}, () => resolve(null)))
      client.disconnect()
    })
    primus.plugin('omega-supreme', loadPlugin('omega-supreme'))
    primus.plugin('metroplex', metroplex)
    extend(primus, client)
    server.listen(0, '127.0.0.1')
    await happens(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await eventually(() => client.sismember(`${shared.space}:servers`, url))
    return { primus, redis: client, url, space: shared.space }
  }

  /** A client with the client halves of what its server has loaded. */
  const connect = async ({ primus, redis: client, url }: Server): Promise<Caller> => {
    const socket = new primus.Socket(url) as ExtendedSocket
    using(() => socket.end())
    const got: unknown[] = []
    socket.on('data', data => got.push(data))
    await new Promise(resolve => socket.on('open', resolve))
    const id = await new Promise<string>(resolve => socket.id(resolve))
    await eventually(() => client.hexists(`${shared.space}:sparks`, id))
    return { id, socket, got }
  }

  const answered = <T>(ask: (fn: (error: Error | null, value?: T) => void) => void): Promise<T | undefined> =>
    new Promise((resolve, reject) => {
      ask((error, value) => {
        if (error) reject(error)
        else resolve(value)
      })
    })

  const has = (caller: Caller, ...messages: unknown[]): Promise<unknown> =>
    eventually(() => {
      assume(caller.got).eql(messages)
      return true
    })

  /** Connections that join the room they name. */
  const joining = (primus: Extended): void => {
    primus.on('connection', connected => {
      const spark = connected as ExtendedSpark
      spark.on('data', (room: string) => spark.join(room, () => spark.write(`joined ${room}`)))
    })
  }

  const enter = async (caller: Caller, room: string): Promise<void> => {
    caller.socket.write(room)
    await eventually(() => caller.got.includes(`joined ${room}`))
    caller.got.length = 0
  }

  /** What rooms have to do across servers, whichever adapter keeps them. */
  const rooms = async ([a, b]: [Server, Server]): Promise<[Caller, Caller, Caller]> => {
    const [x, y, z] = [await connect(a), await connect(b), await connect(b)]
    await enter(x, 'news')
    await enter(y, 'news')
    await enter(z, 'other')
    a.primus.room('news').write('to news')
    await has(y, 'to news')
    a.primus.room(['news', 'other']).except([x.id]).write('to all but x')
    await has(y, 'to news', 'to all but x')
    await has(z, 'to all but x')
    await has(x, 'to news')
    assume(
      (
        await answered<string[]>(fn => {
          b.primus.room('news').clients(fn)
        })
      )?.sort()
    ).eql([x.id, y.id].sort())
    return [x, y, z]
  }

  it('primus-rooms with primus-rooms-redis-adapter reaches rooms across servers', async () => {
    const Adapter = load('primus-rooms-redis-adapter') as new (redis: Redis, options: object) => object
    const extend = (primus: Extended): void => {
      primus.plugin('rooms', loadPlugin('primus-rooms'))
      joining(primus)
    }
    const options = (client: Redis): object => ({
      rooms: { adapter: new Adapter(client, { namespace: `${shared.space}rooms`, metroplexOmegaSupreme: true }) }
    })
    await rooms([await start(extend, options), await start(extend, options)])
  })

  it('primus-rooms with our own adapter does, over groups', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('rooms', loadPlugin('primus-rooms'))
      joining(primus)
    }
    const options = (): object => ({ rooms: { adapter: new RoomsAdapter() } })
    await rooms([await start(extend, options), await start(extend, options)])
  })

  it('primus-rooms with primus-rooms-metroplex-adapter does, and reads our interval and address', async () => {
    type Adapter = { initialize(): void; _roomSparkSetTTLSeconds: number }
    const Adapter = load('primus-rooms-metroplex-adapter') as new (
      redis: Redis,
      primus: Extended,
      options: object
    ) => Adapter
    const adapters: Adapter[] = []
    const extend = (primus: Extended, client: Redis): void => {
      const adapter = new Adapter(client, primus, { namespace: `${shared.space}rooms` })
      // It starts an interval that cannot be stopped.
      const original = globalThis.setInterval
      globalThis.setInterval = ((fn: () => void, ms: number) => {
        const timer = original(fn, ms)
        using(() => {
          clearInterval(timer)
        })
        return timer.unref()
      }) as typeof setInterval
      try {
        adapter.initialize()
      } finally {
        globalThis.setInterval = original
      }
      adapters.push(adapter)
      primus.options['rooms'] = { adapter }
      primus.plugin('rooms', loadPlugin('primus-rooms'))
      joining(primus)
    }
    const [a, b] = [await start(extend), await start(extend)] as const
    const [x, y] = await rooms([a, b])
    assume(adapters[0]?._roomSparkSetTTLSeconds).equals(360)
    const keys = await a.redis.keys(`${shared.space}rooms:*`)
    assume(keys.some(key => key.includes(a.url)) && keys.some(key => key.includes(b.url))).true()
    for (const caller of [x, y]) caller.socket.end()
    await eventually(() =>
      answered<boolean>(fn => {
        a.primus.isRoomEmpty('news', fn)
      })
    )
  })

  for (const when of ['as an option', 'set after loading'] as const) {
    it(`omega-supreme-rooms-middleware, ${when}, sends to rooms on request, and to no more`, async () => {
      const Adapter = load('primus-rooms-redis-adapter') as new (redis: Redis, options: object) => object
      const middleware = load('omega-supreme-rooms-middleware') as () => unknown
      const extend = (primus: Extended): void => {
        primus.plugin('rooms', loadPlugin('primus-rooms'))
        if (when === 'set after loading') primus.options['middleware'] = middleware()
        joining(primus)
      }
      const options = (client: Redis): object => ({
        rooms: { adapter: new Adapter(client, { namespace: `${shared.space}rooms`, metroplexOmegaSupreme: true }) },
        ...(when === 'as an option' && { middleware: middleware() })
      })
      const [a, b] = [await start(extend, options), await start(extend, options)]
      const [x, y, z] = [await connect(a), await connect(b), await connect(b)]
      await enter(x, 'news')
      await enter(y, 'news')
      await enter(z, 'other')
      const put = (body: object): Promise<number> =>
        fetch(`${a.url}/primus/omega/supreme`, {
          method: 'PUT',
          body: JSON.stringify(body),
          headers: { authorization: `Basic ${Buffer.from('omega:supreme').toString('base64')}` }
        }).then(({ status }) => status)
      assume(await put({ msg: 'to news', rooms: 'news' })).equals(200)
      await has(x, 'to news')
      await eventually(() => y.got.length > 0)
      assume((await a.primus.forward.except([y.id], 'not to y')).ok).true()
      assume((await a.primus.forward.spark(y.id, 'to y')).send).equals(1)
      await eventually(() => y.got.includes('to y'))
      assume(y.got.includes('not to y')).false()
      assume(z.got).eql(['not to y'])
    })
  }

  it('primus-emit: a broadcast is an event at every client', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('emit', loadPlugin('primus-emit'))
    }
    const [a, b] = [await start(extend), await start(extend)]
    const [x, y] = [await connect(a), await connect(b)]
    const heard: unknown[] = []
    x.socket.on('hello', (...args: unknown[]) => heard.push(['x', ...args]))
    y.socket.on('hello', (...args: unknown[]) => heard.push(['y', ...args]))
    assume(await a.primus.forward.broadcast({ emit: ['hello', 1, { two: 2 }] })).eql({ ok: true, send: 2 })
    await eventually(() => heard.length === 2)
    assume(heard.sort()).eql([
      ['x', 1, { two: 2 }],
      ['y', 1, { two: 2 }]
    ])
    const back = new Promise(resolve => (b.primus.spark(y.id) as unknown as ExtendedSpark).on('reply', resolve))
    y.socket.emit('reply', 7)
    assume(await back).equals(7)
  })

  it('primus-emit: a client cannot forge our events', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('emit', loadPlugin('primus-emit'))
    }
    const a = await start(extend)
    const x = await connect(a)
    await (a.primus as unknown as { metroplex: { ready(): Promise<string> } }).metroplex.ready()
    const forged: unknown[] = []
    for (const event of ['register', 'unregister', 'error'])
      a.primus.on(event, (...args: unknown[]) => forged.push([event, ...args]))
    const last = new Promise(resolve => (a.primus.spark(x.id) as unknown as ExtendedSpark).on('last', resolve))
    for (const event of ['register', 'unregister', 'error']) x.socket.write({ emit: [event, 'forged'] })
    x.socket.write({ emit: ['last'] })
    await last
    assume(forged).eql([])
  })

  it('primus-emitter: a broadcast of a packet of its own is an event, and acknowledgements work', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('emitter', loadPlugin('primus-emitter'))
    }
    const [a, b] = [await start(extend), await start(extend)]
    const [x, y] = [await connect(a), await connect(b)]
    const heard: unknown[] = []
    x.socket.on('hello', (word: unknown) => heard.push(['x', word]))
    y.socket.on('hello', (word: unknown) => heard.push(['y', word]))
    assume(await a.primus.forward.broadcast({ type: 0, data: ['hello', 1] })).eql({ ok: true, send: 2 })
    await eventually(() => heard.length === 2)
    const spark = b.primus.spark(y.id) as unknown as ExtendedSpark
    spark.on('ask', (question: string, reply: (answer: string) => void) => {
      reply(`answer to ${question}`)
    })
    assume(await new Promise(resolve => y.socket.send('ask', 'this', resolve))).equals('answer to this')
  })

  it('primus-multiplex: channels and forwards live beside each other', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('multiplex', loadPlugin('primus-multiplex'))
      primus.channel('news').on('connection', spark => {
        spark.on('data', (data: string) => spark.write(`echo ${data}`))
      })
    }
    const [a, b] = [await start(extend), await start(extend)]
    const [x, y] = [await connect(a), await connect(b)]
    const heard: unknown[] = []
    const channel = y.socket.channel('news')
    channel.on('data', data => heard.push(data))
    channel.write('ping')
    await eventually(() => heard.includes('echo ping'))
    assume((await a.primus.forward.broadcast('raw')).send).equals(2)
    assume(await a.primus.forward.spark(y.id, 'one')).eql({ ok: true, send: 1 })
    await eventually(() => y.got.includes('one') && x.got.includes('raw'))
    assume(await a.redis.hlen(`${shared.space}:sparks`)).equals(2)
  })

  it('primus-responder: questions work both ways beside a broadcast', async () => {
    const extend = (primus: Extended): void => {
      primus.plugin('responder', loadPlugin('primus-responder'))
      primus.on('connection', connected => {
        const spark = connected as ExtendedSpark
        spark.on('request', (data: string, reply: (answer: string) => void) => {
          reply(`server: ${data}`)
        })
      })
    }
    const [a, b] = [await start(extend), await start(extend)]
    const [x, y] = [await connect(a), await connect(b)]
    assume(
      await new Promise(resolve => {
        y.socket.writeAndWait('q', resolve)
      })
    ).equals('server: q')
    y.socket.on('request', ((data: string, reply: (answer: string) => void) => {
      reply(`client: ${data}`)
    }) as never)
    const spark = b.primus.spark(y.id) as unknown as ExtendedSpark
    assume(
      await new Promise(resolve => {
        spark.writeAndWait('q', resolve)
      })
    ).equals('client: q')
    assume((await a.primus.forward.broadcast('raw')).send).equals(2)
    await eventually(() => x.got.includes('raw') && y.got.includes('raw'))
  })
})
