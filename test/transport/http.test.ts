import { createServer as createHttp } from 'node:http'
import { connect as connectHttp2, createSecureServer, type ClientHttp2Session } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { ignore } from '../../lib/common/callback'
import { Message } from '../../lib/common/encoded-message'
import { DEFERRABLE_BATCH } from '../../lib/transport/envelope'
import { HttpClient } from '../../lib/transport/http/client'
import { Listener } from '../../lib/transport/http/listener'
import { OmegaSender } from '../../lib/transport/omega/sender'
import type { ReceivedAnswer } from '../../lib/transport/receiving/reception-contract'
import { SelfProbe } from '../../lib/transport/self-probe'
import type { Middleware } from '../../lib/common/types'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { reservePort } from '../support/ports'
import { startProxy, type TcpProxy } from '../support/proxy'
import { chain, tls } from '../support/tls'
import { twoAddresses } from '../support/two-addresses'
import { startUpgradeless, type Fate } from '../support/upgradeless'
import { eventually } from '../support/wait'
import { after, contract, echo, Echo, failure, hello, MOST, request, type Served, type Stage } from './contract'
import { peerAt, serve, transport } from './http-stage'

/** All servers lie behind one weather. */
function stage(inFront: (port: number) => Promise<number>): Stage {
  const proxies: TcpProxy[] = []
  const home = new Echo()
  return {
    asker: transport(home),
    home,
    network: {
      cut: () => {
        for (const proxy of proxies) proxy.cut()
      },
      freezeReplies: () => {
        for (const proxy of proxies) proxy.freezeReplies()
      },
      thaw: () => {
        for (const proxy of proxies) proxy.thaw()
      }
    },
    serve: async (receiver): Promise<Served> => {
      const { transport: served, port } = await serve(receiver)
      const proxy = await startProxy({ port: await inFront(port) })
      proxies.push(proxy)
      return { transport: served, peer: peerAt(proxy.port) }
    },
    absent: async () => peerAt(await reservePort())
  }
}

contract('HTTP on streams', () => Promise.resolve(stage(port => Promise.resolve(port))))
contract(
  'HTTP where upgrades are refused',
  () => Promise.resolve(stage(async port => (await startUpgradeless(port)).port)),
  false
)

/** Asks, on terms of its own. */
function client(differing: Partial<ConstructorParameters<typeof HttpClient>[0]> = {}): HttpClient {
  const made = new HttpClient({ tls: undefined, timeout: 5000, maxBody: MOST, ...differing })
  using(() => {
    made.close()
  })
  return made
}

describe('HTTP between servers', () => {
  let receiver: Echo

  beforeEach(() => {
    receiver = new Echo()
  })

  it('has answers that come later: none is lost when the stream is closed meanwhile', async () => {
    const { transport: served, port } = await serve(receiver)
    receiver.reply = request => {
      if (receiver.received.length === 4) {
        queueMicrotask(() => {
          served.close().catch(ignore)
        })
      }
      const answer: ReceivedAnswer = { ...echo(request), deferrable: true }
      return answer
    }
    const asker = transport()
    await asker.greet(peerAt(port), hello(), after())
    const answers = ['1', '2', '3'].map(head =>
      asker.send(peerAt(port), { ...request(head), type: DEFERRABLE_BATCH }, after())
    )
    assume((await Promise.all(answers)).map(({ head }) => head)).eql(['re 1', 're 2', 're 3'])
  })

  it('takes further requests only behind those whose answers may come later', async () => {
    const { port } = await serve(receiver)
    const asker = transport()
    await asker.greet(peerAt(port), hello(), after())
    const peer = peerAt(port)
    const answers = [
      asker.send(peer, { ...request('1'), type: DEFERRABLE_BATCH }, after()),
      asker.send(peer, request('2'), after())
    ]
    const { code, maybe } = await failure(asker.send(peer, request('3'), after()))
    assume([code, maybe]).eql(['EUNREACHABLE', false])
    assume((await Promise.all(answers)).map(({ head }) => head)).eql(['re 1', 're 2'])
    assume(asker.pipelines(peer.address)).true()
    assume(receiver.received.map(({ head }) => head)).eql(['hello', '1', '2'])
  })

  it('keeps one connection per peer for all requests', async () => {
    const { port } = await serve(receiver)
    const proxy = await startProxy({ port })
    const asker = transport()
    await asker.greet(peerAt(proxy.port), hello(), after())
    for (let turn = 0; turn < 50; turn++) await asker.send(peerAt(proxy.port), request(`${turn}`), after())
    assume(proxy.connections).equals(1)
    await asker.greet(peerAt(proxy.port), hello(), after())
    await eventually(() => proxy.connections === 1, { what: 'the end of the stream that was replaced' })
    asker.release(peerAt(proxy.port).address)
    await eventually(() => proxy.connections === 0, { what: 'the end of the stream' })
  })

  it('keeps one connection per peer also for single requests', async () => {
    const { port } = await serve(receiver)
    const upgradeless = await startUpgradeless(port)
    const proxy = await startProxy({ port: upgradeless.port })
    const asker = transport()
    await asker.greet(peerAt(proxy.port), hello(), after())
    for (let turn = 0; turn < 50; turn++) await asker.send(peerAt(proxy.port), request(`${turn}`), after())
    await eventually(() => proxy.connections === 1, { what: 'one connection' })
    assume(upgradeless.seen).deep.equals({ upgrades: 1, requests: 51 })
    asker.release(peerAt(proxy.port).address)
    await eventually(() => proxy.connections === 0, { what: 'the end of the connection' })
  })

  it('keeps the process alive only while it waits for an answer', async () => {
    const { port } = await serve(receiver)
    const alive = (): number => process.getActiveResourcesInfo().filter(type => type === 'TCPSocketWrap').length
    const before = alive()
    const asker = transport()
    await asker.greet(peerAt(port), hello(), after())
    assume(alive()).equals(before)
    const answer = asker.send(peerAt(port), request('head'), after())
    assume(alive()).equals(before + 1)
    await answer
    assume(alive()).equals(before)
  })

  it('closes a stream that lies idle, and then says that nothing was sent', async () => {
    const { port } = await serve(receiver)
    const proxy = await startProxy({ port })
    const asker = client({ idle: 100 })
    await asker.greet(peerAt(proxy.port), hello(), after())
    await asker.send(peerAt(proxy.port), request('head'), after())
    await eventually(() => proxy.connections === 0, { what: 'the end of an idle stream' })
    const error = await failure(asker.send(peerAt(proxy.port), request('late'), after()))
    assume(error.code).equals('EUNREACHABLE')
    assume(error.maybe).is.false()
  })

  it('sends nothing to a peer that was not greeted', async () => {
    const { port } = await serve(receiver)
    const error = await failure(transport().send(peerAt(port), request('head'), after()))
    assume(error.code).equals('EUNREACHABLE')
    assume(error.maybe).is.false()
    assume(receiver.judged).deep.equals([])
  })

  it('sends nothing when the deadline has passed before', async () => {
    const { port } = await serve(receiver)
    const asker = transport()
    await asker.greet(peerAt(port), hello(), after())
    for (const late of [
      asker.send(peerAt(port), request('late'), after(-1)),
      asker.greet(peerAt(port), hello('late'), after(-1))
    ]) {
      const error = await failure(late)
      assume(error.code).equals('EDEADLINE')
      assume(error.maybe).is.false()
    }
    await asker.send(peerAt(port), request('in time'), after())
    assume(receiver.judged).deep.equals(['hello', 'in time'])
  })

  it('fails at once for an invalid address in the registry', async () => {
    const asker = transport()
    const peer = peerAt(await reservePort())
    for (const wrong of [
      { address: 'servers' },
      { address: '' },
      { address: 'ftp://127.0.0.1' },
      { address: 'http://127.0.0.1:99999' },
      { pathname: '/a b\r\nc' },
      { pathname: '/ü' }
    ]) {
      const error = await failure(asker.greet({ ...peer, ...wrong }, hello(), after()))
      assume(error.code).equals('EUNREACHABLE')
      assume(error.maybe).is.false()
    }
  })

  it('names each address of the host of a peer when none can be reached', async () => {
    const port = await reservePort()
    const peer = { ...peerAt(port), address: `http://${twoAddresses()}:${port}` }
    const { message, maybe } = await failure(transport().greet(peer, hello(), after()))
    assume(message).includes(`ECONNREFUSED 127.0.0.1:${port}`)
    assume(message).includes(`::1:${port}`)
    assume(maybe).is.false()
  })

  it('lets a new hello take the place of one that is under way', async () => {
    const { port } = await serve(receiver)
    const proxy = await startProxy({ port })
    const asker = transport()
    proxy.freezeReplies()
    const first = asker.greet(peerAt(proxy.port), hello('first'), after())
    const replaced = failure(first)
    await eventually(() => receiver.received.length === 1)
    proxy.thaw()
    const second = asker.greet(peerAt(proxy.port), hello('second'), after())
    assume((await replaced).code).equals('EUNREACHABLE')
    assume((await second).head).equals('re second')
    assume((await asker.send(peerAt(proxy.port), request('head'), after())).head).equals('re head')
    await eventually(() => proxy.connections === 1, { what: 'one connection' })
  })

  describe('sends single requests where an upgrade', () => {
    for (const [what, upgrades] of [
      ['is answered with 400', 400],
      ['is answered with 404', 404],
      ['is answered with 426', 426],
      ['is answered with 502', 502],
      ['is answered with a page', 200],
      ['is answered by the end of the connection', 'close'],
      ['is taken out of the request', 'strip']
    ] as [string, Fate][]) {
      it(what, async () => {
        const { port } = await serve(receiver)
        const upgradeless = await startUpgradeless(port, { upgrades })
        const asker = transport()
        assume((await asker.greet(peerAt(upgradeless.port), hello(), after())).head).equals('re hello')
        assume((await asker.send(peerAt(upgradeless.port), request('head', 'body'), after())).body.toString()).equals(
          'body'
        )
        // It is remembered: no second one is tried.
        const { upgrades: tried, requests } = upgradeless.seen
        await asker.greet(peerAt(upgradeless.port), hello(), after())
        assume(upgradeless.seen).deep.equals({ upgrades: tried, requests: requests + 1 })
      })
    }
  })

  it('tries an upgrade again after a while', async () => {
    const { port } = await serve(receiver)
    const upgradeless = await startUpgradeless(port)
    const asker = client({ memory: 100 })
    await asker.greet(peerAt(upgradeless.port), hello(), after())
    assume(upgradeless.seen.upgrades).equals(1)
    const error = await eventually(() =>
      asker.send(peerAt(upgradeless.port), request('head'), after()).then(
        () => undefined,
        (thrown: unknown) => thrown as Error & { maybe: boolean }
      )
    )
    assume(error.maybe).is.false()
    await asker.greet(peerAt(upgradeless.port), hello(), after())
    assume(upgradeless.seen.upgrades).equals(2)
    await asker.send(peerAt(upgradeless.port), request('head'), after())
  })

  it('fails with maybe: true when a proxy answers in the place of a peer that has gone', async () => {
    const { port, transport: served } = await serve(receiver)
    const backend = await startProxy({ port })
    const upgradeless = await startUpgradeless(backend.port)
    const asker = transport()
    await asker.greet(peerAt(upgradeless.port), hello(), after())
    await backend.refuse()
    backend.cut()
    const error = await failure(asker.send(peerAt(upgradeless.port), request('head'), after()))
    assume(error.code).equals('EUNREACHABLE')
    assume(error.maybe).is.true()
    await served.close()
  })

  it("takes an upgrade below Primus's own path, and a peer's", async () => {
    const { port } = await serve(receiver, { pathname: '/real/time' })
    const asker = transport()
    const peer = { ...peerAt(port), pathname: '/real/time' }
    await asker.greet(peer, hello(), after())
    assume((await asker.send(peer, request('head'), after())).head).equals('re head')
  })

  it('works beside the transformers that take upgrades themselves', async () => {
    for (const transformer of ['websockets', 'sockjs']) {
      const { port } = await serve(receiver, { transformer })
      const asker = transport()
      await asker.greet(peerAt(port), hello(), after())
      assume((await asker.send(peerAt(port), request('head'), after())).head).equals('re head')
    }
  })

  it('is asked by single requests when its server hands upgrades on as requests', async () => {
    const {
      transport: { middleware }
    } = await serve(receiver)
    const server = createHttp((req, res) => {
      middleware.call(undefined as never, req, res, () => {
        res.writeHead(404).end()
      })
    })
    using(() => {
      server.close()
      server.closeAllConnections()
    })
    await new Promise<void>(resolve => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const asker = transport()
    const peer = peerAt((server.address() as AddressInfo).port)
    assume((await asker.greet(peer, hello(), after())).head).equals('re hello')
    assume((await asker.send(peer, request('head'), after())).head).equals('re head')
  })

  it('gives Primus one function with three parameters', () => {
    const { middleware } = transport()
    assume(middleware.length).equals(3)
    assume(transport().middleware.name).equals('metroplex')
  })

  describe('over TLS', () => {
    for (const [what, make] of [
      ['an https server', () => createHttps(tls)],
      ['an http2 server', () => createSecureServer({ ...tls, allowHTTP1: true })]
    ] as const) {
      const secure = (port: number): { address: string; pathname: string; word: string } => ({
        ...peerAt(port),
        address: `https://127.0.0.1:${port}`
      })

      it(`has streams with ${what}, by the name in its certificate`, async () => {
        const { port } = await serve(receiver, { server: make() })
        const asker = transport(new Echo(), { tls: { ca: tls.cert, servername: 'localhost' } })
        await asker.greet(secure(port), hello(), after())
        const body = Buffer.alloc(500_000, 'x')
        assume((await asker.send(secure(port), request('head', body), after())).body.equals(body)).is.true()
      })

      it(`sends single requests to ${what}`, async () => {
        const asker = client({ tls: { ca: tls.cert, servername: 'localhost' } })
        // Upgrades are refused where there are none.
        const refusing = make()
        refusing.on('upgrade', (_req: unknown, socket: Socket) => {
          socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
        })
        const {
          transport: { middleware }
        } = await serve(receiver)
        refusing.on('request', (req, res) => {
          middleware.call(undefined as never, req as never, res as never, () => undefined)
        })
        await new Promise<void>(resolve => {
          refusing.listen(0, '127.0.0.1', resolve)
        })
        using(() => refusing.close())
        const peer = secure((refusing.address() as AddressInfo).port)
        assume((await asker.greet(peer, hello(), after())).head).equals('re hello')
        const body = Buffer.alloc(500_000, 'x')
        assume((await asker.send(peer, request('head', body), after())).body.equals(body)).is.true()
        asker.close()
      })

      it(`does not trust ${what} with a certificate that it cannot verify, and sends nothing`, async () => {
        const { port } = await serve(receiver, { server: make() })
        const error = await failure(transport().greet(secure(port), hello(), after()))
        assume(error.code).equals('EUNREACHABLE')
        assume(error.maybe).is.false()
        assume(error.message).includes('certificate')
        assume(receiver.judged).deep.equals([])
      })
    }

    it("trusts what the application has renewed, also by single requests and on omega-supreme's wire", async () => {
      const server = createHttps(tls)
      server.on('upgrade', (_req: unknown, socket: Socket) => {
        socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      })
      const { middleware } = (await serve(receiver)).transport
      server.on('request', (req, res) => {
        // Each request has a connection of its own.
        res.shouldKeepAlive = false
        if (req.url === '/omega') res.setHeader('content-type', 'application/json').end('{"ok":true,"send":1}')
        else middleware.call(undefined as never, req, res, () => undefined)
      })
      await new Promise<void>(resolve => {
        server.listen(0, '127.0.0.1', resolve)
      })
      using(() => server.close())
      const renewed = { ca: tls.cert, servername: 'localhost' }
      const asker = client({ tls: renewed })
      const wire = { url: '/omega', method: 'PUT', username: 'omega', password: 'secret' }
      const omega = new OmegaSender(wire, { timeout: 5000, maxBody: MOST, tls: renewed })
      using(() => omega.close())
      const peer = peerAt((server.address() as AddressInfo).port)
      const secure = { ...peer, address: peer.address.replace('http:', 'https:') }
      const send = async (): Promise<void> => {
        assume((await asker.send(secure, request('head'), after())).head).equals('re head')
        const { send } = await omega.send(secure.address, Message.of('x', false), { sparks: ['id'] }, after())
        assume(send).equals(1)
      }
      await asker.greet(secure, hello(), after())
      await send()
      server.setSecureContext(chain)
      Object.assign(renewed, { ca: chain.ca, servername: chain.servername })
      await send()
    })

    it('answers HTTP/2 requests', async () => {
      // Without Primus, whose own layers throw on HTTP/2.
      const { middleware } = transport(receiver)
      const server = createSecureServer(tls, (req, res) => {
        middleware.call(undefined as never, req as never, res as never, () => undefined)
      })
      using(() => server.close())
      await new Promise<void>(resolve => {
        server.listen(0, '127.0.0.1', resolve)
      })
      const session = connectHttp2(`https://localhost:${(server.address() as AddressInfo).port}`, { ca: tls.cert })
      using(() => {
        session.destroy()
      })
      assume(await put(session, 'head', 'body')).deep.equals({ status: 200, head: 're head', body: 'body' })
      const refused = await put(session, 'a stranger', 'body')
      assume(refused.status).equals(401)
      assume(await put(session, 'head', 'again')).deep.equals({ status: 200, head: 're head', body: 'again' })
    })
  })

  describe('a private listener', () => {
    const listener = (...layers: Middleware[]): Listener => {
      const made = new Listener({ host: '127.0.0.1', address: '', tls: undefined }, (req, res, next) => {
        const turn = (at: number): void => {
          const layer = layers[at]
          if (layer === undefined) next()
          else
            layer.call(undefined as never, req, res, () => {
              turn(at + 1)
            })
        }
        turn(0)
      })
      using(() => made.close())
      return made
    }

    it('serves what it is given, and nothing else', async () => {
      const served = transport(receiver)
      const identity = new SelfProbe(() => '/primus/metroplex')
      const open = listener(served.middleware, identity.middleware)
      await open.open()
      const peer = { ...peerAt(0), address: open.address }
      const asker = transport()
      await asker.greet(peer, hello(), after())
      assume((await asker.send(peer, request('head'), after())).head).equals('re head')
      assume(await identity.identify(open.address)).equals('self')
      const elsewhere = await fetch(`${open.address}/primus/other`)
      assume(elsewhere.status).equals(404)
      const error = await failure(asker.greet({ ...peer, pathname: '/other' }, hello(), after()))
      assume(error.code).equals('EPROTOCOL')
      assume(error.message).includes('404')
    })

    it('speaks TLS when it is given a key and a certificate', async () => {
      const { middleware } = transport(receiver)
      const open = new Listener({ host: '127.0.0.1', address: '', tls }, (req, res, next) => {
        middleware.call(undefined as never, req, res, next)
      })
      using(() => open.close())
      await open.open()
      assume(open.address).startsWith('https://127.0.0.1:')
      const asker = transport(new Echo(), { tls: { ca: tls.cert, servername: 'localhost' } })
      await asker.greet({ ...peerAt(0), address: open.address }, hello(), after())
    })

    it('serves the certificate that the application has renewed, to the next connection', async () => {
      const { middleware } = transport(receiver)
      const renewed = { ...tls }
      const open = new Listener({ host: '127.0.0.1', address: '', tls: renewed }, (req, res, next) => {
        middleware.call(undefined as never, req, res, next)
      })
      using(() => open.close())
      await open.open()
      const peer = { ...peerAt(0), address: open.address }
      const ask = (): Promise<unknown> =>
        transport(new Echo(), { tls: { ca: chain.ca, servername: chain.servername } }).greet(peer, hello(), after())
      assume((await failure(ask())).message).includes('certificate')
      // A key without its certificate serves no client, so the former pair goes on.
      renewed.key = chain.key
      const former = transport(new Echo(), { tls: { ca: tls.cert, servername: 'localhost' } })
      await former.greet(peer, hello(), after())
      renewed.cert = chain.cert
      await ask()
    })

    it('says where it cannot listen', async () => {
      const first = listener()
      await first.open()
      const second = new Listener(
        { host: '127.0.0.1', port: Number(new URL(first.address).port), address: '', tls: undefined },
        () => undefined
      )
      using(() => second.close())
      const error = await failure(second.open())
      assume(error.code).equals('EADDRESS')
      assume(error.message).includes('EADDRINUSE')
    })

    it('can be closed while it opens, before it opens, and twice', async () => {
      const opening = listener()
      const opened = failure(opening.open())
      await opening.close()
      assume((await opened).code).equals('ECLOSED')
      await opening.close()
      assume((await failure(opening.open())).code).equals('ECLOSED')
    })

    it('ends connections on which nothing was ever asked', async () => {
      const open = listener()
      await open.open()
      const proxy = await startProxy({ port: Number(new URL(open.address).port) })
      const mute = await startProxy({ port: proxy.port })
      const socket = connect(mute.port, '127.0.0.1')
      socket.on('error', () => undefined)
      await eventually(() => proxy.connections === 1)
      await open.close()
      await eventually(() => proxy.connections === 0, { what: 'the end of a connection' })
      socket.destroy()
    })
  })
})

/** A PUT over HTTP/2. */
function put(
  session: ClientHttp2Session,
  head: string,
  body: string
): Promise<{ status: unknown; head: unknown; body: string }> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'PUT',
      ':path': '/primus/metroplex',
      metroplex: head,
      'content-type': 'type'
    })
    let status: unknown
    let answered: unknown
    let text = ''
    stream.on('response', headers => {
      status = headers[':status']
      answered = headers['metroplex']
    })
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    stream.on('end', () => {
      resolve({ status, head: answered, body: text })
    })
    stream.on('error', reject)
    stream.end(body)
  })
}
