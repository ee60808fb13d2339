import { once as happens } from 'node:events'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createContext, runInContext } from 'node:vm'
import { Linter } from 'eslint'
import { Redis } from 'ioredis'
import { WebSocket } from 'ws'
import { ignore } from '../lib/callback'
import { client as half } from '../lib/client-half'
import type { Forward } from '../lib/delivery/surface'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import { loadPlugin, loadPrimus, type PrimusUnderTest, type SocketConstructor, type SocketUnderTest, type SparkUnderTest } from './support/primus-types'
import { sharedRedis } from './support/redis'
import { once } from './support/wait'

interface Packet { data: unknown }
type Transformer = (packet: Packet, next: () => void) => unknown
interface Transforming { transform(way: 'incoming' | 'outgoing', fn: Transformer): unknown }

type Spark = SparkUnderTest & { readonly query: Record<string, string> }
type Socket = SocketUnderTest & Transforming
type Server = PrimusUnderTest & Transforming & {
  readonly forward: Forward
  readonly Socket: SocketConstructor
  library(): string
}
type Reply = (value?: unknown) => void

const metroplex = loadPlugin('../../index')
const text = half.toString()

describe('the client half', () => {
  let redis: Awaited<ReturnType<typeof sharedRedis>>
  before(async () => { redis = await sharedRedis() })
  after(() => redis.stop())

  async function start(primus: Record<string, unknown> = {}): Promise<{ server: Server, url: string }> {
    const created = await createPrimus({ redis: { url: redis.url, namespace: namespace() }, primus })
    return { server: created.primus as Server, url: created.url }
  }

  /** As `createPrimus` does it, for one that is made otherwise. */
  async function listening(primus: Server, server: HttpServer, destroyed: () => void = ignore): Promise<string> {
    using(() => new Promise<void>(resolve => {
      primus.destroy({}, () => {
        destroyed()
        resolve()
      })
    }))
    server.listen(0, '127.0.0.1')
    await happens(server, 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Connect, and answer each request with what was asked. */
  async function connect(server: Server, socket: SocketUnderTest): Promise<Spark> {
    using(() => socket.end())
    socket.on('request', (data, reply) => { (reply as Reply)(data) })
    const [spark] = await once(server, 'connection')
    return spark as Spark
  }

  it('is ES5 that needs nothing around it, and is small', () => {
    const problems = new Linter().verify(`var half = ${text}; half`, {
      languageOptions: { ecmaVersion: 5, sourceType: 'script', globals: { Math: 'readonly', Object: 'readonly', String: 'readonly' } },
      rules: { 'no-undef': 'error' }
    })
    assume(problems.map(({ message }) => message)).eql([])
    assume(text.length).is.below(2500)
  })

  for (const transformer of ['websockets', 'sockjs', 'faye']) {
    it(`is known to the server through ${transformer}, and the query of the application is there as well`, async () => {
      const { server, url } = await start({ transformer })
      const spark = await connect(server, new server.Socket(`${url}?user=me`))
      assume(spark.query['user']).equals('me')
      assume(await server.forward.request(spark.id, 'well?')).equals('well?')
    })
  }

  it('is known to the server also where the application makes a query of its own', async () => {
    const { server, url } = await start()
    const socket = new server.Socket(url)
    socket.on('outgoing::url', (options: unknown) => { (options as { query: string }).query = 'token=1' })
    const spark = await connect(server, socket)
    assume(spark.query['token']).equals('1')
    assume(await server.forward.request(spark.id, 'well?')).equals('well?')
  })

  it('adds itself to the parts of a URL, too, as engine.io has it', () => {
    const made = (url: string | { query?: string }): string | { query?: string } => {
      const primus = { uri: () => url, on: () => undefined } as unknown as Parameters<typeof half>[0]
      half(primus)
      return primus.uri({})
    }
    const parts = [made({ query: 'a=1' }), made({})] as { query: string }[]
    assume(parts.map(({ query }) => query).join(' ')).matches(/^a=1&_metroplex=m[a-z0-9]+ _metroplex=m[a-z0-9]+$/)
    assume(made('http://a/primus?a=1')).matches(/^http:\/\/a\/primus\?a=1&_metroplex=m[a-z0-9]+$/)
    // With browserchannel there is none, and must be none.
    assume(made('http://a/primus')).equals('http://a/primus')
  })

  it('is in the library that Primus makes for pages, and works with what a browser has', async () => {
    const { server, url } = await start()
    const page = createContext({ WebSocket, setTimeout, clearTimeout, location: { origin: url } })
    runInContext(server.library(), page)
    const socket = runInContext(`
      var primus = new Primus({ strategy: false }), seen = []
      primus.on('data', function (data) { seen.push(data) })
      primus`, page) as SocketUnderTest
    const spark = await connect(server, socket)
    assume(await server.forward.request(spark.id, { a: ['question', null] })).eql({ a: ['question', null] })
    assume(runInContext('seen.length + typeof require + typeof Buffer', page)).equals('0undefinedundefined')
  })

  it('comes with the plugin also where that is among the options of Primus', async () => {
    const client = new Redis(redis.url)
    const server = createServer()
    const primus = new (loadPrimus())(server, { transformer: 'websockets', redis: client, namespace: namespace(), plugin: { metroplex } }) as Server
    const url = await listening(primus, server, () => { client.disconnect() })
    const spark = await connect(primus, new primus.Socket(url))
    assume(await primus.forward.request(spark.id, 'well?')).equals('well?')
  })

  it('carries binary where the parser does', async () => {
    /* eslint-disable @typescript-eslint/no-require-imports -- the client has them as text, and nothing around them */
    const parser = {
      encoder: function (data: unknown, fn: (error: unknown, packet?: unknown) => void) { fn(null, (require('node:v8') as typeof import('node:v8')).serialize(data)) },
      decoder: function (data: Buffer, fn: (error: unknown, data?: unknown) => void) { fn(null, (require('node:v8') as typeof import('node:v8')).deserialize(data)) }
    }
    /* eslint-enable @typescript-eslint/no-require-imports */
    const { server, url } = await start({ parser })
    const spark = await connect(server, new server.Socket(url))
    const asked = { deep: [Buffer.from([0, 255])] }
    const { deep: [bytes] } = await server.forward.request(spark.id, asked) as { deep: [Uint8Array] }
    assume(Buffer.from(bytes).equals(Buffer.from([0, 255]))).true()
  })

  const ways: Record<string, (change: (data: unknown) => unknown) => Transformer> = {
    'at once': change => (packet: Packet) => { packet.data = change(packet.data) },
    later: change => (packet: Packet, next: () => void) => {
      packet.data = change(packet.data)
      setImmediate(next)
    }
  }
  for (const [when, transformer] of Object.entries(ways)) {
    it(`has requests and replies pass through what the application makes of messages, ${when}`, async () => {
      const { server, url } = await start()
      const socket = new server.Socket(url) as Socket
      for (const end of [server, socket]) {
        end.transform('outgoing', transformer(data => ({ sealed: JSON.stringify(data) })))
        end.transform('incoming', transformer(data => JSON.parse((data as { sealed: string }).sealed)))
      }
      const spark = await connect(server, socket)
      assume(await server.forward.request(spark.id, { a: 'secret' })).eql({ a: 'secret' })
    })
  }

  it('does no harm on a Primus that has nothing of ours', async () => {
    const server = createServer()
    const primus = new (loadPrimus())(server, { transformer: 'websockets' }) as Server
    const url = await listening(primus, server)
    const Socket = loadPrimus().createSocket({ transformer: 'websockets', plugin: { metroplex } })
    const socket = new Socket(url)
    const spark = await connect(primus, socket)
    const messages = ['text', null, 0, [1], { 'metroplex::request': ['word', 'name'] }]
    for (const message of messages) {
      const received = once(socket, 'data')
      spark.write(message)
      assume((await received)[0]).eql(message)
    }
  })
})
