import { createServer, request, type Server } from 'node:http'
import { once as happens } from 'node:events'
import { inspect } from 'node:util'
import { createServer as createTcp, type AddressInfo, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import type { Forward, Result } from '../index'
import { UNAUTHORIZED } from '../lib/transport/omega/sender'
import { assume } from './support/assume'
import { openClient, type Client } from './support/client'
import { using } from './support/dispose'
import { createPrimus } from './support/primus'
import { loadPlugin } from './support/primus-types'
import { startProxy } from './support/proxy'
import { sharedRedis } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { rejection } from './support/rejection'
import { startServer, type ServerProcess } from './support/server'
import { eventually, once } from './support/wait'

describe('forwarding', () => {
  const shared = sharedRedis()

  /** A server in this process. */
  const here = (primus: Record<string, unknown> = {}, omega: 'before' | 'after' = 'after'): Promise<Registered> =>
    createRegistered({ redis: { url: shared.redis.url, namespace: shared.space }, primus, omega })

  /** A server in a process of its own. */
  const there = (primus: Record<string, unknown> = {}): Promise<ServerProcess> =>
    startServer({ redis: { url: shared.redis.url, namespace: shared.space }, primus, omega: true })

  /** A peer that is registered and behaves as it likes; its sparks are `there-0` and so on. */
  const stub = async (server: Server | ReturnType<typeof createTcp>, sparks: number): Promise<string> => {
    server.listen(0, '127.0.0.1')
    await happens(server, 'listening')
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = shared.redis.client()
    await client.sadd(`${shared.space}:servers`, address)
    await client.set(`${shared.space}:${address}`, Date.now(), 'PX', 60_000)
    for (let i = 0; i < sparks; i++) {
      await client.hset(`${shared.space}:sparks`, `there-${i}`, address)
      await client.sadd(`${shared.space}:${address}:sparks`, `there-${i}`)
    }
    return address
  }

  /** A server of any kind, closed at the end with all its connections. */
  const tcp = (talk: (socket: Socket) => void): ReturnType<typeof createTcp> => {
    const sockets = new Set<Socket>()
    const server = createTcp(socket => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      talk(socket)
    })
    using(
      () =>
        new Promise(resolve => {
          server.close(resolve)
          for (const socket of sockets) socket.destroy()
        })
    )
    return server
  }

  /** Asks our wire as a sender in any language would. */
  const put = (
    url: string,
    body: string | null,
    options: { method?: string; headers?: Record<string, string> } = {}
  ): Promise<{ status: number; body: Record<string, unknown> }> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Basic ${Buffer.from('omega:supreme').toString('base64')}`, ...options.headers }
      const asked = request(
        `${url}/primus/omega/supreme`,
        { method: options.method ?? 'PUT', headers, agent: false },
        res => {
          let text = ''
          res.on('data', chunk => {
            text += String(chunk)
          })
          res.on('end', () =>
            resolve({ status: res.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> })
          )
        }
      )
      asked.on('error', reject)
      if (body !== null) asked.end(body)
      else asked.flushHeaders()
    })

  for (const omega of ['before', 'after'] as const) {
    it(`is there when omega-supreme is loaded ${omega} metroplex`, async () => {
      const a = await here({}, omega)
      const client = await openClient(a.url)
      assume(await a.forward.broadcast('hi')).eql({ ok: true, send: 1, local: true })
      assume(await client.next()).equals('hi')
    })
  }

  it('is there without omega-supreme', async () => {
    const { primus, url } = await createPrimus({ redis: { url: shared.redis.url, namespace: shared.space } })
    const client = await openClient(url)
    assume(await (primus as unknown as { forward: Forward }).forward.broadcast('hi')).eql({
      ok: true,
      send: 1,
      local: true
    })
    assume(await client.next()).equals('hi')
  })

  it('lets an application put its own function in the place of ours', async () => {
    const a = await here()
    const own = (): string => 'own'
    ;(a.primus as unknown as { forward: unknown }).forward = own
    assume((a.primus as unknown as { forward: unknown }).forward).equals(own)
  })

  for (const [how, primus] of Object.entries({
    'by HTTP': {},
    'through Redis': { metroplex: { transport: 'redis' } }
  }))
    describe(`between two servers, ${how}`, () => {
      let a: Registered
      let b: ServerProcess
      let near: Client
      let far: Client

      beforeEach(async () => {
        a = await here(primus)
        b = await there(primus)
        near = await openClient(a.url)
        far = await openClient(b.url)
        await eventually(async () => (await a.metroplex.spark(far.id)) === b.address)
      })

      afterEach(() => {
        assume(b.crashes).eql([])
      })

      it('finds a spark wherever it is', async () => {
        assume(await a.metroplex.spark(near.id)).equals(a.metroplex.address)
        assume(await a.metroplex.sparks([far.id, 'unknown', near.id])).eql([b.address, null, a.metroplex.address])
        assume(await b.call('metroplex.sparks', [far.id, 'unknown', near.id])).eql([
          b.address,
          null,
          a.metroplex.address
        ])
        assume(await a.metroplex.count()).equals(2)
      })

      it('reaches one spark, here and there', async () => {
        assume(await a.forward.spark(near.id, 'to you')).eql({ ok: true, send: 1, local: true })
        assume(await a.forward.spark(far.id, 'to you')).eql({ ok: true, send: 1 })
        assume(await near.next()).equals('to you')
        assume(await far.next()).equals('to you')
      })

      it('reaches many, each once, and names missing ones', async () => {
        const result = await a.forward.sparks([far.id, near.id, far.id, 'unknown'], { many: true })
        assume(result).eql({ ok: true, send: 2, missing: ['unknown'] })
        assume(await far.next()).eql({ many: true })
        assume(await near.next()).eql({ many: true })
        await a.forward.broadcast('end')
        assume(await far.next()).equals('end')
      })

      it('reaches all', async () => {
        assume(await a.forward.broadcast('all')).eql({ ok: true, send: 2 })
        assume(await b.call('forward.broadcast', 'back')).eql({ ok: true, send: 2 })
        assume(await near.count(2)).eql(['all', 'back'])
        assume(await far.count(2)).eql(['all', 'back'])
      })

      it('reaches all but some', async () => {
        assume(await a.forward.except([far.id], 'not you')).eql({ ok: true, send: 1 })
        assume(await a.forward.except([near.id, 'unknown'], 'nor you')).eql({ ok: true, send: 1 })
        await a.forward.broadcast('end')
        assume(await near.count(2)).eql(['not you', 'end'])
        assume(await far.count(2)).eql(['nor you', 'end'])
      })

      it('delivers any JSON value as it is', async () => {
        const values = [0, '', false, null, [], {}, { deep: [1, { er: 'ünï🚀' }] }, 'line\nline\u2028']
        for (const value of values) assume(await a.forward.spark(far.id, value)).eql({ ok: true, send: 1 })
        assume(await far.count(values.length)).eql(values)
      })

      it('reaches all others when the application throws at a local spark', async () => {
        const { primus } = a as unknown as { primus: { transform(event: string, fn: (packet: object) => void): void } }
        primus.transform('outgoing', function throwing() {
          throw new Error('on purpose')
        })
        const { send, failed } = await a.forward.broadcast('x')
        assume(send).equals(1)
        assume(failed?.map(({ address, code }) => [address, code])).eql([[a.metroplex.address, 'EREMOTE']])
        assume(await far.next()).equals('x')
      })

      it('keeps the order of messages to a spark', async () => {
        const sent = Array.from({ length: 300 }, (_, i) => i)
        await Promise.all(sent.map(i => a.forward.spark(far.id, i)))
        assume(await far.count(300)).eql(sent)
      })

      it('reaches the servers that are named, and local sparks first', async () => {
        assume(await a.forward(b.address, 'one')).eql({ ok: true, send: 2 })
        assume(await a.forward([b.address, a.metroplex.address], 'two')).eql({ ok: true, send: 2 })
        assume(await a.forward([], 'three')).eql({ ok: true, send: 1, local: true })
        assume(await a.forward([b.address], 'four', far.id)).eql({ ok: true, send: 1 })
        assume(await a.forward([b.address], 'five', [near.id])).eql({ ok: true, send: 1, local: true })
        assume(await near.count(4)).eql(['one', 'two', 'three', 'five'])
        assume(await far.count(3)).eql(['one', 'two', 'four'])
      })

      it('names as missing the sparks that no named server holds', async () => {
        assume(await a.forward([b.address], 'x', ['unknown', far.id])).eql({ ok: false, send: 1, missing: ['unknown'] })
      })

      it('chains with a callback, which gets error and result', done => {
        const { forward } = a
        assume(
          forward.spark('unknown', 'x', (error, result) => {
            assume(error?.message).equals('No servers provided')
            assume((error as Error & { code: string }).code).equals('ENOSPARK')
            assume(result).eql({ ok: false, send: 0, local: false, missing: ['unknown'] })
            assume(
              forward([], 'x', 'unknown', (missed, answer) => {
                assume(missed?.message).equals('No servers provided')
                assume(answer?.ok).equals(false)
                done()
              })
            ).equals(a.primus)
          })
        ).equals(forward)
      })

      it('looks a spark up once more that is not where the registry said', async () => {
        // The registry believes that the spark is on b, which does not have it; a moment later it is right.
        await shared.redis.client().hset(`${shared.space}:sparks`, 'ghost', b.address)
        assume(await a.forward.spark('ghost', 'x')).eql({ ok: false, send: 0, missing: ['ghost'] })
        assume(await a.forward.sparks(['ghost', far.id], 'y')).eql({ ok: true, send: 1, missing: ['ghost'] })
      })

      it('writes to no spark that the registry gives to another server by now', async () => {
        const quick = await here({ ...primus, interval: 600, latency: 100 })
        const client = await openClient(quick.url)
        await eventually(async () => (await b.call('metroplex.spark', client.id)) === quick.metroplex.address)
        await b.run((primus, id) => {
          primus.metroplex.connect({ id, write: () => true, end: () => null })
        }, client.id)
        await eventually(async () => (await quick.metroplex.spark(client.id)) === b.address)
        assume(await quick.forward.spark(client.id, 'x')).eql({ ok: false, send: 0, missing: [client.id] })
        assume(client.messages).eql([])
      })
    })

  describe('with wrong arguments', () => {
    let a: Registered
    let client: Client

    beforeEach(async () => {
      a = await here()
      client = await openClient(a.url)
    })

    afterEach(async () => {
      // Nothing of it may have reached any client.
      await a.forward.broadcast('end')
      assume(await client.next()).equals('end')
    })

    for (const id of ['', undefined, null, {}, [], true, () => 1] as unknown[]) {
      it(`refuses ${inspect(id)} as the id of a spark, rather than sending to all`, async () => {
        const error = await rejection(a.forward.spark(id as string, 'private'))
        assume(error).is.instanceOf(TypeError)
        assume(error.message).includes('must be a string that is not empty')
        assume(await rejection(a.forward.sparks([id as string], 'private'))).is.instanceOf(TypeError)
        assume(await rejection(a.metroplex.spark(id as string))).is.instanceOf(TypeError)
      })
    }

    it('takes a number as its text', async () => {
      assume(await a.forward.spark(42 as unknown as string, 'x')).eql({ ok: false, send: 0, missing: ['42'] })
    })

    it('refuses a string where ids are wanted', async () => {
      assume((await rejection(a.forward.sparks('id' as unknown as string[], 'x'))).message).includes("given: 'id'")
      assume((await rejection(a.metroplex.sparks('id' as unknown as string[]))).message).includes('array')
      assume((await rejection(a.forward.except('id' as unknown as string[], 'x'))).message).includes('array')
    })

    it('refuses an empty exception, rather than sending to all', async () => {
      for (const ids of [undefined, null, [undefined]] as unknown[]) {
        assume(await rejection(a.forward.except(ids as string[], 'private'))).is.instanceOf(TypeError)
      }
    })

    it('asks nothing for no ids', async () => {
      assume(await a.metroplex.sparks([])).eql([])
      assume(await a.forward.sparks([], 'x')).eql({ ok: true, send: 0, local: true })
    })

    const circle: { self?: unknown } = {}
    circle.self = circle
    for (const [what, msg] of [
      ['nothing', undefined],
      ['a function', () => 1],
      ['a symbol', Symbol('s')],
      ['a circle', circle],
      ['a BigInt', { n: 1n }],
      ['what is for Primus alone', 'primus::server::close'],
      ['bytes', Buffer.from('x')],
      ['a buffer', new ArrayBuffer(1)]
    ] as [string, unknown][]) {
      it(`refuses to send ${what}`, async () => {
        for (const sent of [a.forward.broadcast(msg), a.forward.spark(client.id, msg), a.forward([], msg)]) {
          assume((await rejection(sent)).code).equals('EMESSAGE')
        }
      })
    }

    for (const server of [42, {}, 'nonsense', '10.0.0.5:80']) {
      it(`refuses ${JSON.stringify(server)} as a server`, async () => {
        assume((await rejection(a.forward(server as string, 'x'))).message).includes('must be an address')
      })
    }

    it('calls back with the error, and still returns for chaining', done => {
      assume(
        a.forward.spark('', 'x', (error, result) => {
          assume(error).is.instanceOf(TypeError)
          assume(result).equals(undefined)
          done()
        })
      ).equals(a.forward)
    })
  })

  for (const password of [undefined, '', null, 42]) {
    it(`refuses ${inspect(password)} as the password, rather than taking the published one`, async () => {
      const { primus } = await createPrimus({
        redis: { url: shared.redis.url, namespace: shared.space },
        primus: { password }
      })
      assume(() => primus.plugin('omega-supreme', loadPlugin('omega-supreme'))).throws(
        /`password` must be a string that is not empty/
      )
    })
  }

  describe('with a peer that', () => {
    const failed = (result: Result): { code: string; maybe: boolean; address: string }[] =>
      (result.failed ?? []).map(({ code, maybe, address }) => ({ code, maybe, address }))

    it('is dead: it is named, and no other is delayed', async () => {
      const a = await here()
      const b = await there()
      const far = await openClient(b.url)
      await eventually(async () => (await a.metroplex.spark(far.id)) === b.address)
      const closed = createTcp()
      const address = await stub(closed, 1)
      await new Promise(resolve => closed.close(resolve))
      const result = await a.forward.broadcast('x')
      assume(result.ok).equals(false)
      assume(result.send).equals(1)
      assume(failed(result)).eql([{ code: 'EUNREACHABLE', maybe: false, address }])
      assume(await far.next()).equals('x')
      const some = await a.forward.sparks(['there-0', far.id], 'y')
      assume(some.send).equals(1)
      assume(some.failed?.[0]?.sparks).eql(['there-0'])
      assume(some.ok).equals(false)
    })

    it('accepts and never answers: the message fails at the deadline, and may have arrived', async () => {
      const a = await here({ metroplex: { timeout: 300 } })
      const address = await stub(
        tcp(() => undefined),
        1
      )
      const began = performance.now()
      assume(failed(await a.forward.broadcast('x'))).eql([{ code: 'EDEADLINE', maybe: true, address }])
      // That of a forward is 5 s by default.
      assume(performance.now() - began).within(290, 4500)
      // What waits behind it never left.
      const [first, second] = await Promise.all([a.forward.spark('there-0', 1), a.forward.spark('there-0', 2)])
      assume(failed(first)).eql([{ code: 'EDEADLINE', maybe: true, address }])
      assume(failed(second)).eql([{ code: 'EDEADLINE', maybe: false, address }])
    })

    it('is slow, like the registry: lookup, sending and the retry share one deadline', async () => {
      const proxy = await startProxy({ port: shared.redis.port })
      const client = new Redis(proxy.port)
      using(() => client.disconnect())
      const a = await here({ metroplex: { timeout: 3000 }, redis: client })
      await stub(
        tcp(() => undefined),
        1
      )
      await eventually(async () => (await a.metroplex.servers()).length === 1)
      proxy.delay(750)
      const began = performance.now()
      assume(failed(await a.forward.spark('there-0', 'x'))[0]?.code).equals('EDEADLINE')
      assume(performance.now() - began).within(2990, 5000)
      proxy.delay(0)
    })

    it('hangs up half-way: the message may have arrived', async () => {
      const a = await here()
      const address = await stub(
        tcp(socket => socket.once('data', () => socket.destroy())),
        1
      )
      assume(failed(await a.forward.broadcast('x'))).eql([{ code: 'EUNREACHABLE', maybe: true, address }])
    })

    it('has not loaded omega-supreme: reaches it all the same', async () => {
      const a = await here()
      const b = await startServer({ redis: { url: shared.redis.url, namespace: shared.space } })
      const client = await openClient(b.url)
      assume(await a.forward.broadcast('x')).eql({ ok: true, send: 1 })
      assume(await client.next()).equals('x')
    })

    it('answers nonsense, or without end', async () => {
      const a = await here()
      const nonsense = createServer((req, res) => {
        req.resume().on('end', () => res.end('<html>'))
      })
      const endless = createServer((_req, res) => {
        res.end('x'.repeat(3_000_000))
      })
      for (const server of [nonsense, endless])
        using(
          () =>
            new Promise(resolve => {
              server.close(resolve)
              server.closeAllConnections()
            })
        )
      const [one, two] = [await stub(nonsense, 0), await stub(endless, 0)]
      const codes = new Map(failed(await a.forward.broadcast('x')).map(({ address, code }) => [address, code]))
      assume(codes.get(one)).equals('EPROTOCOL')
      assume(codes.get(two)).equals('EPROTOCOL')
    })

    it('gets a thousand messages: on one connection', async () => {
      const a = await here({ metroplex: { timeout: 50_000 } })
      let connections = 0
      const slow = createServer((req, res) => {
        req.resume().on('end', () => res.end('{"ok":true,"send":1}'))
      })
      slow.on('connection', () => {
        connections++
      })
      using(
        () =>
          new Promise(resolve => {
            slow.close(resolve)
            slow.closeAllConnections()
          })
      )
      await stub(slow, 1)
      const results = await Promise.all(Array.from({ length: 1000 }, (_, i) => a.forward.spark('there-0', i)))
      assume(results.every(({ send }) => send === 1)).true()
      assume(connections).equals(1)
    })

    it('runs 1.x: sparks are left out by naming all the others', async () => {
      const a = await here()
      const bodies: unknown[] = []
      const old = createServer((req, res) => {
        let text = ''
        req.on('data', chunk => {
          text += String(chunk)
        })
        req.on('end', () => {
          bodies.push(JSON.parse(text))
          res.end('{ "ok": true, "send":1 }')
        })
      })
      using(
        () =>
          new Promise(resolve => {
            old.close(resolve)
            old.closeAllConnections()
          })
      )
      await stub(old, 2)
      assume(await a.forward.except(['there-0'], 'x')).eql({ ok: true, send: 1 })
      assume(bodies).eql([{ msg: 'x', sparks: ['there-1'] }])
    })

    it('runs 1.x, and has other credentials: says which options to make equal', async () => {
      const a = await here()
      const old = createServer((req, res) => {
        req.resume().on('end', () => res.writeHead(401).end(JSON.stringify({ ok: false, reason: UNAUTHORIZED })))
      })
      using(
        () =>
          new Promise(resolve => {
            old.close(resolve)
            old.closeAllConnections()
          })
      )
      const address = await stub(old, 1)
      const result = await a.forward.broadcast('x')
      assume(failed(result)).eql([{ code: 'EAUTH', maybe: false, address }])
      assume(result.failed?.[0]?.message).matches(/`username` and `password`/)
    })

    it('takes no message of this size: sends nothing', async () => {
      const a = await here({ metroplex: { maxBody: 2048 } })
      const b = await there()
      const result = await a.forward.broadcast('x'.repeat(4096))
      assume(failed(result)).eql([{ code: 'ETOOBIG', maybe: false, address: b.address }])
    })

    it('takes less than we send: says what to raise', async () => {
      const a = await here()
      const b = await there({ metroplex: { maxBody: 2048 } })
      const result = await a.forward.broadcast('x'.repeat(4096))
      assume(failed(result)).eql([{ code: 'ETOOBIG', maybe: false, address: b.address }])
    })
  })

  it('warns once of the loop that writes to local sparks once for each server', async () => {
    const a = await here()
    const warned = once(process, 'warning', {
      filter: warning => (warning as { code?: string }).code === 'METROPLEX_FORWARD_LOOP'
    })
    for (let i = 0; i < 3; i++) a.forward([], 'x').catch(() => undefined)
    const [warning] = (await warned) as [Error & { code: string }]
    assume(warning.code).equals('METROPLEX_FORWARD_LOOP')
    assume(warning.message).includes('primus.forward.broadcast(msg)')
  })

  describe('as a receiver', () => {
    let a: Registered
    let client: Client

    beforeEach(async () => {
      a = await here({ metroplex: { maxBody: 2048, timeout: 400 } })
      client = await openClient(a.url)
    })

    it('answers how many sparks it wrote to, and which are missing', async () => {
      assume(await put(a.url, JSON.stringify({ msg: 1 }))).eql({ status: 200, body: { ok: true, send: 1 } })
      assume(await put(a.url, JSON.stringify({ msg: 2, sparks: [client.id, 'unknown'] }))).eql({
        status: 200,
        body: { ok: true, send: 1, missing: ['unknown'] }
      })
      assume(await put(a.url, JSON.stringify({ msg: 3, sparks: client.id }))).eql({
        status: 200,
        body: { ok: true, send: 1 }
      })
      assume(await put(a.url, JSON.stringify({ msg: 4, sparks: '' }))).eql({ status: 200, body: { ok: true, send: 1 } })
      assume(await put(a.url, JSON.stringify({ msg: 5, except: [client.id] }))).eql({
        status: 200,
        body: { ok: true, send: 0 }
      })
      assume(await put(a.url, JSON.stringify({ msg: 6, sparks: [] }))).eql({ status: 200, body: { ok: true, send: 0 } })
      assume(await client.count(4)).eql([1, 2, 3, 4])
    })

    describe('refuses', () => {
      afterEach(async () => {
        await a.forward.broadcast('end')
        assume(await client.next()).equals('end')
      })

      for (const [what, status, body, options] of [
        ['other credentials', 401, '{"msg":1}', { headers: { authorization: 'Basic b21lZ2E6bm8=' } }],
        ['what is no JSON', 500, '{"msg":', {}],
        ['null', 500, 'null', {}],
        ['a list', 500, '[]', {}],
        ['nothing', 500, '', {}],
        ['no message', 500, '{"sparks":["a"]}', {}],
        ['a number where ids are wanted, but one that is an id', 400, '{"msg":1,"sparks":{}}', {}],
        ['an empty id', 400, '{"msg":1,"sparks":[""]}', {}],
        ['null for an id', 400, '{"msg":1,"sparks":null}', {}],
        ['true for an id', 400, '{"msg":1,"sparks":true}', {}],
        ['odd exceptions', 400, '{"msg":1,"except":{"a":1}}', {}],
        ['what is for Primus alone', 400, '{"msg":"primus::server::close"}', {}],
        ['too large a body, before it is read', 413, null, { headers: { 'content-length': '560000000' } }],
        [
          'too large a body of unknown length',
          413,
          `{"msg":"${'x'.repeat(4096)}"}`,
          { headers: { 'transfer-encoding': 'chunked' } }
        ],
        ['a body that does not come', 408, null, { headers: { 'content-length': '10' } }]
      ] as [string, number, string | null, { method?: string; headers?: Record<string, string> }][]) {
        it(`${what} with ${status}`, async () => {
          const answer = await put(a.url, body, options)
          assume(answer.status).equals(status)
          assume(answer.body['ok']).equals(false)
          assume(answer.body['reason']).is.a('string')
        })
      }

      it('no number as an id', async () => {
        assume(await put(a.url, '{"msg":"private","sparks":42}')).eql({
          status: 200,
          body: { ok: true, send: 0, missing: ['42'] }
        })
      })
    })

    it('survives a sender that goes away in the middle', async () => {
      const asked = request(`${a.url}/primus/omega/supreme`, {
        method: 'PUT',
        headers: { authorization: `Basic ${Buffer.from('omega:supreme').toString('base64')}`, 'content-length': '10' }
      })
      asked.on('error', () => undefined)
      asked.write('{')
      await happens(asked, 'socket')
      asked.destroy()
      assume((await put(a.url, '{"msg":1}')).status).equals(200)
    })

    it('reports a write that throws', async () => {
      const transforming = a.primus as unknown as { transform(type: string, fn: () => void): void }
      transforming.transform('outgoing', () => {
        throw new Error('transformer broke')
      })
      const answer = await put(a.url, '{"msg":1}')
      assume(answer.status).equals(500)
      assume(answer.body['reason']).includes('transformer broke')
    })
  })

  it('goes through the `middleware` option of omega-supreme, which sees the request', async () => {
    const seen: string[] = []
    const a = await here({
      middleware(
        primus: unknown,
        parse: (primus: unknown, raw: string, res: unknown) => void,
        req: NodeJS.ReadableStream,
        res: unknown
      ) {
        let raw = ''
        req.on('data', chunk => {
          raw += String(chunk)
        })
        req.on('end', () => {
          seen.push(raw)
          parse(primus, raw, res)
        })
      }
    })
    const client = await openClient(a.url)
    assume((await put(a.url, '{"msg":"seen"}')).body).eql({ ok: true, send: 1 })
    assume(seen).eql(['{"msg":"seen"}'])
    assume(await client.next()).equals('seen')
  })

  it("takes omega-supreme's own url, method and names", async () => {
    const options = { url: '/primus/my/omega', method: 'post', username: 'me', password: 'secret' }
    const a = await here(options)
    const b = await there(options)
    const far = await openClient(b.url)
    await eventually(async () => (await a.metroplex.spark(far.id)) === b.address)
    assume(await a.forward.spark(far.id, 'x')).eql({ ok: true, send: 1 })
    assume(await far.next()).equals('x')
  })
})
