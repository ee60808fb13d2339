import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { HttpClient } from '../../lib/transport/http/client'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { using } from '../support/dispose'
import { startGateway, type Behaviour, type Gateway } from '../support/gateway'
import { anySpace } from '../support/shared-redis'
import { createRegistered, type Registered } from '../support/registered'
import { elapsed, eventually } from '../support/wait'
import { after as until, Echo, failure, hello, MOST, request } from './contract'
import { peerAt, serve } from './http-stage'

/** How many messages each test sends, one after the other. */
const MANY = 100

describe('when streams between servers do not work', () => {
  const place = anySpace()

  const start = (
    metroplex: Record<string, unknown> = {},
    { server, address }: { server?: Server; address?: string } = {}
  ): Promise<Registered> => {
    return createRegistered({
      redis: { url: place.redis.url, namespace: place.space },
      primus: { metroplex, ...(address !== undefined && { address }) },
      ...(server && { server })
    })
  }

  /** Two servers, of which peers reach the second one through a gateway, and a client of that one. */
  const behind = async (
    behaviour: Partial<Behaviour> = {},
    metroplex: Record<string, unknown> = {}
  ): Promise<Scene> => {
    const gateway = await startGateway()
    const b = await start(metroplex, { address: gateway.url })
    Object.assign(gateway.behaviour, { port: Number(new URL(b.url).port), ...behaviour })
    return { ...(await scene(await start(metroplex), b)), gateway }
  }

  const scene = async (a: Registered, b: Registered): Promise<Omit<Scene, 'gateway'>> => {
    const client = await openClient(b.url)
    await eventually(async () => (await a.metroplex.spark(client.id)) === b.metroplex.address)
    return { a, b, client }
  }

  /** Send numbers, and see that each arrives once, in order. */
  const allArrive = async ({ a, client }: Omit<Scene, 'gateway'>, first = 0): Promise<void> => {
    for (let n = first; n < first + MANY; n++) assume(await a.forward.spark(client.id, n)).eql({ ok: true, send: 1 })
    const expected = Array.from({ length: MANY }, (_, n) => first + n)
    assume((await client.count(MANY)).slice(-MANY)).eql(expected)
  }

  describe('because another upgrade listener of the HTTP server ends them', () => {
    /** A server with a listener beside that of Primus; counts the upgrades of peers. */
    const beside = async (add: (server: Server) => void): Promise<Omit<Scene, 'gateway'> & { upgrades(): number }> => {
      const server = createServer()
      let upgrades = 0
      const b = await start({}, { server })
      server.on('upgrade', ({ headers }) => {
        if (headers.upgrade === 'metroplex') upgrades++
      })
      add(server)
      return { ...(await scene(await start(), b)), upgrades: () => upgrades }
    }
    const refuse = ({ headers }: IncomingMessage, socket: Duplex): void => {
      if (headers.upgrade !== 'websocket') socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    }

    for (const [what, add] of [
      [
        'behind Primus, with status 400',
        server => {
          server.on('upgrade', refuse)
        }
      ],
      [
        'before Primus, with status 400',
        server => {
          server.prependListener('upgrade', refuse)
        }
      ],
      [
        'behind Primus, without a word',
        server => {
          server.on('upgrade', ({ headers }, socket) => {
            if (headers.upgrade !== 'websocket') socket.destroy()
          })
        }
      ],
      [
        'a WebSocket server for another path',
        server => {
          const sockets = new WebSocketServer({ noServer: true, path: '/other' })
          server.on('upgrade', (req, socket, head) => {
            if (req.headers.upgrade !== 'websocket') sockets.handleUpgrade(req, socket, head, () => undefined)
          })
        }
      ]
    ] as [string, (server: Server) => void][]) {
      it(`${what}, delivers all messages once`, async () => {
        const beginning = await beside(add)
        await allArrive(beginning)
        // Single requests are kept: streams are tried again after a second at the earliest.
        assume(beginning.upgrades()).is.below(20)
      })
    }

    it('after a moment in which they work, delivers all messages once', async () => {
      await allArrive(
        await beside(server => {
          server.on('upgrade', ({ headers }, socket) => {
            if (headers.upgrade !== 'websocket') setTimeout(() => socket.end(), 5)
          })
        })
      )
    })
  })

  describe('because of a gateway', () => {
    for (const [what, behaviour] of [
      ['which answers 101 and ends the connection', { upgrades: '101 and end' }],
      ['which answers 101 and speaks HTTP on', { upgrades: '101 and HTTP' }],
      ['which cuts them at the first request', { carries: 0 }],
      ['which refuses them', { upgrades: 400 }],
      ['of HTTP/1.0', { version: '1.0' }]
    ] as [string, Partial<Behaviour>][]) {
      it(`${what}, delivers all messages once`, async () => {
        await allArrive(await behind(behaviour))
      })
    }

    for (const upgrades of ['silent', '101 and silent'] as const) {
      it(`which lets an upgrade wait (${upgrades}), delivers messages in time`, async () => {
        const { a, client, gateway } = await behind({ upgrades }, { timeout: 3000 })
        assume(await a.forward.spark(client.id, 'first')).eql({ ok: true, send: 1 })
        const { upgrades: tried } = gateway.seen
        await Promise.all(Array.from({ length: MANY }, (_, n) => a.forward.spark(client.id, n)))
        assume((await client.count(MANY + 1)).slice(1)).eql(Array.from({ length: MANY }, (_, n) => n))
        assume(gateway.seen.upgrades - tried).is.atmost(1)
      })
    }

    it('which begins to refuse upgrades, delivers all messages once', async () => {
      const beginning = await behind()
      await allArrive(beginning)
      beginning.gateway.behaviour.upgrades = 502
      beginning.gateway.cut()
      await allArrive(beginning, MANY)
      assume(beginning.gateway.seen.requests).is.above(0)
    })

    it('which cuts a large message, delivers it once and small ones on a stream', async () => {
      const { a, client, gateway } = await behind({ carries: 20_000 })
      assume(await a.forward.spark(client.id, 'small')).eql({ ok: true, send: 1 })
      assume(gateway.seen.requests).equals(0)
      const large = 'x'.repeat(100_000)
      assume(await a.forward.spark(client.id, large)).eql({ ok: true, send: 1 })
      assume(await client.count(2)).eql(['small', large])
      assume(gateway.seen.requests).is.above(0)
    })

    it('goes back to streams when the gateway refuses single requests', async () => {
      const { a, client, gateway } = await behind({ carries: 0 })
      assume(await a.forward.spark(client.id, 'by a request')).eql({ ok: true, send: 1 })
      Object.assign(gateway.behaviour, { requests: 405, carries: Infinity })
      assume(await a.forward.spark(client.id, 'on a stream')).eql({ ok: true, send: 1 })
      assume(await client.count(2)).eql(['by a request', 'on a stream'])
    })

    for (const [requests, code] of [
      [200, 'EPROTOCOL'],
      [302, 'EPROTOCOL'],
      [401, 'EPROTOCOL'],
      [403, 'EPROTOCOL'],
      [404, 'EPROTOCOL'],
      [429, 'EPROTOCOL'],
      [500, 'EPROTOCOL'],
      [502, 'EUNREACHABLE'],
      [503, 'EUNREACHABLE'],
      [504, 'EUNREACHABLE']
    ] as const) {
      it(`fails soon with ${code} when all is answered with ${requests}, and says what has answered`, async () => {
        const { a, client } = await behind({ requests, upgrades: requests }, { timeout: 60_000 })
        for (let n = 0; n < 2; n++) {
          const {
            ms,
            value: { failed }
          } = await elapsed(() => a.forward.spark(client.id, 'never'))
          const [failure] = failed ?? []
          assume([failure?.code, failure?.status, failure?.maybe]).eql([code, requests, false])
          assume(failure?.message).includes(`status ${requests}`)
          assume(failure?.message).includes("by 'a gateway'")
          // Long before the deadline.
          assume(ms).is.below(20_000)
        }
        assume(client.messages).eql([])
      })
    }

    it('fails before the deadline, with the status, when it answers no upgrade and refuses requests', async () => {
      const { a, client } = await behind({ upgrades: 'silent', requests: 405 }, { timeout: 9000 })
      for (let n = 0; n < 2; n++) {
        const { failed } = await a.forward.spark(client.id, 'never')
        assume(failed?.map(({ code, status, maybe }) => [code, status, maybe])).eql([['EPROTOCOL', 405, false]])
      }
    })

    it('says of a message that was cut off that it may have arrived, and what has answered since', async () => {
      const { a, client, gateway } = await behind({}, { timeout: 60_000 })
      assume(await a.forward.spark(client.id, 'first')).eql({ ok: true, send: 1 })
      Object.assign(gateway.behaviour, { carries: 0, requests: 503, upgrades: 503 })
      const { failed } = await a.forward.spark(client.id, 'cut off')
      assume(failed?.map(({ code, status, maybe }) => [code, status, maybe])).eql([['EUNREACHABLE', 503, true]])
    })
  })

  it('because a Redis listens there, a forward fails long before the deadline', async () => {
    const b = await start({}, { address: `http://127.0.0.1:${new URL(place.redis.url).port}` })
    const { a, client } = await scene(await start({ timeout: 50_000 }), b)
    const { failed } = await a.forward.spark(client.id, 'never')
    assume(failed?.map(({ code, maybe }) => [code, maybe])).eql([['EPROTOCOL', false]])
    assume(failed?.[0]?.message).includes('See which software listens there')
  })

  describe('keeps to single requests', () => {
    /** Asks, on terms of its own. */
    const asking = (memory: number): HttpClient => {
      const client = new HttpClient({ tls: undefined, timeout: 5000, maxBody: MOST, memory })
      using(() => {
        client.close()
      })
      return client
    }

    /** Says hello and asks, as a session does, until it is answered. */
    const ask = async (client: HttpClient, port: number): Promise<void> => {
      await eventually(async () => {
        await client.greet(peerAt(port), hello(), until())
        await client.send(peerAt(port), request('head'), until())
        return true
      })
    }

    it('for a while, and then tries a stream again, which it keeps when that works', async () => {
      const { port } = await serve(new Echo())
      const gateway = await startGateway({ port, carries: 0 })
      const client = asking(200)
      await ask(client, gateway.port)
      assume(gateway.seen.requests).is.above(0)
      gateway.behaviour.carries = Infinity
      const ended = (): Promise<boolean> =>
        client.send(peerAt(gateway.port), request('head'), until()).then(
          () => false,
          () => true
        )
      await eventually(ended, { what: 'the end of single requests' })
      const { requests } = gateway.seen
      await ask(client, gateway.port)
      assume(gateway.seen.requests).equals(requests)
    })

    it('only if they work: a peer that is paused is greeted on a stream when it goes on', async () => {
      const { port } = await serve(new Echo())
      const gateway = await startGateway({ port, upgrades: 'silent' })
      const client = asking(60_000)
      const error = await failure(client.greet(peerAt(gateway.port), hello(), until(100)))
      assume([error.code, error.maybe]).eql(['EDEADLINE', true])
      gateway.behaviour.upgrades = 'pass'
      await client.greet(peerAt(gateway.port), hello(), until())
      const { requests } = gateway.seen
      await client.send(peerAt(gateway.port), request('head'), until())
      assume(gateway.seen.requests).equals(requests)
    })

    it('no longer when a proxy refuses them', async () => {
      const { port } = await serve(new Echo())
      const gateway = await startGateway({ port, upgrades: 400 })
      const client = asking(60_000)
      await ask(client, gateway.port)
      Object.assign(gateway.behaviour, { requests: 403, upgrades: 'pass' })
      const error = await failure(client.send(peerAt(gateway.port), request('head'), until()))
      assume([error.code, error.status, error.maybe]).eql(['EPROTOCOL', 403, true])
      await ask(client, gateway.port)
    })
  })
})

/** Two servers and a client of the second one, which its peers reach through a gateway. */
interface Scene {
  readonly a: Registered
  readonly b: Registered
  readonly client: Client
  readonly gateway: Gateway
}
