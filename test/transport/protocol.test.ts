import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { RpcResponder, CALLER_SILENCE } from '../../lib/rpc/responder'
import type { PeerChannel } from '../../lib/rpc/peer-channel'
import { MembershipHints } from '../../lib/rpc/membership-hints'
import { RpcCaller, WAIT_PERIOD } from '../../lib/rpc/caller'
import { ApplicationTransport } from '../../lib/transport/application-transport'
import {
  batch,
  BATCH,
  DEFERRABLE_BATCH,
  HELLO,
  JSON_TYPE,
  outgoing,
  unpack,
  type Reply
} from '../../lib/transport/envelope'
import { frame, FrameReader } from '../../lib/transport/http/frames'
import { HttpServer } from '../../lib/transport/http/server'
import { splitIntoChunks, readChunk as readPiece } from '../../lib/transport/redis/chunks'
import { Inbox, type LocalNode, type MessageHandler } from '../../lib/transport/receiving/inbox'
import { randomId, digest, verifyHead, readHead, signHead, type AnswerSignature } from '../../lib/transport/signature'
import { isRefusal } from '../../lib/transport/receiving/reception-contract'
import { ReturnPaths } from '../../lib/transport/receiving/return-paths'
import type { Answer, Receiver, Request } from '../../lib/common/transport-contract'
import { assume } from '../support/assume'
import { using } from '../support/dispose'
import { Network } from './lossy'

/** What the document gives to who writes a peer, to see whether it is right. */
interface Vectors {
  heads: {
    name: string
    secret: string
    namespace: string
    status?: number
    request?: string
    from: string
    to: string
    session: string
    number: number
    type: string
    body: string
    signs: string
    head: string
  }[]
  batches: {
    name: string
    messages: { kind: string; to: unknown; text: string; parts?: { path: (string | number)[]; hex: string }[] }[]
    base64: string
  }[]
  frames: { name: string; line: string; body: string; base64: string }[]
  messages: { name: string; line: string; body: string }[]
}

const text = readFileSync(join(__dirname, '..', '..', '..', 'PROTOCOL.md'), 'utf8')
const vectors = JSON.parse(/## Test vectors[^]*?```json\n([^]*?)\n```/.exec(text)?.[1] ?? '') as Vectors

function answering({ status, request = '' }: Vectors['heads'][number]): AnswerSignature | undefined {
  return status === undefined ? undefined : { status, request }
}

/** The frames in some bytes, as far as they are whole. */
function framesOf(bytes: Buffer): [line: string, body: string][] {
  const frames: [string, string][] = []
  const reader = new FrameReader(10_000)
  reader.push(bytes)
  for (;;) {
    const line = reader.line()
    const body = line === undefined ? undefined : reader.body()
    if (line === undefined || body === undefined) return frames
    frames.push([line, body.toString()])
  }
}

function framed(line: string, body: Buffer): Buffer {
  return Buffer.concat(frame(line, body))
}

describe('PROTOCOL.md', () => {
  it('gives heads that we would write', () => {
    assume(vectors.heads.length).is.atleast(6)
    for (const vector of vectors.heads) {
      const { secret, namespace, from, to, session, number, type, body, head } = vector
      const ours = signHead(
        secret,
        namespace,
        { from, to, session, number, digest: digest(Buffer.from(body)) },
        type,
        answering(vector)
      )
      assume(ours).equals(head, vector.name)
    }
  })

  it('gives heads that we would believe, and none that we would after any change', () => {
    for (const vector of vectors.heads) {
      const { secret, namespace, type, head } = vector
      const given = readHead(head)
      if (given === undefined) throw new Error(`${vector.name} is no head`)
      const as = answering(vector)
      assume(verifyHead(['another secret', secret], namespace, given, type, as)).equals(true, vector.name)
      assume(verifyHead([secret], `${namespace}2`, given, type, as)).equals(false, vector.name)
      assume(verifyHead([secret], namespace, given, `${type}2`, as)).equals(false, vector.name)
      for (const change of [
        { from: randomId() },
        { to: randomId() },
        { session: randomId() },
        { number: 7 },
        { digest: digest(Buffer.from('7')) }
      ]) {
        assume(verifyHead([secret], namespace, { ...given, ...change }, type, as)).equals(false, vector.name)
      }
      const other = as === undefined ? { status: 200, request: given.signature } : { ...as, status: as.status + 1 }
      assume(verifyHead([secret], namespace, given, type, other)).equals(false, vector.name)
    }
  })

  it('says what is signed, so that SHA-256 and HMAC alone make the same of it', () => {
    for (const { name, secret, body, signs, head } of vectors.heads) {
      const [, , , , , sum, signature] = head.split(' ')
      assume(createHash('sha256').update(body).digest('base64url')).equals(sum, name)
      assume(createHmac('sha256', secret).update(signs).digest('base64url')).equals(signature, name)
    }
  })

  it('works one example out, and it is the first of the vectors', () => {
    const [hello] = vectors.heads
    const example = /### One worked example\n([^]*?)\n### /.exec(text)?.[1] ?? ''
    const [signs = '', head = ''] = [...example.matchAll(/```\n([^]*?)\n```/g)].map(([, block = '']) => block)
    assume(signs.replaceAll(',\n', ',')).equals(hello?.signs)
    assume(head).equals(hello?.head)
  })

  it('gives batches that we would write, and understand', () => {
    assume(vectors.batches.length).is.atleast(4)
    for (const { name, messages, base64 } of vectors.batches) {
      const blobs = ({ parts = [] }: (typeof messages)[number]): { path: (string | number)[]; bytes: Buffer }[] =>
        parts.map(({ path, hex }) => ({ path, bytes: Buffer.from(hex, 'hex') }))
      const ours = batch(
        messages.map(message =>
          outgoing(message.kind, message.to, { text: message.text, blobs: blobs(message), size: 0 })
        )
      )
      assume(ours.toString('base64')).equals(base64, name)
      const understood = unpack(Buffer.from(base64, 'base64'), 'the-sender12').map(({ kind, to, message }) => ({
        kind,
        to,
        text: message.text,
        blobs: message.blobs.map(({ path, bytes }) => ({ path, hex: bytes.toString('hex') }))
      }))
      assume(understood).deep.equals(
        messages.map(({ kind, to, text, parts = [] }) => ({ kind, to, text, blobs: parts }))
      )
    }
  })

  it('gives questions, answers and notices that we would take', () => {
    const handlers = new Map<string, MessageHandler>()
    const mail: PeerChannel = {
      take: (kind, handler) => {
        handlers.set(kind, handler)
      },
      addressOf: () => 'http://10.0.0.5:8080',
      reaches: () => true,
      carry: () => Promise.resolve(0),
      back: () => Promise.resolve(0)
    }
    const answers = new RpcResponder(mail, { messages: 10, total: 10_000 }, () => '')
    using(() => {
      answers.close()
    })
    for (const what of ['call', 'event', 'groups']) answers.handle(what, () => () => new Promise(() => undefined))
    const questions = new RpcCaller(mail, answers, () => '', 10)
    using(() => questions.close())
    new MembershipHints(mail, {
      peers: () => [],
      current: () => Promise.resolve([]),
      moved: () => undefined,
      drains: () => undefined
    })
    const replies = vectors.batches
      .map(({ base64 }) =>
        unpack(Buffer.from(base64, 'base64'), 'the-sender12')
          .filter(({ kind }) => handlers.has(kind))
          .map(message => {
            const handler = handlers.get(message.kind)
            handler?.check(message)
            return handler?.apply(message)
          })
      )
      .filter(list => list.length > 0)
    assume(replies).eql([[0, 0, 0, 1, 2], [0, 0, 0, 0], [0], [0]])
    for (const kind of handlers.keys()) assume(text).includes(`\`"${kind}"\``)
    assume([WAIT_PERIOD, CALLER_SILENCE].map(ms => ms / 1000)).eql([20, 60])
  })

  it('gives frames that we would write, and read', () => {
    assume(vectors.frames.length).is.atleast(3)
    for (const { name, line, body, base64 } of vectors.frames) {
      assume(Buffer.concat(frame(line, Buffer.from(body))).toString('base64')).equals(base64, name)
      assume(framesOf(Buffer.from(base64, 'base64'))).deep.equals([[line, body]], name)
    }
  })

  it('gives messages of Redis that carry what frames carry', () => {
    assume(vectors.messages.length).equals(2)
    for (const [nth, { line, body }] of vectors.messages.entries()) {
      const message = Buffer.from(`${line}\n${body}`)
      const piece = readPiece(message)
      if (piece === undefined) throw new Error(`${line} is no line`)
      assume(piece.line).equals(vectors.frames[nth]?.line)
      assume(piece.body.toString()).equals(vectors.frames[nth]?.body)
      assume(splitIntoChunks(piece)).deep.equals([message])
    }
  })

  describe('on refusals', () => {
    const secret = 'a secret of the whole cluster'
    const [asker, address] = [randomId(), 'http://10.0.0.5:8080']
    const place = { nodeId: randomId(), namespace: 'metroplex', address }

    /** A receiver that counts what it has carried out. */
    function receiver(secrets = [secret], at: LocalNode = place): { reception: Inbox; done: () => number } {
      let done = 0
      const reception = new Inbox(
        at,
        { secrets, refresh: () => Promise.resolve() },
        { maxBody: 1000, timeout: 1000 },
        new ReturnPaths(() => undefined),
        { counted: () => undefined, broken: () => undefined }
      )
      const apply = (): Reply => ++done
      reception.handle('some', { check: () => undefined, apply })
      return { reception, done: () => done }
    }

    const ask = (
      reception: Inbox,
      head: {
        to?: string
        session?: string
        number: number
        type?: string
        body?: string
        secret?: string
        sent?: string
      }
    ): Answer => {
      const {
        to = head.number === 0 ? address : place.nodeId,
        session = randomId(),
        number,
        type = number === 0 ? HELLO : BATCH,
        body = '',
        sent = body
      } = head
      const line = signHead(
        head.secret ?? secret,
        'metroplex',
        { from: asker, to, session, number, digest: digest(Buffer.from(body)) },
        type
      )
      const admitted = reception.admit(line, type)
      return isRefusal(admitted) ? admitted : reception.receive(admitted, Buffer.from(sent))
    }

    const hello = (reception: Inbox): string =>
      (JSON.parse(ask(reception, { number: 0 }).body.toString()) as { session: string }).session

    /** Whether the document has a row for it. */
    const documented = ({ status, head, type, body }: Answer): void => {
      const { code, reason } = JSON.parse(body.toString()) as { code: string; reason: string }
      assume(type).equals(JSON_TYPE)
      assume(reason).matches(/\.$/)
      assume(text).includes(`| ${status} \`${code}\` | ${head === '' ? 'no' : 'yes'} |`, `${status} ${code}`)
    }

    const message = '[["some",["id"]]]\n"hello"\n'

    const refusals: [why: string, status: number, ask: (reception: Inbox) => Answer][] = [
      ['another form of head', 400, reception => reception.admit('3 a b c', BATCH) as Answer],
      ['a hello of another type', 400, reception => ask(reception, { number: 0, type: BATCH })],
      [
        'a batch that is none',
        400,
        reception => ask(reception, { number: 1, session: hello(reception), body: 'none' })
      ],
      [
        'a kind that is not known, after one that is',
        400,
        reception =>
          ask(reception, { number: 1, session: hello(reception), body: '[["some",["id"]],["other",[]]]\n1\n2\n' })
      ],
      ['another secret', 401, reception => ask(reception, { number: 0, secret: 'the secret of another cluster' })],
      [
        'another body',
        401,
        reception =>
          ask(reception, {
            number: 1,
            session: hello(reception),
            body: message,
            sent: message.replace('hello', 'jello')
          })
      ],
      ['a session that is not known', 409, reception => ask(reception, { number: 1, body: message })],
      [
        'another process',
        409,
        reception => ask(reception, { number: 1, to: randomId(), session: hello(reception), body: message })
      ],
      ['another address', 421, reception => ask(reception, { number: 0, to: 'http://10.0.0.6:8080' })]
    ]
    for (const [why, status, refused] of refusals) {
      it(`has a row for ${why}, and nothing is carried out`, () => {
        const { reception, done } = receiver()
        const answer = refused(reception)
        assume(answer.status).equals(status)
        documented(answer)
        assume(done()).equals(0)
      })
    }

    it('says which process a hello on a return path addresses: the one with that node id', () => {
      const { reception } = receiver()
      assume(ask(reception, { number: 0, to: place.nodeId }).status).equals(200)
      const unaddressed = new Inbox(
        { ...place, address: '' },
        { secrets: [secret], refresh: () => Promise.resolve() },
        { maxBody: 1000, timeout: 1000 },
        new ReturnPaths(() => undefined),
        { counted: () => undefined, broken: () => undefined }
      )
      for (const to of [place.nodeId, address]) assume(ask(unaddressed, { number: 0, to }).status).equals(200)
      for (const refused of [
        ask(unaddressed, { number: 0, to: randomId() }),
        ask(reception, { number: 0, to: randomId() })
      ]) {
        assume(refused.status).equals(421)
        documented(refused)
      }
    })

    it('refuses the batches of a hello to an address that another server has, but answers one that it applied', () => {
      const at = { nodeId: place.nodeId, namespace: 'metroplex', address: '', awaitedAddress: '' }
      const { reception, done } = receiver([secret], at)
      const session = hello(reception)
      assume(ask(reception, { number: 1, session, body: message }).body.toString()).equals('[1]')
      at.awaitedAddress = address
      assume(ask(reception, { number: 1, session, body: message }).body.toString()).equals('[1]')
      const refused = ask(reception, { number: 2, session, body: message })
      assume(refused.status).equals(409)
      documented(refused)
      assume(ask(reception, { number: 0 }).status).equals(421)
      // By its node id it is still meant itself.
      assume(ask(reception, { number: 0, to: place.nodeId }).status).equals(200)
      assume(ask(reception, { number: 2, session, body: message }).body.toString()).equals('[2]')
      assume(done()).equals(2)
    })

    it('refuses a forged request of a custom transport, also after a genuine one was admitted', async () => {
      const { reception, done } = receiver()
      let given: Receiver | undefined
      const transport = Object.assign(new Network([]).at(address), {
        open: (opened: Receiver) => {
          given = opened
        }
      })
      await new ApplicationTransport(transport).open(reception)
      const body = Buffer.from(message)
      const session = hello(reception)
      const sign = (by: string): Request => {
        const head = { from: asker, to: place.nodeId, session, number: 1, digest: digest(body) }
        return { head: signHead(by, 'metroplex', head, BATCH), type: BATCH, body }
      }
      const [genuine, forged] = [sign(secret), sign('another secret than theirs')]
      assume(given?.receive(forged).status).equals(401)
      assume(given?.admit(genuine.head, BATCH)).equals(undefined)
      assume(given?.receive(forged).status).equals(401)
      assume(done()).equals(0)
      assume(given?.admit(genuine.head, BATCH)).equals(undefined)
      assume(given?.receive(genuine).status).equals(200)
      assume(done()).equals(1)
    })

    it('has rows for a receiver without a secret yet, and for one that shuts down', () => {
      documented(ask(receiver([]).reception, { number: 0 }))
      const { reception } = receiver()
      reception.close()
      documented(ask(reception, { number: 0 }))
    })

    it('says of numbers what is done: greater ones once, equal ones answered again, lower ones refused', () => {
      const { reception, done } = receiver()
      const session = hello(reception)
      const send = (number: number, body = message): Answer => ask(reception, { number, session, body })
      assume(send(3).status).equals(200)
      assume(send(3).body.toString()).equals('[1]')
      assume(done()).equals(1)
      for (const refused of [send(2), send(3, message.replace('hello', 'jello'))]) {
        assume(refused.status).equals(409)
        documented(refused)
      }
      assume(send(4, 'none').status).equals(400)
      assume(send(4).body.toString()).equals('[2]')
      assume(hello(reception)).equals(session)
      assume(JSON.parse(ask(reception, { number: 0 }).body.toString())).deep.equals({
        session,
        maxBody: 1000,
        last: 4,
        window: 64
      })
    })

    it('remembers the answers to the last 64 batches of a requester that some may be answered later', () => {
      const { reception, done } = receiver()
      const session = hello(reception)
      const send = (number: number, type = DEFERRABLE_BATCH, body = message): Answer =>
        ask(reception, { number, session, type, body })
      for (let number = 1; number <= 70; number++) assume(send(number).status).equals(200)
      for (const number of [7, 70, 30]) assume(send(number, BATCH).body.toString()).equals(`[${number}]`)
      assume(done()).equals(70)
      for (const refused of [send(6), send(7, BATCH, message.replace('hello', 'jello'))]) {
        assume(refused.status).equals(409)
        documented(refused)
      }
      assume(done()).equals(70)
    })

    it('remembers no more of answers than 256 kB, and always the last one', () => {
      const { reception } = receiver()
      const absent = Array.from({ length: 10_000 }, (_, i) => `spark-${i}`)
      reception.handle('some', { check: () => undefined, apply: () => [0, absent] })
      const session = hello(reception)
      const send = (number: number): Answer =>
        ask(reception, { number, session, type: DEFERRABLE_BATCH, body: message })
      const { length } = send(1).body
      assume(length > 65_536 && length < 262_144).true()
      const kept = Math.floor(262_144 / length)
      for (let number = 2; number <= 10; number++) send(number)
      assume(send(11 - kept).status).equals(200)
      assume(send(10 - kept).status).equals(409)
    })
  })

  describe('on HTTP', () => {
    const secret = 'a secret of the whole cluster'
    const [asker, word] = [randomId(), randomId()]

    /** A receiver at an endpoint, and what it has carried out. */
    async function endpoint(): Promise<{ address: string; port: number; done: string[] }> {
      const done: string[] = []
      const http = new HttpServer(() => '/primus/metroplex')
      const take = (req: IncomingMessage, res: ServerResponse): void => {
        http.middleware.call({} as never, req, res, () => {
          res.destroy()
        })
      }
      const server = createServer(take).on('upgrade', (req, socket) => {
        take(req, socket as never)
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const address = `http://127.0.0.1:${port}`
      const reception = new Inbox(
        { nodeId: word, namespace: 'metroplex', address },
        { secrets: [secret], refresh: () => Promise.resolve() },
        { maxBody: 1000, timeout: 1000 },
        new ReturnPaths(() => undefined),
        { counted: () => undefined, broken: () => undefined }
      )
      reception.handle('some', { check: () => undefined, apply: ({ message }) => done.push(message.text) })
      http.open(reception)
      using(
        () =>
          new Promise(resolve => {
            http.close()
            server.close(resolve)
            server.closeAllConnections()
          })
      )
      return { address, port, done }
    }

    const line = (to: string, session: string, number: number, type: string, body = '', key = secret): string =>
      signHead(key, 'metroplex', { from: asker, to, session, number, digest: digest(Buffer.from(body)) }, type)

    /** Say something to a port, and all that it says until it closes; `more` is told what has come, and may go on. */
    async function say(
      port: number,
      first: string,
      more: (heard: Buffer, write: (what: Buffer) => void) => void = () => undefined
    ): Promise<Buffer> {
      const socket = connect(port, '127.0.0.1')
      using(() => {
        socket.destroy()
      })
      let heard = Buffer.alloc(0)
      socket.on('data', chunk => {
        heard = Buffer.concat([heard, chunk])
        more(heard, what => {
          socket.write(what)
        })
      })
      socket.write(first)
      await once(socket, 'end')
      return heard
    }

    const upgrade = (head: string): string =>
      [
        'GET /primus/metroplex HTTP/1.1',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: metroplex',
        `metroplex: ${head}`,
        `content-type: ${HELLO}`,
        '',
        ''
      ].join('\r\n')

    /** What comes after an answer's headers, and the frames in it. */
    const framesIn = (heard: Buffer): [line: string, body: string][] =>
      framesOf(heard.subarray(heard.indexOf('\r\n\r\n') + 4))

    it('has streams: 101, the answer to the hello, one to each request, an end after what is not genuine', async () => {
      const { address, port, done } = await endpoint()
      const body = '[["some",["id"]]]\n"hello"\n'
      let asked = 0
      const heard = await say(port, upgrade(line(address, randomId(), 0, HELLO)), (heard, write) => {
        const frames = framesIn(heard)
        if (frames.length !== asked + 1) return
        asked++
        const session = (JSON.parse(frames[0]?.[1] ?? '') as { session: string }).session
        const ask = (number: number, key = secret): void => {
          write(framed(`${line(word, session, number, BATCH, body, key)} ${BATCH}`, Buffer.from(body)))
        }
        // The third one is old; the fourth one belongs to another stream.
        if (asked === 4) ask(asked, 'another secret altogether')
        else ask(asked === 3 ? 1 : asked)
      })
      assume(heard.toString()).matches(
        /^HTTP\/1\.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: metroplex\r\n\r\n/
      )
      const frames = framesIn(heard)
      assume(frames.map(([line]) => line.split(' ')[0])).deep.equals(['200', '200', '200', '409', '401'])
      assume(frames.map(([line]) => line.split(' ').length)).deep.equals([9, 9, 9, 9, 3])
      assume(frames.slice(1, 3).map(([, body]) => body)).deep.equals(['[1]', '[2]'])
      assume(done).deep.equals(['"hello"', '"hello"'])
    })

    it('has answers that come later: together, or with the next one that does not', async () => {
      const { address, port, done } = await endpoint()
      const [body, other] = ['[["some",["id"]]]\n"hello"\n', '[["some",["id"]]]\n"other"\n']
      let asked = 0
      const heard = await say(port, upgrade(line(address, randomId(), 0, HELLO)), (heard, write) => {
        const frames = framesIn(heard)
        if (frames.length !== asked + 1) return
        const session = (JSON.parse(frames[0]?.[1] ?? '') as { session: string }).session
        const ask = (type: string, number = ++asked, text = body): Buffer =>
          framed(`${line(word, session, number, type, text)} ${type}`, Buffer.from(text))
        if (asked === 0) write(Buffer.concat([ask(DEFERRABLE_BATCH), ask(DEFERRABLE_BATCH)]))
        else if (asked === 2) write(Buffer.concat([ask(DEFERRABLE_BATCH), ask(BATCH)]))
        // Another body under the first number is refused. What follows is not read.
        else if (asked === 4)
          write(Buffer.concat([ask(DEFERRABLE_BATCH), ask(DEFERRABLE_BATCH, 1, other), ask(DEFERRABLE_BATCH)]))
      })
      const frames = framesIn(heard)
      assume(frames.map(([line]) => line.split(' ')[0])).deep.equals([...Array<string>(6).fill('200'), '409'])
      assume(frames.map(([line]) => line.split(' ')[5])).deep.equals(['0', '1', '2', '3', '4', '5', '1'])
      assume(done.length).equals(5)
    })

    it('refuses a hello for a stream as one for a single request, and closes', async () => {
      const { port } = await endpoint()
      const heard = (await say(port, upgrade(line('http://10.0.0.6:8080', randomId(), 0, HELLO)))).toString()
      assume(heard).matches(/^HTTP\/1\.1 421 /)
      assume(heard).matches(/\r\nmetroplex: 2 /)
      const stranger = (await say(port, upgrade('who?'))).toString()
      assume(stranger).matches(/^HTTP\/1\.1 400 /)
      assume(stranger).matches(/\r\nmetroplex: -\r\n/)
    })

    it('has single requests, and no other ones', async () => {
      const { address } = await endpoint()
      const ask = (method: string, headers: Record<string, string> = {}, body?: string): Promise<Response> =>
        fetch(`${address}/primus/metroplex?anything`, { method, headers, ...(body !== undefined && { body }) })
      const hello = await ask('PUT', { metroplex: line(address, randomId(), 0, HELLO), 'content-type': HELLO }, '')
      assume(hello.status).equals(200)
      assume(hello.headers.get('content-type')).equals(JSON_TYPE)
      const { session } = (await hello.json()) as { session: string }
      assume(hello.headers.get('metroplex')?.split(' ')[3]).equals(session)
      const refusals = [
        [426, 'GET', { metroplex: '-' }],
        [405, 'POST'],
        [413, 'PUT', {}, 'x'.repeat(1001)],
        [400, 'PUT', {}, '']
      ] as const
      for (const [status, method, headers, body] of refusals) {
        const refused = await ask(method, headers, body)
        assume(refused.status).equals(status)
        assume(refused.headers.get('metroplex')).equals(status === 426 ? null : '-')
        assume(text).matches(new RegExp(`\\| ${status}[ ][^|]*\\| no \\|`))
        await refused.arrayBuffer()
      }
    })
  })
})
