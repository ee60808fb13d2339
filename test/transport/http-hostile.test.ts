import { once as happens } from 'node:events'
import { createServer as createTcp, type AddressInfo, type Socket } from 'node:net'
import { Message } from '../../lib/common/encoded-message'
import { HttpClient } from '../../lib/transport/http/client'
import { frame } from '../../lib/transport/http/frames'
import { OmegaSender } from '../../lib/transport/omega/sender'
import { assume } from '../support/assume'
import { openClient } from '../support/client'
import { using } from '../support/dispose'
import { startGateway } from '../support/gateway'
import { startRedis } from '../support/redis'
import { elapsed, eventually } from '../support/wait'
import { after, echo, Echo, failure, hello, MOST, request } from './contract'
import { peerAt, serve } from './http-stage'
import { Raw, UPGRADE } from './raw'

/** A deadline in ms that what fails at once does not reach, on a busy machine either. */
const PATIENT = 50_000

/** A server that answers every connection with these bytes, to each request. */
async function impostor(answer: string, ...later: (string | Buffer)[]): Promise<number> {
  const server = createTcp(socket => {
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      if (!chunk.includes('\r\n\r\n')) return
      socket.write(answer)
      for (const more of later) socket.write(more)
    })
    using(() => socket.destroy())
  })
  using(() => server.close())
  server.listen(0, '127.0.0.1')
  await happens(server, 'listening')
  return (server.address() as AddressInfo).port
}

function asking(differing: Partial<ConstructorParameters<typeof HttpClient>[0]> = {}): HttpClient {
  const client = new HttpClient({ tls: undefined, timeout: 5000, maxBody: MOST, ...differing })
  using(() => client.close())
  return client
}

describe('HTTP between servers, in bad company', () => {
  let receiver: Echo
  let port: number

  const served = async (bounds: ConstructorParameters<typeof Echo>[0] = {}): Promise<void> => {
    receiver = new Echo({ maxBody: 10_000, timeout: 300, ...bounds })
    port = (await serve(receiver)).port
  }

  beforeEach(() => served())

  describe('a stream', () => {
    it('is not opened for a stranger, which gets a plain answer', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(UPGRADE.replace('metroplex: hello', 'metroplex: a stranger'))
      await raw.hears('"reason":"No."')
      assume(raw.heard).startsWith('HTTP/1.1 401 Unauthorized\r\n')
      assume(raw.heard).includes('metroplex: -\r\n')
      await raw.ends()
      assume(receiver.received).deep.equals([])
    })

    it('is closed without an authenticated request within a second', async () => {
      const raw = await Raw.upgraded(port)
      assume(await raw.ends()).is.within(700, 10_000)
    })

    it('is closed then also when bytes arrive but no request', async () => {
      const raw = await Raw.upgraded(port)
      const timer = setInterval(() => {
        raw.socket.write('\0')
      }, 200)
      using(() => {
        clearInterval(timer)
      })
      assume(await raw.ends()).is.within(700, 10_000)
      clearInterval(timer)
    })

    it('stays open for authenticated peers', async () => {
      const raw = await Raw.upgraded(port)
      raw.frame('head type')
      await raw.hears('200 re head type\n')
      assume(await raw.ends(1500).catch(() => 'open')).equals('open')
      raw.frame('other type')
      await raw.hears('200 re other type\n')
    })

    it("is closed after the answer to a stranger's request, whose body is not read", async () => {
      const raw = await Raw.upgraded(port)
      raw.frame('a stranger type', Buffer.alloc(9000))
      await raw.hears('401 - application/json\n')
      await raw.ends()
      assume(receiver.heads).deep.equals([])
    })

    it('answers a stranger before its body has arrived', async () => {
      const raw = await Raw.upgraded(port)
      const [bytes = Buffer.alloc(0)] = frame('a stranger type', Buffer.alloc(9000))
      raw.socket.write(bytes.subarray(0, 30))
      await raw.hears('401 - application/json\n')
      await raw.ends()
    })

    it('is closed after 413 when a frame is larger than is taken, by its first four bytes', async () => {
      const raw = await Raw.upgraded(port)
      raw.socket.write(Buffer.from([0x7f, 0xff, 0xff, 0xff]))
      await raw.hears('413 - application/json\n')
      await raw.ends()
      assume(receiver.judged).deep.equals(['hello'])
    })

    it('is closed after 400 when what comes is no frame', async () => {
      const raw = await Raw.upgraded(port)
      raw.socket.write(Buffer.alloc(3000))
      await raw.hears('400 - application/json\n')
      await raw.ends()
    })

    it('is closed when what comes is HTTP', async () => {
      const raw = await Raw.upgraded(port)
      raw.socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
      await raw.hears('413 - application/json\n')
      await raw.ends()
    })

    it('is closed after 408 when a body takes too long to come, however steadily it comes', async () => {
      const raw = await Raw.upgraded(port)
      raw.frame('head type')
      await raw.hears('200 re head')
      const [bytes = Buffer.alloc(0)] = frame('slow type', Buffer.alloc(9000))
      let at = 0
      const timer = setInterval(() => {
        raw.socket.write(bytes.subarray(at, (at += 20)))
      }, 20)
      using(() => {
        clearInterval(timer)
      })
      const { ms } = await elapsed(() => raw.hears('408 - application/json\n'))
      assume(ms).is.within(250, 10_000)
      clearInterval(timer)
      await raw.ends()
      assume(receiver.heads).deep.equals(['head'])
    })

    it('ends when the other end goes away in the middle of a frame', async () => {
      const raw = await Raw.upgraded(port)
      const [bytes = Buffer.alloc(0)] = frame('half type', Buffer.alloc(9000))
      raw.socket.write(bytes.subarray(0, 5000))
      raw.socket.resetAndDestroy()
      await raw.ends()
      assume(receiver.heads).deep.equals([])
    })

    it('carries out nothing more while answers cannot leave, and goes on when they can', async () => {
      await served({ maxBody: MOST })
      receiver.reply = asked =>
        asked.type === 'type' ? { ...echo(asked), body: Buffer.alloc(1_000_000) } : echo(asked)
      const greedy = await Raw.upgraded(port)
      greedy.socket.pause()
      for (let number = 0; number < 100; number++) greedy.frame(`${number} type`)
      await eventually(() => receiver.heads.length > 0)
      let before = -1
      await eventually(
        () => {
          const still = receiver.heads.length === before
          before = receiver.heads.length
          return still
        },
        { every: 200 }
      )
      assume(receiver.heads.length).is.below(50)
      greedy.socket.removeAllListeners('data')
      greedy.socket.resume()
      await eventually(() => receiver.heads.length === 100, { within: 10_000, what: '100 answers' })
      assume(receiver.heads).deep.equals(Array.from({ length: 100 }, (_, number) => `${number}`))
    })
  })

  describe('a single request', () => {
    const PUT = 'PUT /primus/metroplex HTTP/1.1\r\nhost: x\r\nmetroplex: head\r\ncontent-type: type\r\n'

    it('is refused with 413 by the length that it announces', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(`${PUT}content-length: 10001\r\n\r\n`)
      await raw.hears('"code":"ETOOBIG"')
      assume(raw.heard).startsWith('HTTP/1.1 413 Payload Too Large\r\n')
      await raw.ends()
      assume(receiver.judged).deep.equals([])
    })

    it('is refused with 413 when it announces none, as soon as it is too large', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(`${PUT}transfer-encoding: chunked\r\n\r\n`)
      for (let chunk = 0; chunk < 11; chunk++) raw.socket.write(`3e8\r\n${'x'.repeat(1000)}\r\n`)
      await raw.hears('HTTP/1.1 413')
      await raw.ends()
      assume(receiver.received).deep.equals([])
    })

    it('is refused before its body has come when a stranger sends it', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(`${PUT.replace('head', 'a stranger')}content-length: 9000\r\n\r\nx`)
      await raw.hears('HTTP/1.1 401')
      await raw.ends()
      assume(receiver.received).deep.equals([])
    })

    it('is refused with 408 when its body takes too long to come', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(`${PUT}content-length: 9000\r\n\r\n`)
      const timer = setInterval(() => {
        raw.socket.write('x')
      }, 20)
      using(() => {
        clearInterval(timer)
      })
      const { ms } = await elapsed(() => raw.hears('HTTP/1.1 408'))
      assume(ms).is.within(250, 10_000)
      clearInterval(timer)
      await raw.ends()
      assume(receiver.received).deep.equals([])
    })

    it('is refused with 405 when it is no PUT', async () => {
      for (const method of ['POST', 'DELETE', 'PATCH']) {
        const raw = await Raw.open(port)
        raw.socket.write(`${PUT.replace('PUT', method)}content-length: 0\r\n\r\n`)
        await raw.hears('\r\n\r\n')
        assume(raw.heard).startsWith('HTTP/1.1 405 Method Not Allowed\r\n')
        assume(raw.heard).includes('allow: GET, PUT\r\n')
      }
      assume(receiver.judged).deep.equals([])
    })

    it('goes by on one connection with others', async () => {
      const raw = await Raw.open(port)
      for (const body of ['one', 'two']) {
        raw.socket.write(`${PUT}content-length: 3\r\n\r\n${body}`)
        await raw.hears(body)
      }
      assume(raw.heard.split('metroplex: re head\r\n')).has.length(3)
    })

    it('is dropped when its sender disconnects', async () => {
      const raw = await Raw.open(port)
      raw.socket.write(`${PUT}content-length: 9000\r\n\r\nhalf`)
      await eventually(() => receiver.judged.length === 1)
      raw.socket.resetAndDestroy()
      await raw.ends()
      assume(receiver.received).deep.equals([])
    })
  })

  describe('a peer', () => {
    it('that answers with more than we take is not believed, on a stream', async () => {
      await served({ maxBody: MOST })
      const client = asking({ maxBody: 10_000 })
      await client.greet(peerAt(port), hello(), after())
      const error = await failure(client.send(peerAt(port), request('long', Buffer.alloc(200_000)), after()))
      assume(error.code).equals('EPROTOCOL')
      assume(error.maybe).is.true()
      assume((await client.greet(peerAt(port), hello(), after())).status).equals(200)
    })

    it('that answers with more than we take is not believed, after a single request', async () => {
      const endless = await impostor(
        'HTTP/1.1 200 OK\r\nmetroplex: head\r\ncontent-length: 200000\r\n\r\n',
        Buffer.alloc(200_000)
      )
      const error = await failure(asking({ maxBody: 10_000 }).greet(peerAt(endless), hello(), after()))
      assume(error.code).equals('EPROTOCOL')
    })

    it('that speaks without being asked loses its stream', async () => {
      const talkative = await impostor(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n\r\n',
        Buffer.concat([...frame('200 re type', Buffer.alloc(0)), ...frame('200 re type', Buffer.alloc(0))])
      )
      const client = asking()
      await client.greet(peerAt(talkative), hello(), after()).catch(() => undefined)
      const error = await eventually(() => failure(client.send(peerAt(talkative), request('head'), after(100))))
      assume(error.code).equals('EUNREACHABLE')
      assume(error.maybe).is.false()
    })

    it('that speaks another language after an upgrade is told apart', async () => {
      const foreign = await impostor(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n\r\n',
        'SSH-2.0-OpenSSH_9.2\r\n'.repeat(200)
      )
      const error = await failure(asking().greet(peerAt(foreign), hello(), after()))
      assume(error.code).equals('EPROTOCOL')
      assume(error.message).includes('See which software listens there')
    })

    it('that is another web server is told apart', async () => {
      const other = await impostor(
        'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi'
      )
      const error = await failure(asking().greet(peerAt(other), hello(), after()))
      assume(error.code).equals('EPROTOCOL')
      assume(error.message).includes('answered with status 200, and not as metroplex does')
    })

    for (const [what, status, header] of [
      ['an answer with 401 whose body never ends', 401, 'content-type: text/html'],
      ['a stream of events that never ends', 200, 'content-type: text/event-stream'],
      ['a head after which nothing comes', 503, 'content-length: 100']
    ] as const) {
      it(`that sends ${what} is not waited for`, async () => {
        const endless = await impostor(`HTTP/1.1 ${status} Some\r\n${header}\r\n\r\ndata: x\n\n`)
        const error = await failure(asking().greet(peerAt(endless), hello(), after(PATIENT)))
        assume([error.code, error.status]).eql([status === 503 ? 'EUNREACHABLE' : 'EPROTOCOL', status])
        assume(error.message).includes('data: x')
      })
    }

    it('that is a Redis is told apart', async () => {
      const redis = await startRedis()
      const error = await failure(asking().greet(peerAt(redis.port), hello(), after(PATIENT)))
      assume(error.code).equals('EPROTOCOL')
      assume(error.message).includes('without an answer. See which software listens there')
    })

    it('that answers, but not by HTTP, is told apart', async () => {
      const foreign = await impostor("-ERR wrong number of arguments for 'get' command\r\n")
      const error = await failure(asking().greet(peerAt(foreign), hello(), after(PATIENT)))
      assume(error.code).equals('EPROTOCOL')
      assume(error.message).includes('did not answer by HTTP')
    })

    it('behind a layer that answers no upgrades and refuses single requests: the refusal is the error', async () => {
      const { port: layer } = await startGateway({ upgrades: 'silent', requests: 405 })
      const client = asking()
      assume((await failure(client.greet(peerAt(layer), hello(), after(200)))).code).equals('EDEADLINE')
      for (let n = 0; n < 2; n++) {
        const error = await failure(client.greet(peerAt(layer), hello(), after(PATIENT)))
        assume([error.code, error.status]).eql(['EPROTOCOL', 405])
      }
    })

    it('behind a layer that refuses upgrades and answers no single requests: the refusal is named', async () => {
      const { port: layer } = await startGateway({ upgrades: 405, requests: 'silent' })
      const error = await failure(asking().greet(peerAt(layer), hello(), after(200)))
      assume(error.code).equals('EDEADLINE')
      assume(error.message).includes('An upgrade was answered with status 405')
    })

    it('that says nothing at all fails at the deadline, and nothing stays open', async () => {
      const sockets = new Set<Socket>()
      const silent = createTcp(socket => {
        sockets.add(
          socket
            .on('error', () => undefined)
            .once('close', () => {
              sockets.delete(socket)
            })
        )
        socket.resume()
      })
      using(() => silent.close())
      silent.listen(0, '127.0.0.1')
      await happens(silent, 'listening')
      const client = asking()
      const { address } = peerAt((silent.address() as AddressInfo).port)
      for (const at of [address, address.replace('http:', 'https:')]) {
        const { ms, value: error } = await elapsed(() =>
          failure(client.greet({ ...peerAt(0), address: at }, hello(), after(200)))
        )
        assume(error.code).equals('EDEADLINE')
        assume(error.maybe).equals(at === address)
        assume(ms).is.within(150, 10_000)
      }
      await eventually(() => sockets.size === 0, { what: 'the end of all connections' })
    })
  })

  for (const [what, status, type] of [
    ['a page', 401, 'text/html'],
    ['a stream of events', 200, 'text/event-stream']
  ] as const) {
    it(`on the wire of omega-supreme, does not wait for the end of ${what}`, async () => {
      const endless = await impostor(`HTTP/1.1 ${status} Some\r\ncontent-type: ${type}\r\n\r\ndata: x\n\n`)
      const wire = { url: '/primus/omega/supreme', method: 'PUT', username: 'omega', password: 'secret' }
      const sender = new OmegaSender(wire, { timeout: PATIENT, maxBody: MOST, tls: undefined })
      using(() => sender.close())
      const sent = sender.send(peerAt(endless).address, Message.of('x', false), { sparks: ['id'] }, after(PATIENT))
      const error = await failure(sent)
      assume([error.code, error.status]).eql(['EPROTOCOL', status])
    })
  }

  it("leaves alone what others ask below Primus's path, and clients", async () => {
    const client = await openClient(`http://127.0.0.1:${port}`)
    assume(client.id).is.a('string')
    for (const [asked, status] of [
      ['GET /primus/metroplex', 426],
      ['GET /primus/metroplexus', 426],
      ['PUT /primus/other', 426]
    ] as const) {
      const raw = await Raw.open(port)
      raw.socket.write(`${asked} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n`)
      await raw.hears('\r\n\r\n')
      // Primus's own answer.
      assume(raw.heard).startsWith(`HTTP/1.1 ${status} Upgrade Required\r\n`)
      assume(raw.heard.includes('The upgrade was lost')).is.false()
    }
    assume(receiver.judged).deep.equals([])
  })

  it('leaves upgrades to other protocols to Primus', async () => {
    const raw = await Raw.open(port)
    raw.socket.write(UPGRADE.replace('upgrade: metroplex', 'upgrade: websocket'))
    await raw.ends()
    assume(raw.heard).startsWith('HTTP/1.1 400')
    assume(receiver.judged).deep.equals([])
  })

  it('refuses what comes once it is closed, and ends what is open', async () => {
    const { transport, port: other } = await serve(receiver)
    const stream = await Raw.upgraded(other)
    const reading = await Raw.open(other)
    reading.socket.write(
      'PUT /primus/metroplex HTTP/1.1\r\nhost: x\r\nmetroplex: head\r\ncontent-length: 9000\r\n\r\nhalf'
    )
    await eventually(() => receiver.judged.includes('head'))
    await transport.close()
    await stream.ends()
    await reading.hears('HTTP/1.1 503')
    await reading.ends()
    for (const asked of [
      UPGRADE,
      'PUT /primus/metroplex HTTP/1.1\r\nhost: x\r\nmetroplex: head\r\ncontent-length: 0\r\n\r\n'
    ]) {
      const raw = await Raw.open(other)
      raw.socket.write(asked)
      await raw.hears('"code":"ECLOSED"')
      assume(raw.heard).startsWith('HTTP/1.1 503 Service Unavailable\r\n')
      assume(raw.heard).includes('connection: close\r\n')
      await raw.ends()
    }
    assume(receiver.heads).deep.equals([])
  })

  it('answers 503 until a receiver is set', async () => {
    const { port: other } = await serve(undefined)
    const answer = await asking().greet(peerAt(other), hello(), after())
    assume(answer.status).equals(503)
    assume(answer.head).equals('')
  })

  it('takes no answer without our header for one of the peer, with any body', async () => {
    const json = '{"code":"EAUTH","reason":"No."}'
    const head = `HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n`
    const foreign = await impostor(`${head}connection: close\r\n\r\n${json}`)
    const error = await failure(asking().greet(peerAt(foreign), hello(), after()))
    assume([error.code, error.status]).eql(['EPROTOCOL', 401])
    assume(error.message).includes(json)
  })
})
