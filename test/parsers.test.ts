import * as metroplex from '../index'
import { createClient, type Client as Cluster } from '../index'
import { assume } from './support/assume'
import type { Client } from './support/client'
import { using } from './support/dispose'
import { namespace } from './support/namespace'
import { load } from './support/primus-types'
import { anyRedis } from './support/redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { eventually, once } from './support/wait'

/* eslint-disable @typescript-eslint/no-require-imports -- a client has the parser as text, and nothing around it */
/** A parser of the application's own: what structured cloning keeps, it keeps. */
const v8 = {
  encoder: function (data: unknown, fn: (error: unknown, packet?: unknown) => void): void {
    let packet, failure
    try {
      packet = (require('node:v8') as typeof import('node:v8')).serialize(data)
    } catch (error) {
      failure = error
    }
    fn(failure, packet)
  },
  decoder: function (packet: Buffer, fn: (error: unknown, data?: unknown) => void): void {
    let data, failure
    try {
      data = (require('node:v8') as typeof import('node:v8')).deserialize(packet) as unknown
    } catch (error) {
      failure = error
    }
    fn(failure, data)
  }
}
/* eslint-enable @typescript-eslint/no-require-imports */

/** One that makes text with line feeds of everything, and separators that Primus escapes. */
const lines = {
  encoder: function (data: unknown, fn: (error: unknown, packet?: unknown) => void): void {
    let packet, failure
    try {
      packet = `lines\n${JSON.stringify(data)}\n\u2028`
    } catch (error) {
      failure = error
    }
    fn(failure, packet)
  },
  decoder: function (packet: unknown, fn: (error: unknown, data?: unknown) => void): void {
    fn(null, JSON.parse(String(packet).split('\n')[1] ?? ''))
  }
}

/** One that calls back later. */
const later = {
  encoder: function (data: unknown, fn: (error: unknown, packet?: unknown) => void): void {
    setImmediate(() => {
      fn(null, JSON.stringify(data))
    })
  },
  decoder: function (packet: unknown, fn: (error: unknown, data?: unknown) => void): void {
    setImmediate(() => {
      fn(null, JSON.parse(String(packet)))
    })
  }
}

/** One whose packets name the spark that they are for. */
const attached = {
  encoder: function (this: { id: unknown }, data: unknown, fn: (error: unknown, packet?: unknown) => void): void {
    fn(null, JSON.stringify({ id: typeof this.id === 'string' ? this.id : '', data }))
  },
  decoder: function (packet: unknown, fn: (error: unknown, data?: unknown) => void): void {
    fn(null, (JSON.parse(String(packet)) as { data: unknown }).data)
  }
}

/** A plugin that puts another parser in the place of the one of Primus. */
function replace(this: object): void {
  Object.assign(this, v8)
}

/** Our plugin, and that one behind it. */
const followed = {
  ...metroplex,
  server: function (this: object, primus: object, options: object): void {
    ;(metroplex.server as (primus: object, options: object) => void).call(this, primus, options)
    Object.assign(primus, v8)
  }
}

type Parsers = string | typeof v8 | typeof lines | typeof attached

/** A cluster of two servers in this process, and a client of the second one. */
interface Pair {
  readonly near: Registered
  readonly far: Registered
  readonly client: Client
}

const shown = (value: unknown): string => (load('node:util') as typeof import('node:util')).inspect(value, { depth: 9 })

/** What JSON loses of these, one parser or another keeps. */
const VALUES: Readonly<Record<string, unknown>> = {
  'a date': { d: new Date(0) },
  'a date by itself': new Date(5),
  NaN: { n: NaN },
  undefined: { d: undefined, list: [undefined, 1] },
  bytes: { b: Buffer.from([0, 255, 10]) },
  text: 'text \u2028\u2029 \n "quoted"',
  'a number': 0,
  nothing: null,
  no: false,
  'an expression': { r: /x/gi },
  'a map': { m: new Map([[1, 'one']]) },
  'a big number': { n: 10n ** 30n },
  infinity: { n: -Infinity },
  much: { d: new Date(1), text: 'x'.repeat(100_000) }
}

describe('a parser', function () {
  this.timeout(60_000)
  let redis: Awaited<ReturnType<typeof anyRedis>>
  before(async () => {
    redis = await anyRedis()
  })
  after(() => redis.stop())

  async function server(space: string, parser: Parsers, transport = 'http'): Promise<Registered> {
    return createRegistered({
      redis: { url: redis.url, namespace: space },
      primus: { parser, metroplex: { transport, lease: 1000 } }
    })
  }

  async function pair(parsers: readonly [Parsers, Parsers], transport?: string): Promise<Pair> {
    const space = namespace()
    const near = await server(space, parsers[0], transport)
    const far = await server(space, parsers[1], transport)
    return { near, far, client: await connected(near, far) }
  }

  /**
   * A client of one server whose spark another server finds. It has our client half, and answers each request with what
   * was asked.
   */
  async function connected(near: Registered, far: Registered): Promise<Client> {
    const Socket = (far.primus as unknown as { Socket: new (url: string) => Client['socket'] }).Socket
    const socket = new Socket(far.url)
    using(() => socket.end())
    const messages: unknown[] = []
    socket.on('data', message => {
      messages.push(message)
    })
    socket.on('request', (data, reply) => {
      ;(reply as (value: unknown) => void)(data)
    })
    await once(socket, 'open')
    const id = await new Promise<string>(resolve => {
      socket.id(resolve)
    })
    await eventually(async () => (await near.metroplex.spark(id)) === far.address)
    return { socket, id, messages } as unknown as Client
  }

  /** The error of the parser itself, when it cannot write a value to a spark. */
  function written(far: Registered, id: string, value: unknown): Error | undefined {
    const spark = far.primus.spark(id) as unknown as {
      once(event: string, fn: (error: Error) => void): void
      write(value: unknown): void
      removeAllListeners(event: string): void
    }
    let failure: Error | undefined
    spark.once('error', error => {
      failure = error
    })
    spark.write(value)
    spark.removeAllListeners('error')
    return failure
  }

  const kinds: Readonly<Record<string, Parsers>> = {
    json: 'json',
    ejson: 'ejson',
    msgpack: 'MsgPack',
    binary: 'binary',
    'one of the application': v8,
    'one that makes lines of text': lines
  }
  for (const [name, parser] of Object.entries(kinds)) {
    for (const transport of name === 'msgpack' ? ['http', 'redis'] : ['http']) {
      it(`${name} brings what \`spark.write\` does, from another server and this one, over ${transport}`, async () => {
        const { near, far, client } = await pair([parser, parser], transport)
        for (const [what, value] of Object.entries(VALUES)) {
          const before = client.messages.length
          const refused = written(far, client.id, value)
          if (refused !== undefined) {
            for (const { forward } of [near, far])
              assume((await rejection(forward.spark(client.id, value))).code).equals('EMESSAGE')
            continue
          }
          for (const { forward } of [near, far]) assume((await forward.spark(client.id, value)).send).equals(1)
          assume((await near.forward.broadcast(value)).send).equals(1)
          const brought = await eventually(() => client.messages.length === before + 4 && client.messages.slice(before))
          assume([what, ...brought.map(shown)]).eql([what, ...brought.map(() => shown(brought[0]))])
        }
      })
    }

    if (parser !== 'json')
      it(`${name} keeps in a request and its reply what it keeps in a message`, async () => {
        const { near, far, client } = await pair([parser, parser])
        for (const [what, value] of Object.entries(VALUES)) {
          if (written(far, client.id, { value }) !== undefined) continue
          const message = (await eventually(() => client.messages.shift())) as { value: unknown }
          const answers = [await near.forward.request(client.id, value), await far.forward.request(client.id, value)]
          assume([what, ...answers.map(shown)]).eql([what, ...answers.map(() => shown(message.value ?? answers[0]))])
        }
      })
  }

  for (const name of ['ejson', 'msgpack', 'binary']) {
    it(`${name} is used by a process that is no server as well`, async () => {
      const { near, client, far } = await pair([name, name])
      const cluster: Cluster = createClient({
        redis: near.redis,
        namespace: near.metroplex.namespace.slice(0, -1),
        parser: name
      })
      using(() => cluster.close())
      const value = { d: new Date(0), n: NaN }
      far.primus.spark(client.id)?.write(value)
      assume((await cluster.forward.spark(client.id, value)).send).equals(1)
      const [written, brought] = await eventually(() => client.messages.length === 2 && client.messages)
      assume(shown(brought)).equals(shown(written))
      assume(shown(await cluster.forward.request(client.id, value))).equals(shown(written))
    })
  }

  it('hands outgoing transformers of the receiver what was sent, and not its packet', async () => {
    for (const parser of ['ejson', 'msgpack', v8]) {
      const { near, far, client } = await pair([parser, parser])
      const seen: unknown[] = []
      ;(far.primus as unknown as { transform(way: string, fn: (packet: { data: unknown }) => void): void }).transform(
        'outgoing',
        packet => {
          seen.push(packet.data)
          packet.data = { sealed: packet.data }
        }
      )
      await near.forward.spark(client.id, { d: new Date(0) })
      assume(shown(await eventually(() => client.messages[0]))).equals(shown({ sealed: { d: new Date(0) } }))
      assume(shown(seen)).equals(shown([{ d: new Date(0) }]))
    }
  })

  it('that another server does not have costs what JSON cannot express, and nothing else', async () => {
    for (const parsers of [
      ['ejson', 'msgpack'],
      ['msgpack', 'json'],
      ['json', 'ejson'],
      [v8, 'binary']
    ] as const) {
      const { near, client } = await pair(parsers)
      assume((await near.forward.spark(client.id, { d: new Date(0), n: 1 })).send).equals(1)
      assume(await eventually(() => client.messages[0])).eql({ d: '1970-01-01T00:00:00.000Z', n: 1 })
      assume(await near.forward.request(client.id, { n: 1 })).eql({ n: 1 })
    }
  })

  it('that another server does not have fails for that server alone, where JSON cannot express a message', async () => {
    const { near, client } = await pair([v8, 'msgpack'])
    const own = await openOf(near)
    const { send, failed } = await near.forward.broadcast(10n)
    assume([send, failed?.map(({ code, maybe }) => [code, maybe])]).eql([1, [['EMESSAGE', false]]])
    assume(await eventually(() => own.messages[0])).equals(10n)
    assume(client.messages).eql([])
  })

  /** A client of a server, by the parser of that server. */
  async function openOf(one: Registered): Promise<{ messages: unknown[] }> {
    const { messages } = await connected(one, one)
    return { messages }
  }

  for (const behind of [false, true]) {
    it(`that a plugin ${behind ? 'behind' : 'before'} ours replaced is used as well`, async () => {
      const space = namespace()
      const started = async (): Promise<Registered> =>
        createRegistered({
          redis: { url: redis.url, namespace: space },
          ...(behind ? { plugin: followed } : { primus: { plugin: { aaa: { server: replace } } } })
        })
      const [near, far] = [await started(), await started()]
      const client = await connected(near, far)
      for (const { forward } of [near, far]) await forward.spark(client.id, { d: new Date(0) })
      const brought = await eventually(() => client.messages.length === 2 && client.messages)
      assume(brought.map(shown)).eql(Array.from({ length: 2 }, () => shown({ d: new Date(0) })))
      assume(shown(await near.forward.request(client.id, { d: new Date(1) }))).equals(shown({ d: new Date(1) }))
    })
  }

  it('that calls back later has messages between servers be JSON, and encodes for each spark', async () => {
    const { near, far, client } = await pair([later, later])
    far.primus.spark(client.id)?.write({ n: 1 })
    await near.forward.spark(client.id, { d: new Date(0) })
    const brought = await eventually(() => client.messages.length === 2 && client.messages)
    assume(brought).eql([{ n: 1 }, { d: '1970-01-01T00:00:00.000Z' }])
  })

  it('that looks at its spark encodes for each spark, and messages between servers are JSON', async () => {
    const { near, far, client } = await pair([attached, attached])
    const packets: string[] = []
    const spark = far.primus.spark(client.id) as unknown as { on(event: string, fn: (packet: string) => void): void }
    spark.on('outgoing::data', packet => {
      packets.push(packet)
    })
    await near.forward.spark(client.id, { n: 1 })
    assume(await eventually(() => client.messages[0])).eql({ n: 1 })
    assume(packets).eql([JSON.stringify({ id: client.id, data: { n: 1 } })])
  })

  it('refuses what it cannot encode, and what clients take for protocol, before anything is sent', async () => {
    const refusals: [Parsers, unknown][] = [
      ['ejson', 'primus::server::close'],
      ['msgpack', 'primus::server::close'],
      ['binary', 'primus::server::close'],
      [v8, 'primus::id::1'],
      ['binary', { n: Infinity }],
      ['msgpack', { n: 1n }],
      ['ejson', undefined],
      [v8, () => 1]
    ]
    for (const [parser, value] of refusals) {
      const { near, client } = await pair([parser, parser])
      const sent: Promise<Error & { code?: unknown }>[] = [
        near.forward.spark(client.id, value),
        near.forward.broadcast(value)
      ].map(promise => rejection(promise))
      for (const error of await Promise.all(sent)) assume([shown(value), error.code]).eql([shown(value), 'EMESSAGE'])
      assume(client.messages).eql([])
    }
  })

  it('of a client must be one, and installed', () => {
    const wrong = (parser: unknown): unknown => {
      try {
        return createClient({ parser })
      } catch (error) {
        return error
      }
    }
    for (const parser of ['nonsense', 1, {}, { encoder: 1 }]) {
      const error = wrong(parser) as Error
      assume(error instanceof TypeError).true()
      assume(error.message).includes('`parser` must be')
    }
  })

  it('calls and events are JSON or binary with any parser', async () => {
    const { near, far } = await pair(['msgpack', 'msgpack'])
    far.metroplex.method('echo', (value: unknown) => value)
    const [called] = await near.metroplex.call('echo', [{ d: new Date(0), b: Buffer.from('x') }], { to: far.address })
    assume(called?.value).eql({ d: '1970-01-01T00:00:00.000Z', b: Buffer.from('x') })
  })
})
