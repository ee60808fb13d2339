import { once as happens } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createContext, runInContext, type Context } from 'node:vm'
import { Linter } from 'eslint'
import { Redis } from 'ioredis'
import { WebSocket } from 'ws'
import { ignore } from '../lib/common/callback'
import { clientHalf as half } from '../lib/browser/client-half'
import type { Forward } from '../lib/delivery/forward-api'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { createPrimus } from './support/primus'
import {
  load,
  loadPlugin,
  loadPrimus,
  type PrimusUnderTest,
  type SocketConstructor,
  type SocketUnderTest,
  type SparkUnderTest
} from './support/primus-types'
import { anyRedis } from './support/redis'
import { rejection } from './support/rejection'
import { once } from './support/wait'

interface Packet {
  data: unknown
}
type Transformer = (packet: Packet, next: () => void) => unknown
interface Transforming {
  transform(way: 'incoming' | 'outgoing', fn: Transformer): unknown
}

type Spark = SparkUnderTest & { readonly query: Record<string, string> }
type Socket = SocketUnderTest & Transforming
type Server = PrimusUnderTest &
  Transforming & {
    readonly forward: Forward
    readonly Socket: SocketConstructor
    library(): string
  }
type Reply = (value?: unknown) => void

/** As much of the tools as is needed here. They are loaded when they are used: each takes its time. */
interface Tools {
  esbuild: { build(options: object): Promise<{ outputFiles: { text: string }[] }> }
  terser: { minify(code: string, options: object): Promise<{ code?: string }> }
  istanbul: { createInstrumenter(options: object): { instrumentSync(code: string, file: string): string } }
}
const esbuild = (): Tools['esbuild'] => load('esbuild') as Tools['esbuild']
const terser = (): Tools['terser'] => load('terser') as Tools['terser']
const istanbul = (): Tools['istanbul'] => load('istanbul-lib-instrument') as Tools['istanbul']

const root = join(__dirname, '..', '..')
const metroplex = loadPlugin('../../index')
const text = half.toString()

describe('the client half', function () {
  // A minifier of a busy machine needs its time.
  this.timeout(120_000)
  let redis: Awaited<ReturnType<typeof anyRedis>>
  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())

  async function start(
    primus: Record<string, unknown> = {},
    plugin: unknown = metroplex
  ): Promise<{ server: Server; url: string }> {
    const created = await createPrimus({ redis: { url: redis.url, namespace: namespace() }, primus, plugin })
    return { server: created.primus as Server, url: created.url }
  }

  /** As `createPrimus` does it, for one that is made otherwise. */
  async function listening(primus: Server, server: HttpServer, destroyed: () => void = ignore): Promise<string> {
    using(
      () =>
        new Promise<void>(resolve => {
          primus.destroy({}, () => {
            destroyed()
            resolve()
          })
        })
    )
    server.listen(0, '127.0.0.1')
    await happens(server, 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Connect, and answer each request with what was asked. */
  async function connect(server: Server, socket: SocketUnderTest): Promise<Spark> {
    using(() => socket.end())
    socket.on('request', (data, reply) => {
      ;(reply as Reply)(data)
    })
    const [spark] = await once(server, 'connection')
    return spark as Spark
  }

  /** A client whose listener fails before the one that answers is there. */
  function failing(server: Server, url: string): SocketUnderTest {
    const socket = new server.Socket(url)
    socket.on('request', () => {
      throw new Error('no answer today')
    })
    return socket
  }

  it('is ES5 that needs nothing around it, and is small', () => {
    const problems = new Linter().verify(`var half = ${text}; half`, {
      languageOptions: {
        ecmaVersion: 5,
        sourceType: 'script',
        globals: { Array: 'readonly', Math: 'readonly', Object: 'readonly', String: 'readonly' }
      },
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
    socket.on('outgoing::url', (options: unknown) => {
      ;(options as { query: string }).query = 'token=1'
    })
    const spark = await connect(server, socket)
    assume(spark.query['token']).equals('1')
    assume(await server.forward.request(spark.id, 'well?')).equals('well?')
  })

  for (const [parser, what, value] of [
    ['json', 'a big number', 10n],
    ['msgpack', 'a big number', 10n],
    ['binary', 'a map', new Map()],
    ['binary', 'an object of another context', runInContext('({ list: [1] })', createContext()) as object]
  ] as const) {
    it(`says why the parser ${parser} cannot send a reply, ${what}, and sends the next one`, async () => {
      const { server, url } = await start({ parser })
      const socket = new server.Socket(url)
      using(() => socket.end())
      const replies: unknown[] = [value, { fine: value }, { fine: true }]
      socket.on('request', (_data, reply) => {
        ;(reply as Reply)(replies.shift())
      })
      const [{ id }] = (await once(server, 'connection')) as [Spark]
      for (const request of [server.forward.request(id, 1), server.forward.request(id, 2)]) {
        const error = await rejection(request)
        assume(error.code).equals('EREMOTE')
        assume(error.message).matches(/could not answer: .*(BigInt|bigint|not yet supported|Unsupported|type)/i)
      }
      assume(await server.forward.request(id, 3)).eql({ fine: true })
    })
  }

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

  /** Open the library that Primus makes for pages, with what a browser has. */
  async function openPage(server: Server, url: string): Promise<{ page: Context; spark: Spark }> {
    const page = createContext({ WebSocket, setTimeout, clearTimeout, location: { origin: url } })
    runInContext(server.library(), page)
    const socket = runInContext(
      `
      var primus = new Primus({ strategy: false }), seen = []
      primus.on('data', function (data) { seen.push(data) })
      primus`,
      page
    ) as SocketUnderTest
    return { page, spark: await connect(server, socket) }
  }

  /** Bundle a file as an application that bundles its server does. @returns the path of the bundle */
  async function bundle(file: string, rewrite: (bundle: string) => string | Promise<string>): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'metroplex-bundled-'))
    using(() => rm(folder, { recursive: true, force: true }))
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    const {
      outputFiles: [bundled]
    } = await esbuild().build({
      entryPoints: [join(root, 'dist', file)],
      bundle: true,
      platform: 'node',
      packages: 'external',
      keepNames: true,
      write: false
    })
    const path = join(folder, 'bundle.js')
    await writeFile(path, await rewrite(bundled?.text ?? ''))
    return path
  }

  /** A client half that was bundled works in a page. */
  async function works(plugin: { client: unknown }): Promise<void> {
    assume(String(plugin.client)).equals(text)
    const { server, url } = await start({}, plugin)
    const { spark } = await openPage(server, url)
    assume(await server.forward.request(spark.id, 'well?')).equals('well?')
  }

  it('works in a page when its server has gone through esbuild, which keeps names', async () => {
    const plugin = loadPlugin(await bundle('index.js', code => code)) as { client: unknown }
    assume(plugin === metroplex).false()
    await works(plugin)
  })

  /** Tools that rewrite functions, which takes seconds for a whole server. */
  const tools: Record<string, (bundle: string) => string | Promise<string>> = {
    terser: async code => (await terser().minify(code, { mangle: { toplevel: true } })).code ?? '',
    istanbul: code => istanbul().createInstrumenter({ esModules: false }).instrumentSync(code, 'bundle.js')
  }
  for (const [tool, rewrite] of Object.entries(tools)) {
    it(`works in a page when it has gone through esbuild and ${tool}`, async () => {
      const path = await bundle('lib/browser/client-half.js', rewrite)
      const { clientHalf: client } = load(path) as { clientHalf: typeof half }
      assume(client === half).false()
      await works({ ...(metroplex as object), client })
    })
  }

  for (const parser of ['json', 'ejson', 'msgpack', 'binary']) {
    it(`answers from Node.js with the parser ${parser}`, async () => {
      const { server, url } = await start({ parser })
      const socket = new server.Socket(url)
      const failures: unknown[] = []
      socket.on('error', error => {
        failures.push(error)
      })
      const spark = await connect(server, socket)
      const asked = { a: ['question', null, { deep: 1 }] }
      assume(await server.forward.request(spark.id, asked)).eql(asked)
      assume(
        (await rejection(server.forward.request((await connect(server, failing(server, url))).id, 1))).message
      ).includes('no answer today')
      assume(failures).eql([])
    })
  }

  it('is in the library that Primus makes for pages, and works with what a browser has', async () => {
    const { server, url } = await start()
    const { page, spark } = await openPage(server, url)
    assume(await server.forward.request(spark.id, { a: ['question', null] })).eql({ a: ['question', null] })
    assume(runInContext('seen.length + typeof require + typeof Buffer', page)).equals('0undefinedundefined')
  })

  it('comes with the plugin also where that is among the options of Primus', async () => {
    const client = new Redis(redis.url)
    const server = createServer()
    const primus = new (loadPrimus())(server, {
      transformer: 'websockets',
      redis: client,
      namespace: namespace(),
      plugin: { metroplex }
    }) as Server
    const url = await listening(primus, server, () => {
      client.disconnect()
    })
    const spark = await connect(primus, new primus.Socket(url))
    assume(await primus.forward.request(spark.id, 'well?')).equals('well?')
  })

  it('carries binary where the parser does', async () => {
    /* eslint-disable @typescript-eslint/no-require-imports -- the client has them as text, and nothing around them */
    const parser = {
      encoder: function (data: unknown, fn: (error: unknown, packet?: unknown) => void) {
        fn(null, (require('node:v8') as typeof import('node:v8')).serialize(data))
      },
      decoder: function (data: Buffer, fn: (error: unknown, data?: unknown) => void) {
        fn(null, (require('node:v8') as typeof import('node:v8')).deserialize(data))
      }
    }
    /* eslint-enable @typescript-eslint/no-require-imports */
    const { server, url } = await start({ parser })
    const spark = await connect(server, new server.Socket(url))
    const asked = { deep: [Buffer.from([0, 255])] }
    const {
      deep: [bytes]
    } = (await server.forward.request(spark.id, asked)) as { deep: [Uint8Array] }
    assume(Buffer.from(bytes).equals(Buffer.from([0, 255]))).true()
  })

  const ways: Record<string, (change: (data: unknown) => unknown) => Transformer> = {
    'at once': change => (packet: Packet) => {
      packet.data = change(packet.data)
    },
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
        end.transform(
          'outgoing',
          transformer(data => ({ sealed: JSON.stringify(data) }))
        )
        end.transform(
          'incoming',
          transformer(data => JSON.parse((data as { sealed: string }).sealed))
        )
      }
      const spark = await connect(server, socket)
      assume(await server.forward.request(spark.id, { a: 'secret' })).eql({ a: 'secret' })
    })
  }

  it('does no harm on a Primus without the plugin', async () => {
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
