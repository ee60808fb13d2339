import { createServer as createPlain, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { MetroplexOptions } from '../../index'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { createPrimus } from '../support/primus'
import { startProxy } from '../support/proxy'
import { sharedRedis } from '../support/shared-redis'
import { createRegistered, type Registered } from '../support/registered'
import { tls } from '../support/tls'
import { eventually, once } from '../support/wait'

/** A server that takes connections with a certificate of this cluster alone, and what its peers need for that. */
const MUTUAL = { ...tls, ca: tls.cert, requestCert: true, rejectUnauthorized: true }
const PAIR = { ...tls, ca: tls.cert, servername: 'localhost' }

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

/** A server that gets each URL with a query, as from a proxy that says where a request came from. */
function queried(): Server {
  const server = createPlain()
  const emit = server.emit.bind(server) as (event: string, ...args: unknown[]) => boolean
  server.emit = (event: string, ...args: unknown[]) => {
    const req = args[0] as IncomingMessage
    if (event === 'request' || event === 'upgrade') req.url = `${req.url ?? ''}?by=proxy`
    return emit(event, ...args)
  }
  return server
}

interface Case {
  readonly name: string
  readonly options: MetroplexOptions & Record<string, unknown>
  readonly server?: () => Server
}

/** Each is a way in which messages go. */
const CASES: readonly Case[] = [
  { name: 'at the default pathname', options: {} },
  { name: "at the pathname '/'", options: { pathname: '/' } },
  { name: "at the pathname '//'", options: { pathname: '//' } },
  { name: 'at a pathname that ends in a slash', options: { pathname: '/chat/' } },
  { name: 'at a pathname with a dot segment', options: { pathname: '/a/../b' } },
  { name: 'at a pathname with an escaped character', options: { pathname: '/caf%C3%A9' } },
  {
    name: "at the pathname '/' of a private listener",
    options: { pathname: '/', metroplex: { listen: { host: '127.0.0.1' } } }
  },
  { name: 'through software that adds to the query', options: {}, server: queried },
  { name: 'by mutual TLS', options: { metroplex: { tls: PAIR } }, server: () => createSecure(MUTUAL) },
  {
    name: "by mutual TLS at the pathname '/'",
    options: { pathname: '/', metroplex: { tls: PAIR } },
    server: () => createSecure(MUTUAL)
  },
  {
    name: 'by mutual TLS on a private listener',
    server: createPlain,
    options: { metroplex: { tls: { ...PAIR, ...MUTUAL }, listen: { host: '127.0.0.1' } } }
  }
]

describe('a server asks its own address', () => {
  const shared = sharedRedis()

  const start = ({ options, server }: Case): Promise<Registered> =>
    createRegistered({
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: options,
      ...(server && { server: server() })
    })

  for (const each of CASES) {
    it(`on the way that messages go: ${each.name}`, async () => {
      const [a, b] = [await start(each), await start(each)]
      await eventually(() => a.metroplex.stats().peers === 1)
      b.metroplex.method('hello', () => 'there')
      const answers = await a.metroplex.call('hello', [], { to: [b.address] })
      assume(answers).eql([{ address: b.address, ok: true, value: 'there' }])
      // The probe has half a second, which a busy machine may need for a handshake.
      const health = await eventually(async () => {
        const { warnings, reasons } = await a.metroplex.health()
        return [...warnings, ...reasons].length === 0
      })
      assume(health).true()
    })
  }

  it('and no other host, with any pathname', async () => {
    const { metroplex, server, address } = await start({ name: '', options: { pathname: '/' } })
    const hosts: unknown[] = []
    server.prependListener('request', ({ headers }: { headers: { host?: string } }) => hosts.push(headers.host))
    await metroplex.health()
    assume(hosts).eql([new URL(address).host])
  })

  it('and while another server has it, leaves messages that came before it knew that to that server', async () => {
    const secret = 'a secret of the whole cluster'
    const door = { port: 0 }
    const { port } = await startProxy(door)
    const address = `http://127.0.0.1:${port}`
    const claims = {
      redis: { url: shared.redis.url, namespace: shared.space },
      primus: { address, metroplex: { secret } }
    }
    const [sender, holder] = [
      await start({ name: '', options: { metroplex: { secret } } }),
      await createRegistered(claims)
    ]
    const { id } = await openClient(holder.url)
    await eventually(async () => (await sender.metroplex.spark(id)) === address)

    const link = await startProxy({ port: shared.redis.port })
    link.freeze()
    const late = await createPrimus({
      ...claims,
      redis: { url: `redis://127.0.0.1:${link.port}`, namespace: shared.space }
    })
    door.port = portOf(late.server)
    assume(await sender.forward.spark(id, 'x')).eql({ ok: false, send: 0, missing: [id] })

    door.port = portOf(holder.server)
    const told = once(late.metroplex, 'error')
    link.thaw()
    await told
    assume(await sender.forward.spark(id, 'x')).eql({ ok: true, send: 1 })
  })

  describe("where an application's 'request' listener answers everything, too,", () => {
    let pair: [Registered, Registered]

    beforeEach(async () => {
      const made = { name: '', options: {}, server: createPlain }
      pair = [await start(made), await start(made)]
      await eventually(() => pair.every(({ metroplex }) => metroplex.stats().peers === 1))
    })

    /** Health asks a server for itself and for its peer. */
    const warnings = async (): Promise<string[]> => {
      const healths = await Promise.all(pair.map(({ metroplex }) => metroplex.health()))
      return healths.flatMap(health => health.warnings)
    }
    /** A probe has half a second, which a busy machine may need. */
    const quiet = (): Promise<unknown> => eventually(async () => (await warnings()).length === 0)

    const answers: Record<string, (res: ServerResponse) => unknown> = {
      'with a body': res => res.end('hello'),
      'with a head': res => res.setHeader('content-type', 'text/plain').writeHead(200).end('hello'),
      'in pieces': res => res.write('hello', () => res.end()),
      'after a moment': res => setImmediate(() => res.writeHead(200).end('hello'))
    }
    for (const [how, answer] of Object.entries(answers)) {
      it(`behind Primus, ${how}: the answer of metroplex stands`, async () => {
        for (const { server } of pair) server.on('request', (_req: unknown, res: ServerResponse) => answer(res))
        await quiet()
      })
    }

    for (const [how, answer] of Object.entries(answers)) {
      it(`before Primus, ${how}: no process ends`, async () => {
        for (const { server } of pair) {
          server.prependListener('request', (_req: unknown, res: ServerResponse) => {
            res.statusCode = 401
            answer(res)
          })
        }
        // What answers a moment later is too late.
        if (how === 'after a moment') await quiet()
        else assume((await warnings()).join(' ')).includes('No server of the cluster answers')
      })
    }

    it('a message sent as a single request is answered once', async () => {
      const { server, address } = pair[0]
      server.on('request', (_req: unknown, res: ServerResponse) => setImmediate(() => res.writeHead(200).end('hello')))
      const answer = await fetch(`${address}/primus/metroplex`, { method: 'PUT', body: 'x' })
      assume(answer.status).equals(400)
      const lost = await fetch(`${address}/primus/metroplex`, { headers: { metroplex: 'x' } })
      assume(lost.status).equals(426)
    })
  })
})
