import { randomBytes } from 'node:crypto'
import type { Answer, Back, Peer, Request } from '../../lib/common/transport-contract'
import { MetroplexError } from '../../lib/common/errors'
import type { Reception, ReceptionTransport } from '../../lib/transport/receiving/reception-contract'
import type { SignedHead } from '../../lib/transport/signature'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'
import { elapsed, eventually } from '../support/wait'

/** The network between the one that asks and all that it asks; a `TcpProxy` is one. */
export interface Network {
  cut(): void
  freezeReplies(): void
  thaw(): void
}

/** Another server, which is reached through the network. */
export interface Served {
  readonly transport: ReceptionTransport
  readonly peer: Peer
}

/** What a transport is tried on: real servers and a real network. All of it is disposed of when the test ends. */
export interface Stage {
  /** Asks; has been opened, and takes bodies of up to 10 MB. */
  readonly asker: ReceptionTransport
  /** What comes in at the asker: on its way back. */
  readonly home: Echo
  readonly network: Network
  /** Starts a server, and opens its transport with this receiver. Resolves when it can be asked. */
  serve(receiver: Reception): Promise<Served>
  /** A peer where no server is, and of which that can be known at once. */
  absent(): Promise<Peer>
}

/** The largest body that the asker takes, in bytes. */
export const MOST = 10_485_760

/** Takes what comes in, and answers it with what came. */
export class Echo implements Reception {
  readonly maxBody: number
  readonly timeout: number
  /** All that was received, in its order. */
  readonly received: Request[] = []
  /** The heads that were judged. */
  readonly judged: string[] = []
  /** The ways back to those who asked, each once; and those that have ended. */
  readonly backs = new Set<Back>()
  readonly ended: Back[] = []
  /** Whose ways have broken. */
  readonly lost: string[] = []
  /** How to judge; a request with `stranger` in its head gets a 401 otherwise. */
  judge: (head: string, type: string) => Answer | undefined = head =>
    head.includes('stranger') ? refusal(401) : undefined
  /** How to answer. */
  reply: (request: Request) => Answer = echo

  constructor({ maxBody = MOST, timeout = 2000 }: Partial<Pick<Reception, 'maxBody' | 'timeout'>> = {}) {
    this.maxBody = maxBody
    this.timeout = timeout
  }

  admit(head: string, type: string): SignedHead | Answer {
    this.judged.push(head)
    return this.judge(head, type) ?? { ...UNVERIFIED, head, type }
  }

  receive({ head, type }: SignedHead & Partial<Request>, body: Buffer, back?: Back): Answer {
    const request = { head: head ?? '', type: type ?? '', body }
    this.received.push(request)
    if (back !== undefined) this.backs.add(back)
    return this.reply(request)
  }

  closed(back: Back): void {
    this.ended.push(back)
  }

  broken(address: string): void {
    this.lost.push(address)
  }

  /** The heads of what was received, but for hellos. */
  get heads(): string[] {
    return this.received.filter(({ type }) => type !== HELLO).map(({ head }) => head)
  }
}

const HELLO = 'application/x-hello'

/** In place of the fields of a head, which an `Echo` takes as it is. */
const UNVERIFIED: SignedHead = { from: '', to: '', session: '', number: 0, digest: '', signature: '' }

/** An answer that says what was asked. */
export function echo({ head, type, body }: Request): Answer {
  return { status: 200, head: `re ${head}`, type, body }
}

/** An answer with no. */
export function refusal(status: number): Answer {
  return {
    status,
    head: '',
    type: 'application/json',
    body: Buffer.from(JSON.stringify({ code: 'EAUTH', reason: 'No.' }))
  }
}

/** A request. */
export function request(head: string, body: Buffer | string = ''): Request {
  return { head, type: 'application/x-test', body: Buffer.from(body) }
}

/** The request that opens a way. */
export function hello(head = 'hello'): Request {
  return { head, type: HELLO, body: Buffer.alloc(0) }
}

/** The deadline of what names none, in ms: what fails for another reason fails before it. */
const DEFAULT = 10_000

/** A deadline. */
export function after(ms = DEFAULT): number {
  return performance.now() + ms
}

/** What a transport must reject with. */
export async function failure(promise: Promise<unknown>): Promise<MetroplexError> {
  const error = await rejection(promise)
  if (error instanceof MetroplexError) return error
  throw new Error(`rejected with what is no MetroplexError: ${error.stack ?? error.message}`)
}

/**
 * What every transport promises, tried on real ones.
 *
 * @param make called in each test
 * @param back whether it has ways back to who asks
 */
export function contract(name: string, make: () => Promise<Stage>, back = true): void {
  describe(`the contract of transports, kept by ${name}`, () => {
    let stage: Stage
    let asker: ReceptionTransport
    let receiver: Echo

    beforeEach(async () => {
      stage = await make()
      asker = stage.asker
      receiver = new Echo()
    })

    /** A peer to which the way is open. */
    const greeted = async (given: Reception = receiver): Promise<Peer> => {
      const { peer } = await stage.serve(given)
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
      return peer
    }

    /** Has a request received, and its answer lost. */
    const unanswered = async (peer: Peer, head: string, ms?: number): Promise<{ answer: Promise<Answer> }> => {
      stage.network.freezeReplies()
      const answer = asker.send(peer, request(head), after(ms))
      answer.catch(() => undefined)
      await eventually(() => receiver.heads.includes(head), { what: 'a request that is received' })
      return { answer }
    }

    it('brings a request to its receiver, and the answer back', async () => {
      const peer = await greeted()
      assume(receiver.received).deep.equals([hello()])
      const answer = await asker.send(peer, request('2 from to session 1 digest signature', 'what is asked'), after())
      assume(answer).deep.equals(echo(request('2 from to session 1 digest signature', 'what is asked')))
      assume(receiver.received.slice(1)).deep.equals([request('2 from to session 1 digest signature', 'what is asked')])
    })

    it('returns the answer to a hello, with any content', async () => {
      const { peer } = await stage.serve(receiver)
      receiver.reply = ({ head }) => ({
        status: 200,
        head: `re ${head}`,
        type: 'application/json',
        body: Buffer.from('{"session":"word"}')
      })
      const answer = await asker.greet(peer, hello('2 word http://10.0.0.5:8080 nonce 0 digest signature'), after())
      assume(answer).deep.equals({
        status: 200,
        head: 're 2 word http://10.0.0.5:8080 nonce 0 digest signature',
        type: 'application/json',
        body: Buffer.from('{"session":"word"}')
      })
    })

    it('brings bodies of every size and every byte as they are, both ways', async () => {
      const peer = await greeted()
      for (const size of [0, 1, 255, 16_384, 65_537, 262_144, 1_000_000]) {
        const body = randomBytes(size)
        const answer = await asker.send(peer, request(`of ${size}`, body), after())
        assume(answer.body.equals(body)).is.true(`an answer of ${size} bytes`)
        assume(receiver.received.at(-1)?.body.equals(body)).is.true(`a body of ${size} bytes`)
      }
    })

    it('hands requests over in the order in which they were sent, each once', async () => {
      const peer = await greeted()
      const heads = Array.from({ length: 1000 }, (_, number) => `number ${number}`)
      for (const head of heads) assume((await asker.send(peer, request(head, head), after())).head).equals(`re ${head}`)
      assume(receiver.heads).deep.equals(heads)
    })

    it('talks to many peers at once', async () => {
      const served = await Promise.all(
        Array.from({ length: 10 }, async (_, number) => {
          const other = new Echo()
          other.reply = ({ head }) => ({
            status: 200,
            head: `${number} ${head}`,
            type: 'text/plain',
            body: Buffer.from(String(number))
          })
          return stage.serve(other)
        })
      )
      await Promise.all(
        served.map(async ({ peer }, number) => {
          assume((await asker.greet(peer, hello(), after())).head).equals(`${number} hello`)
          for (let turn = 0; turn < 20; turn++) {
            assume((await asker.send(peer, request(`turn ${turn}`), after())).head).equals(`${number} turn ${turn}`)
          }
        })
      )
    })

    it('answers with the refusal when a stranger says hello, and hands nothing over', async () => {
      const { peer } = await stage.serve(receiver)
      assume(await asker.greet(peer, hello('a stranger'), after())).deep.equals(refusal(401))
      assume(receiver.received).deep.equals([])
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
    })

    for (const status of [401, 409, 503]) {
      it(`answers with the refusal when a request is judged with ${status}, and delivers nothing`, async () => {
        const peer = await greeted()
        await asker.send(peer, request('first'), after())
        receiver.judge = head => (head.includes('refused') ? refusal(status) : undefined)
        assume(await asker.send(peer, request('to be refused', randomBytes(100_000)), after())).deep.equals(
          refusal(status)
        )
        assume(await asker.greet(peer, hello(), after())).deep.equals(echo(hello()))
        assume((await asker.send(peer, request('second'), after())).head).equals('re second')
        assume(receiver.heads).deep.equals(['first', 'second'])
      })
    }

    it('answers with what the receiver refuses after it has read the body', async () => {
      const peer = await greeted()
      receiver.reply = ({ head }) => (head === 'hello' ? echo(hello()) : refusal(401))
      assume(await asker.send(peer, request('with a wrong body', 'body'), after())).deep.equals(refusal(401))
      receiver.reply = echo
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
      assume((await asker.send(peer, request('again'), after())).head).equals('re again')
    })

    it('hands no body over that is larger than the receiver takes, and says so', async () => {
      receiver = new Echo({ maxBody: 20_000 })
      const peer = await greeted()
      const said = await asker.send(peer, request('too large', randomBytes(900_000)), after()).then(
        ({ status }) => status,
        (error: unknown) => (error instanceof MetroplexError ? error.code : error)
      )
      assume([413, 'ETOOBIG']).includes(said)
      assume(receiver.heads).deep.equals([])
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
      assume((await asker.send(peer, request('just fits', randomBytes(20_000)), after())).status).equals(200)
    })

    it('fails with EDEADLINE without an answer, and never mistakes a late answer for another one', async () => {
      const peer = await greeted()
      const { answer } = await unanswered(peer, 'early', 1000)
      const { ms, value: error } = await elapsed(() => failure(answer))
      assume(error.code).equals('EDEADLINE')
      assume(error.maybe).is.true()
      assume(error.address).equals(peer.address)
      assume(ms).is.below(DEFAULT - 500)
      stage.network.thaw()
      assume((await asker.greet(peer, hello('again'), after())).head).equals('re again')
      for (const head of ['one', 'two', 'three'])
        assume((await asker.send(peer, request(head), after())).head).equals(`re ${head}`)
      assume(receiver.heads).deep.equals(['early', 'one', 'two', 'three'])
    })

    it('fails with EDEADLINE when a hello is not answered', async () => {
      const { peer } = await stage.serve(receiver)
      stage.network.freezeReplies()
      const { ms, value: error } = await elapsed(() => failure(asker.greet(peer, hello(), after(300))))
      assume(error.code).equals('EDEADLINE')
      assume(ms).is.below(DEFAULT - 500)
      stage.network.thaw()
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
    })

    it('fails at once where no process listens, and knows that nothing arrived', async () => {
      const peer = await stage.absent()
      const { ms, value: error } = await elapsed(() => failure(asker.greet(peer, hello(), after())))
      assume(error.code).equals('EUNREACHABLE')
      assume(error.maybe).is.false()
      assume(error.address).equals(peer.address)
      assume(ms).is.below(DEFAULT - 500)
    })

    it('fails when the connection is killed before the answer, and says that the request may have come', async () => {
      const peer = await greeted()
      const { answer } = await unanswered(peer, 'killed')
      stage.network.cut()
      stage.network.thaw()
      const { ms, value: error } = await elapsed(() => failure(answer))
      assume(error.maybe).is.true()
      assume(['EUNREACHABLE', 'EDEADLINE']).includes(error.code)
      assume(ms).is.below(DEFAULT - 500)
      await eventually(async () => (await asker.greet(peer, hello(), after())).status === 200, {
        what: 'a way that is open again'
      })
      assume((await asker.send(peer, request('alive'), after())).head).equals('re alive')
      assume(receiver.heads).deep.equals(['killed', 'alive'])
    })

    it('continues after an idle connection was killed', async () => {
      const peer = await greeted()
      stage.network.cut()
      const answer = await eventually(
        async () => {
          try {
            return await asker.send(peer, request('afterwards'), after())
          } catch (error) {
            assume((error as MetroplexError).code).equals('EUNREACHABLE')
            await asker.greet(peer, hello(), after())
            return undefined
          }
        },
        { what: 'an answer' }
      )
      assume(answer.head).equals('re afterwards')
    })

    it('fails what is under way when a peer is released, and can be asked again later', async () => {
      const peer = await greeted()
      const { answer } = await unanswered(peer, 'released')
      asker.release(peer.address)
      const error = await failure(answer)
      assume(error.code).equals('EUNREACHABLE')
      assume(error.maybe).is.true()
      stage.network.thaw()
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
      assume((await asker.send(peer, request('again'), after())).head).equals('re again')
      asker.release('http://127.0.0.1:1')
    })

    it('fails a hello that is under way when the peer is released', async () => {
      const peer = await greeted()
      stage.network.freezeReplies()
      const answer = asker.greet(peer, hello('hello again'), after())
      answer.catch(() => undefined)
      await eventually(() => receiver.received.length > 1, { what: 'a hello that is received' })
      asker.release(peer.address)
      assume((await failure(answer)).code).equals('EUNREACHABLE')
    })

    it('fails open and later requests with ECLOSED when it is closed', async () => {
      const peer = await greeted()
      const { answer } = await unanswered(peer, 'closed')
      const closing = asker.close()
      const error = await failure(answer)
      assume(error.code).equals('ECLOSED')
      assume(error.maybe).is.true()
      await closing
      await asker.close()
      for (const late of [asker.greet(peer, hello(), after()), asker.send(peer, request('late'), after())]) {
        const { code, maybe } = await failure(late)
        assume(code).equals('ECLOSED')
        assume(maybe).is.false()
      }
    })

    it("hands nothing over any more once the receiver's end is closed", async () => {
      const { peer, transport } = await stage.serve(receiver)
      await asker.greet(peer, hello(), after())
      await asker.send(peer, request('before'), after())
      await transport.close()
      const asked = async (asking: Promise<Answer>): Promise<boolean> =>
        asking.then(
          ({ status }) => status === 503,
          (error: unknown) => error instanceof MetroplexError
        )
      assume(await asked(asker.send(peer, request('after'), after(500)))).is.true()
      assume(await asked(asker.greet(peer, hello('hello again'), after(500)))).is.true()
      assume(receiver.heads).deep.equals(['before'])
      assume(receiver.received.some(({ head }) => head === 'hello again')).is.false()
    })

    it('lets a receiver that throws harm no other request', async () => {
      const peer = await greeted()
      receiver.reply = () => {
        throw new Error('a mistake')
      }
      const said = await asker.send(peer, request('wrong'), after(500)).then(
        ({ status }) => status,
        (error: unknown) => (error as MetroplexError).maybe
      )
      assume([500, true]).includes(said)
      receiver.reply = echo
      assume((await asker.greet(peer, hello(), after())).status).equals(200)
      assume((await asker.send(peer, request('right'), after())).head).equals('re right')
    })

    if (!back) {
      it('has no return path to its sender', async () => {
        const peer = await greeted()
        await asker.send(peer, request('asked'), after())
        assume(receiver.received).has.length(2)
        assume(receiver.backs.size).equals(0)
      })
      return
    }

    describe('uses the return path of a sender without an address,', () => {
      /** The way on which a peer was asked. */
      const way = async (): Promise<{ back: Back; peer: Peer; transport: ReceptionTransport }> => {
        const { peer, transport } = await stage.serve(receiver)
        await asker.greet(peer, hello(), after())
        await asker.send(peer, request('asked'), after())
        const [back] = receiver.backs
        if (back === undefined) throw new Error('there is no way back')
        return { back, peer, transport }
      }

      it('with a request, and brings the answer', async () => {
        const { back } = await way()
        assume(back.open).is.true()
        const asked = request('2 from to session 1 digest signature', 'what is asked')
        assume(await back.ask(asked, after())).deep.equals(echo(asked))
        assume(stage.home.received).deep.equals([asked])
      })

      it('on one path, for all requests', async () => {
        const { peer } = await way()
        for (const head of ['one', 'two', 'three']) await asker.send(peer, request(head), after())
        assume(receiver.backs.size).equals(1)
      })

      it('while it is asked itself, all in order and as it was, of any size', async () => {
        const { back, peer } = await way()
        const bodies = Array.from({ length: 100 }, (_, turn) =>
          Buffer.alloc(turn % 10 === 0 ? 900_000 : turn * 100, turn)
        )
        const talk = async (ask: (asked: Request) => Promise<Answer>): Promise<void> => {
          for (const [turn, body] of bodies.entries()) {
            const answer = await ask(request(`turn ${turn}`, body))
            assume(answer.body.equals(body)).is.true()
          }
        }
        await Promise.all([
          talk(asked => asker.send(peer, asked, after(20_000))),
          talk(asked => back.ask(asked, after(20_000)))
        ])
        const heads = bodies.map((_, turn) => `turn ${turn}`)
        assume(receiver.heads).deep.equals(['asked', ...heads])
        assume(stage.home.heads).deep.equals(heads)
      })

      it('judges the sender, and delivers nothing of a stranger', async () => {
        const { back } = await way()
        assume(await back.ask(request('a stranger', randomBytes(100_000)), after())).deep.equals(refusal(401))
        assume(stage.home.judged).deep.equals(['a stranger'])
        assume(stage.home.received).deep.equals([])
      })

      it('fails at its deadline when no answer comes, and says that the request may have arrived', async () => {
        const { back } = await way()
        stage.network.freezeReplies()
        const { ms, value: error } = await elapsed(() => failure(back.ask(request('unheard'), after(300))))
        assume(error.code).equals('EDEADLINE')
        assume(error.maybe).is.true()
        assume(ms).is.below(DEFAULT - 500)
        stage.network.thaw()
      })

      it("fails what goes back with ECLOSED when the receiver's end is closed, and what would", async () => {
        const { back, transport } = await way()
        stage.network.freezeReplies()
        const asked = failure(back.ask(request('unheard'), after()))
        await transport.close()
        assume((await asked).code).equals('ECLOSED')
        const late = await failure(back.ask(request('late'), after()))
        assume(['ECLOSED', 'EUNREACHABLE']).includes(late.code)
        assume(late.maybe).is.false()
      })
    })
  })
}
