import { randomBytes } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { now, delay } from '../../lib/common/async'
import type { MetroplexError } from '../../lib/common/errors'
import type { Answer, Peer, Request } from '../../lib/common/transport-contract'
import { CHUNK_SIZE } from '../../lib/transport/redis/chunks'
import { RedisTransport, type RedisTerms } from '../../lib/transport/redis/redis'
import { assume } from '../support/assume'
import { calls } from '../support/calls'
import { using } from '../support/dispose'
import { leaksSince, snapshot } from '../support/leaks'
import { namespace } from '../support/namespace'
import { startProxy, type TcpProxy } from '../support/proxy'
import { startRedis, type RedisProcess } from '../support/redis'
import { startCluster, type RedisCluster } from '../support/redis-cluster'
import { load } from '../support/primus-types'
import { connectTo, openRedis, type Ioredis, type RedisTarget } from '../support/redis-target'
import { rejection } from '../support/rejection'
import { documentedRights } from '../support/rights'
import { elapsed, eventually } from '../support/wait'
import { echo, Echo } from './contract'

/** A server's end of the transport, and what came in there. */
interface End {
  readonly transport: RedisTransport
  readonly peer: Peer
  readonly received: Request[]
  readonly failed: Error[]
}

type Receiving = Partial<Pick<Echo, 'maxBody' | 'timeout' | 'judge'>> & {
  terms?: Partial<RedisTerms>
  answer?: (request: Request) => Answer
  word?: string
}

let space = ''
let ends = 0

/**
 * Opens a transport beside a user's client, with a receiver that says what it was told unless it is given something
 * better to say.
 */
function open(
  redis: Redis | Cluster,
  { terms = {}, answer = echo, word = randomBytes(12).toString('base64url'), judge, ...bounds }: Receiving = {}
): End {
  redis.on('error', () => undefined)
  const failed: Error[] = []
  const transport = new RedisTransport({
    redis,
    namespace: space,
    nodeId: word,
    processName: 'test',
    // A client of a Cluster first asks which master has the slot, and a busy machine may be slow to say.
    timeout: redis.isCluster ? 8000 : 2000,
    maxBody: 10_485_760,
    alive: () => Promise.resolve(true),
    failed: error => {
      failed.push(error)
    },
    ...terms
  })
  using(() => transport.close())
  const receiver = new Echo(bounds)
  receiver.judge = judge ?? receiver.judge
  receiver.reply = answer
  transport.open(receiver)
  const { received } = receiver
  return { transport, peer: { address: `http://end:${++ends}`, pathname: '/primus', word }, received, failed }
}

/** Answers a hello, and nothing that has a body: as if either had been lost. */
function unanswering(asked: Request): Answer {
  if (asked.body.length > 0) throw new Error('no answer')
  return echo(asked)
}

function request(body: string | Buffer = '', head = 'head of it'): Request {
  return { head, type: 'text/plain', body: Buffer.from(body) }
}

/** What of an error says what it means. */
async function failure(promise: Promise<unknown>): Promise<{ code: unknown; maybe: boolean | undefined }> {
  const { code, maybe } = (await rejection(promise)) as Error & Pick<MetroplexError, 'code' | 'maybe'>
  return { code, maybe }
}

/** The deadline of what names none, in ms: what fails for another reason fails before it. */
const DEFAULT = 10_000
const soon = (ms = DEFAULT): number => now() + ms

/** How many connections listen to something. */
function listeners(redis: RedisProcess): Promise<number> {
  return redis.ask(async client => {
    const list = (await client.client('LIST')) as string
    return list.split('\n').filter(line => / (sub|ssub)=1 /.test(line)).length
  })
}

/** Cuts all connections that listen, as Redis does with those that are too slow. */
function deafen(redis: RedisProcess): Promise<unknown> {
  return redis.ask(client => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
}

describe('the transport over Redis', () => {
  let redis: RedisProcess
  before(async () => {
    redis = await startRedis({ scope: 'suite' })
  })
  after(() => redis.stop())
  beforeEach(() => {
    space = namespace()
  })

  const pair = async (receiving?: Receiving): Promise<[End, End]> => {
    const both: [End, End] = [open(redis.client()), open(redis.client(), receiving)]
    await both[0].transport.greet(both[1].peer, request(), soon())
    return both
  }

  it('carries a request and its answer, as they are', async () => {
    const [one, two] = [open(redis.client()), open(redis.client())]
    const body = randomBytes(1000)
    const answer = await one.transport.greet(two.peer, request(body, '2 a b - 0 c d'), soon())
    assume(answer).eql({ status: 200, head: 're 2 a b - 0 c d', type: 'text/plain', body })
    assume(two.received).eql([{ head: '2 a b - 0 c d', type: 'text/plain', body }])
    assume([one.failed, two.failed]).eql([[], []])
  })

  it('carries an unsigned answer', async () => {
    const [one, two] = await pair({
      judge: head =>
        head === 'bad' ? { status: 401, head: '', type: 'application/json', body: Buffer.from('{}') } : undefined
    })
    assume(await one.transport.send(two.peer, request('body', 'bad'), soon())).eql({
      status: 401,
      head: '',
      type: 'application/json',
      body: Buffer.from('{}')
    })
    assume(two.received).has.length(1)
  })

  it('hands over in the order in which it was asked', async () => {
    const [one, two] = await pair()
    const wanted = Array.from({ length: 1000 }, (_, i) => i)
    // On a busy machine an answer may come later than it is waited for.
    await Promise.allSettled(wanted.map(i => one.transport.send(two.peer, request(String(i)), soon())))
    await eventually(() => two.received.length > wanted.length)
    assume(two.received.slice(1).map(({ body }) => Number(body))).eql(wanted)
  })

  describe('without a subscriber', () => {
    const alone = (): Peer => ({
      address: 'http://unknown:1',
      pathname: '/primus',
      word: randomBytes(12).toString('base64url')
    })

    it('says at once that a peer cannot be reached whose lease has ended', async () => {
      const asked: string[] = []
      const one = open(redis.client(), {
        terms: {
          alive: address => {
            asked.push(address)
            return Promise.resolve(false)
          }
        }
      })
      const { ms, value } = await elapsed(() => failure(one.transport.greet(alone(), request(), soon())))
      assume(value).eql({ code: 'EUNREACHABLE', maybe: false })
      assume(asked).eql(['http://unknown:1'])
      assume(ms).is.below(DEFAULT / 2)
    })

    it('retries until the peer subscribes, while its lease holds, and is received once', async () => {
      const one = open(redis.client())
      const word = randomBytes(12).toString('base64url')
      const sent = one.transport.greet({ ...alone(), word }, request('hello'), soon())
      const begun = await calls(redis, 'publish')
      await eventually(async () => (await calls(redis, 'publish')) >= begun + 3)
      const two = open(redis.client(), { word })
      assume((await sent).body.toString()).equals('hello')
      assume(two.received).has.length(1)
    })

    it('gives up at the deadline, and says that nothing arrived', async () => {
      const one = open(redis.client(), { terms: { alive: () => Promise.reject(new Error('the registry is away')) } })
      const { ms, value } = await elapsed(() => failure(one.transport.greet(alone(), request(), soon(3000))))
      assume(value).eql({ code: 'EUNREACHABLE', maybe: false })
      assume(ms).is.within(2950, DEFAULT - 1000)
    })
  })

  describe('when a message is lost', () => {
    it('says within about a second that it may have arrived, and carries the next one', async () => {
      let mute = true
      const [one, two] = await pair({ answer: asked => (mute ? unanswering(asked) : echo(asked)) })
      const { ms, value } = await elapsed(() => failure(one.transport.send(two.peer, request('a'), soon())))
      assume(value).eql({ code: 'EDEADLINE', maybe: true })
      assume(ms).is.within(900, DEFAULT / 2)
      mute = false
      assume((await one.transport.send(two.peer, request('a'), soon())).body.toString()).equals('a')
    })

    it('does so at the deadline when that is sooner', async () => {
      const [one, two] = await pair({ answer: unanswering })
      const order: string[] = []
      const failing = async (what: string, deadline: number): Promise<unknown> => {
        const value = await failure(one.transport.send(two.peer, request(what), deadline))
        order.push(what)
        return value
      }
      // The second one is a control: the silence of a second ends it, however slow the machine is.
      const [value] = await Promise.all([failing('sooner', soon(300)), failing('later', soon())])
      assume(value).eql({ code: 'EDEADLINE', maybe: true })
      assume(order).eql(['sooner', 'later'])
    })

    it('says so at once when it was cut off itself before the answer came', async () => {
      const [one, two] = await pair({ answer: unanswering })
      // After a second without an answer it is EDEADLINE: a slow machine may not cut it off before that.
      await eventually(
        async () => {
          const before = two.received.length
          const sent = failure(one.transport.send(two.peer, request('a'), soon()))
          await eventually(() => two.received.length === before + 1)
          await deafen(redis)
          assume(await sent).eql({ code: 'EUNREACHABLE', maybe: true })
          return true
        },
        { within: 30_000 }
      )
    })

    it('listens again when it was cut off, and all goes on', async () => {
      const [one, two] = await pair()
      for (let i = 0; i < 3; i++) {
        await deafen(redis)
        // As the caller does: what may have arrived is sent once more under the same number.
        await eventually(() =>
          one.transport.send(two.peer, request(String(i)), soon()).then(({ body }) => String(body) === String(i))
        )
      }
      assume([...new Set(two.received.map(({ body }) => String(body)))]).eql(['', '0', '1', '2'])
      assume(one.failed.length).is.within(1, 3)
    })
  })

  describe('with large bodies', () => {
    it('carries 1 MB of any bytes there and back', async () => {
      const [one, two] = await pair()
      for (const length of [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 1_048_576]) {
        const body = randomBytes(length)
        const answer = await one.transport.send(two.peer, request(body), soon())
        assume(answer.body.equals(body)).equals(true)
      }
      assume(two.received).has.length(7)
    })

    it('refuses at once to send more', async () => {
      const [one, two] = await pair()
      assume(await failure(one.transport.send(two.peer, request(Buffer.alloc(1_048_577)), soon()))).eql({
        code: 'ETOOBIG',
        maybe: false
      })
      assume(two.received).has.length(1)
    })

    it('refuses what is too much for the receiver before it has come', async () => {
      const [one, two] = await pair({ maxBody: 300_000 })
      const answer = await one.transport.send(two.peer, request(Buffer.alloc(1_000_000)), soon())
      assume([answer.status, (JSON.parse(answer.body.toString()) as { code: unknown }).code]).eql([413, 'ETOOBIG'])
      assume((await one.transport.send(two.peer, request(Buffer.alloc(300_001)), soon())).status).equals(413)
      assume((await one.transport.send(two.peer, request(Buffer.alloc(300_000)), soon())).status).equals(200)
      assume(two.received).has.length(2)
    })

    it('refuses a stranger before it keeps anything', async () => {
      const heads: string[] = []
      const [one, two] = await pair({
        judge: head => {
          heads.push(head)
          return head === 'bad'
            ? { status: 401, head: '', type: 'application/json', body: Buffer.from('{}') }
            : undefined
        }
      })
      assume((await one.transport.send(two.peer, request(Buffer.alloc(1_000_000), 'bad'), soon())).status).equals(401)
      assume(heads).eql(['head of it', 'bad'])
      assume(two.received).has.length(1)
    })

    it('holds a bounded part of what never ends, and forgets it', async () => {
      // What is sent has to come while the first of it is remembered, which takes a busy machine longer.
      for (const timeout of [1500, 6000, 24_000]) if (await bounded(timeout)) return
      throw new Error('the receiver did not refuse exactly 8 of 50 bodies while it remembered them')
    })

    /** @param timeout - After how many ms it is forgotten @returns whether all had come by then */
    async function bounded(timeout: number): Promise<boolean> {
      const [one, two] = await pair({ timeout })
      const channel = `${space}:channel:0:${two.peer.word}`
      const client = redis.client()
      const answers: string[] = []
      const flood = async (senders: number): Promise<void> => {
        for (let i = 0; i < senders; i++) {
          const word = `flood-${timeout}-${i}`
          for (let piece = 1; piece <= 3; piece++) {
            await client.publish(
              channel,
              Buffer.concat([
                Buffer.from(`? 1 ${word} ${piece} 4${piece === 1 ? ' head text/plain' : ''}\n`),
                Buffer.alloc(CHUNK_SIZE)
              ])
            )
          }
        }
      }
      const listener = redis.client()
      listener.on('pmessageBuffer', (_pattern: Buffer, _channel: Buffer, message: Buffer) => {
        answers.push(message.toString('latin1').split(' ')[5] ?? '')
      })
      await listener.psubscribe(`${space}:channel:0:flood-${timeout}-*`)
      const began = performance.now()
      await flood(50)
      // 32 MB are 42 of these.
      const refused = eventually(() => answers.length === 8, { within: timeout }).then(
        () => true,
        () => false
      )
      if (!(await refused) || performance.now() - began > timeout) return false
      assume(answers).eql(answers.map(() => '503'))
      await eventually(
        () =>
          performance.now() - began > timeout &&
          one.transport.send(two.peer, request(Buffer.alloc(1_000_000)), soon()).then(({ status }) => status === 200)
      )
      answers.length = 0
      await flood(2)
      assume(answers).eql([])
      assume(two.received.length).is.above(1)
      assume(two.failed).eql([])
      return true
    }

    it('takes no notice of what makes no sense', async () => {
      const [one, two] = await pair()
      const channel = `${space}:channel:0:${two.peer.word}`
      for (const message of [
        '',
        '\n',
        '.',
        '.1',
        '?',
        '? 1 a 1 1',
        '? 1 a 0 1 h t\n',
        '? 1 a 2 1 h t\n',
        '? 1 a 1 2 h t\nshort',
        '? 1 a 2 2\nlost',
        '? 1 a/b 1 1 h t\n',
        '! 1 a 1 1 200 h t\n',
        '? 1 a 1 1 nothing\n',
        '\u0000'.repeat(5000)
      ]) {
        await redis.client().publish(channel, message)
      }
      assume((await one.transport.send(two.peer, request('still here'), soon())).status).equals(200)
      assume(two.received).has.length(2)
      assume(two.failed).eql([])
    })

    it('hears nothing twice, and nothing that is older than what it has heard', async () => {
      const [one, two] = await pair()
      const channel = `${space}:channel:0:${two.peer.word}`
      for (const id of [3, 3, 2, 4]) await redis.client().publish(channel, `? ${id} other 1 1 head type\n${id}`)
      await one.transport.send(two.peer, request('end'), soon())
      assume(two.received.map(({ body }) => String(body))).eql(['', '3', '4', 'end'])
    })
  })

  describe('beside others', () => {
    it('does not mix databases, which Redis does', async () => {
      const word = randomBytes(12).toString('base64url')
      const [one, two] = [open(redis.client({ db: 1 })), open(redis.client({ db: 2 }), { word })]
      const three = open(redis.client({ db: 1 }), { word })
      await one.transport.greet(three.peer, request('to three'), soon())
      assume([two.received.length, three.received.length]).eql([0, 1])
      const { length } = two.failed
      assume(length).equals(0)
    })

    it("goes by the user's prefix, as keys do", async () => {
      const word = randomBytes(12).toString('base64url')
      const [one, two, three] = [
        open(redis.client({ keyPrefix: 'a:' })),
        open(redis.client({ keyPrefix: 'a:' }), { word }),
        open(redis.client(), { word })
      ]
      await one.transport.greet(two.peer, request(), soon())
      assume(await redis.ask(client => client.pubsub('CHANNELS', `a:${space}:*`))).includes(
        `a:${space}:channel:0:${word}`
      )
      assume([two.received.length, three.received.length]).eql([1, 0])
    })

    it('works with ioredis 5, which speaks RESP2, and with 6 told to', async () => {
      const [five, two, six] = [
        open(older({ ...redis.target })),
        open(redis.client({ protocol: 2 })),
        open(redis.client({ protocol: 3 }))
      ]
      for (const [from, to] of [
        [five, two],
        [two, six],
        [six, five],
        [five, six]
      ] as const) {
        const body = randomBytes(600_000)
        assume((await from.transport.greet(to.peer, request(body), soon())).body.equals(body)).equals(true)
      }
      assume([five, two, six].map(({ failed }) => failed)).eql([[], [], []])
    })

    it('needs no more rights than are documented, and says what it lacks without them', async () => {
      const limited = await redis.user('limited', documentedRights(space, 'redis'))
      const [one, two] = [open(openRedis(limited)), open(openRedis(limited))]
      await one.transport.greet(two.peer, request(), soon())
      assume([one.failed, two.failed]).eql([[], []])
      const deaf = open(openRedis(await redis.user('deaf', documentedRights(space))))
      assume(await failure(deaf.transport.greet(two.peer, request(), soon()))).eql({
        code: 'EUNREACHABLE',
        maybe: false
      })
      assume(deaf.failed).has.length(1)
      assume(deaf.failed[0]?.message).includes('NOPERM')
    })
  })

  it('names a command that Redis lacks, and speaks of no Cluster', async () => {
    for (const lacking of ['PUBLISH', 'SUBSCRIBE']) {
      const lame = await startRedis({ args: ['--rename-command', lacking, ''] })
      const one = open(lame.client())
      const two: Peer = { address: 'http://two:1', pathname: '/primus', word: 'the-other-one' }
      const { message } = await rejection(one.transport.greet(two, request(), soon()))
      assume(message).includes(`Redis refused ${lacking}: ERR unknown command '${lacking.toLowerCase()}'. docs/keys.md`)
      assume(one.failed).has.length(1)
      assume(one.transport.trouble).includes(`Redis refused ${lacking}`)
    }
  })

  describe('when its connections fail', () => {
    let proxy: TcpProxy
    beforeEach(async () => {
      proxy = await startProxy({ port: redis.port })
    })

    const behind = (receiving?: Receiving): End => open(redis.client({ port: proxy.port }), receiving)

    it('says at once that nothing arrived while Redis is away, tells of it once, and works again', async () => {
      const [one, two] = [behind(), open(redis.client())]
      await one.transport.greet(two.peer, request(), soon())
      await proxy.refuse()
      proxy.cut()
      await eventually(async () => {
        const { ms, value } = await elapsed(() => failure(one.transport.send(two.peer, request('a'), soon())))
        assume(value).eql({ code: 'EUNREACHABLE', maybe: false })
        // Rather than at the deadline.
        return ms < DEFAULT / 10
      })
      assume(one.failed.map(({ message }) => message)).has.length(1)
      await proxy.accept()
      await eventually(() => one.transport.send(two.peer, request('b'), soon()).then(() => true))
      assume(two.received.map(({ body }) => String(body))).eql(['', 'b'])
      assume(one.failed).has.length(1)
    })

    it('answers as soon as it can speak again, when it has heard while it could not', async () => {
      const { username, password } = await redis.user('mute', documentedRights(space, 'redis'))
      const [one, two] = [
        open(redis.client()),
        open(openRedis({ host: '127.0.0.1', port: proxy.port, username, password }))
      ]
      await one.transport.greet(two.peer, request(), soon())
      const speaker = ((await redis.ask(client => client.client('LIST'))) as string)
        .split('\n')
        .find(line => line.includes(' user=mute ') && line.includes(' cmd=publish '))
      await proxy.refuse()
      await redis.ask(client => client.client('KILL', 'ID', /id=(\d+)/.exec(speaker ?? '')?.[1] ?? ''))
      await eventually(() => proxy.connections === 2)
      const answer = one.transport.send(two.peer, request('a'), soon())
      await eventually(() => two.received.length === 2)
      await proxy.accept()
      assume(String((await answer).body)).equals('a')
    })

    it('says that it may have arrived when the connection breaks before Redis has counted', async () => {
      const [one, two] = [behind(), open(redis.client())]
      await one.transport.greet(two.peer, request(), soon())
      proxy.freezeReplies()
      const sent = failure(one.transport.send(two.peer, request('a'), soon()))
      await eventually(() => two.received.length === 2)
      proxy.cut()
      assume(await sent).eql({ code: 'EUNREACHABLE', maybe: true })
      proxy.thaw()
      await eventually(() => one.transport.send(two.peer, request('b'), soon()).then(() => true))
    })

    it('gives up connections on which nothing comes back, though nothing breaks', async () => {
      const [one, two] = [behind({ terms: { timeout: 500 } }), open(redis.client())]
      await one.transport.greet(two.peer, request(), soon())
      proxy.freeze()
      assume(await failure(one.transport.send(two.peer, request('a'), soon(1200)))).eql({
        code: 'EDEADLINE',
        maybe: true
      })
      await eventually(() => one.failed.length === 1)
      proxy.thaw()
      await eventually(() => one.transport.send(two.peer, request('b'), soon()).then(() => true))
    })

    it('notices by itself that nothing reaches it any more', async function () {
      this.timeout(120_000)
      const [one, two] = [open(redis.client()), behind({ terms: { timeout: 500 } })]
      await one.transport.greet(two.peer, request(), soon())
      // Former connections stay open, and hear nothing; new connections are well.
      proxy.dropNextReply()
      await redis.client().publish(`${space}:channel:0:${two.peer.word}`, 'into the void')
      await eventually(() => two.failed.length === 1, { within: 15_000 })
      await eventually(() => one.transport.send(two.peer, request('a'), soon(1500)).then(() => true), {
        within: 10_000
      })
    })

    it('waits for a first connection that never comes until the deadline, and says that nothing has left', async () => {
      proxy.freeze()
      const [one, two] = [behind(), open(redis.client())]
      assume(await failure(one.transport.greet(two.peer, request(), soon(300)))).eql({
        code: 'EDEADLINE',
        maybe: false
      })
    })

    it('waits for the first connection as long as nothing is known to be wrong', async () => {
      proxy.freeze()
      const one = behind()
      const two = open(redis.client())
      const sent = one.transport.greet(two.peer, request('a'), soon())
      await eventually(() => proxy.connections >= 2)
      proxy.thaw()
      assume((await sent).status).equals(200)
    })

    it('recovers after Redis was down, together with its peers', async () => {
      const own = await startRedis()
      const [one, two] = [open(own.client()), open(own.client())]
      await one.transport.greet(two.peer, request(), soon())
      await own.kill()
      await eventually(async () => {
        assume(await failure(one.transport.send(two.peer, request(), soon(1000)))).eql({
          code: 'EUNREACHABLE',
          maybe: false
        })
        return one.failed.length > 0
      })
      await own.restart()
      await eventually(() => one.transport.send(two.peer, request('back'), soon()).then(() => true))
      assume(two.received.map(({ body }) => String(body)).at(-1)).equals('back')
      assume([one.failed.length, two.failed.length]).eql([1, 1])
    })

    it('leaves a Redis that was demoted to replica', async function () {
      this.timeout(120_000)
      const own = await startRedis()
      const one = open(own.client())
      const two = open(own.client())
      await one.transport.greet(two.peer, request(), soon())
      await own.ask(client => client.replicaof('127.0.0.1', 1))
      await eventually(() => one.failed.length > 0 && two.failed.length > 0, { within: 12_000 })
      assume(one.failed[0]?.message).includes('is a replica of 127.0.0.1:1')
      await own.ask(client => client.replicaof('NO', 'ONE'))
      await eventually(() => one.transport.send(two.peer, request('a'), soon(1500)).then(() => true), { within: 8000 })
    })
  })

  it('never reports an arrived message as not arrived, when connections break', async function () {
    this.timeout(120_000)
    const proxies = [await startProxy({ port: redis.port }), await startProxy({ port: redis.port })]
    const [one, two] = proxies.map(({ port }) => open(redis.client({ port }), { terms: { timeout: 300 } })) as [
      End,
      End
    ]
    const outcomes = new Map<string, boolean | undefined>()
    let going = true
    const talk = async (from: End, to: End, name: string): Promise<void> => {
      for (let i = 0; going; i++) {
        const size = i % 5 === 0 ? 600_000 : 10
        const body = Buffer.concat([Buffer.from(`${name} ${i} `), Buffer.alloc(size)])
        const sent = from.transport.send(to.peer, request(body), soon(700))
        outcomes.set(
          `${name} ${i}`,
          await sent.then(
            () => undefined,
            (error: unknown) => (error as MetroplexError).maybe
          )
        )
        // It may have failed at once.
        await delay(1)
      }
    }
    const talks = [talk(one, two, 'there'), talk(two, one, 'back'), talk(one, one, 'self')]
    const dice = (sides: number): number => Math.floor(Math.random() * sides)
    const ends = (arrived: boolean): number =>
      [...outcomes.values()].filter(maybe => (maybe === undefined) === arrived).length
    const began = performance.now()
    const elapsed = (): number => performance.now() - began
    // A busy machine gets fewer messages through.
    while (elapsed() < 6000 || (elapsed() < 60_000 && (ends(true) <= 50 || ends(false) <= 3))) {
      const proxy = proxies[dice(2)]
      const harm = dice(6)
      if (harm === 0) await deafen(redis)
      if (harm === 1) proxy?.cut()
      if (harm === 2) proxy?.dropNextReply({ cut: dice(2) === 0 })
      if (harm === 3) proxy?.freeze()
      if (harm === 4) proxy?.freezeReplies()
      if (harm === 5) await proxy?.refuse()
      await delay(dice(150))
      for (const each of proxies) {
        each.thaw()
        await each.accept()
      }
      await delay(dice(300))
    }
    going = false
    await Promise.all(talks)
    const received = [...one.received, ...two.received].map(({ body }) =>
      body.toString('latin1', 0, 20).split(' ').slice(0, 2).join(' ')
    )
    const wrong = [...outcomes].filter(([name, maybe]) =>
      received.includes(name) ? maybe === false : maybe === undefined
    )
    assume(wrong).eql([])
    assume(new Set(received).size).equals(received.length)
    for (const [name, end] of [
      ['there', two],
      ['back', one]
    ] as const) {
      const numbers = end.received
        .map(({ body }) => body.toString('latin1', 0, 20).split(' '))
        .filter(([who]) => who === name)
        .map(([, n]) => Number(n))
      assume(numbers).eql([...numbers].sort((a, b) => a - b))
    }
    assume(ends(true)).is.above(50)
    assume(ends(false)).is.above(3)
    await eventually(
      () =>
        one.transport
          .send(two.peer, request('well'), soon(1500))
          .then(() => two.transport.send(one.peer, request('well'), soon(1500)))
          .then(() => true),
      { within: 10_000 }
    )
  })

  describe('at its end', () => {
    it('fails what is under way, refuses what comes, and leaves no connection', async () => {
      const own = await startRedis()
      const one = open(own.client())
      const two = open(own.client(), { answer: unanswering })
      const absent: Peer = { ...two.peer, word: 'word-of-no-process' }
      const sent = failure(one.transport.greet(two.peer, request('a'), soon()))
      const unsent = failure(one.transport.greet(absent, request('b'), soon()))
      await eventually(() => two.received.length === 1)
      await eventually(async () => (await listeners(own)) === 2)
      await one.transport.close()
      await one.transport.close()
      assume(await sent).eql({ code: 'ECLOSED', maybe: true })
      assume((await unsent).code).equals('ECLOSED')
      assume(await failure(one.transport.send(two.peer, request(), soon()))).eql({ code: 'ECLOSED', maybe: false })
      await two.transport.close()
      await eventually(async () => (await listeners(own)) === 0)
    })

    it('leaves nothing when it is closed while it opens', async () => {
      for (let i = 0; i < 10; i++) {
        const one = open(redis.client())
        const sent = one.transport.greet(one.peer, request(), soon()).then(
          ({ status }) => status,
          (error: unknown) => (error as MetroplexError).code
        )
        for (let turn = 0; turn < 3 * i; turn++) await new Promise(resolve => setImmediate(resolve))
        await one.transport.close()
        assume(await sent).either(['ECLOSED', 200])
      }
      await eventually(async () => (await listeners(redis)) === 0)
    })

    it('does not keep a process from ending', async () => {
      const user = redis.client()
      await user.ping()
      const before = await snapshot()
      const one = open(user)
      await one.transport.greet(one.peer, request(), soon())
      assume(await leaksSince(before)).eql([])
    })

    it('fails open requests to a dropped peer, and no others', async () => {
      let quiet = true
      const one = open(redis.client())
      const [two, three] = [
        open(redis.client(), { answer: asked => (quiet ? unanswering(asked) : echo(asked)) }),
        open(redis.client())
      ]
      await one.transport.greet(three.peer, request(), soon())
      const sent = failure(one.transport.greet(two.peer, request('a'), soon()))
      await eventually(() => two.received.length === 1)
      one.transport.release(three.peer.address)
      one.transport.release(two.peer.address)
      assume(await sent).eql({ code: 'EUNREACHABLE', maybe: true })
      quiet = false
      assume((await one.transport.greet(two.peer, request('b'), soon())).status).equals(200)
    })
  })

  it('sends nothing when there is no time left', async () => {
    const [one, two] = await pair()
    assume(await failure(one.transport.send(two.peer, request('a'), now() - 1))).eql({
      code: 'EDEADLINE',
      maybe: false
    })
    assume(two.received).has.length(1)
  })
})

describe('the transport over Redis Cluster', function () {
  this.timeout(120_000)
  let cluster: RedisCluster
  before(async function () {
    this.timeout(120_000)
    cluster = await startCluster({ scope: 'suite' })
  })
  after(() => cluster.stop())
  beforeEach(() => {
    space = `{${namespace()}}`
  })

  const published = (node: RedisProcess): Promise<number> => calls(node, 'spublish')

  it('goes over the master that has the namespace alone, with any version of ioredis and any prefix', async () => {
    const prefix = { keyPrefix: 'ours:' }
    const ends = [open(cluster.client(prefix)), open(older({ ...cluster.target, ...prefix }))]
    const [one, two] = ends as [End, End]
    const owner = await cluster.owner(`ours:${space}:channel`)
    const before = await Promise.all(cluster.nodes.map(published))
    for (const [from, to] of [
      [one, two],
      [two, one]
    ] as const) {
      const body = randomBytes(1_000_000)
      assume((await from.transport.greet(to.peer, request(body), soon())).body.equals(body)).equals(true)
    }
    const after = await Promise.all(cluster.nodes.map(published))
    for (const [i, node] of cluster.nodes.entries()) assume((after[i] ?? 0) > (before[i] ?? 0)).equals(node === owner)
    assume([one.failed, two.failed]).eql([[], []])
  })

  it('needs no more rights than are documented, for one of several registries too', async () => {
    const plain = namespace()
    for (space of [`{${plain}}`, `${plain}:{3}`]) {
      const rights = documentedRights(space.endsWith(':{3}') ? plain : space, 'redis')
      const limited = await cluster.user('limited', [...rights, '+cluster', '+spublish', '+ssubscribe'])
      const [one, two] = [open(openRedis(limited)), open(openRedis(limited))]
      await one.transport.greet(two.peer, request(), soon())
      assume([one.failed, two.failed]).eql([[], []])
    }
  })

  it('follows the namespace to another master, though nothing breaks', async () => {
    const [one, two] = [open(cluster.client()), open(older(cluster.target))]
    await one.transport.greet(two.peer, request(), soon())
    await cluster.handOver(space)
    const owner = await cluster.owner(space)
    const before = await published(owner)
    // Who stays at the replica is heard from the new master all the same; within a round both have moved.
    await eventually(
      async () => {
        await one.transport.send(two.peer, request('a'), soon(1500))
        return (await published(owner)) > before && (await listeners(owner)) === 2
      },
      { within: 20_000, every: 200 }
    )
  })

  it('follows its slot to another shard, with any version of ioredis', async () => {
    const [one, two] = [open(cluster.client()), open(older(cluster.target))]
    await one.transport.greet(two.peer, request(), soon())
    const former = await cluster.owner(space)
    const slot = await former.ask(client => client.cluster('KEYSLOT', space))
    const masters: RedisProcess[] = []
    for (const node of cluster.nodes)
      if ((await node.ask(client => client.info('replication'))).includes('role:master')) masters.push(node)
    const next = masters.find(node => node !== former) ?? former
    const [id, formerId] = [
      await next.ask(client => client.cluster('MYID')),
      await former.ask(client => client.cluster('MYID'))
    ]
    // As redis-cli moves one: who imports it gets an epoch that all others believe.
    await next.ask(client => client.cluster('SETSLOT', slot, 'IMPORTING', formerId))
    await former.ask(client => client.cluster('SETSLOT', slot, 'MIGRATING', id))
    for (const node of [next, former, ...masters]) await node.ask(client => client.cluster('SETSLOT', slot, 'NODE', id))
    await eventually(() => one.transport.send(two.peer, request('a'), soon(1500)).then(() => true))
    await eventually(async () => (await listeners(next)) === 2 && (await listeners(former)) === 0)
    // Either of its connections may have been back before the other one was told.
    for (const { failed } of [one, two]) assume(failed.length).is.within(1, 2)
  })

  it('goes on after the master that has the namespace has died', async () => {
    const [one, two] = [open(cluster.client()), open(cluster.client())]
    await one.transport.greet(two.peer, request(), soon())
    const former = await cluster.failover(space, master => master.kill())
    using(() => former.restart({ empty: false }))
    await eventually(() => one.transport.send(two.peer, request('a'), soon(1500)).then(() => true), { within: 15_000 })
    assume([one.failed.length, two.failed.length]).eql([1, 1])
  })

  it('says when a Cluster is too old for it', async () => {
    const old = await startRedis({
      args: [
        '--cluster-enabled',
        'yes',
        '--cluster-announce-ip',
        '127.0.0.1',
        '--rename-command',
        'SPUBLISH',
        '',
        '--rename-command',
        'SSUBSCRIBE',
        ''
      ]
    })
    await old.ask(client => client.cluster('ADDSLOTS', ...Array.from({ length: 16_384 }, (_, slot) => slot)))
    await eventually(async () => (await old.ask(client => client.cluster('INFO'))).includes('cluster_state:ok'))
    const one = open(openRedis({ cluster: [{ host: '127.0.0.1', port: old.port }] }))
    const two: Peer = { address: 'http://two:1', pathname: '/primus', word: 'the-other-one' }
    for (const method of ['greet', 'send'] as const) {
      assume(await failure(one.transport[method](two, request(), soon()))).eql({ code: 'EPROTOCOL', maybe: false })
    }
    assume(one.failed).has.length(1)
    assume(one.failed[0]?.message).includes('Redis 7')
  })
})

/** A client of ioredis 5. */
function older(target: RedisTarget): Redis | Cluster {
  const client = connectTo(target, load('ioredis5') as Ioredis)
  using(() => client.disconnect())
  return client
}
