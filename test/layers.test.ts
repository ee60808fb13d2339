import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { assume } from './support/assume'
import { openClient } from './support/client'
import { anySpace } from './support/shared-redis'
import { createRegistered, type Registered } from './support/registered'
import { elapsed, eventually } from './support/wait'

/** A layer as applications write them. */
type Layer = (req: IncomingMessage, res: ServerResponse | Socket, next: () => void) => void

/** The part of Primus that is about layers. */
interface Layered {
  layers: { name: string; enabled: boolean; fn: Layer; length: number }[]
  use(name: string, fn: Layer, options?: object, level?: number): unknown
  remove(name: string): unknown
  enable(name: string): unknown
  disable(name: string): unknown
}

/** What a layer answers with. */
interface Said {
  readonly status: number
  readonly type?: string
  readonly body?: string
  readonly headers?: Record<string, string>
}

/** A layer that refuses every request and every upgrade, but for those of clients. */
function guard({ status, type = 'text/plain', body = 'No.', headers = {} }: Said): Layer {
  return function session(req, res, next) {
    if (req.headers.upgrade === 'websocket') {
      next()
      return
    }
    if ('writeHead' in res) {
      res.writeHead(status, { 'content-type': type, ...headers }).end(body)
      return
    }
    const all = { connection: 'close', 'content-type': type, 'content-length': body.length, ...headers }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
    res.end(`HTTP/1.1 ${status} No\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
  }
}

const html = { type: 'text/html', body: '<h1>Please log in</h1>' }
const json = { type: 'application/json' }

describe('layers of other plugins', () => {
  const place = anySpace()

  /** Starts a server. @param prepare is given Primus before the plugin is loaded */
  const start = (prepare: (primus: Layered) => void = () => undefined): Promise<Registered> =>
    createRegistered({
      redis: { url: place.redis.url, namespace: place.space },
      primus: { plugin: { before: { server: prepare } }, metroplex: { timeout: 60_000 } }
    })

  const layered = ({ primus }: Registered): Layered => primus as unknown as Layered

  /** Each of two servers reaches a client of the other one. */
  const reach = async (a: Registered, b: Registered): Promise<void> => {
    for (const [from, to] of [
      [a, b],
      [b, a]
    ] as const) {
      const client = await openClient(to.url)
      await eventually(async () => (await from.metroplex.spark(client.id)) === to.metroplex.address)
      assume(await from.forward.spark(client.id, 'hello')).eql({ ok: true, send: 1 })
      assume(await client.next()).equals('hello')
    }
  }

  for (const [what, said] of [
    ['401', { status: 401 }],
    ['401 and a page', { status: 401, ...html }],
    ['401 and JSON', { status: 401, ...json, body: '{"error":"unauthorized"}' }],
    ['401 and JSON that looks like ours', { status: 401, ...json, body: '{"code":"EAUTH","reason":"Log in."}' }],
    ['403', { status: 403 }],
    ['404', { status: 404 }],
    ['503', { status: 503, ...html }],
    ['200 and a page', { status: 200, ...html }],
    ['a redirection', { status: 302, headers: { location: '/login' } }]
  ] as [string, Said][]) {
    it(`at index 0 block no peer by answering ${what}, added before metroplex or after`, async () => {
      const a = await start(primus => {
        primus.use('session', guard(said), {}, 0)
      })
      const b = await start()
      layered(b).use('session', guard(said), {}, 0)
      await reach(a, b)
    })
  }

  it('block no peer, however they were added', async () => {
    const refuse = guard({ status: 401 })
    const layer = { name: 'session', enabled: true, fn: refuse, length: refuse.length }
    for (const add of [
      (primus: Layered) => {
        primus.use('metroplex', refuse)
      },
      (primus: Layered) => {
        primus.layers.unshift(layer)
      },
      (primus: Layered) => {
        primus.layers = [layer, ...primus.layers]
      },
      (primus: Layered) => {
        primus.remove('authorization')
        primus.use('authorization', refuse, {}, 0)
      },
      (primus: Layered) => {
        primus.use('session', refuse, {}, 0)
        primus.disable('session')
        primus.enable('session')
      }
    ]) {
      const [a, b] = [await start(), await start(add)]
      await reach(a, b)
      const c = await start()
      add(layered(c))
      await reach(a, c)
      for (const server of [a, b, c]) await server.dispose()
    }
  })

  it('see every other request, once, in the order of their indexes', async () => {
    const seen: string[] = []
    const layer =
      (name: string): Layer =>
      (_req, _res, next) => {
        seen.push(name)
        next()
      }
    const a = await start(primus => {
      primus.use('first', layer('first'), {}, 0)
    })
    layered(a).use('zeroth', layer('zeroth'), {}, 0)
    layered(a).use('last', layer('last'))
    await fetch(`${a.url}/primus/elsewhere`)
    assume(seen).eql(['zeroth', 'first', 'last'])
    assume(
      layered(a)
        .layers.map(({ name }) => name)
        .slice(0, 3)
    ).eql(['metroplex', 'zeroth', 'first'])
  })

  it('and ours are gone when the plugin is, and another request finds the others', async () => {
    const a = await start()
    ;(a.primus as unknown as { plugout(name: string): void }).plugout('metroplex')
    assume(
      layered(a)
        .layers.map(({ name }) => name)
        .filter(name => name.startsWith('metroplex'))
    ).eql([])
    const response = await fetch(`${a.url}/primus/metroplex`, { method: 'PUT', headers: { metroplex: '-' } })
    assume(response.status).equals(426)
  })

  for (const how of ['remove', 'disable'] as const) {
    it(`ours can be ${how}d by an application, and the failures of peers have the status of the answer`, async () => {
      const [a, b] = [await start(), await start()]
      const client = await openClient(b.url)
      await eventually(async () => (await a.metroplex.spark(client.id)) === b.metroplex.address)
      layered(b)[how]('metroplex')
      const {
        ms,
        value: { failed }
      } = await elapsed(() => a.forward.spark(client.id, 'hello'))
      const [failure] = failed ?? []
      assume([failure?.code, failure?.status]).eql(['EPROTOCOL', 426])
      assume(failure?.message).includes('PUT /primus/metroplex')
      // Long before the deadline.
      assume(ms).is.below(20_000)
    })
  }
})
