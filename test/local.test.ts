import { randomBytes } from 'node:crypto'
import { once, type EventEmitter } from 'node:events'
import { createServer, request, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import { LocalDelivery, type LocalPrimus } from '../lib/delivery/local'
import { rawSocketOf, type Deep } from '../lib/delivery/raw-socket'
import { ClientPacket } from '../lib/delivery/client-packet'
import { Message } from '../lib/common/encoded-message'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { using } from './support/dispose'
import { loadPrimus, type PrimusUnderTest, type SparkUnderTest } from './support/primus-types'
import { eventually } from './support/wait'

type Encode = (data: unknown, fn: (error: unknown, packet?: unknown) => void) => void

/** As much of Primus as is written to here. */
type WrittenPrimus = PrimusUnderTest &
  LocalPrimus & {
    encoder: Encode
    transform(event: string, fn: (packet: { data: unknown }) => void): unknown
  }

interface Started {
  readonly primus: WrittenPrimus
  readonly local: LocalDelivery
  readonly url: string
  readonly port: number
  /** Those that did not take what they were sent. */
  readonly ended: string[]
}

/** A Primus without our plugin, and what writes to its sparks. */
async function start(
  options: Record<string, unknown> = {},
  maxBuffered = 0,
  owns: (id: string) => boolean = () => true
): Promise<Started> {
  const server = createServer()
  const primus = new (loadPrimus())(server, { transformer: 'websockets', ...options }) as WrittenPrimus
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using(
    () =>
      new Promise<void>(resolve => {
        primus.destroy({}, () => {
          resolve()
        })
      })
  )
  const ended: string[] = []
  const local = new LocalDelivery(primus, id => (owns(id) ? primus.spark(id) : undefined), {
    maxBuffered,
    ended: spark => {
      ended.push(spark.id)
    }
  })
  const { port } = server.address() as AddressInfo
  return { primus, local, url: `http://127.0.0.1:${port}`, port, ended }
}

/** The spark of a client that is not Primus's own, which has just connected. */
async function newest({ primus }: Started, known = 0): Promise<SparkUnderTest & Deep> {
  await eventually(() => primus.connected > known, { what: 'a new spark' })
  return Object.values(primus.connections).at(-1) as SparkUnderTest & Deep
}

interface Raw {
  readonly spark: SparkUnderTest & Deep
  /** What came, text as such and binary as Buffer. */
  readonly received: unknown[]
  readonly socket: WebSocket
}

/** A WebSocket alone, to see what arrives. */
async function openRaw(started: Started, path = '/primus', options = { perMessageDeflate: false }): Promise<Raw> {
  const socket = new WebSocket(`ws://127.0.0.1:${started.port}${path}`, options)
  using(() => {
    socket.terminate()
  })
  socket.on('error', () => undefined)
  const received: unknown[] = []
  socket.on('message', (data: Buffer, isBinary) => received.push(isBinary ? data : data.toString()))
  const known = started.primus.connected
  await once(socket, 'open')
  return { spark: await newest(started, known), received, socket }
}

/** What leaves a spark's socket, one entry for each write of ours. */
function watched(spark: unknown): { writes: number } {
  const { socket } = rawSocketOf(spark as Deep)
  if (socket === undefined) throw new Error('no socket was found')
  const seen = { writes: 0 }
  const handle = (socket as unknown as { _handle: Record<string, (...args: unknown[]) => unknown> })._handle
  for (const name of ['writeBuffer', 'writev', 'writeUtf8String', 'writeLatin1String', 'writeAsciiString']) {
    const original = handle[name]
    if (typeof original !== 'function') continue
    handle[name] = (...args: unknown[]) => {
      seen.writes++
      return original.apply(handle, args)
    }
  }
  return seen
}

const KINDS = [
  { name: 'websockets', options: {}, framed: true },
  { name: 'sockjs', options: { transformer: 'sockjs' }, framed: true },
  { name: 'websockets, compressed', options: { compression: true }, framed: false }
]

describe('writing to sparks of this process', () => {
  for (const { name, options, framed } of KINDS) {
    describe(`below ${name}`, () => {
      const transformer = 'transformer' in options ? options.transformer : 'websockets'

      it('brings any JSON value, in the order of the calls, also as against `spark.write`', async () => {
        const { primus, local, url } = await start(options)
        const client = await openClient(url, { transformer })
        const spark = primus.spark(client.id)
        const values = [
          0,
          '',
          false,
          null,
          { a: ['\u2028', '\u2029', '\ud83d\ude00', '\u0000', '\uffff', '"\\'] },
          'x'.repeat(70_000),
          'y'.repeat(300)
        ]
        values.forEach((value, i) => {
          if (i % 2 === 0) local.some([client.id], Message.of(value, false))
          else spark?.write(value)
        })
        local.all(Message.of('last', false))
        assume(await client.count(values.length + 1)).eql([...values, 'last'])
      })

      it(framed ? 'has a prepared frame written' : 'has no prepared frame written', async () => {
        const { primus, url } = await start(options)
        const client = await openClient(url, { transformer })
        const spark = primus.spark(client.id) as unknown as Deep
        assume(rawSocketOf(spark).write(new ClientPacket('"x"'))).equals(framed)
        if (framed) assume(await client.next()).equals('x')
      })

      if (framed) {
        it('writes once for several messages that come together', async () => {
          const { primus, local, url } = await start(options)
          const client = await openClient(url, { transformer })
          const seen = watched(primus.spark(client.id))
          local.together(() => {
            for (const i of [1, 2, 3]) local.some([client.id], Message.of(i, false))
          })
          assume(seen.writes).equals(1)
          assume(await client.count(3)).eql([1, 2, 3])
        })

        it('writes the first message of a turn at once, and all later ones with one write when it ends', async () => {
          const { primus, local, url } = await start(options)
          const client = await openClient(url, { transformer })
          const spark = primus.spark(client.id)
          const seen = watched(spark)
          for (const i of [1, 2]) {
            local.some([client.id], Message.of(i, false))
            assume(seen.writes).equals(1)
          }
          spark?.write(3)
          local.all(Message.of(4, false))
          assume(await client.count(4)).eql([1, 2, 3, 4])
          assume(seen.writes).equals(2)
          // Where several came, several are expected.
          for (const i of [5, 6]) local.all(Message.of(i, false))
          assume(seen.writes).equals(2)
          assume(await client.count(6)).eql([1, 2, 3, 4, 5, 6])
          assume(seen.writes).equals(3)
        })

        it('uses `spark.write` when another listener watches outgoing data', async () => {
          const { primus, local, url } = await start(options)
          const client = await openClient(url, { transformer })
          const heard: unknown[] = []
          const spark = primus.spark(client.id) as unknown as { on(event: string, fn: (data: unknown) => void): void }
          spark.on('outgoing::data', data => heard.push(data))
          local.some([client.id], Message.of('x', false))
          assume(await client.next()).equals('x')
          assume(heard).eql(['"x"'])
        })
      }

      it('goes through the transformers of the application', async () => {
        const { primus, local, url } = await start(options)
        primus.transform('outgoing', function shout(packet) {
          packet.data = String(packet.data).toUpperCase()
        })
        const client = await openClient(url, { transformer })
        local.all(Message.of('x', false))
        assume(await client.next()).equals('X')
      })
    })
  }

  it("calls a `write` that the application has put in the place of Primus's", async () => {
    const { primus, local, url } = await start()
    const client = await openClient(url)
    const written: unknown[] = []
    Object.defineProperty(primus.spark(client.id), 'write', { value: (data: unknown) => written.push(data) > 0 })
    assume(local.some([client.id], Message.of('x', false)).send).equals(1)
    assume(written).eql(['x'])
  })

  it('reports missing sparks, and writes to none that has closed', async () => {
    const { primus, local, url } = await start()
    const client = await openClient(url, { options: { strategy: false } })
    assume(local.some(['unknown', client.id], Message.of('x', false))).eql({ send: 1, missing: ['unknown'] })
    const spark = primus.spark(client.id)
    spark?.end()
    assume(local.some([client.id], Message.of('y', false))).eql({ send: 0, missing: [client.id] })
    assume(local.all(Message.of('y', false)).send).equals(0)
  })

  it('leaves out the given sparks', async () => {
    const { local, url } = await start()
    const [one, two] = [await openClient(url), await openClient(url)]
    assume(local.all(Message.of('x', false), new Set([one.id]))).eql({ send: 1, missing: [] })
    assume(await two.next()).equals('x')
    assume(one.messages).eql([])
  })

  it('finds sparks whose ids are numbers, and leaves them out', async () => {
    let id = 40
    const { local, url } = await start({ idGenerator: () => ++id })
    const client = await openClient(url)
    assume(local.some(['41'], Message.of('x', false))).eql({ send: 1, missing: [] })
    assume(local.all(Message.of('y', false), new Set(['41'])).send).equals(0)
    assume(await client.next()).equals('x')
  })

  it('does not write to sparks that another server holds by now', async () => {
    const { local, url } = await start({}, 0, () => false)
    const client = await openClient(url)
    assume(local.some([client.id], Message.of('x', false))).eql({ send: 0, missing: [client.id] })
  })

  it('writes the very same bytes to all sparks', async () => {
    const started = await start()
    const raws = [await openRaw(started), await openRaw(started)]
    const given = raws.map(({ spark }) => written(spark))
    started.local.all(Message.of({ a: 1 }, false))
    assume(given.map(chunks => chunks.length)).eql([1, 1])
    assume(given[0]?.[0]).equals(given[1]?.[0])
    await eventually(() => raws.every(({ received }) => received.length === 1))
    assume(raws.map(({ received }) => received)).eql([['{"a":1}'], ['{"a":1}']])
  })

  describe('with another parser', () => {
    /**
     * Parsers of Primus's own that carry binary have to be installed; to `Local` they differ from this one by name
     * alone.
     */
    async function startAs(name: string, encode: Encode): Promise<Started & { calls: () => number }> {
      let calls = 0
      const encoder: Encode = (data, fn) => {
        calls++
        encode(data, fn)
      }
      const started = await start({ parser: { encoder, decoder: encoder } })
      const disguised = Object.create(started.primus, { options: { value: { parser: name } } }) as LocalPrimus
      const local = new LocalDelivery(disguised, id => started.primus.spark(id), {
        maxBuffered: 0,
        ended: () => undefined
      })
      return { ...started, local, calls: () => calls }
    }

    for (const [what, encode] of Object.entries<Encode>({
      binary: (data, fn) => {
        fn(undefined, Buffer.from(`bytes of ${JSON.stringify(data)}`))
      },
      'long binary': (data, fn) => {
        fn(undefined, Buffer.from(JSON.stringify(data).repeat(20_000)))
      },
      text: (data, fn) => {
        fn(undefined, `text of ${JSON.stringify(data)}, \u2028\u2029`)
      }
    })) {
      it(`encodes once, and brings ${what} as \`spark.write\` does`, async () => {
        const started = await startAs('MsgPack', encode)
        const raws = [await openRaw(started), await openRaw(started)]
        started.local.all(Message.of({ a: 1, b: Buffer.from('x') }, true))
        assume(started.calls()).equals(1)
        for (const { spark } of raws) spark.write({ a: 1, b: Buffer.from('x') })
        await eventually(() => raws.every(({ received }) => received.length === 2))
        for (const {
          received: [ours, primus]
        } of raws)
          assume(ours).eql(primus)
      })
    }

    it('reports a message that cannot be encoded as Primus does', async () => {
      const started = await startAs('binary', (_data, fn) => {
        fn(new Error('no such thing'))
      })
      const { spark } = await openRaw(started)
      const errors: string[] = []
      ;(spark as unknown as { on(event: string, fn: (error: Error) => void): void }).on('error', error =>
        errors.push(error.message)
      )
      spark.write('x')
      assume(started.local.all(Message.of('x', true)).send).equals(1)
      assume(errors.length).equals(2)
      assume(errors[0]).equals(errors[1])
      spark.end()
    })

    it('writes nothing where it makes nothing of a message', async () => {
      const started = await startAs('binary', (data, fn) => {
        fn(undefined, data === 'x' ? '' : 'y')
      })
      const { received } = await openRaw(started)
      for (const value of ['x', 'y']) started.local.all(Message.of(value, true))
      await eventually(() => received.length > 0)
      assume(received).eql(['y'])
    })

    it("has one of the application's own encode for every spark", async () => {
      const calls: unknown[] = []
      const encoder = function (
        this: { id: string },
        _data: unknown,
        fn: (error: unknown, packet?: unknown) => void
      ): void {
        calls.push(this.id)
        setImmediate(() => {
          fn(undefined, `for ${this.id}`)
        })
      }
      const started = await start({ parser: { encoder, decoder: encoder } })
      const raws = [await openRaw(started), await openRaw(started)]
      started.local.all(Message.of('x', true))
      assume(calls).eql(raws.map(({ spark }) => spark.id))
      await eventually(() => raws.every(({ received }) => received.length === 1))
      assume(raws.map(({ received }) => received)).eql(raws.map(({ spark }) => [`for ${spark.id}`]))
    })
  })

  for (const [what, replace] of Object.entries<
    (primus: WrittenPrimus, spark: SparkUnderTest, seen: () => void) => void
  >({
    'an encoder': (primus, _spark, seen) => {
      const { encoder } = primus
      primus.encoder = function (...args) {
        seen()
        encoder.apply(this, args)
      }
    },
    'a `write` of all its sparks': (primus, _spark, seen) => {
      wrap((primus.Spark as unknown as { prototype: object }).prototype, 'write', seen)
    },
    'a `_write`': (_primus, spark, seen) => {
      wrap(spark, '_write', seen)
    },
    'an `emit`': (_primus, spark, seen) => {
      wrap(spark, 'emit', seen)
    }
  })) {
    it(`bypasses nothing with which the application replaced Primus's own: ${what}`, async () => {
      const { primus, local, url } = await start()
      const client = await openClient(url)
      const spark = primus.spark(client.id)
      if (spark === undefined) throw new Error('no spark')
      let calls = 0
      replace(primus, spark, () => {
        calls++
      })
      local.all(Message.of('x', false))
      assume(calls > 0).true()
      assume(await client.next()).equals('x')
    })
  }

  it("leaves the application's value unchanged by transformers", async () => {
    const { primus, local, url } = await start()
    primus.transform('outgoing', function spoil(packet) {
      ;(packet.data as { list: number[] }).list.push(2)
    })
    const client = await openClient(url)
    const value = { list: [1] }
    const message = Message.of(value, false)
    local.all(message)
    assume(await client.next()).eql({ list: [1, 2] })
    assume(value).eql({ list: [1] })
    assume(message.text).equals('{"list":[1]}')
  })

  it('waits behind what a WebSocket still prepares', async () => {
    const started = await start()
    const { spark, received } = await openRaw(started)
    const below = spark.socket as WebSocket
    below.send(new Blob(['slow']))
    started.local.all(Message.of(1, false))
    spark.write(2)
    started.local.all(Message.of(3, false))
    await eventually(() => received.length === 4)
    assume(received.map(String)).eql(['slow', '1', '2', '3'])
  })

  for (const { name, options, path } of [
    { name: 'websockets', options: {}, path: '/primus' },
    { name: 'sockjs', options: { transformer: 'sockjs' }, path: '/primus/000/abc/websocket' }
  ]) {
    it(`keeps the order below ${name} while a socket takes nothing, and when messages come together`, async () => {
      const started = await start(options)
      const raw = await openRaw(started, path)
      raw.received.length = 0
      raw.socket.pause()
      const { local } = started
      let n = 0
      const long = 'x'.repeat(50_000)
      const one = (): void => {
        if (n % 3 === 0) raw.spark.write([n++, long])
        else local.all(Message.of([n++, long], false))
      }
      while (n < 200)
        local.together(() => {
          for (let i = 0; i < 7; i++) one()
        })
      assume((rawSocketOf(raw.spark).buffered ?? 0) > 0).true()
      raw.socket.resume()
      await eventually(() => raw.received.length >= n)
      const numbers = raw.received.map(text => Number(/\[(\d+),/.exec(String(text))?.[1]))
      assume(numbers).eql(Array.from({ length: n }, (_, i) => i))
    })
  }

  it('lets go of every socket when something is thrown while messages come together', async () => {
    const { local, url } = await start()
    const client = await openClient(url)
    let thrown: unknown
    try {
      local.together(() => {
        local.some([client.id], Message.of('x', false))
        throw new Error('no')
      })
    } catch (error) {
      thrown = error
    }
    assume((thrown as Error).message).equals('no')
    local.some([client.id], Message.of('y', false))
    assume(await client.count(2)).eql(['x', 'y'])
  })

  it('brings a message to all others when something is thrown for one', async () => {
    const { primus, local, url } = await start()
    const [one, two, three] = [await openClient(url), await openClient(url), await openClient(url)]
    primus.transform('outgoing', function refuse(this: unknown, packet) {
      // With two parameters it would be asynchronous, and with none as well.
      if ((this as SparkUnderTest).id === one.id) throw new Error(`not this one: ${String(packet.data)}`)
    })
    for (const write of [
      () => local.all(Message.of('x', false)),
      () => local.some([one.id, two.id, three.id], Message.of('y', false))
    ]) {
      let thrown: unknown
      try {
        write()
      } catch (error) {
        thrown = error
      }
      assume((thrown as Error).message).startsWith('not this one')
    }
    for (const client of [two, three]) assume(await client.count(2)).eql(['x', 'y'])
    assume(one.messages).eql([])
  })

  it('ends clients that do not read, and serves all others, when a listener of that end throws', async () => {
    const started = await start({}, 1000)
    const { primus, local, ended } = started
    const slow = [await openRaw(started), await openRaw(started)]
    const well = await openRaw(started)
    for (const { socket } of slow) socket.pause()
    let ending = true
    ;(primus as unknown as { on(event: string, fn: () => void): void }).on('disconnection', () => {
      if (ending) throw new Error('the application')
    })
    let thrown: unknown
    try {
      local.together(() => {
        local.some(
          slow.map(({ spark }) => spark.id),
          Message.of(noise(8_000_000), false)
        )
        local.all(Message.of('x', false))
      })
    } catch (error) {
      thrown = error
    }
    assume((thrown as Error).message).equals('the application')
    assume(ended).eql(slow.map(({ spark }) => spark.id))
    await eventually(() => well.received.length === 1)
    for (const { spark } of slow) assume(rawSocketOf(spark).socket?.destroyed ?? true).true()
    ending = false
  })

  it('outlasts a client that is ended while messages come together', async () => {
    const { primus, local, url } = await start()
    const [one, two] = [await openClient(url, { options: { strategy: false } }), await openClient(url)]
    local.together(() => {
      local.all(Message.of('x', false))
      primus.spark(one.id)?.end()
      assume(local.all(Message.of('y', false)).send).equals(1)
    })
    assume(await two.count(2)).eql(['x', 'y'])
    assume(await one.count(1)).eql(['x'])
  })

  it('reaches SockJS clients that have no WebSocket', async () => {
    const started = await start({ transformer: 'sockjs', transport: { disconnect_delay: 500 } })
    const streaming = await streamed(started, '/primus/000/streaming/xhr_streaming')
    const polling = await streamed(started, '/primus/000/polling/xhr')
    started.local.together(() => {
      for (const i of [1, 2]) started.local.all(Message.of(`m${i}`, false))
    })
    await eventually(() => streaming.text().endsWith('a["\\"m1\\""]\na["\\"m2\\""]\n'))
    assume(polling.text()).equals('o\n')
    const polled = await streamed(started, '/primus/000/polling/xhr', false)
    await eventually(() => polled.text() === 'a["\\"m1\\"","\\"m2\\""]\n')
    streaming.close()
    await eventually(() => started.primus.connected === 0, { what: 'the end of both sessions' })
  })

  for (const { name, options, head } of [
    { name: 'websockets', options: {}, head: upgradeOf('/primus') },
    {
      name: 'compressed websockets',
      options: { compression: true },
      head: upgradeOf('/primus', 'sec-websocket-extensions: permessage-deflate\r\n')
    },
    { name: 'sockjs', options: { transformer: 'sockjs' }, head: upgradeOf('/primus/000/slow/websocket') }
  ]) {
    it(`ends a client below ${name} that does not read, and buffers no more than allowed`, async () => {
      const most = 1_000_000
      const started = await start(options, most)
      const { primus, local, url, port, ended } = started
      const well = await openClient(url, { transformer: 'transformer' in options ? options.transformer : 'websockets' })
      const slow: Socket = connect(port, '127.0.0.1')
      using(() => {
        slow.destroy()
      })
      slow.on('error', () => undefined)
      slow.write(head)
      const spark = await newest(started, 1)
      const { socket } = rawSocketOf(spark)
      const message = Message.of(noise(100_000), false)
      let [count, worst] = [0, 0]
      while (ended.length === 0 && count < 1000) {
        local.all(message)
        count++
        // It is written to only as fast as the other one reads: who is quick is never ended.
        await well.count(count)
        worst = Math.max(worst, socket?.destroyed === true ? 0 : (socket?.writableLength ?? 0))
      }
      assume(ended).eql([spark.id])
      assume(worst <= most).true()
      assume(socket?.destroyed).true()
      assume(primus.connected).equals(1)
      local.all(Message.of('after', false))
      assume((await well.count(count + 1)).at(-1)).equals('after')
    })
  }

  for (const kind of ['xhr', 'xhr_streaming']) {
    it(`ends a SockJS client that has one ${kind} request and no other while more waits than allowed`, async () => {
      const started = await start(
        { transformer: 'sockjs', transport: { disconnect_delay: 1500, response_limit: 1000 } },
        100_000
      )
      await streamed(started, `/primus/000/slow/${kind}`)
      const spark = await newest(started)
      const closed = once(spark.socket as EventEmitter, 'close')
      const message = Message.of(noise(10_000), false)
      let count = 0
      while (started.ended.length === 0 && count < 1000) {
        started.local.all(message)
        count++
      }
      assume(started.ended).eql([spark.id])
      assume(count >= 10 && count <= 12).true()
      await closed
    })
  }

  it('ends no client without a limit', async () => {
    const started = await start({}, 0)
    const { spark, socket, received } = await openRaw(started)
    socket.pause()
    const message = Message.of(noise(1_000_000), false)
    for (let i = 0; i < 20; i++) started.local.all(message)
    assume(spark.readyState === started.primus.Spark.CLOSED).false()
    socket.resume()
    await eventually(() => received.length === 20)
  })

  it('ends a client after several messages that come together, and not for each of them', async () => {
    const started = await start({}, 1000)
    const { spark, socket } = await openRaw(started)
    socket.pause()
    const message = Message.of(noise(8_000_000), false)
    started.local.together(() => {
      for (let i = 0; i < 3; i++) assume(started.local.all(message).send).equals(1)
    })
    assume(started.ended).eql([spark.id])
  })
})

/** A request to upgrade, by hand. */
function upgradeOf(path: string, more = ''): string {
  return (
    `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
  )
}

/** Text that cannot be compressed much. */
function noise(length: number): string {
  return randomBytes(length).toString('base64').slice(0, length)
}

/** Call `seen` before what is called by this name. */
function wrap(object: object, name: string, seen: (...args: unknown[]) => void): void {
  const original = Reflect.get(object, name) as (...args: unknown[]) => unknown
  const value = function (this: unknown, ...args: unknown[]): unknown {
    seen(...args)
    return original.apply(this, args)
  }
  Object.defineProperty(object, name, { value, configurable: true })
}

/** What a spark's socket is given to write. */
function written(spark: Deep): unknown[] {
  const { socket } = rawSocketOf(spark)
  if (socket === undefined) throw new Error('no socket was found')
  const chunks: unknown[] = []
  wrap(socket, 'write', chunk => {
    chunks.push(chunk)
  })
  return chunks
}

/** The answer to a request of SockJS, as far as it has come. */
async function streamed(
  started: Started,
  path: string,
  opens = true
): Promise<{ text: () => string; close: () => void }> {
  const known = started.primus.connected
  const asking = request({ port: started.port, path, method: 'POST', agent: false })
  using(() => {
    asking.destroy()
  })
  asking.on('error', () => undefined)
  asking.end()
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  let text = ''
  answer
    .setEncoding('utf8')
    .on('data', (part: string) => {
      text += part
    })
    .on('error', () => undefined)
  if (opens) {
    await newest(started, known)
    await eventually(() => text.includes('o\n'))
  }
  return {
    text: () => text,
    close: () => {
      asking.destroy()
    }
  }
}
