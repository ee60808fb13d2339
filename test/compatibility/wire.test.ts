import { request, type IncomingHttpHeaders } from 'node:http'
import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { anySpace } from '../support/shared-redis'
import { eventually } from '../support/wait'
import { member, promised, value, type Member, type OmegaMiddleware, type Primus } from './support'

const omega = { url: '/primus/omega/supreme', method: 'PUT', username: 'omega', password: 'supreme' }

/** How a stranger speaks omega-supreme's wire. */
interface Letter extends Partial<typeof omega> {
  /** Parts of the body, sent one after the other. */
  raw?: readonly (string | Buffer)[]
  authorization?: string | null
}

interface Reply {
  status: number | undefined
  headers: IncomingHttpHeaders
  body: Record<string, unknown>
}

/** Sends something as any program in any language may. */
function send(to: Member, body: unknown, letter: Letter = {}): Promise<Reply> {
  const { url, method, username, password } = { ...omega, ...letter }
  const basic =
    letter.authorization === undefined
      ? `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
      : letter.authorization
  return new Promise((resolve, reject) => {
    const req = request(new URL(url, to.url), {
      method,
      agent: false,
      headers: { 'content-type': 'application/json', ...(basic !== null && { authorization: basic }) }
    })
    req.on('error', reject).on('response', res => {
      const chunks: Buffer[] = []
      res
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({
            status: res.statusCode,
            headers: res.headers,
            body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Record<string, unknown>
          })
        })
    })
    for (const part of letter.raw ?? [JSON.stringify(body)]) req.write(part)
    req.end()
  })
}

describe("compatibility: omega-supreme's wire", () => {
  const place = anySpace()

  const start = (primus: Record<string, unknown> = {}, order: 'before' | 'after' = 'before'): Promise<Member> =>
    member(place.redis.url, place.space, { primus, omega: order })

  /** What a client got before a message that comes last. */
  const received = async (client: Client, server: Member): Promise<unknown[]> => {
    server.primus.spark(client.id)?.write('last')
    await eventually(() => client.messages.at(-1) === 'last')
    return client.messages.slice(0, -1)
  }

  describe('for other senders', () => {
    let server: Member
    let one: Client
    let two: Client

    beforeEach(async () => {
      server = await start()
      one = await openClient(server.url)
      two = await openClient(server.url)
    })

    it('writes to all sparks of the server', async () => {
      const { status, headers, body } = await send(server, { msg: { hello: 'all' } })
      assume(status).equals(200)
      assume(headers['content-type']).startsWith('application/json')
      assume(body).deep.equals({ ok: true, send: 2 })
      assume(await one.next()).deep.equals({ hello: 'all' })
      assume(await two.next()).deep.equals({ hello: 'all' })
    })

    it('writes to one spark', async () => {
      assume((await send(server, { msg: 'hi', sparks: one.id })).body).deep.equals({ ok: true, send: 1 })
      assume(await received(one, server)).deep.equals(['hi'])
      assume(await received(two, server)).deep.equals([])
    })

    it('writes to several sparks', async () => {
      const three = await openClient(server.url)
      assume((await send(server, { msg: 'hi', sparks: [one.id, two.id] })).body).deep.equals({ ok: true, send: 2 })
      assume(await received(one, server)).deep.equals(['hi'])
      assume(await received(two, server)).deep.equals(['hi'])
      assume(await received(three, server)).deep.equals([])
    })

    it('writes to none when it names none', async () => {
      assume((await send(server, { msg: 'hi', sparks: [] })).body).deep.equals({ ok: true, send: 0 })
      assume(await received(one, server)).deep.equals([])
    })

    it('is fine with sparks that are not there', async () => {
      const { status, body } = await send(server, { msg: 'hi', sparks: ['unknown'] })
      assume(status).equals(200)
      assume(body['ok']).equals(true)
      assume(body['send']).equals(0)
    })

    it('means all with an empty string for the sparks', async () => {
      assume((await send(server, { msg: 'hi', sparks: '' })).body).deep.equals({ ok: true, send: 2 })
    })

    it('refuses null for the sparks, where 1.x sent to all: a missing id is no wish to reach all', async () => {
      assume((await send(server, { msg: 'private', sparks: null })).status).equals(400)
    })

    it('passes over fields it does not know', async () => {
      assume((await send(server, { msg: 'hi', rooms: ['news'], id: 7 })).body).deep.equals({ ok: true, send: 2 })
    })

    it('takes a body in pieces, cut through a letter', async () => {
      const body = Buffer.from(JSON.stringify({ msg: 'Füße' }))
      const cut = body.indexOf(Buffer.from('ü')) + 1
      assume((await send(server, null, { raw: [body.subarray(0, cut), body.subarray(cut)] })).body).deep.equals({
        ok: true,
        send: 2
      })
      assume(await one.next()).equals('Füße')
    })

    it('answers 401 with a reason to other credentials', async () => {
      const { status, headers, body } = await send(server, { msg: 'hi' }, { password: 'wrong' })
      assume(status).equals(401)
      assume(headers['content-type']).startsWith('application/json')
      assume(body['ok']).equals(false)
      assume(body['reason']).is.a('string')
      assume(await received(one, server)).deep.equals([])
    })

    for (const [what, letter] of [
      ['without credentials', { authorization: null }],
      ['with another method', { method: 'POST' }]
    ] as const) {
      it(`writes to no spark ${what}`, async () => {
        const { status } = await send(server, { msg: 'hi' }, letter)
        assume(status).is.atleast(400)
        assume(await received(one, server)).deep.equals([])
      })
    }

    for (const [what, raw] of [
      ['no JSON', 'hi'],
      ['an array', '[{"msg":1}]'],
      ['no object', '"hi"'],
      ['null', 'null'],
      ['an object without a msg', '{"sparks":[]}'],
      ['nothing', '']
    ] as const) {
      it(`answers with a reason to ${what}`, async () => {
        const { status, body } = await send(server, null, { raw: [raw] })
        assume(status).is.atleast(400)
        assume(body['ok']).equals(false)
        assume(body['reason']).is.a('string')
        assume(await received(one, server)).deep.equals([])
      })
    }
  })

  for (const order of ['before', 'after'] as const) {
    describe(`with options of one's own, omega-supreme ${order} metroplex`, () => {
      const own = { url: '/primus/secret/door', method: 'post', username: 'me', password: 'a:b c' }

      it('listens there, and not where it did', async () => {
        const server = await start(own, order)
        const client = await openClient(server.url)
        assume((await send(server, { msg: 'hi' }, { ...own, method: 'POST' })).body).deep.equals({ ok: true, send: 1 })
        assume((await send(server, { msg: 'no' })).status).is.not.equal(200)
        assume((await send(server, { msg: 'no' }, { url: own.url })).status).is.not.equal(200)
        assume((await send(server, { msg: 'no' }, { ...own, method: 'POST', password: 'supreme' })).status).equals(401)
        assume(await received(client, server)).deep.equals(['hi'])
      })

      it('speaks with its peers there', async () => {
        const [a, b] = [await start(own, order), await start(own, order)]
        const client = await openClient(b.url)
        assume(promised(await value<Result>(fn => a.forward.broadcast('hi', fn)))).deep.equals({ ok: true, send: 1 })
        assume(await client.next()).equals('hi')
      })
    })
  }

  describe("with a middleware of one's own", () => {
    /** Reads the body, and hands on what `change` makes of it. */
    const reading =
      (seen: unknown[], change: (raw: string) => string = raw => raw): OmegaMiddleware =>
      (primus, parse, req, res) => {
        let raw = ''
        req.setEncoding('utf8')
        req
          .on('data', (chunk: string) => {
            raw += chunk
          })
          .on('end', () => {
            seen.push({
              primus,
              method: req.method,
              url: req.url,
              type: req.headers['content-type'],
              raw: JSON.parse(raw) as unknown
            })
            parse(primus, change(raw), res)
          })
      }

    it('shows it the request', async () => {
      const seen: { primus?: Primus; method?: string; url?: string; type?: string; raw?: unknown }[] = []
      const server = await start({ middleware: reading(seen) })
      await openClient(server.url)
      assume((await send(server, { msg: 'hi', rooms: ['news'], except: ['me'] })).status).equals(200)
      assume(seen[0]?.primus).equals(server.primus)
      assume({ ...seen[0], primus: undefined }).deep.equals({
        primus: undefined,
        method: 'PUT',
        url: omega.url,
        type: 'application/json',
        raw: { msg: 'hi', rooms: ['news'], except: ['me'] }
      })
    })

    it('delivers what it hands to the parse function', async () => {
      const server = await start({ middleware: reading([], raw => raw.replace('hi', 'hello')) })
      const client = await openClient(server.url)
      assume((await send(server, { msg: 'hi' })).body).deep.equals({ ok: true, send: 1 })
      assume(await client.next()).equals('hello')
    })

    it('delivers to the sparks it hands to the parse function', async () => {
      const sparks: string[] = []
      const server = await start({
        middleware: reading([], raw => JSON.stringify({ ...(JSON.parse(raw) as object), sparks }))
      })
      const [one, two] = [await openClient(server.url), await openClient(server.url)]
      sparks.push(two.id)
      assume((await send(server, { msg: 'hi', rooms: ['news'] })).body).deep.equals({ ok: true, send: 1 })
      assume(await received(one, server)).deep.equals([])
      assume(await received(two, server)).deep.equals(['hi'])
    })

    it('lets the parse function answer what it cannot read', async () => {
      const server = await start({ middleware: reading([], () => 'no JSON') })
      const { status, body } = await send(server, { msg: 'hi' })
      assume(status).is.atleast(400)
      assume(body['ok']).equals(false)
    })

    it('lets it answer by itself', async () => {
      const middleware: OmegaMiddleware = (_primus, _parse, _req, res) => {
        res.writeHead(200).end('{"ok":true,"send":41}')
      }
      const server = await start({ middleware })
      const client = await openClient(server.url)
      assume((await send(server, { msg: 'hi' })).body).deep.equals({ ok: true, send: 41 })
      assume(await received(client, server)).deep.equals([])
    })

    it('counts what it answers', async () => {
      const middleware: OmegaMiddleware = (_primus, _parse, _req, res) => {
        res.writeHead(200).end('{"ok":true,"send":41}')
      }
      const a = await start({ middleware })
      await start({ middleware })
      assume(promised(await value<Result>(fn => a.forward.broadcast('hi', fn)))).deep.equals({ ok: true, send: 41 })
    })

    it('shows it what peers send', async () => {
      const seen: { raw?: unknown }[] = []
      const [a, b] = [await start({ middleware: reading([]) }), await start({ middleware: reading(seen) })]
      const client = await openClient(b.url)
      await eventually(() => a.redis.hexists(`${place.space}:sparks`, client.id))
      await value<Result>(fn => a.forward.broadcast('all', fn))
      await value<Result>(fn => a.forward.spark(client.id, 'one', fn))
      assume(seen.map(({ raw }) => (raw as { msg?: unknown }).msg)).deep.equals(['all', 'one'])
      assume(client.messages).deep.equals(['all', 'one'])
    })

    it('never shows it a request with other credentials', async () => {
      const seen: unknown[] = []
      const server = await start({ middleware: reading(seen) })
      assume((await send(server, { msg: 'hi' }, { password: 'wrong' })).status).equals(401)
      assume(seen).deep.equals([])
    })

    it('leaves out the sparks that forward.except names, although it does not know that method', async () => {
      const forgetful = reading([], raw => {
        const { msg, sparks } = JSON.parse(raw) as { msg: unknown; sparks?: unknown }
        return JSON.stringify({ msg, sparks })
      })
      const [a, b] = [await start({ middleware: forgetful }), await start({ middleware: forgetful })]
      const [one, two] = [await openClient(b.url), await openClient(b.url)]
      await eventually(async () => (await a.redis.hlen(`${place.space}:sparks`)) === 2)
      assume(promised(await value<Result>(fn => a.forward.except([one.id], 'hi', fn)))).deep.equals({
        ok: true,
        send: 1
      })
      assume(await received(two, b)).deep.equals(['hi'])
      assume(await received(one, b)).deep.equals([])
    })

    it('takes one that is set on primus.options after the plugins were loaded', async () => {
      const seen: unknown[] = []
      const server = await start()
      server.primus.options['middleware'] = reading(seen)
      assume((await send(server, { msg: 'hi' })).status).equals(200)
      assume(seen).has.length(1)
    })
  })
})
