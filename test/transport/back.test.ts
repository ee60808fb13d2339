import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once as happens } from 'node:events'
import { now } from '../../lib/common/async'
import { Message } from '../../lib/common/encoded-message'
import { outgoing, type Reply } from '../../lib/transport/envelope'
import { HttpTransport } from '../../lib/transport/http/http'
import { PeerLinks, type PeerLinksTerms } from '../../lib/transport/peer-links'
import { randomId } from '../../lib/transport/signature'
import { RedisTransport } from '../../lib/transport/redis/redis'
import type { ReceptionTransport } from '../../lib/transport/receiving/reception-contract'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { startGateway } from '../support/gateway'
import { namespace } from '../support/namespace'
import { startProxy } from '../support/proxy'
import { startRedis, type RedisProcess } from '../support/redis'
import { rejection } from '../support/rejection'
import { eventually } from '../support/wait'
import { MOST } from './contract'
import { peerAt, serve } from './http-stage'

/** As long as a busy machine may take: no promise here is about this deadline. */
const PATIENT = 30_000

const terms: PeerLinksTerms = {
  timeout: PATIENT,
  maxBody: MOST,
  maxQueue: { messages: 10_000, bytes: 10_000_000, total: 20_000_000 }
}

/** A process as far as messages go. It notes what it applies, from which peer, and what it is told. */
class Side {
  readonly done: unknown[] = []
  readonly from = new Set<string>()
  readonly lost: string[] = []
  readonly broken: string[] = []
  readonly told: string[] = []
  readonly messenger: PeerLinks
  /** What is done when a way has broken. */
  again: (address: string) => void = () => undefined

  constructor(
    transport: ReceptionTransport,
    readonly word = randomId(),
    grace?: number
  ) {
    const place = { nodeId: word, namespace: 'test', address: '' }
    const keyring = { secrets: ['a secret of the whole cluster'], refresh: () => Promise.resolve() }
    this.messenger = new PeerLinks(
      transport,
      place,
      keyring,
      { ...terms, grace },
      {
        counted: what => {
          this.told.push(what)
        },
        returnPathLost: word => {
          this.lost.push(word)
        },
        broken: address => {
          this.broken.push(address)
          this.again(address)
        }
      }
    )
    this.messenger.handle('some', {
      check: () => undefined,
      apply: ({ message, from }) => {
        this.done.push(message.value)
        this.from.add(from)
        return 1
      }
    })
    using(() => this.messenger.close())
  }

  async opened(): Promise<this> {
    await this.messenger.open()
    return this
  }

  /** Ask at a port. */
  ask({ word }: Side, value: unknown, port = 0): Promise<Reply> {
    const { address, pathname } = peerAt(port)
    return this.messenger.send(address, { pathname, word }, some(value), now() + terms.timeout)
  }

  /** Tell who has asked. */
  tell({ word }: Side, value: unknown, ms = terms.timeout): Promise<Reply> {
    return this.messenger.sendBack(word, some(value), now() + ms)
  }
}

function some(value: unknown): ReturnType<typeof outgoing> {
  return outgoing('some', ['id'], Message.of(value, false))
}

const refused = async (promise: Promise<unknown>): Promise<unknown[]> => {
  const { code, maybe } = (await rejection(promise)) as Error & { code?: string; maybe?: boolean }
  return [code, maybe]
}

/**
 * A server, and the port at which it is reached.
 *
 * @param grace how long it waits for a client to connect again, in ms
 */
async function server(grace?: number): Promise<{ server: Side; port: number }> {
  const { transport, port } = await serve(undefined)
  // Before it is registered it is reached at any address.
  return { server: await new Side(transport, randomId(), grace).opened(), port }
}

/** A process that no peer can reach. */
function worker(): Promise<Side> {
  return new Side(
    new HttpTransport({ pathname: () => '/primus', tls: undefined, timeout: terms.timeout, maxBody: MOST })
  ).opened()
}

describe('messages to a client without an address', () => {
  it('reach it on the connection on which it called', async () => {
    const { server: one, port } = await server()
    const asker = await worker()
    assume(await asker.ask(one, 'question', port)).equals(1)
    assume([...one.from]).eql([asker.word])
    assume(one.messenger.hasReturnPath(asker.word)).is.true()
    const replies = await Promise.all([1, 2, 3].map(value => one.tell(asker, value)))
    assume(replies).eql([1, 1, 1])
    assume(asker.done).eql([1, 2, 3])
    assume([...asker.from]).eql([one.word])
    // Together: they are batches as any others.
    assume(asker.told).eql(['batch'])
  })

  it('fail at once when it has never called', async () => {
    const { server: one } = await server()
    const asker = await worker()
    assume(one.messenger.hasReturnPath(asker.word)).is.false()
    assume(await refused(one.tell(asker, 'x'))).eql(['EUNREACHABLE', false])
    assume(one.messenger.queued).eql({ messages: 0, bytes: 0 })
  })

  it('are applied once and in order, though the connection is cut fifty times and it calls meanwhile', async () => {
    const { server: one, port } = await server(PATIENT)
    const proxy = await startProxy({ port })
    const asker = await worker()
    let asked = 0
    const asking: Promise<Reply>[] = []
    const ask = (): void => {
      asking.push(asker.ask(one, `question ${asked++}`, proxy.port))
    }
    asker.again = ask
    ask()
    await asking[0]
    const telling: Promise<Reply>[] = []
    for (let cut = 0; cut < 50; cut++) {
      for (let i = 0; i < 4; i++) telling.push(one.tell(asker, telling.length))
      if (cut % 5 === 0) ask()
      // Some in the middle of a batch, some when all is said.
      if (cut % 3 === 0) await Promise.all(telling)
      else
        await eventually(() => proxy.connections > 0 && asker.done.length >= telling.length - 4, {
          within: PATIENT,
          what: 'another connection'
        })
      proxy.cut()
    }
    await Promise.all(telling)
    assume(asker.done).eql(telling.map((_, i) => i))
    asker.again = () => undefined
    await Promise.all(asking)
    assume(one.done).eql(asking.map((_, i) => `question ${i}`))
    assume(one.lost).eql([])
  })

  it('reach it again when streams work again, after single requests on which nothing goes back', async () => {
    const { server: one, port } = await server(PATIENT)
    const gateway = await startGateway({ port })
    const asker = await worker()
    const asking = [asker.ask(one, 'question', gateway.port)]
    await asking[0]
    asker.again = () => {
      asking.push(asker.ask(one, 'still there', gateway.port))
    }
    gateway.behaviour.carries = 0
    gateway.cut()
    await eventually(() => gateway.seen.requests > 0, { what: 'a single request' })
    await Promise.all(asking)
    const asked = asking.length
    gateway.behaviour.carries = Infinity
    assume(await one.tell(asker, 'answer')).equals(1)
    assume(asking.length).is.above(asked)
    asker.again = () => undefined
    await Promise.all(asking)
    assume(asker.done).eql(['answer'])
  })

  it('wait for it while its connection is gone for a moment', async () => {
    const { server: one, port } = await server(PATIENT)
    const proxy = await startProxy({ port })
    const asker = await worker()
    await asker.ask(one, 'question', proxy.port)
    proxy.cut()
    await eventually(() => asker.broken.length > 0)
    const telling = one.tell(asker, 'answer')
    await asker.ask(one, 'still there', proxy.port)
    assume(await telling).equals(1)
    assume(one.lost).eql([])
  })

  it('fail when it does not come back within a second, which is reported once', async () => {
    const { server: one, port } = await server()
    const proxy = await startProxy({ port })
    const asker = await worker()
    await asker.ask(one, 'question', proxy.port)
    const other = await worker()
    await other.ask(one, 'question', port)
    proxy.cut()
    await eventually(() => asker.broken.length > 0)
    assume(await refused(one.tell(asker, 'answer'))).eql(['EUNREACHABLE', false])
    assume(one.lost).eql([asker.word])
    assume(one.messenger.hasReturnPath(asker.word)).is.false()
    assume(await refused(one.tell(asker, 'answer'))).eql(['EUNREACHABLE', false])
    assume(await one.tell(other, 'answer')).equals(1)
    await asker.ask(one, 'back again', proxy.port)
    assume(await one.tell(asker, 'answer')).equals(1)
    assume(one.lost).eql([asker.word])
    await eventually(() => one.messenger.queued.messages === 0)
  })

  it('fail when the server ends, and no client is reported lost', async () => {
    const { server: one, port } = await server()
    const proxy = await startProxy({ port })
    const asker = await worker()
    await asker.ask(one, 'question', proxy.port)
    proxy.freezeReplies()
    const flying = refused(one.tell(asker, 'on its way'))
    await eventually(() => one.messenger.queued.messages === 1)
    await new Promise(resolve => {
      setImmediate(resolve)
    })
    const waiting = refused(one.tell(asker, 'waits'))
    await one.messenger.close()
    assume((await flying)[0]).equals('ECLOSED')
    assume(await waiting).eql(['ECLOSED', false])
    assume(await refused(one.tell(asker, 'late'))).eql(['ECLOSED', false])
    assume(one.lost).eql([])
  })

  it('do not reach an attacker that replays its requests', async () => {
    const { server: one, port } = await server()
    const said: Buffer[] = []
    const tap = await tapped(port, said)
    const asker = await worker()
    await asker.ask(one, 'question', tap)
    const stranger = await eventually(async () => {
      const stranger = await played(port, Buffer.concat(said))
      await eventually(() => one.told.includes('repeated') || stranger.socket.destroyed)
      // A stream ends after a second without a request. Where the machine takes that long, it is tried again.
      return one.told.includes('repeated') && stranger
    })
    assume(await one.tell(asker, 'the answer')).equals(1)
    assume(asker.done).eql(['the answer'])
    // The very answer to what was played back, once more, and nothing else.
    assume(stranger.heard.match(/application\/\S+\n/g)).has.length(2)
    assume(stranger.heard.includes('the answer')).is.false()
    // Nor when the genuine one has gone.
    await asker.messenger.close()
    await played(port, Buffer.concat(said))
    await eventually(() => one.lost.length === 1)
    assume(await refused(one.tell(asker, 'the answer'))).eql(['EUNREACHABLE', false])
  })

  it('arrive though its messages had to be retried, if it sends something new', async () => {
    const { server: one, port } = await server(PATIENT)
    const proxy = await startProxy({ port })
    const asker = await worker()
    asker.again = () => {
      asker.ask(one, 'still there', proxy.port).catch(() => undefined)
    }
    await asker.ask(one, 'hello', proxy.port)
    proxy.freezeReplies()
    const asking = asker.ask(one, 'question', proxy.port)
    await eventually(() => one.done.includes('question'))
    proxy.cut()
    proxy.thaw()
    assume(await asking).equals(1)
    await eventually(() => one.done.includes('still there'))
    assume(await one.tell(asker, 'answer')).equals(1)
    assume(one.done.filter(value => value === 'question')).has.length(1)
  })

  describe('through Redis', () => {
    let redis: RedisProcess
    before(async () => {
      redis = await startRedis({ scope: 'suite' })
    })
    after(() => redis.stop())

    it('reach it on its channel, which outlives its connections', async () => {
      const space = namespace()
      const end = (): Promise<Side> => {
        const word = randomId()
        return new Side(
          new RedisTransport({
            redis: redis.client(),
            namespace: space,
            nodeId: word,
            processName: 'test',
            timeout: terms.timeout,
            maxBody: MOST,
            alive: () => Promise.resolve(true),
            failed: () => undefined
          }),
          word
        ).opened()
      }
      const [one, asker] = [await end(), await end()]
      await asker.ask(one, 'question')
      assume(await one.tell(asker, 1)).equals(1)
      await redis.ask(client => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      assume(await one.tell(asker, 2)).equals(1)
      assume(asker.done).eql([1, 2])
      assume(one.lost).eql([])
    })
  })
})

/** A port that leads to another one, and keeps what is said to it. */
async function tapped(port: number, said: Buffer[]): Promise<number> {
  const tap = createServer(near => {
    const far = connect(port, '127.0.0.1')
    near.on('data', (chunk: Buffer) => {
      said.push(chunk)
    })
    near
      .on('error', () => undefined)
      .on('close', () => {
        far.destroy()
      })
      .pipe(far)
    far
      .on('error', () => undefined)
      .on('close', () => {
        near.destroy()
      })
      .pipe(near)
    using(() => {
      near.destroy()
    })
  })
  using(() => tap.close())
  tap.listen(0, '127.0.0.1')
  await happens(tap, 'listening')
  return (tap.address() as AddressInfo).port
}

/** A connection on which this was said, and what is heard there. */
async function played(port: number, said: Buffer): Promise<{ heard: string; socket: Socket }> {
  const socket = connect(port, '127.0.0.1')
  using(() => socket.destroy())
  const stranger = { heard: '', socket }
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    stranger.heard += chunk.toString('latin1')
  })
  await happens(socket, 'connect')
  // What follows the upgrade is read by a stream alone.
  const end = said.indexOf('\r\n\r\n') + 4
  socket.write(said.subarray(0, end))
  await eventually(() => stranger.heard.includes('\n{"session"'))
  socket.write(said.subarray(end))
  return stranger
}
