import { once as happens } from 'node:events'
import { createServer as createTcp, type AddressInfo } from 'node:net'
import type { Answer, Back } from '../../lib/common/transport-contract'
import { HttpClient } from '../../lib/transport/http/client'
import { frame } from '../../lib/transport/http/frames'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { startGateway } from '../support/gateway'
import { startProxy } from '../support/proxy'
import { elapsed, eventually } from '../support/wait'
import { after, echo, Echo, failure, hello, MOST, request } from './contract'
import { peerAt, serve, transport } from './http-stage'
import { Raw } from './raw'

/** A peer's end of a stream that we have opened, without manners: the hello is answered with these bytes. */
async function host(
  welcome: Buffer[] = frame('200 re type', Buffer.alloc(0))
): Promise<{ port: number; raw: () => Promise<Raw> }> {
  const raws: Raw[] = []
  const server = createTcp(socket => {
    using(() => socket.destroy())
    const raw = new Raw(socket)
    socket.once('data', () => {
      raw.heard = ''
      raws.push(raw)
      socket.write(
        Buffer.concat([
          Buffer.from('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n\r\n'),
          ...welcome
        ])
      )
    })
  })
  using(() => server.close())
  server.listen(0, '127.0.0.1')
  await happens(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    raw: () => eventually(() => raws.at(-1), { what: 'a stream' })
  }
}

describe('a stream, on which both ends ask,', () => {
  let receiver: Echo
  let port: number

  beforeEach(async () => {
    receiver = new Echo({ maxBody: 10_000, timeout: 300 })
    port = (await serve(receiver)).port
  })

  /** One on which a peer that may ask has asked, and its way back. */
  const asked = async (at = port): Promise<{ raw: Raw; back: Back }> => {
    const raw = await Raw.upgraded(at)
    raw.frame('head type')
    await raw.hears('200 re head type\n')
    raw.heard = ''
    const back = [...receiver.backs].at(-1)
    if (back === undefined) throw new Error('there is no way back')
    return { raw, back }
  }

  it('has frames of one form: an answer begins with a status', async () => {
    const { raw, back } = await asked()
    const answer = back.ask(request('2 head', 'body'), after())
    await raw.hears('2 head application/x-test\nbody')
    raw.frame('200 2 re type', 'answer')
    assume(await answer).deep.equals({ status: 200, head: '2 re', type: 'type', body: Buffer.from('answer') })
  })

  it('answers while it waits for an answer itself', async () => {
    const { raw, back } = await asked()
    const answer = back.ask(request('2 head'), after())
    for (const head of ['one', 'two', 'three']) {
      raw.frame(`${head} type`)
      await raw.hears(`200 re ${head} type\n`)
    }
    raw.frame('200 - type')
    assume((await answer).head).equals('')
  })

  it('is asked one thing at a time', async () => {
    const { raw, back } = await asked()
    const answer = back.ask(request('2 head'), after())
    const error = await failure(back.ask(request('2 more'), after()))
    assume([error.code, error.maybe]).eql(['EUNREACHABLE', false])
    raw.frame('200 - type')
    await answer
  })

  it('is no way back any more when it has ended, which is told once', async () => {
    const { raw, back } = await asked()
    const answer = failure(back.ask(request('2 head'), after()))
    raw.socket.destroy()
    const error = await answer
    assume([error.code, error.maybe]).eql(['EUNREACHABLE', true])
    assume(back.open).is.false()
    await eventually(() => receiver.ended.length > 0)
    const late = await failure(back.ask(request('2 late'), after()))
    assume([late.code, late.maybe]).eql(['EUNREACHABLE', false])
    assume(receiver.ended).eql([back])
  })

  it('ends when no answer comes in time, lest that be taken for another one', async () => {
    const { raw, back } = await asked()
    const error = await failure(back.ask(request('2 head'), after(100)))
    assume([error.code, error.maybe]).eql(['EDEADLINE', true])
    await raw.ends()
  })

  it('ends when the other end does not read, and holds no more than one request until then', async () => {
    const { raw, back } = await asked()
    raw.socket.pause()
    const error = await failure(back.ask(request('2 head', Buffer.alloc(20_000_000)), after(300)))
    assume([error.code, error.maybe]).eql(['EDEADLINE', true])
    await eventually(() => receiver.ended.length === 1)
  })

  it('ends when something is answered that was not asked', async () => {
    const { raw } = await asked()
    raw.frame('200 - type')
    await raw.hears('400 - application/json\n')
    await raw.ends()
  })

  for (const [what, bytes] of [
    ['is too large', Buffer.from([0x7f, 0xff, 0xff, 0xff])],
    ['is no frame', Buffer.alloc(3000)],
    ['never ends', (frame('200 - type', Buffer.alloc(9000))[0] ?? Buffer.alloc(0)).subarray(0, 5000)]
  ] as const) {
    it(`ends when what comes in place of an answer ${what}: it might be taken for another one`, async () => {
      const { raw, back } = await asked()
      const answer = failure(back.ask(request('2 head'), after()))
      await raw.hears('2 head')
      raw.heard = ''
      raw.socket.write(bytes)
      const error = await answer
      assume([error.code, error.maybe]).eql(['EPROTOCOL', true])
      await raw.ends()
      assume(raw.heard).equals('')
    })
  }

  it("fails pending requests when the other end's request is refused for good", async () => {
    const { raw, back } = await asked()
    const answer = failure(back.ask(request('2 head'), after()))
    raw.frame('a stranger type')
    assume((await answer).code).equals('EUNREACHABLE')
    await raw.hears('401 - application/json\n')
    await raw.ends()
  })

  it('keeps the process alive only while it waits for an answer, at either end', async () => {
    const { raw, back } = await asked()
    const alive = (): number => process.getActiveResourcesInfo().filter(type => type === 'TCPSocketWrap').length
    const before = alive()
    const answer = back.ask(request('2 head'), after())
    assume(alive()).equals(before + 1)
    raw.frame('200 - type')
    await answer
    assume(alive()).equals(before)
  })

  it('does not stand still when both ends ask and answer much at once', async () => {
    // So large a frame takes seconds on a busy machine.
    const timeout = 30_000
    const [home, there] = [new Echo({ timeout }), new Echo({ timeout })]
    const proxy = await startProxy({ port: (await serve(there)).port })
    const asker = transport(home, { timeout })
    await asker.greet(peerAt(proxy.port), hello(), after())
    await asker.send(peerAt(proxy.port), request('head'), after())
    const [back] = [...there.backs] as [Back]
    const large = Buffer.alloc(8_000_000, 'x')
    const answers = [
      asker.send(peerAt(proxy.port), request('out', large), after(timeout)),
      back.ask(request('home', large), after(timeout))
    ]
    for (const answer of await Promise.all(answers)) assume(answer.body.equals(large)).is.true()
  })

  describe('that we have opened', () => {
    const open = async (at: number, home = new Echo({ maxBody: 10_000, timeout: 300 })): Promise<Echo> => {
      await transport(home, { maxBody: 10_000 }).greet(peerAt(at), hello(), after())
      return home
    }

    it('is asked as any other, by a peer that we need not have asked before', async () => {
      const { port, raw } = await host()
      const home = await open(port)
      const peer = await raw()
      peer.frame('2 head type', 'body')
      await peer.hears('200 re 2 head type\nbody')
      assume(home.heads).eql(['2 head'])
      // There is no need to go back where we have come to.
      assume(home.backs.size).equals(0)
    })

    it('tells peers to retry until a receiver is set', async () => {
      const { port, raw } = await host()
      const client = new HttpClient({ tls: undefined, timeout: 5000, maxBody: MOST })
      using(() => {
        client.close()
      })
      await client.greet(peerAt(port), hello(), after())
      const peer = await raw()
      peer.frame('2 head type')
      await peer.hears('503 - application/json\n')
    })

    it('is not asked before the hello is answered', async () => {
      const { port } = await host(frame('2 head type', Buffer.alloc(0)))
      const home = new Echo()
      const error = await failure(transport(home).greet(peerAt(port), hello(), after()))
      assume(error.code).equals('EPROTOCOL')
      assume(home.judged).eql([])
    })

    it('is closed when a stranger asks, or what comes is no frame, or too large, or too slow', async () => {
      const slow = (frame('2 head type', Buffer.alloc(9000))[0] ?? Buffer.alloc(0)).subarray(0, 5000)
      const cases = [
        [frame('a stranger type', Buffer.alloc(0))[0], 401],
        [Buffer.alloc(3000), 400],
        [Buffer.from([0x7f, 0xff, 0xff, 0xff]), 413],
        [slow, 408]
      ] as const
      for (const [bytes = Buffer.alloc(0), status] of cases) {
        const { port, raw } = await host()
        const home = await open(port)
        const peer = await raw()
        peer.socket.write(bytes)
        await peer.hears(`${status} - application/json\n`)
        await peer.ends()
        assume(home.heads).eql([])
        await eventually(() => home.lost.length === 1)
        assume(home.lost).eql([peerAt(port).address])
      }
    })

    it('carries out nothing more while answers cannot leave, and goes on when they can', async () => {
      const { port, raw } = await host()
      const home = new Echo()
      home.reply = asked => ({ ...echo(asked), body: Buffer.alloc(1_000_000) })
      await open(port, home)
      const greedy = await raw()
      greedy.socket.pause()
      for (let number = 0; number < 100; number++) greedy.frame(`${number} type`)
      await eventually(() => home.heads.length > 0)
      let before = -1
      await eventually(
        () => {
          const still = home.heads.length === before
          before = home.heads.length
          return still
        },
        { every: 200 }
      )
      assume(home.heads.length).is.below(50)
      greedy.socket.removeAllListeners('data')
      greedy.socket.resume()
      await eventually(() => home.heads.length === 100, { within: 10_000, what: '100 answers' })
    })

    it('is reported when it may be tried again after single requests, also where timers fire early', async () => {
      const home = new Echo()
      const gateway = await startGateway({ port, upgrades: 400 })
      // A timer may fire up to a millisecond early, by the clock that says whether single requests are in use. These
      // fire after half of their time.
      const { setTimeout: exact } = globalThis
      const early = (then: () => void, ms = 0): NodeJS.Timeout => exact(then, ms / 2)
      Reflect.set(globalThis, 'setTimeout', early)
      using(() => {
        globalThis.setTimeout = exact
      })
      const asker = transport(home, { memory: 400 })
      const peer = peerAt(gateway.port)
      const reported = new Promise<Answer>((resolve, reject) => {
        home.broken = () => {
          asker.send(peer, request('head'), after()).then(resolve, reject)
        }
      })
      await asker.greet(peer, hello(), after())
      // A single request would be answered.
      const error = await failure(reported)
      assume([error.code, error.maybe]).eql(['EUNREACHABLE', false])
    })

    it('is not called broken when it was let go of, replaced, or idle', async () => {
      const home = new Echo()
      const proxy = await startProxy({ port })
      const asker = transport(home, { idle: 200 })
      const peer = peerAt(proxy.port)
      await asker.greet(peer, hello(), after())
      await asker.greet(peer, hello(), after())
      await asker.send(peer, request('head'), after())
      asker.release(peer.address)
      await eventually(() => proxy.connections === 0)
      await asker.greet(peer, hello(), after())
      const { ms } = await elapsed(async () => {
        await asker.send(peer, request('head'), after())
        await eventually(() => proxy.connections === 0)
      })
      assume(ms).is.above(195)
      assume(home.lost).eql([])
      await asker.greet(peer, hello(), after())
      proxy.cut()
      await eventually(() => home.lost.length === 1)
    })
  })
})
