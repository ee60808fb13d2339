import fc from 'fast-check'
import { BATCH, DEFERRABLE_BATCH, HELLO } from '../../lib/transport/envelope'
import { frame } from '../../lib/transport/http/frames'
import { digest, type Head } from '../../lib/transport/signature'
import type { Acquaintance, Question, Stranger, Told } from '../support/stranger'
import { deadline } from '../support/wait'

/** Which sparks and users there are, and which of them requests may name. */
export interface Scene {
  /** Knows the secret, and has a session in which `number` comes next. */
  readonly friend: Stranger
  readonly known: Acquaintance
  readonly next: () => number
  /** Does not know the secret. */
  readonly foe: Stranger
  /** The one spark that may be named, and the one that must get nothing. */
  readonly named: string
  readonly bystander: string
}

/** What came of one case: how many sparks were handed something, as the server says. */
export type Case = (scene: Scene) => Promise<number>

/** How long a case may take in all, in ms: more than the server's timeout, and a second to linger. */
const PATIENCE = 8000

const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', ' ', '\t', '\u0000', '-', '2', '__proto__', 'metroplex')
)
/** As may stand in a header. */
const visible = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)),
  maxLength: 300
})
const json = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom<fc.JsonValue>(null, 42, '', [], {}, [''], [null], [[]], 1e308, -1) }
)

/** An id of a spark: the one that may be named, or one of no spark. */
const id =
  (named: string) =>
  (one: string): string =>
    one === 'NAMED' ? named : `no ${one}`
const ids = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant('NAMED') }, { weight: 1, arbitrary: text }), {
  maxLength: 4
})

/** What stands between the entries of a batch. */
interface Part {
  readonly kind: unknown
  readonly ids: readonly string[] | undefined
  readonly to: fc.JsonValue
  readonly parts: fc.JsonValue | undefined
  readonly more: readonly fc.JsonValue[]
  readonly text: string
  readonly blob: string
}

const path = fc.array(fc.oneof(text, fc.integer({ min: -1, max: 3 })), { maxLength: 3 })
const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.oneof({ weight: 12, arbitrary: fc.constantFrom<unknown>('some', 'all') }, { weight: 1, arbitrary: json }),
  ids: fc.option(ids, { nil: undefined, freq: 12 }),
  to: json,
  parts: fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: json },
    { weight: 2, arbitrary: fc.array(fc.tuple(path, fc.integer({ min: -1, max: 10 })), { maxLength: 3 }) },
    { weight: 2, arbitrary: fc.constant<fc.JsonValue>([[[], 3]]) }
  ),
  more: fc.array(json, { maxLength: 1 }),
  text: fc.oneof(
    { weight: 12, arbitrary: json.map(value => JSON.stringify(value)) },
    { weight: 1, arbitrary: text },
    {
      weight: 1,
      arbitrary: fc.constantFrom('"primus::x"', '"\\u0070rimus::x"', ' "primus::x"', 'nul', '{"__proto__":1}')
    }
  ),
  blob: fc.oneof(
    fc.constant(''),
    fc.constant('abc\n'),
    fc.string({ maxLength: 10 }).map(bytes => `${bytes}\n`)
  )
})

/** A body made of parts. `all` always leaves out the bystander, or is no list. */
function bodyOf(parts: readonly Part[], { named, bystander }: Scene): string {
  const entries = parts.map(({ kind, ids, to, parts, more }) => {
    const receiver =
      ids === undefined
        ? Array.isArray(to) && kind === 'all'
          ? [...to, bystander]
          : to
        : [...ids.map(id(named)), ...(kind === 'all' ? [bystander] : [])]
    return [kind, receiver, ...(parts === undefined ? [] : [parts]), ...(parts === undefined ? [] : more.slice(1))]
  })
  const texts = parts.map(({ text, parts, blob }) => `${text}\n${parts === undefined ? '' : blob}`)
  return `${JSON.stringify(entries)}\n${texts.join('')}`
}

/** Changes of bytes: where, as a share of the length, and what becomes of them. */
const changes = fc.array(
  fc.tuple(
    fc.double({ min: 0, max: 0.999, noNaN: true }),
    fc.constantFrom('flip', 'drop', 'double', 'cut'),
    fc.integer({ min: 1, max: 255 })
  ),
  { minLength: 1, maxLength: 3 }
)

function changed(bytes: Buffer, how: readonly (readonly [number, string, number])[]): Buffer {
  let result = Buffer.from(bytes)
  for (const [share, what, by] of how) {
    const at = Math.floor(share * result.length)
    if (what === 'flip') {
      const old = result[at]
      if (old !== undefined) result[at] = old ^ by
    } else if (what === 'drop') result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1)])
    else if (what === 'double') result = Buffer.concat([result.subarray(0, at), result.subarray(Math.max(0, at - by))])
    else result = result.subarray(0, at)
  }
  return result
}

/** How many sparks an answer says were handed something. */
export function handed({ status, body }: Told): number {
  if (status !== 200) return 0
  const replies: unknown = JSON.parse(body)
  if (!Array.isArray(replies)) return 0
  return (replies as unknown[]).reduce<number>(
    (sum, reply) => sum + (typeof reply === 'number' ? reply : Array.isArray(reply) ? Number(reply[0]) : 0),
    0
  )
}

const EXPECTED = new Set([200, 400, 401, 405, 408, 409, 413, 421, 426])

function expected(told: Told, ...others: readonly number[]): Told {
  if (!EXPECTED.has(told.status) && !others.includes(told.status))
    throw new Error(`answered with ${told.status}: ${told.body}`)
  return told
}

/** None of them may be delivered. They may have any answer. */
function nothing(told: Told): number {
  if (told.status === 200) throw new Error(`taken for a good one: ${told.body}`)
  expected(told, 0)
  return 0
}

/** A batch that would be delivered, signed rightly. */
const good = ({ friend, known, named, next }: Scene): Question =>
  friend.batch(known, next(), `[["some",[${JSON.stringify(named)}]]]\n"x"\n`)

/** The head of a request, with something else in its fields. */
const heads: fc.Arbitrary<Partial<Head>> = fc.record(
  {
    to: fc.oneof(visible, fc.constantFrom('http://10.0.0.1:1', '-', 'x'.repeat(64))),
    session: fc.oneof(visible, fc.constantFrom('-', 'a'.repeat(12), 'a'.repeat(65))),
    number: fc.constantFrom(-1, 0, 1, 0.5, 1.5, 1e15, 1e16, 1e300, NaN, Infinity),
    digest: fc.oneof(visible, fc.constant('A'.repeat(43)))
  },
  { requiredKeys: [] }
)

/** A body of its own, within a batch signed rightly. */
const signedParts: fc.Arbitrary<Case> = fc.array(part, { maxLength: 4 }).map(parts => async scene => {
  const { friend, known, next } = scene
  return handed(expected(await friend.put(friend.batch(known, next(), bodyOf(parts, scene)))))
})

/** What a question may be about: methods and types that are there or not, in forms that are right or not. */
const about = fc.oneof(
  json,
  text,
  fc.tuple(fc.constantFrom('echo', 'throws', 'unknown', '__proto__')),
  fc.tuple(fc.constantFrom('echo', 'unknown'), text)
)
const number = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 20 }) }, { weight: 1, arbitrary: json })
const question: fc.Arbitrary<[kind: string, to: unknown]> = fc.oneof(
  fc.tuple(
    fc.constant('ask'),
    fc.tuple(
      number,
      fc.oneof(fc.constantFrom('call', 'event', 'request', 'constructor'), json),
      fc.oneof(fc.integer({ min: 1, max: 200 }), json),
      about
    )
  ),
  fc.tuple(fc.constant('answer'), fc.tuple(number, fc.oneof(fc.constantFrom('value', 'nothing', 'error'), json), json)),
  fc.tuple(fc.constantFrom('drop', 'wait'), fc.array(number, { maxLength: 4 })),
  fc.tuple(fc.constantFrom('ask', 'answer', 'drop', 'wait', 'notice'), json),
  fc.tuple(fc.constant('notice'), fc.oneof(fc.constantFrom('join', 'leave'), text))
)

/**
 * Questions, answers and notices that no server expects, within a batch signed correctly. Not one of them is for a
 * spark.
 */
const signedQuestions: fc.Arbitrary<Case> = fc
  .array(fc.tuple(question, fc.oneof(json, fc.array(json))), { minLength: 1, maxLength: 4 })
  .map(questions => async ({ friend, known, next }) => {
    const values = questions.map(([, value]) => `${JSON.stringify(value)}\n`)
    const body = `${JSON.stringify(questions.map(([one]) => one))}\n${values.join('')}`
    expected(await friend.put(friend.batch(known, next(), body)))
    return 0
  })

/** Any bytes, within a batch signed rightly. */
const signedBytes: fc.Arbitrary<Case> = fc
  .tuple(fc.array(part, { minLength: 1, maxLength: 3 }), changes)
  .map(([parts, how]) => async scene => {
    const { friend, known, next } = scene
    // A batch that excludes one spark must not be made to exclude another one.
    const body = bodyOf(
      parts.map(one => ({ ...one, kind: 'some' })),
      scene
    )
    return handed(expected(await friend.put(friend.batch(known, next(), changed(Buffer.from(body), how)))))
  })

/** A head with odd fields, signed rightly. */
const signedHead: fc.Arbitrary<Case> = fc
  .tuple(heads, fc.boolean(), fc.constantFrom(BATCH, DEFERRABLE_BATCH, HELLO, 'text/plain', ''))
  .map(([head, within, type]) => async scene => {
    const { friend, known, next, named } = scene
    const body = Buffer.from(`[["some",[${JSON.stringify(named)}]]]\n"x"\n`)
    const fields = {
      ...(within && { to: known.peer, session: known.session, number: next() }),
      digest: digest(body),
      ...head
    }
    const { head: line } = friend.question(fields, type, body)
    // Node.js lets nothing else into a header.
    if (!/^[\x20-\x7e]*$/.test(line)) return 0
    return handed(expected(await friend.put({ head: line, type, body })))
  })

/** Any head, by who does not know the secret. */
const strangeHead: fc.Arbitrary<Case> = fc
  .tuple(
    fc.oneof(visible, heads),
    visible,
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom('PUT', 'PUT', 'PUT', 'GET', 'POST', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH')
  )
  .map(([head, type, body, method]) => async ({ foe }) => {
    const line = typeof head === 'string' ? head : foe.question(head, BATCH, Buffer.from(body)).head
    if (!/^[\x20-\x7e]*$/.test(line)) return 0
    return nothing(await foe.put({ head: line, type: type.trim(), body: Buffer.from(body) }, { method }))
  })

/** Something that would be delivered, but for a few of its bytes, by single request. */
const altered: fc.Arbitrary<Case> = fc.tuple(changes, fc.boolean()).map(([how, inHead]) => async scene => {
  const { friend } = scene
  const question = good(scene)
  const other = inHead
    ? { ...question, head: changed(Buffer.from(question.head), how).toString('latin1') }
    : { ...question, body: changed(question.body, how) }
  if (other.head === question.head && other.body.equals(question.body)) return 0
  if (!/^[\x20-\x7e]*$/.test(other.head) || other.head.trim() === question.head) return 0
  return nothing(await friend.put(other))
})

/** Any bytes on a connection; some of them nearly a request. */
const raw: fc.Arbitrary<Case> = fc
  .tuple(
    fc.option(changes, { nil: undefined }),
    fc.boolean(),
    fc.uint8Array({ maxLength: 400 }),
    fc.constantFrom('put', 'upgrade', 'bytes')
  )
  .map(([how, abrupt, bytes, kind]) => async scene => {
    const { foe } = scene
    const question = foe.batch(scene.known, 1, `[["all",[]]]\n"x"\n`)
    const request =
      kind === 'bytes'
        ? Buffer.from(bytes)
        : Buffer.concat([
            Buffer.from(
              kind === 'upgrade'
                ? foe.upgrade()
                : `PUT /primus/metroplex HTTP/1.1\r\nhost: x\r\nmetroplex: ${question.head}\r\n` +
                    `content-type: ${question.type}\r\ncontent-length: ${question.body.length}\r\n\r\n`
            ),
            question.body,
            bytes
          ])
    const sent = how === undefined ? request : changed(request, how)
    // An upgrade outside of Primus's path is for another listener. Without one, Node.js keeps the connection.
    if (kind === 'upgrade' && !sent.toString('latin1').startsWith('GET /primus/')) return 0
    const { socket, closed } = foe.line()
    if (abrupt)
      socket.write(sent, () => {
        socket.resetAndDestroy()
      })
    else socket.end(sent)
    const told = await deadline(
      closed,
      PATIENCE / 2,
      `the end of a connection on which came ${abrupt ? 'abruptly ' : ''}${JSON.stringify(sent.toString('latin1'))}`
    )
    if (/^HTTP\/1\.1 (200|101)/.test(told)) throw new Error(`taken for a good one: ${told}`)
    return 0
  })

/** Frames on a stream that was opened rightly, some of them nearly good. */
const streamed: fc.Arbitrary<Case> = fc
  .tuple(
    fc.array(part, { maxLength: 3 }),
    fc.option(changes, { nil: undefined }),
    fc.uint8Array({ maxLength: 100 }),
    fc.constantFrom('signed', 'foe', 'altered', 'bytes'),
    fc.constantFrom('end', 'reset', 'split'),
    fc.constantFrom(BATCH, DEFERRABLE_BATCH)
  )
  .map(([parts, how, bytes, kind, last, type]) => async scene => {
    const { friend, foe, known, next } = scene
    const stream = await friend.stream()
    if (!('ask' in stream)) throw new Error(`no stream was opened: ${stream.status}`)
    if (stream.welcome.status !== 200) throw new Error(`welcomed with ${stream.welcome.status}`)
    let sum = 0
    const { socket } = stream
    const framed = ({ head, type, body }: Question): Buffer => Buffer.concat(frame(`${head} ${type}`, body))
    if (kind === 'signed') {
      const sent = framed(friend.batch(known, next(), bodyOf(parts, scene), type))
      // However it is cut.
      const at = last === 'split' ? Math.floor(sent.length / 2) : sent.length
      socket.write(sent.subarray(0, at))
      if (at < sent.length)
        setImmediate(() => {
          socket.write(sent.subarray(at))
        })
      const told = expected(await stream.next(), 0)
      sum = handed(told)
    } else if (kind === 'foe') {
      nothing(await stream.ask(foe.batch(known, next(), bodyOf(parts, scene))))
    } else if (kind === 'altered') {
      // The length of the frame may be among it: then more is waited for.
      const sent = framed(foe.batch(known, next(), bodyOf(parts, scene)))
      socket.write(how === undefined ? sent : changed(sent, how))
    }
    if (bytes.length > 0) socket.write(Buffer.from(bytes))
    if (last === 'reset') socket.resetAndDestroy()
    else socket.end()
    await stream.closed
    return sum
  })

/** A good one, which has to be taken for one between all the others. */
const fine: fc.Arbitrary<Case> = fc.boolean().map(byStream => async scene => {
  const { friend } = scene
  let told: Told
  if (byStream) {
    const stream = await friend.stream()
    if (!('ask' in stream)) throw new Error(`no stream was opened: ${stream.status}`)
    told = await stream.ask(good(scene))
    stream.socket.end()
    await stream.closed
  } else {
    told = await friend.put(good(scene))
  }
  if (told.status !== 200 || told.body !== '[1]')
    throw new Error(`a good one was answered with ${told.status}: ${told.body}`)
  return 1
})

/** Any of all of these; each says what it is. */
export const anyCase: fc.Arbitrary<{ readonly name: string; readonly run: Case }> = fc.oneof(
  ...Object.entries({
    signedParts,
    signedQuestions,
    signedBytes,
    signedHead,
    strangeHead,
    altered,
    raw,
    streamed,
    fine
  }).map(([name, cases]) =>
    cases.map(run => ({
      name,
      run: async (scene: Scene) => deadline(run(scene), PATIENCE, `the end of a case (${name})`),
      [fc.toStringMethod]: () => name
    }))
  )
)
