import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { BATCH, HELLO } from '../../lib/transport/envelope'
import { frame } from '../../lib/transport/http/frames'
import type { Result } from '../../index'
import { assume } from '../support/assume'
import { openClient, type Client } from '../support/client'
import { reservePort } from '../support/ports'
import { rejection } from '../support/rejection'
import { startServer, type ServerProcess } from '../support/server'
import { Stranger, type Acquaintance, type Question, type Told } from '../support/stranger'
import { deadline } from '../support/wait'
import { SLACK, type Ground } from './ground'
import { peerEnded } from './health'
import { counter } from './passage'
import type { Row } from './row'

/** The largest body here, in bytes; and how long one may take, in ms. */
const [MAX, TIMEOUT] = [20_000, 1000]
/** How long a stream of a stranger may be open, in ms. */
const STRANGER = 1000
const bounded = { metroplex: { maxBody: MAX, timeout: TIMEOUT } }

/** A batch of one message. */
const message = (kind: string, to: unknown, text = '"never"'): string => `[${JSON.stringify([kind, to])}]\n${text}\n`

/** A server with a client, and a stranger who knows its secret. */
interface Scene {
  readonly server: ServerProcess
  readonly client: Client
  readonly papers: { url: string; address: string; secret: string; namespace: string }
  readonly friend: Stranger
}

async function scene(ground: Ground, primus: Record<string, unknown> = bounded, omega = false): Promise<Scene> {
  // A row starts it again on its port.
  const server = await ground.start(primus, { omega, port: await reservePort() })
  const client = await openClient(server.url)
  await ground.settled(server)
  const papers = { url: server.url, address: server.address, secret: await secretOf(ground), namespace: ground.space }
  return { server, client, papers, friend: new Stranger(papers) }
}

/** What the servers have agreed to sign with. */
async function secretOf(ground: Ground): Promise<string> {
  const kept = (await ground.client.get(ground.key('secret'))) ?? ''
  return kept.slice(kept.indexOf(' ') + 1)
}

/** After all of it: the process lives, its client has got nothing, and gets what is meant for it. */
async function unmoved(
  { server, client, papers }: Scene,
  ground: Ground,
  expected: readonly unknown[] = []
): Promise<void> {
  const other = new Stranger(papers)
  assume((await other.put(other.batch(await other.meet(), 1, message('some', [client.id], '"last"')))).body).equals(
    '[1]'
  )
  await client.count(expected.length + 1)
  assume(client.messages).eql([...expected, 'last'])
  assume(await server.call('forward.spark', client.id, 'mine')).eql({ ok: true, send: 1, local: true })
  ground.unharmed(server)
}

/** How many of these are as they should be, in per cent; what is not is in the error. */
function right(given: Readonly<Record<string, Told | string>>, expected: Readonly<Record<string, string>>): number {
  const shown = Object.fromEntries(
    Object.entries(given).map(([what, told]) => [what, typeof told === 'string' ? told : `${told.status} ${told.code}`])
  )
  assume(shown).eql(expected)
  return 100
}

export const strangers: readonly Row[] = [
  {
    id: 'F20',
    fault: 'requests have a wrong, missing, old, replayed or tampered signature, by PUT',
    promise: 'each is refused with its status, before a spark is touched; nothing is delivered',
    measures: [{ what: 'refused as promised', unit: '%', atLeast: 100 }],
    health: [],
    async provoke(ground) {
      const here = await scene(ground)
      const { server, client, papers, friend } = here
      const other = await ground.start(bounded, { omega: false })
      const known = await friend.meet()
      const body = message('some', [client.id])
      const good = friend.batch(known, 1, message('some', [client.id], '"first"'))
      assume((await friend.put(good)).body).equals('[1]')
      const fresh = (): Question => friend.batch(known, 9, body)
      const altered = (change: (head: string) => string): Question => ({ ...fresh(), head: change(fresh().head) })
      const signature = (head: string): string => head.slice(head.lastIndexOf(' ') + 1)
      const elsewhere = friend.with({ url: other.url })
      const told: Record<string, Told> = {
        'no head': await friend.put({ ...fresh(), head: '' }),
        'a head that is none': await friend.put({ ...fresh(), head: 'Bearer me' }),
        'another version': await friend.put(altered(head => head.replace(/^2/, '3'))),
        'another secret': await friend.put(friend.with({ secret: 'x'.repeat(43) }).batch(known, 9, body)),
        'an empty secret': await friend.put(friend.with({ secret: '' }).batch(known, 9, body)),
        'another namespace': await friend.put(friend.with({ namespace: `${ground.space}2` }).batch(known, 9, body)),
        'a signature of another head': await friend.put(altered(head => head.slice(0, -43) + signature(good.head))),
        'a signature cut off': await friend.put(altered(head => head.slice(0, -1))),
        'one letter of the signature changed': await friend.put(
          altered(head => head.slice(0, -43) + (head.at(-43) === 'A' ? 'B' : 'A') + head.slice(-42))
        ),
        'another number': await friend.put(altered(head => head.replace(' 9 ', ' 10 '))),
        'another sender': await friend.put(altered(head => head.replace(friend.word, 'stranger-00000000'))),
        'another content type': await friend.put({ ...fresh(), type: HELLO }),
        'a content type with more to it': await friend.put({ ...fresh(), type: `${BATCH}; charset=utf-8` }),
        'one byte of the body changed': await friend.put({
          ...fresh(),
          body: Buffer.from(body.replace('never', 'nevEr'))
        }),
        'a body that is longer': await friend.put({ ...fresh(), body: Buffer.from(`${body} `) }),
        'no body': await friend.put({ ...fresh(), body: Buffer.alloc(0) }),
        'an older number': await older(friend, known, body, message('some', [client.id], '"second"')),
        'the last number with something else': await friend.put(friend.batch(known, 3, body)),
        'played back at another server': await elsewhere.put(good),
        'to the word of another server': await friend.put(
          friend.batch({ ...known, peer: (await elsewhere.with({ address: other.address }).meet()).peer }, 9, body)
        ),
        'a session that there is not': await friend.put(
          friend.batch({ ...known, session: 'session-no-such' }, 9, body)
        ),
        'the session of another sender': await friend.put(new Stranger(papers).batch(known, 9, body)),
        'a hello to another address': await friend.put(friend.hello({ to: other.address })),
        'a hello of another type': await friend.put(friend.question({}, BATCH)),
        'an answer played back as a request': await answerAsRequest(friend, known, body)
      }
      const expected = {
        'no head': '400 EPROTOCOL',
        'a head that is none': '400 EPROTOCOL',
        'another version': '400 EPROTOCOL',
        'another secret': '401 EAUTH',
        'an empty secret': '401 EAUTH',
        'another namespace': '401 EAUTH',
        'a signature of another head': '401 EAUTH',
        'a signature cut off': '400 EPROTOCOL',
        'one letter of the signature changed': '401 EAUTH',
        'another number': '401 EAUTH',
        'another sender': '401 EAUTH',
        'another content type': '401 EAUTH',
        'a content type with more to it': '401 EAUTH',
        'one byte of the body changed': '401 EAUTH',
        'a body that is longer': '401 EAUTH',
        'no body': '401 EAUTH',
        'an older number': '409 EOLD',
        'the last number with something else': '409 EOLD',
        'played back at another server': '409 ESESSION',
        'to the word of another server': '409 ESESSION',
        'a session that there is not': '409 ESESSION',
        'the session of another sender': '409 ESESSION',
        'a hello to another address': '421 EUNREACHABLE',
        'a hello of another type': '400 EPROTOCOL',
        'an answer played back as a request': '401 EAUTH'
      }
      const refused = right(told, expected)
      assume(await counter(server, 'refused')).is.above(0)
      await deadline(unmoved(here, ground, ['first', 'second']), 5000, 'the end')
      ground.unharmed(other)
      return [refused]
    }
  },
  {
    id: 'F20',
    fault: 'recorded requests are replayed after the server was restarted on its address',
    promise: 'refused; nothing is delivered',
    measures: [{ what: 'refused as promised', unit: '%', atLeast: 100 }],
    health: [peerEnded([1])],
    async provoke(ground) {
      const { server, client, papers, friend } = await scene(ground)
      const { id, name } = { id: client.id, name: server.address }
      const known = await friend.meet()
      const recorded = [
        friend.hello(),
        friend.batch(known, 1, message('some', [id], '"first"')),
        friend.batch(known, 2, message('all', [], '"second"'))
      ]
      for (const question of recorded) assume((await friend.put(question)).status).equals(200)
      await client.count(2)
      await server.kill()
      const again = await ground.observe(
        await startServer({
          redis: { url: ground.redis.url, namespace: ground.space },
          port: server.port,
          primus: { address: name, ...bounded }
        })
      )
      const next = await openClient(again.url)
      const told: Record<string, Told> = {
        'a hello': await friend.put(recorded[0] ?? friend.hello()),
        'a batch': await friend.put(recorded[1] ?? friend.hello()),
        'the next batch': await friend.put(recorded[2] ?? friend.hello())
      }
      // A hello says nothing; what is answered to it is worth nothing to who cannot sign.
      const refused = right(told, { 'a hello': '200 ', 'a batch': '409 ESESSION', 'the next batch': '409 ESESSION' })
      const stranger = new Stranger(papers)
      assume(
        (await stranger.put(stranger.batch(await stranger.meet(), 1, message('all', [], '"last"')))).status
      ).equals(200)
      await next.next()
      assume(next.messages).eql(['last'])
      ground.sound(again)
      return [refused]
    }
  },
  {
    id: 'F20',
    fault: 'requests have a wrong method, are too large, slow or garbage; streams speak something else',
    promise:
      'answered with 405, 413, 408 or 400, or closed within a second, before an unbounded body is read; nothing is ' +
      'delivered; the process lives',
    measures: [
      { what: 'refused as promised', unit: '%', atLeast: 100 },
      { what: 'a silent stream closed after', unit: 'ms', atMost: STRANGER + SLACK },
      { what: 'a slow body refused after', unit: 'ms', atMost: TIMEOUT + SLACK }
    ],
    health: [],
    async provoke(ground) {
      const here = await scene(ground)
      const { client, friend } = here
      const known = await friend.meet()
      const body = message('some', [client.id])
      const fresh = (text: Buffer | string = body): Question => friend.batch(known, 9, text)
      const large = message('some', [client.id], JSON.stringify('x'.repeat(MAX)))
      const start = (question: Question, more: string): string =>
        `PUT /primus/metroplex HTTP/1.1\r\nhost: x\r\nmetroplex: ${question.head}\r\n` +
        `content-type: ${question.type}\r\n${more}\r\n\r\n`
      const status = (text: string): string => /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 'closed'
      let slow = 0
      let silent = 0
      const slowBody = async (): Promise<string> => {
        const { socket, closed } = friend.line()
        const sent = performance.now()
        socket.write(start(fresh(), `content-length: ${body.length}`))
        const drip = setInterval(() => {
          socket.write(' ')
        }, 300)
        await once(socket, 'data')
        slow = performance.now() - sent
        return status(
          await deadline(closed, 5000, 'the end of a slow request').finally(() => {
            clearInterval(drip)
          })
        )
      }
      const chunked = async (): Promise<string> => {
        const { socket, closed } = friend.line()
        socket.write(start(fresh(), 'transfer-encoding: chunked'))
        const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`
        const pour = setInterval(() => {
          socket.write(chunk)
        }, 2)
        return status(
          await deadline(closed, 5000, 'the end of a request without an end').finally(() => {
            clearInterval(pour)
          })
        )
      }
      /** What a stream was closed after: with what status, if any. */
      const streamed = async (write: (socket: { write(bytes: Buffer | string): unknown }) => void): Promise<string> => {
        const opened = await friend.stream()
        if (!('ask' in opened)) return `not opened: ${opened.status}`
        write(opened.socket)
        const told = await opened.next()
        const since = performance.now()
        await deadline(opened.closed, 5000, 'the end of a stream')
        silent = Math.max(silent, performance.now() - since)
        return told.status === 0 ? 'closed' : `${told.status} ${told.code}`
      }
      const framed = ({ head, type, body }: Question): Buffer => Buffer.concat(frame(`${head} ${type}`, body))
      const told: Record<string, Told | string> = {
        GET: await friend.put(fresh(), { method: 'GET' }),
        POST: await friend.put(fresh(), { method: 'POST' }),
        DELETE: await friend.put(fresh(), { method: 'DELETE' }),
        'too large': await friend.put(fresh(large)),
        'said to be 560 MB': status(await friend.raw(start(fresh(), 'content-length: 560000000'))),
        'too large, without saying so': await chunked(),
        'cut off': await cutOff(friend, start(fresh(), `content-length: ${body.length}`)),
        'no HTTP at all': status(await friend.raw('\u0016\u0003\u0001\0\0garbage\r\n\r\n')),
        'a slow body': await slowBody(),
        'a stream with another secret': (await friend.stream(friend.with({ secret: 'x'.repeat(43) }).hello())) as Told,
        'a stream without a head': (await friend.stream({ ...friend.hello(), head: '' })) as Told,
        'a stream to another address': (await friend.stream(friend.hello({ to: 'http://10.9.9.9:1' }))) as Told,
        'a stream, and a frame of 4 GB': await streamed(socket => socket.write(Buffer.from([255, 255, 255, 255]))),
        'a stream, and a frame that is too large': await streamed(socket => socket.write(framed(fresh(large)))),
        'a stream, and a wrong signature': await streamed(socket =>
          socket.write(framed({ ...fresh(), head: friend.with({ secret: 'x'.repeat(43) }).batch(known, 9, body).head }))
        ),
        'a stream, and another byte': await streamed(socket =>
          socket.write(framed({ ...fresh(), body: Buffer.from(body.replace('never', 'nevEr')) }))
        ),
        'a stream, and half a frame': await streamed(socket => socket.write(framed(fresh()).subarray(0, -1))),
        'a stream, and garbage': await streamed(socket => socket.write('GET / HTTP/1.1\r\n\r\n')),
        'a stream, and a line without an end': await streamed(socket =>
          socket.write(Buffer.concat([Buffer.from([0, 0, 16, 0]), Buffer.alloc(4096, 65)]))
        )
      }
      const finished = await friend.stream()
      if (!('ask' in finished)) throw new Error('no stream was opened')
      assume((await finished.ask(friend.batch(known, 1, '[]\n'))).body).equals('[]')
      finished.socket.end()
      await deadline(finished.closed, STRANGER, 'the end of a stream whose other end is done')
      const opened = await friend.stream()
      const since = performance.now()
      if (!('ask' in opened)) throw new Error('no stream was opened')
      await deadline(opened.closed, 5000, 'the end of a stream on which nothing is said')
      const closed = performance.now() - since
      const refused = right(told, {
        GET: '426 ',
        POST: '405 EPROTOCOL',
        DELETE: '405 EPROTOCOL',
        'too large': '413 ETOOBIG',
        'said to be 560 MB': '413',
        'too large, without saying so': '413',
        'cut off': 'closed',
        'no HTTP at all': '400',
        'a slow body': '408',
        'a stream with another secret': '401 EAUTH',
        'a stream without a head': '400 EPROTOCOL',
        'a stream to another address': '421 EUNREACHABLE',
        'a stream, and a frame of 4 GB': '413 ETOOBIG',
        'a stream, and a frame that is too large': '413 ETOOBIG',
        'a stream, and a wrong signature': '401 EAUTH',
        'a stream, and another byte': '401 EAUTH',
        'a stream, and half a frame': '408 EDEADLINE',
        'a stream, and garbage': '413 ETOOBIG',
        'a stream, and a line without an end': '400 EPROTOCOL'
      })
      await unmoved(here, ground)
      return [refused, Math.max(closed, silent), slow]
    }
  },
  {
    id: 'F26',
    fault: 'ids are invalid: empty, missing, numbers, objects; in calls and on both wires',
    promise:
      'never more recipients than named: numbers are used as strings, other values are a `TypeError` or 400 before ' +
      'anything is written',
    measures: [{ what: 'refused as promised', unit: '%', atLeast: 100 }],
    health: [],
    async provoke(ground) {
      const here = await scene(ground, { ...bounded, password: 'not the published one' }, true)
      const { server, client, friend } = here
      for (const id of ['', null, undefined, {}, [], [client.id], true]) {
        const error = await rejection(server.call('forward.spark', id, 'never'))
        assume(error.name).equals('TypeError')
        assume(error.message).matches(/spark id must be a string that is not empty/)
      }
      for (const ids of [client.id, null, undefined, {}, [''], [client.id, ''], [client.id, null], [[client.id]]]) {
        for (const method of ['forward.sparks', 'forward.except'])
          assume((await rejection(server.call(method, ids, 'never'))).name).equals('TypeError')
      }
      assume(await server.call('forward.spark', 42, 'never')).eql({ ok: false, send: 0, missing: ['42'] })
      const known = await friend.meet()
      const wrong = {
        'ids that are a string': message('some', client.id),
        'no ids': '[["some"]]\n"never"\n',
        null: message('some', null),
        'an object': message('some', {}),
        'an empty id': message('some', [client.id, '']),
        'a number': message('some', [42]),
        'an id within a list': message('some', [[client.id]]),
        'all but an empty id': message('all', ['']),
        'all but null': message('all', null),
        'all but a string': message('all', client.id),
        'all, and no list': '[["all"]]\n"never"\n',
        'another kind': message('everyone', []),
        'the kind of an object': message('__proto__', []),
        // Nothing of a batch is done when one of its messages is wrong.
        'one that is right before one that is wrong':
          `[["some",[${JSON.stringify(client.id)}]],["some",[""]]]\n` + '"never"\n"never"\n'
      }
      const told: Record<string, Told> = {}
      for (const [what, body] of Object.entries(wrong)) told[what] = await friend.put(friend.batch(known, 1, body))
      const omega: Record<string, Told | string> = {}
      for (const [what, sparks] of Object.entries({
        null: null,
        'an object': {},
        true: true,
        'a list with an empty one': [''],
        'a list with null': [client.id, null]
      })) {
        omega[what] = await put(server, { msg: 'never', sparks })
      }
      const refused = right(told, Object.fromEntries(Object.keys(wrong).map(what => [what, '400 EPROTOCOL'])))
      right(omega, Object.fromEntries(Object.keys(omega).map(what => [what, '400'])))
      assume(await put(server, { msg: 'never', sparks: 42 })).equals('200')
      assume(await put(server, { msg: 'never', sparks: [] })).equals('200')
      assume((await friend.put(friend.batch(known, 1, message('some', [])))).body).equals('[0]')
      assume(((await server.call('forward.sparks', [], 'never')) as Result).send).equals(0)
      await unmoved(here, ground)
      return [refused]
    }
  },
  {
    id: 'F32',
    fault: 'a body is `null`, huge or malformed, on our endpoint and on that of omega-supreme',
    promise: "answered with 400 or 413 (on omega-supreme's wire also 500); nothing is delivered; the process lives",
    measures: [{ what: 'refused as promised', unit: '%', atLeast: 100 }],
    health: [],
    async provoke(ground) {
      const here = await scene(ground, { ...bounded, password: 'not the published one' }, true)
      const { server, client, friend } = here
      const known = await friend.meet()
      const good = message('some', [client.id])
      const [entries, text] = [good.slice(0, good.indexOf('\n')), '"never"\n']
      const deep = `${'['.repeat(9000)}${']'.repeat(9000)}`
      const bodies: Record<string, string | Buffer> = {
        null: 'null',
        'null and a line': 'null\n',
        empty: '',
        'a line feed': '\n',
        'a number': '1\n',
        'an object': '{}\n',
        'no JSON': `{${good}`,
        'nothing but the entries': `${entries}\n`,
        'a text without its end': good.slice(0, -1),
        'more than the entries': `${good}${text}`,
        'an empty text': `${entries}\n\n`,
        'an entry that is null': `[null]\n${text}`,
        'an entry of four': `[["some",[],[],[]]]\n${text}`,
        'a kind that is no string': `[[1,[]]]\n${text}`,
        'a protocol message': `${entries}\n"primus::server::close"\n`,
        deep: `${deep}\n${text}`,
        binary: Buffer.alloc(1000, 255),
        'parts that are none': `[["some",["x"],{}]]\n${text}`,
        'parts of no size': `[["some",["x"],[[[],-1]]]]\nnull\n\n`,
        'parts that are cut off': `[["some",["x"],[[[],1000]]]]\nnull\nabc\n`,
        'a part with no place': `[["some",["x"],[[["a"],1]]]]\nnull\na\n`,
        'a part at a prototype': `[["some",["x"],[[["__proto__","a"],1]]]]\n{}\na\n`
      }
      const told: Record<string, Told | string> = {}
      for (const [what, body] of Object.entries(bodies)) told[what] = await friend.put(friend.batch(known, 1, body))
      told['huge'] = await friend.put(
        friend.batch(known, 1, message('some', [client.id], JSON.stringify('x'.repeat(5_000_000))))
      )
      for (const [what, body] of Object.entries({
        null: 'null',
        empty: '',
        'a number': '1',
        'a string': '"x"',
        'a list': '[]',
        'no msg': '{}',
        'no JSON': '{',
        'a protocol message': '{"msg":"primus::ping"}'
      })) {
        told[`omega: ${what}`] = await put(server, body)
      }
      told['omega: huge'] = await put(server, JSON.stringify({ msg: 'x'.repeat(5_000_000) }))
      const exceptions: Record<string, string> = {
        huge: '413 ETOOBIG',
        'omega: huge': '413',
        'omega: a protocol message': '400'
      }
      const expected = (what: string): string =>
        exceptions[what] ?? (what.startsWith('omega') ? '500' : '400 EPROTOCOL')
      const refused = right(told, Object.fromEntries(Object.keys(told).map(what => [what, expected(what)])))
      await unmoved(here, ground)
      return [refused]
    }
  }
]

/** Two batches that are right, and then the first of them with something else in it. */
async function older(friend: Stranger, known: Acquaintance, body: string, second: string): Promise<Told> {
  // What was applied is answered as it was, and not applied again.
  for (let i = 0; i < 2; i++) assume((await friend.put(friend.batch(known, 3, second))).body).equals('[1]')
  return friend.put(friend.batch(known, 2, body))
}

/** What a server has answered is sent back to it, as if it were a request. */
async function answerAsRequest(friend: Stranger, known: Acquaintance, body: string): Promise<Told> {
  const { head } = await friend.put(friend.batch(known, 9, '[]\n'))
  if (head === undefined) throw new Error('the answer was not signed')
  return friend.put({
    ...friend.batch(known, 10, body),
    head: `2 ${head.from} ${head.to} ${head.session} ${head.number} ${head.digest} ${head.signature}`,
    type: 'application/json'
  })
}

/** A connection that ends in the middle of a body. */
async function cutOff(friend: Stranger, start: string): Promise<string> {
  const { socket, closed } = friend.line()
  await once(socket, 'connect')
  await new Promise(resolve => socket.write(`${start}[`, resolve))
  socket.destroy()
  return (await closed) === '' ? 'closed' : 'answered'
}

/** Send something on the wire of omega-supreme, with the right credentials. @returns the status */
function put(server: ServerProcess, body: unknown): Promise<string> {
  const raw = typeof body === 'string' ? body : JSON.stringify(body)
  return deadline(
    new Promise<string>(resolve => {
      const asking = request(
        `${server.url}/primus/omega/supreme`,
        {
          method: 'PUT',
          agent: false,
          auth: 'omega:not the published one',
          headers: { 'content-length': Buffer.byteLength(raw) }
        },
        response => {
          response.resume()
          resolve(String(response.statusCode))
        }
      )
      asking.on('error', () => {
        resolve('closed')
      })
      asking.end(raw)
    }),
    5000,
    `an answer to ${createHash('sha1').update(raw).digest('hex')}`
  )
}
