import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import fc from 'fast-check'
import { JSON_TYPE } from '../../lib/transport/envelope'
import { HttpTransport } from '../../lib/transport/http/http'
import type { PeerLinks } from '../../lib/transport/peer-links'
import type { Reception, ReceptionTransport } from '../../lib/transport/receiving/reception-contract'
import { digest, readHead, signHead } from '../../lib/transport/signature'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { MOST } from './contract'
import { peerAt, serve } from './http-stage'
import { end, judge, keyring, lazy, sendAll, type Numbered } from './numbered'
import { Pipe, type Turn } from './pipe'

const peer = { address: 'http://b:1', pathname: '/primus', word: 'word-of-b-process' }

/** A sender and a receiver on a network without wires, and what the receiver has applied, over all of its starts. */
class Pair {
  readonly done: number[] = []
  readonly pipe: Pipe
  readonly sender: PeerLinks
  #reception: Reception
  #starts = 0
  #awaited = ''

  /** @param dress what becomes of the receiver */
  constructor(turns: readonly Turn[] = [], dress: (reception: Reception) => Reception = same => same) {
    this.#reception = this.#start()
    this.pipe = new Pipe(
      [...turns],
      () => dress(this.#reception),
      what => {
        if (what === 'restart') this.#reception = this.#start()
        else this.#awaited = what === 'await' ? peer.address : ''
      }
    )
    this.sender = end(this.pipe, { nodeId: 'word-of-a-process', namespace: 'test', address: 'http://a:1' })
  }

  #start(): Reception {
    const opened: Reception[] = []
    const mute = (): Promise<never> => Promise.reject(new Error('the receiver asks nothing'))
    const transport: ReceptionTransport = {
      name: 'pipe',
      limits: { body: 1_000_000, batch: 100_000 },
      open: reception => {
        opened.push(reception)
      },
      greet: mute,
      send: mute,
      release: () => undefined,
      close: () => Promise.resolve()
    }
    const awaited = (): string => this.#awaited
    const local = {
      nodeId: `word-of-b-process-${++this.#starts}`,
      namespace: 'test',
      get address() {
        return awaited() === '' ? peer.address : ''
      },
      get awaitedAddress() {
        return awaited()
      }
    }
    end(transport, local, this.done)
      .open()
      .catch((error: unknown) => {
        throw error
      })
    const [reception] = opened
    if (reception === undefined) throw new Error('it opens at once')
    return reception
  }
}

/** A receiver of an earlier release: it says of no window, and so has no batch that follows an unanswered one. */
function former(reception: Reception): Reception {
  const { maxBody, timeout } = reception
  return {
    maxBody,
    timeout,
    admit: (line, type) => reception.admit(line, type),
    receive(head, body) {
      const answer = reception.receive(head, body)
      const given = readHead(answer.head)
      if (head.number > 0 || given === undefined) return answer
      const { session, last } = JSON.parse(answer.body.toString()) as { session: string; last: number }
      const said = Buffer.from(JSON.stringify({ session, maxBody, last }))
      const [secret = ''] = keyring.secrets
      const signing = { status: answer.status, request: head.signature }
      const line = signHead(secret, 'test', { ...given, digest: digest(said) }, JSON_TYPE, signing)
      return { ...answer, head: line, body: said }
    },
    closed: back => {
      reception.closed(back)
    },
    broken: address => {
      reception.broken(address)
    }
  }
}

const anyMessages = fc.oneof(
  fc.array(fc.record<Numbered>({ urgent: fc.boolean(), apart: fc.boolean() }), { minLength: 1, maxLength: 25 }),
  fc.integer({ min: 2, max: 25 }).map(lazy)
)

function anyTurns(...more: Turn[]): fc.Arbitrary<Turn[]> {
  return fc.array(fc.constantFrom<Turn>('request', 'request', 'request', 'answer', 'answer', ...more), {
    maxLength: 40
  })
}

/**
 * A port before another one. Each connection carries so many bytes, up and down, and is then cut; those of which
 * nothing is said carry all.
 */
async function cutting(port: number, carry: readonly (readonly [up: number, down: number])[]): Promise<number> {
  const left = [...carry]
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = connect(port, '127.0.0.1')
    const [up, down] = left.shift() ?? [Infinity, Infinity]
    const cut = (): void => {
      near.destroy()
      far.destroy()
    }
    const pass = (from: Socket, to: Socket, most: number): void => {
      sockets.add(from)
      let rest = most
      from.on('data', (chunk: Buffer) => {
        to.write(chunk.subarray(0, Math.min(chunk.length, rest)))
        rest -= chunk.length
        // What was written is still to leave.
        if (rest < 0) setImmediate(cut)
      })
      from.on('end', () => to.end())
      from.on('error', cut)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    pass(near, far, up)
    pass(far, near, down)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  using(
    () =>
      new Promise<void>(resolve => {
        server.close(() => {
          resolve()
        })
        for (const socket of sockets) socket.destroy()
      })
  )
  return (server.address() as AddressInfo).port
}

describe('messages whose results no caller waits for', () => {
  it('are sent before earlier ones are answered, and arrive in their order', async () => {
    const { done, pipe, sender } = new Pair(Array<Turn>(20).fill('request'))
    const ends = await sendAll(sender, peer, lazy(20))
    assume(ends.filter(({ status }) => status === 'rejected')).eql([])
    assume(done).eql(lazy(20).map((_, n) => n))
    assume(pipe.most).is.above(5)
    assume(sender.queued).eql({ messages: 0, bytes: 0 })
  })

  it('let at most 64 batches wait for their answers', async () => {
    const { done, pipe, sender } = new Pair(Array<Turn>(200).fill('request'))
    await sendAll(sender, peer, lazy(200))
    assume(done.length).equals(200)
    assume(pipe.most).equals(64)
  })

  it('are followed by one message that a caller waits for, and by no other before its answer', async () => {
    const { done, pipe, sender } = new Pair(Array<Turn>(10).fill('request'))
    const messages = [false, false, true, false, false, false].map(urgent => ({ urgent, apart: true }))
    await sendAll(sender, peer, messages)
    assume(done).eql([0, 1, 2, 3, 4, 5])
    assume(pipe.most).equals(3)
  })

  it('are sent to a receiver of an earlier release one batch after the other, with a type that it knows', async () => {
    const types = new Set<string>()
    const { done, pipe, sender } = new Pair(Array<Turn>(20).fill('request'), reception => {
      const receiver = former(reception)
      return {
        ...receiver,
        admit: (line, type) => {
          types.add(type)
          return receiver.admit(line, type)
        }
      }
    })
    await sendAll(sender, peer, lazy(20))
    assume(done).eql(lazy(20).map((_, n) => n))
    assume(pipe.most).equals(1)
    assume([...types].sort()).eql(['application/vnd.metroplex.batch', 'application/vnd.metroplex.hello'])
  })

  it('arrive once and in order, also when connections break at any point', async () => {
    await fc.assert(
      fc.asyncProperty(anyMessages, anyTurns('break', 'late'), async (messages, turns) => {
        const { done, sender } = new Pair(turns)
        const ends = await sendAll(sender, peer, messages)
        assume(ends.filter(({ status }) => status === 'rejected')).eql([])
        assume(done).eql(messages.map((_, n) => n))
      }),
      { numRuns: 50 }
    )
  })

  it('arrive at most once and in order when the receiver refuses some for a while', async () => {
    await fc.assert(
      fc.asyncProperty(anyMessages, anyTurns('late', 'await', 'have', 'have'), async (messages, turns) => {
        const { done, sender } = new Pair(turns)
        judge(done, await sendAll(sender, peer, messages))
      }),
      { numRuns: 50 }
    )
  })

  it('all arrive when the receiver has refused some, and takes them then', async () => {
    const { done, sender } = new Pair(['request', 'answer', 'request', 'await', 'request', 'have'])
    const ends = await sendAll(sender, peer, lazy(8))
    assume(ends.filter(({ status }) => status === 'rejected')).eql([])
    assume(done).eql(lazy(8).map((_, n) => n))
  })

  it('arrive at most once and in order when the receiver restarts, and none is lost silently', async () => {
    await fc.assert(
      fc.asyncProperty(anyMessages, anyTurns('break', 'late', 'restart'), async (messages, turns) => {
        const { done, sender } = new Pair(turns)
        judge(done, await sendAll(sender, peer, messages))
      }),
      { numRuns: 50 }
    )
  })

  it('arrive at most once and in order over connections that are cut at any byte', async function () {
    this.timeout(60_000)
    const bytes = fc.integer({ min: 0, max: 4000 })
    await fc.assert(
      fc.asyncProperty(anyMessages, fc.array(fc.tuple(bytes, bytes), { maxLength: 5 }), async (messages, carry) => {
        const { transport, port } = await serve()
        const there = peerAt(await cutting(port, carry))
        const done: number[] = []
        await end(transport, { nodeId: 'word-of-b-process', namespace: 'test', address: there.address }, done).open()
        const http = new HttpTransport({ pathname: () => '/primus', tls: undefined, timeout: 5000, maxBody: MOST })
        const sender = end(http, { nodeId: 'word-of-a-process', namespace: 'test', address: 'http://a:1' })
        await sender.open()
        judge(done, await sendAll(sender, there, messages))
      }),
      { numRuns: 20 }
    )
  })
})
