import fc from 'fast-check'
import { deferred, now } from '../../lib/common/async'
import type { Answer, Peer, Request, Transport } from '../../lib/common/transport-contract'
import { MetroplexError } from '../../lib/common/errors'
import { Message } from '../../lib/common/encoded-message'
import { ApplicationTransport } from '../../lib/transport/application-transport'
import { batch, outgoing, type Reply } from '../../lib/transport/envelope'
import { PeerLinks, type PeerLinksTerms } from '../../lib/transport/peer-links'
import { assume } from '../support/assume'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import { Network, type Fate } from './lossy'

const SECRET = 'a secret of the whole cluster'
const terms: PeerLinksTerms = {
  timeout: 400,
  maxBody: 1_000_000,
  maxQueue: { messages: 1000, bytes: 1_000_000, total: 2_000_000 }
}

/** A server as far as messages go: it notes what it carries out. */
class Server {
  readonly peer: { address: string; pathname: string; word: string }
  readonly done: string[] = []
  readonly told: string[] = []
  messenger: PeerLinks

  constructor(
    readonly address: string,
    private readonly network: Pick<Network, 'at'>,
    private readonly how: { secrets?: string[]; terms?: Partial<PeerLinksTerms> } = {}
  ) {
    this.peer = { address, pathname: '/primus', word: `word-of-${address.slice(7).replace(':', '-')}` }
    this.messenger = this.#start(1)
  }

  /** The process ends and another one starts at its address; what it has carried out is remembered here alone. */
  restart(nth: number): void {
    this.messenger = this.#start(nth)
  }

  async send(to: Pick<Server, 'peer'>, text: string, within = 400): Promise<Reply> {
    return this.messenger.send(
      to.peer.address,
      to.peer,
      outgoing('some', ['id'], Message.of(text, false)),
      now() + within
    )
  }

  #start(nth: number): PeerLinks {
    const place = { nodeId: `${this.peer.word}-${nth}`, namespace: 'test', address: this.address }
    const keyring = { secrets: this.how.secrets ?? [SECRET], refresh: () => Promise.resolve() }
    const messenger = new PeerLinks(
      new ApplicationTransport(this.network.at(this.address)),
      place,
      keyring,
      { ...terms, ...this.how.terms },
      {
        counted: what => {
          this.told.push(what)
        },
        returnPathLost: () => undefined,
        broken: () => undefined
      }
    )
    messenger.handle('some', {
      check: () => undefined,
      apply: ({ message }) => {
        this.done.push(String(message.value))
        return 1
      }
    })
    messenger.open().catch((error: unknown) => {
      throw error
    })
    return messenger
  }
}

/** Two servers on a network with these fates. */
function pair(fates: Fate[] = []): { a: Server; b: Server } {
  let nth = 1
  const network = new Network(fates, () => {
    b.restart(++nth)
  })
  const a = new Server('http://a:1', network)
  const b = new Server('http://b:1', network)
  return { a, b }
}

/** Why something failed, as far as it matters here. */
const refused = async (
  promise: Promise<unknown>
): Promise<{ code?: string; maybe?: boolean; address?: string; message: string }> =>
  rejection(promise) as Promise<Error & { code?: string; maybe?: boolean; address?: string }>

const settledOf = async (sent: readonly Promise<Reply>[]): Promise<PromiseSettledResult<Reply>[]> =>
  Promise.allSettled(sent)

describe('messages between servers', () => {
  it('are applied once and in order when requests and answers are lost', async () => {
    const fate = fc.constantFrom<Fate>('fine', 'fine', 'lost', 'unanswered', 'late')
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { maxLength: 12 }), fc.integer({ min: 1, max: 8 }), async (fates, rounds) => {
        const { a, b } = pair([...fates])
        const sent: Promise<Reply>[] = []
        for (let i = 0; i < rounds; i++) {
          sent.push(a.send(b, `m${2 * i}`, 5000), a.send(b, `m${2 * i + 1}`, 5000))
          // Some travel together, and some do not.
          if (i % 2 === 0) await Promise.allSettled(sent)
        }
        await Promise.all(sent)
        assume(b.done).eql(sent.map((_, i) => `m${i}`))
        await Promise.all([a.messenger.close(), b.messenger.close()])
      }),
      { numRuns: 40 }
    )
  })

  it('are never applied twice when the receiver restarts; none that arrived is reported as not arrived', async () => {
    const fate = fc.constantFrom<Fate>('fine', 'lost', 'unanswered', 'late', 'restarted before', 'restarted after')
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { maxLength: 12 }), async fates => {
        const { a, b } = pair([...fates])
        const sent = [0, 1, 2, 3].map(async i => {
          await Promise.resolve()
          return a.send(b, `m${i}`, 5000)
        })
        const first = await settledOf(sent)
        const more = await settledOf([4, 5].map(i => a.send(b, `m${i}`, 5000)))
        assume(new Set(b.done).size).equals(b.done.length)
        assume([...b.done]).eql([...b.done].sort())
        for (const [i, end] of [...first, ...more].entries()) {
          if (end.status === 'fulfilled') assume(b.done).includes(`m${i}`)
          else if ((end.reason as { code: string; maybe?: boolean }).maybe !== true)
            assume(b.done.includes(`m${i}`)).equals(false)
        }
        await Promise.all([a.messenger.close(), b.messenger.close()])
      }),
      { numRuns: 40 }
    )
  })

  it('fail with the reason that the receiver gives, as one sentence', async () => {
    const { a, b } = pair()
    const { message } = await refused(
      a.messenger.send(b.address, b.peer, outgoing('odd', [], Message.of('x', false)), now() + 2000)
    )
    assume(message).equals('http://b:1 refused the request: Messages of the kind "odd" have no handler here.')
    await Promise.all([a.messenger.close(), b.messenger.close()])
  })

  it('do not count as applied for a replayed answer: to an earlier message, or to an earlier hello', async () => {
    for (const fates of [
      ['fine', 'fine', 'replayed'],
      ['fine', 'replayed']
    ] as Fate[][]) {
      const { a, b } = pair(fates)
      await a.send(b, '1', 2000)
      assume(await a.send(b, '2', 2000)).equals(1)
      assume(b.done).eql(['1', '2'])
    }
  })

  it('travel together while an earlier batch is on its way', async () => {
    const { a, b } = pair()
    await Promise.all([a.send(b, '1'), a.send(b, '2'), a.send(b, '3')])
    assume(b.told).eql(['batch'])
  })

  it('arrive at a peer that takes less at once than it is sent at first', async () => {
    const network = new Network([])
    const a = new Server('http://a:1', network)
    const b = new Server('http://b:1', network, { terms: { maxBody: 2000 } })
    const texts = Array.from({ length: 50 }, (_, i) => `${i} ${'x'.repeat(200)}`)
    await Promise.all(texts.map(text => a.send(b, text)))
    assume(b.done).eql(texts)
    assume(await refused(a.send(b, 'x'.repeat(3000)))).has.property('code', 'ETOOBIG')
    assume(a.messenger.queued).eql({ messages: 0, bytes: 0 })
  })

  it('are as large as what they name, in bytes', () => {
    const message = outgoing('some', ['грузовик'], Message.of({ blob: Buffer.from('abc') }, true))
    assume(batch([message, message]).length).equals(2 + 2 * message.size)
  })

  it('fail at once when more waits than allowed, per peer and over all peers', async () => {
    const network = new Network([])
    const a = new Server('http://a:1', network, {
      terms: { maxQueue: { messages: 2, bytes: 100_000, total: 150_000 } }
    })
    const [b, c] = [new Server('http://b:1', network), new Server('http://c:1', network)]
    const large = 'x'.repeat(90_000)
    const waiting = [a.send(b, '1'), a.send(b, '2')]
    assume((await refused(a.send(b, '3'))).code).equals('EBUSY')
    await Promise.all(waiting)
    const half = a.send(b, large)
    const whole = await refused(a.send(c, large))
    assume([whole.code, whole.maybe]).eql(['EBUSY', false])
    await half
    await a.send(c, large)
    assume([b.done.length, c.done.length]).eql([3, 1])
  })

  it('fail with EAUTH when the receiver has another secret, and nothing is carried out', async () => {
    const network = new Network([])
    const a = new Server('http://a:1', network)
    const b = new Server('http://b:1', network, { secrets: ['another secret altogether'] })
    const error = await refused(a.send(b, 'x'))
    assume([error.code, error.maybe, error.address]).eql(['EAUTH', false, b.address])
    assume(b.done).eql([])
  })

  it('arrive while a secret is being changed: the old one is valid on both sides, then the new one signs', async () => {
    const network = new Network([])
    const [old, next] = ['the old secret, long enough', 'the new secret, long enough']
    const steps: [string[], string[]][] = [
      [[old, next], [old]],
      [
        [next, old],
        [old, next]
      ],
      [[next], [next, old]]
    ]
    for (const [i, [ours, theirs]] of steps.entries()) {
      const a = new Server(`http://a:${i}`, network, { secrets: ours })
      const b = new Server(`http://b:${i}`, network, { secrets: theirs })
      await a.send(b, 'x')
      await b.send(a, 'y')
      assume([a.done, b.done]).eql([['y'], ['x']])
    }
  })

  it('fail within the deadline when no process answers, and report that they did not arrive', async () => {
    const { a } = pair()
    const absent = { peer: { address: 'http://c:1', pathname: '/primus', word: 'word-of-c-process' } }
    const error = await refused(a.send(absent, 'x'))
    assume([error.code, error.maybe]).eql(['EUNREACHABLE', false])
  })

  it('fail fast to a peer that could not be reached several times, which is tried again after a while', async () => {
    const network = new Network([])
    const a = new Server('http://a:1', network)
    const absent = { peer: { address: 'http://c:1', pathname: '/primus', word: 'word-of-c-process' } }
    for (let i = 0; i < 4; i++) await rejection(a.send(absent, 'x'))
    assume((await rejection(a.send(absent, 'x'))).message).includes('The next attempt follows soon')
    const c = new Server('http://c:1', network)
    const began = now()
    for (;;) {
      try {
        await a.send(absent, 'there')
        break
      } catch {
        if (now() - began > 5000) throw new Error('it was not tried again')
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    }
    assume(c.done).eql(['there'])
  })

  it('that wait for the answer to a hello have certainly not arrived at their deadline', async () => {
    const { a, b } = pair(Array<Fate>(100).fill('lost'))
    const error = await refused(a.send(b, 'x', 200))
    assume([error.code, error.maybe]).eql(['EDEADLINE', false])
  })

  it('that wait for a server fail when it leaves', async () => {
    const { a, b } = pair(['lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost', 'lost'])
    const waiting = [a.send(b, '1', 5000), a.send(b, '2', 5000)]
    await Promise.resolve()
    await Promise.resolve()
    const late = a.send(b, '3', 5000)
    a.messenger.peerLeft(b.address)
    const codes = (await settledOf([...waiting, late])).map(end =>
      end.status === 'rejected' ? (end.reason as { code: string; maybe?: boolean }).code : 'sent'
    )
    assume(codes).eql(['EUNREACHABLE', 'EUNREACHABLE', 'EUNREACHABLE'])
  })

  for (const [what, answers, end] of [
    ['are answered by a server that leaves, when they are on their way', true, 'fulfilled'],
    ['that are on their way fail when their server has died', false, 'rejected']
  ] as const) {
    it(what, async () => {
      const network = new Network([])
      const asked = deferred<undefined>()
      const free = deferred<undefined>()
      const given = deferred<never>()
      let released = 0
      const slow = (address: string): Transport => {
        const end = network.at(address)
        const send = async (peer: Peer, request: Request, deadline: number): Promise<Answer> => {
          asked.resolve(undefined)
          await Promise.race([free.promise, given.promise])
          return end.send(peer, request, deadline)
        }
        const release = (): void => {
          released++
          given.reject(new MetroplexError('EUNREACHABLE', 'It was given up.', { address, maybe: true }))
        }
        return {
          name: end.name,
          limits: end.limits,
          open: to => end.open(to),
          close: () => end.close(),
          greet: (...args) => end.greet(...args),
          send,
          release
        }
      }
      given.promise.catch(() => undefined)
      const a = new Server('http://a:1', { at: slow })
      const b = new Server('http://b:1', network)
      const sent = settledOf([a.send(b, '1', 5000)])
      await asked.promise
      const late = settledOf([a.send(b, '2', 5000)])
      a.messenger.peerLeft(b.address, answers)
      assume(released).equals(answers ? 0 : 1)
      free.resolve(undefined)
      assume((await sent).map(({ status }) => status)).eql([end])
      assume((await late).map(({ status }) => status)).eql(['rejected'])
      await eventually(() => released === 1, { what: 'the end of the connection' })
      assume(b.done).eql(answers ? ['1'] : [])
    })
  }

  it('are refused after the end, on both sides', async () => {
    const { a, b } = pair()
    await a.send(b, '1')
    await b.messenger.close()
    const late = await refused(a.send(b, '2'))
    assume([late.code, late.maybe]).eql(['EUNREACHABLE', false])
    await a.messenger.close()
    assume((await refused(a.send(b, '3'))).code).equals('ECLOSED')
    assume(b.done).eql(['1'])
  })
})
