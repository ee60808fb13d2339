import { once } from 'node:events'
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { using } from '../support/dispose'
import { namespace } from '../support/namespace'
import { createPrimus } from '../support/primus'
import { loadPlugin, loadPrimus } from '../support/primus-types'
import { anySpace } from '../support/shared-redis'
import { eventually } from '../support/wait'
import { answer, type Answer, type Primus } from './support'

/** Where no server listens: the port is reserved, and a process may not take it by chance. */
const NOWHERE = 'http://127.0.0.1:1'

/** What omega-supreme's `forward` calls back. */
interface Sum {
  ok: boolean
  send: number
  local?: boolean
}

/** What its errors carry. */
interface Failure extends Error {
  url?: string
  status?: number
  type?: string
  packet?: { msg?: unknown; sparks?: unknown }
}

/** A server with omega-supreme, as its own tests have it. */
interface Stage {
  primus: Primus & { indexOfLayer(name: string): number }
  url: string
}

/** What omega-supreme is used with. */
type Company = 'alone' | 'before metroplex' | 'after metroplex'

/** omega-supreme itself. */
const omega = loadPlugin('omega-supreme') as { server: unknown; options: (given?: object) => Record<string, unknown> }

/** What was sent, and comes back. */
interface Reply {
  status: number
  headers: Headers
  text: string
}

/** How a request differs from that of a right sender; `user: ''` is none. */
interface Letter {
  path?: string
  method?: string
  user?: string
  body?: string
}

/** Sends a request to omega-supreme's address, with its own credentials unless told otherwise. */
async function send(url: string, letter: Letter = {}): Promise<Reply> {
  const { path = '/primus/omega/supreme', method = 'PUT', user = 'omega:supreme', body } = letter
  const authorization = `Basic ${Buffer.from(user).toString('base64')}`
  const headers = { connection: 'close', ...(user !== '' && { authorization }) }
  const response = await fetch(new URL(path, url), { method, headers, ...(body !== undefined && { body }) })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

describe("compatibility: what omega-supreme's own tests hold", () => {
  const place = anySpace()

  for (const company of ['alone', 'before metroplex', 'after metroplex'] as Company[]) {
    describe(company === 'alone' ? 'by itself' : `loaded ${company}`, () => {
      /** Starts a server. @param primus options of Primus, of which these are omega-supreme's */
      const start = async (
        primus: Record<string, unknown> = {},
        server: Server = createServer(),
        at: string = place.space
      ): Promise<Stage> => {
        if (company === 'alone') return control(primus, server)
        const order = company === 'before metroplex' ? 'before' : 'after'
        const created = await createPrimus({
          redis: { url: place.redis.url, namespace: at },
          primus,
          omega: order,
          server,
          listen: !server.listening
        })
        return { primus: created.primus as Stage['primus'], url: urlOf(server) }
      }
      /** As the tests of omega-supreme have it: two servers, of which the first one sends. */
      const pair = async (
        one: Record<string, unknown> = {},
        other: Record<string, unknown> = {}
      ): Promise<[Stage, Stage]> => [await start(one), await start(other)]

      /**
       * Two servers of which the first one does not know the second. A server of metroplex that it knows is reached by
       * metroplex's own transport, for all options of omega-supreme there.
       */
      const strangers = async (
        one: Record<string, unknown> = {},
        other: Record<string, unknown> = {}
      ): Promise<[Stage, Stage]> => [await start(one), await start(other, createServer(), namespace())]

      const forward = (
        { primus }: Stage,
        servers: string | string[] | null,
        msg: unknown,
        sparks?: string | string[]
      ): Promise<Answer<Sum>> =>
        answer(fn => {
          const to = servers as string
          return sparks === undefined ? primus.forward(to, msg, fn) : primus.forward(to, msg, sparks, fn)
        })

      const clients = (count: number, ...stages: Stage[]): Promise<Client[]> =>
        Promise.all(Array.from({ length: count }, (_, n) => openClient(stages[n % stages.length]?.url ?? '')))

      it('adds a layer, before that of the authorization', async () => {
        const { primus } = await start()
        assume(primus.indexOfLayer('omega-supreme')).is.above(-1)
        assume(primus.indexOfLayer('omega-supreme')).is.below(primus.indexOfLayer('authorization'))
      })

      for (const [what, letter] of [
        ['another path', { path: '/primus/wrong/path', body: '{}' }],
        ['another method', { method: 'GET' }],
        ['no credentials', { user: '', body: '{"msg":1}' }]
      ] as const) {
        it(`does not take a request with ${what}: Primus answers 426`, async () => {
          const { url } = await start()
          const { status, text } = await send(url, letter)
          assume([status, text]).eql([426, STATUS_CODES[426]])
        })
      }

      it('answers 401 to other credentials, in its own words', async () => {
        const { url } = await start()
        const { status, headers, text } = await send(url, { user: 'foo:bar' })
        assume(status).equals(401)
        assume(headers.get('content-type')).equals('application/json')
        assume(JSON.parse(text)).eql({
          ok: false,
          reason: 'I am programmed to protect, and sacrifice if necessary. Feel the power of my lazers! Pew pew!'
        })
      })

      for (const [what, body] of [
        ['no JSON', 'foo'],
        ['a list', '[1]'],
        ['a text', '"foo"'],
        ['an object without a message', '{"sparks":["a"]}'],
        ['nothing', '']
      ] as const) {
        it(`answers 500 to a body that is ${what}`, async () => {
          const { url } = await start()
          const { status, headers, text } = await send(url, { body })
          assume(status).equals(500)
          assume(headers.get('content-type')).equals('application/json')
          assume(JSON.parse(text)).eql({ ok: false, reason: 'invalid data structure' })
        })
      }

      it('takes messages where Primus has another parser, on the HTTP server of a former Primus', async () => {
        const server = createServer()
        const former = await start({}, server)
        await new Promise<void>(resolve => {
          former.primus.destroy({ close: false }, () => {
            resolve()
          })
        })
        const coder = (data: unknown, fn: (error: Error | null, coded: unknown) => void): void => {
          fn(null, data)
        }
        const { url } = await start({ parser: { encoder: coder, decoder: coder, library: '' } }, server)
        const { status, text } = await send(url, { body: '{"msg":"foo"}' })
        assume([status, (JSON.parse(text) as Sum).ok]).eql([200, true])
      })

      it('hands requests to the option `middleware`, with a function that reads a body', async () => {
        type Parse = (primus: unknown, raw: string, res: ServerResponse) => void
        const middleware = (primus: unknown, parse: Parse, req: IncomingMessage, res: ServerResponse): void => {
          let raw = ''
          res.setHeader('omegamiddleware', 'true')
          req.setEncoding('utf8')
          req
            .on('data', (chunk: string) => {
              raw += chunk
            })
            .on('end', () => {
              parse(primus, raw, res)
            })
        }
        assume(omega.options({ middleware })['middleware']).equals(middleware)
        const { url } = await start({ middleware })
        const { status, headers, text } = await send(url, { body: '{"msg":"foo"}' })
        assume([status, headers.get('omegamiddleware'), (JSON.parse(text) as Sum).ok]).eql([200, 'true', true])
      })

      it('adds a method forward', async () => {
        assume((await start()).primus.forward).is.a('function')
      })

      it('counts no spark for an id that the server does not have', async () => {
        const [a, b] = await pair()
        const { error, value } = await forward(a, b.url, 'foo', 'unknown')
        assume(error).is.falsy()
        assume(value?.send).equals(0)
      })

      it('counts one spark for an id that it has, whose client gets the message', async () => {
        const [a, b] = await pair()
        const client = await openClient(b.url)
        const { error, value } = await forward(a, b.url, 'foo', client.id)
        assume(error).is.falsy()
        assume(value?.send).equals(1)
        assume(await client.next()).equals('foo')
      })

      it('sends no request when the spark is a local one', async () => {
        const b = await start()
        const client = await openClient(b.url)
        assume((await forward(b, NOWHERE, 'foo', client.id)).value).eql({ ok: true, send: 1, local: true })
        assume(await client.next()).equals('foo')
      })

      it('writes to all sparks when none is named', async () => {
        const [a, b] = await pair()
        const all = await clients(14, b)
        assume((await forward(a, b.url, 'bar')).value?.send).equals(14)
        for (const client of all) assume(await client.next()).equals('bar')
      })

      it('writes to all local sparks when neither a spark nor a server is named', async () => {
        const a = await start()
        const all = await clients(14, a)
        assume((await forward(a, [], 'bar')).value).eql({ ok: true, send: 14, local: true })
        for (const client of all) assume(await client.next()).equals('bar')
      })

      it('adds local sparks to those of the server', async () => {
        const [a, b] = await pair()
        const all = await clients(14, a, b)
        assume([a.primus.connected, b.primus.connected]).eql([7, 7])
        assume((await forward(a, b.url, 'bar')).value).eql({ ok: true, send: 14 })
        for (const client of all) assume(await client.next()).equals('bar')
      })

      it('writes to the named sparks and to no others, local or not, and passes over other ids', async () => {
        const [a, b] = await pair()
        const all = await clients(4, a, b)
        const ids = all.map(({ id }) => id)
        const { error, value } = await forward(a, [b.url], 'foo', [...ids.slice(2), 'of a third server'])
        assume(error).is.falsy()
        assume(value?.send).equals(2)
        for (const client of all.slice(2)) assume(await client.next()).equals('foo')
        for (const [n, { primus }] of [a, b].entries()) primus.spark(ids[n] ?? '')?.write('last')
        for (const client of all.slice(0, 2)) assume(await client.next()).equals('last')
      })

      it('has an error and a result for an address that is none', async () => {
        const [a, b] = await pair()
        const client = await openClient(b.url)
        const { error, value } = await forward(a, null, 'foo', client.id)
        assume(error?.message).equals('No servers provided')
        assume([value?.ok, value?.send]).eql([false, 0])
      })

      it('has an error with the packet for a server that is dead', async () => {
        const error = (await forward(await start(), NOWHERE, 'foo')).error as Failure
        assume(error).is.instanceOf(Error)
        assume([error.status, error.type, error.packet?.msg]).eql([500, 'broadcast', 'foo'])
      })

      for (const [type, sparks] of [
        ['spark', 'a'],
        ['sparks', ['a', 'b']]
      ] as [string, string | string[]][]) {
        it(`has one that names its recipients, for ${type}`, async () => {
          const error = (await forward(await start(), NOWHERE, 'foo', sparks)).error as Failure
          assume([error.status, error.type, error.packet]).eql([500, type, { msg: 'foo', sparks }])
        })
      }

      it('has one with the status when the server refuses the request', async () => {
        const [a, b] = await strangers({}, { url: '/primus/supreme/omega' })
        const error = (await forward(a, b.url, 'foo')).error as Failure
        assume(error).is.instanceOf(Error)
        assume(error.status).equals(426)
        assume(error.message).includes('Invalid status code')
        assume(error.packet?.msg).equals('foo')
      })

      it('has one with the status when the server wants other credentials', async () => {
        const [a, b] = await strangers({}, { password: 'another' })
        const error = (await forward(a, b.url, 'foo')).error as Failure
        assume([error.status, error.type, error.packet?.msg]).eql([401, 'broadcast', 'foo'])
      })

      for (const [what, type, body] of [
        ['a page', 'text/html', '<p>hi</p>'],
        ['other JSON', 'application/json', '{"version":"8.0.9"}'],
        ['nothing', 'text/plain', '']
      ] as const) {
        it(`has one for an answer that is ${what}`, async () => {
          const error = (await forward(await start(), await answering(200, type, body), 'foo')).error as Failure
          assume(error).is.instanceOf(Error)
          assume([error.message, error.status, error.packet?.msg]).eql(['Unable to process the request', 200, 'foo'])
        })
      }

      it('has one for the answer of another page of Primus', async () => {
        const [a, b] = await strangers({ url: '/primus/spec' })
        assume((await forward(a, b.url, 'foo')).error?.message).equals('Unable to process the request')
      })

      for (const [status, body] of [
        [404, '<h1>Not Found</h1>'],
        [502, '<h1>Bad Gateway</h1>'],
        [503, ''],
        [401, '{"error":"log in"}'],
        [302, '']
      ] as const) {
        it(`has one with the status of a proxy that answers ${status}`, async () => {
          const proxy = await answering(status, body.startsWith('{') ? 'application/json' : 'text/html', body)
          const error = (await forward(await start(), proxy, 'foo')).error as Failure
          assume([error.status, error.packet?.msg]).eql([status, 'foo'])
          assume(error.message).includes(`Invalid status code (${status}) returned`)
        })
      }
    })
  }

  it('its function has the default options, and writes methods in capitals', () => {
    assume(omega).is.a('function')
    assume(omega.server).is.a('function')
    assume(omega.options()['method']).equals('PUT')
    assume(omega.options({ method: 'get' })['method']).equals('GET')
  })

  it('forward is there before omega-supreme is loaded, when metroplex is', async () => {
    const { primus } = await createPrimus({ redis: { url: place.redis.url, namespace: place.space } })
    const forward: unknown = (primus as Primus).forward
    assume(forward).is.a('function')
    assume((primus as Stage['primus']).indexOfLayer('omega-supreme')).equals(-1)
    primus.plugin('omega', loadPlugin('omega-supreme'))
    assume((primus as Primus).forward).equals(forward)
    assume((primus as Stage['primus']).indexOfLayer('omega-supreme')).is.above(-1)
  })

  it('a layer that wants credentials of its own is not taken for omega-supreme, also with JSON', async () => {
    const { primus } = await createPrimus({ redis: { url: place.redis.url, namespace: place.space }, omega: true })
    for (const [body, words] of [
      ['{"ok":false,"reason":"Log in first."}', 'did not take the message: Log in first (status 401)'],
      ['{"ok":false,"error":"log in"}', 'Invalid status code (401) returned']
    ] as const) {
      const guard = await answering(401, 'application/json', body)
      const { failed = [] } = await (primus as Primus).forward(guard, 'foo')
      assume(failed.map(({ code, status }) => [code, status])).eql([['EPROTOCOL', 401]])
      assume(failed[0]?.message).includes(words)
    }
  })

  it('a wrong answer is explained in the result, and in the cause of the error', async () => {
    const foreign = await answering(200, 'text/plain', 'hi')
    const { primus } = await createPrimus({ redis: { url: place.redis.url, namespace: place.space }, omega: true })
    const { error, value } = await answer<Result>(fn => (primus as Primus).forward(foreign, 'foo', fn))
    const [failed] = value?.failed ?? []
    assume([failed?.code, failed?.status]).eql(['EPROTOCOL', 200])
    assume(failed?.message).includes('omega-supreme is loaded there')
    assume((error?.cause as Error).message).equals(failed?.message)
  })
})

/** Primus with omega-supreme and nothing else. */
async function control(options: Record<string, unknown>, server: Server): Promise<Stage> {
  const primus = new (loadPrimus())(server, { transformer: 'websockets', ...options }) as Stage['primus']
  primus.plugin('omega', loadPlugin('omega-supreme'))
  using(async () => {
    if (primus.server !== null)
      await new Promise<void>(resolve => {
        primus.destroy({}, () => {
          resolve()
        })
      })
    server.close()
    server.closeAllConnections()
  })
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  await eventually(() => server.listening)
  return { primus, url: urlOf(server) }
}

/** Starts a server that answers everything in one way. @returns where */
async function answering(status: number, type: string, body: string): Promise<string> {
  const server = createServer((req, res) => {
    req.resume().on('end', () => {
      res.writeHead(status, { 'content-type': type }).end(body)
    })
  })
  server.listen(0, '127.0.0.1')
  using(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server, 'listening')
  return urlOf(server)
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
