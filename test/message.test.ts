import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { MetroplexError } from '../lib/common/errors'
import { Message } from '../lib/common/encoded-message'
import { batch, outgoing, unpack } from '../lib/transport/envelope'
import { assume } from './support/assume'

/** The error that making a message throws. */
function refusal(value: unknown, binary = false): MetroplexError {
  try {
    Message.of(value, binary)
  } catch (error) {
    if (error instanceof MetroplexError) return error
    throw error
  }
  throw new Error('it was taken')
}

/** As it is on the other side of the wire. */
function travelled(message: Message): Message {
  const [incoming] = unpack(batch([outgoing('some', ['id'], message)]), 'the-sender12')
  if (incoming === undefined) throw new Error('nothing arrived')
  return incoming.message
}

describe('a message', () => {
  const circle: { self?: unknown } = {}
  circle.self = circle
  const around: { bytes: Buffer; self?: unknown[] } = { bytes: Buffer.alloc(1000) }
  around.self = [around]

  for (const [what, value] of Object.entries({
    undefined: undefined,
    'a function': () => 1,
    'a symbol': Symbol('x'),
    'a circle': circle,
    'a BigInt': { n: 1n },
    'what throws when it is encoded': {
      toJSON() {
        throw new Error('no')
      }
    },
    'what is for Primus alone': 'primus::ping::1',
    'what becomes that when it is encoded': { toJSON: () => 'primus::server::close' },
    'a circle around something binary': around
  })) {
    it(`cannot be ${what}`, () => {
      assume([refusal(value).code, refusal(value, true).code]).eql(['EMESSAGE', 'EMESSAGE'])
    })
  }

  for (const value of [Buffer.from('x'), new Uint8Array([1]), new ArrayBuffer(2), new DataView(new ArrayBuffer(2))]) {
    it(`cannot be a ${value.constructor.name} where the parser carries no binary; else it arrives as a Buffer`, () => {
      assume(refusal(value).message).includes('`parser`')
      const arrived = travelled(Message.of(value, true)).value
      assume(Buffer.isBuffer(arrived)).true()
      assume((arrived as Buffer).length).equals(value.byteLength)
    })
  }

  it('is plain JSON, binary parts included, where the parser carries no binary', () => {
    const value = { bytes: Buffer.from('x'), view: new Uint8Array([1]), list: [Buffer.from('y')] }
    const message = Message.of(value, false)
    assume(message.blobs).eql([])
    assume(message.text).equals(JSON.stringify(value))
  })

  it('carries only the bytes that a view shows', () => {
    const { buffer } = new Uint8Array([1, 2, 3, 4, 5, 6])
    const views = [
      new Uint8Array(buffer, 2, 3),
      new DataView(buffer, 4),
      Buffer.from(buffer, 1, 2),
      new Uint16Array(buffer, 2, 1)
    ]
    const bytes = (list: readonly number[][]): Buffer[] => list.map(one => Buffer.from(one))
    assume(travelled(Message.of(views, true)).value).eql(
      bytes([
        [3, 4, 5],
        [5, 6],
        [2, 3],
        [3, 4]
      ])
    )
    assume(views.map(view => travelled(Message.of(view, true)).value)).eql(
      bytes([
        [3, 4, 5],
        [5, 6],
        [2, 3],
        [3, 4]
      ])
    )
  })

  it('brings what is binary where a `toJSON` gives it, one object stands twice, or another realm made it', () => {
    const twice = { bytes: Buffer.from('x') }
    const value = {
      given: { toJSON: () => Buffer.from('y') },
      wrapped: { toJSON: () => ({ inside: Buffer.from('z') }) },
      first: twice,
      second: [twice],
      foreign: runInNewContext('new ArrayBuffer(2)') as unknown
    }
    assume(travelled(Message.of(value, true)).value).eql({
      given: Buffer.from('y'),
      wrapped: { inside: Buffer.from('z') },
      first: { bytes: Buffer.from('x') },
      second: [{ bytes: Buffer.from('x') }],
      foreign: Buffer.alloc(2)
    })
  })

  it('calls no `toJSON` of a Buffer, which would make a list of numbers of it', () => {
    const bytes = Object.assign(Buffer.from('x'), {
      toJSON: () => {
        throw new Error('it was called')
      }
    })
    assume(Message.of(bytes, true).value).eql(Buffer.from('x'))
    assume(Message.of([bytes, { bytes }], true).value).eql([Buffer.from('x'), { bytes: Buffer.from('x') }])
  })

  it('knows its size in bytes', () => {
    assume(Message.of('\u00e9', false).size).equals(4)
    assume(Message.of({ a: Buffer.alloc(10) }, true).size).equals('{"a":null}'.length + 10)
  })

  it('has no raw line feed in its text', () => {
    const texts = [Message.of('a\nb', false), Message.of({ '\n': ['\n', Buffer.from('\n')] }, true)].map(
      ({ text }) => text
    )
    assume(texts.some(text => text.includes('\n'))).false()
  })

  it("from a peer is refused when it is Primus's protocol, however it is written", () => {
    for (const text of ['"primus::id::1"', '"\\u0070rimus::id::1"', '"primus\\u003a:id::1"', ' "primus:\\u003aid"']) {
      let code = ''
      try {
        Message.received(text, [])
      } catch (error) {
        code = (error as MetroplexError).code
      }
      assume([text, code]).eql([text, 'EMESSAGE'])
    }
    for (const text of ['"primus:"', '"\\nprimus::"', '["primus::"]', '"prim"'])
      assume(Message.received(text, []).value).eql(JSON.parse(text))
  })

  it('is not parsed by a server that only passes it on', () => {
    const { parse } = JSON
    let parsed = 0
    JSON.parse = (...args: Parameters<typeof parse>): unknown => {
      parsed++
      return parse(...args)
    }
    try {
      Message.received('{"a":"primus::"}', [])
    } finally {
      JSON.parse = parse
    }
    assume(parsed).equals(0)
  })

  it('is the same for local and remote sparks, with any binary parts', () => {
    const binary = fc
      .uint8Array({ maxLength: 20 })
      .chain(bytes =>
        fc.constantFrom<unknown>(
          bytes,
          Buffer.from(bytes),
          bytes.buffer,
          new Uint16Array(bytes.buffer.slice(0, bytes.length - (bytes.length % 2)))
        )
      )
    const value = fc.letrec(tie => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.jsonValue(),
        binary,
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__proto__', '', 'constructor')), tie('any'), {
          maxKeys: 3
        })
      )
    })).any
    fc.assert(
      fc.property(value, value => {
        const message = Message.of(value, true)
        assume(travelled(message).value).eql(message.value)
      }),
      { numRuns: 500 }
    )
  })

  it('is plain JSON without binary parts', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        assume(travelled(Message.of(value, false)).value).eql(JSON.parse(JSON.stringify(value)))
      })
    )
  })

  it('makes nothing of `__proto__` but a key', () => {
    const value: unknown = JSON.parse('{"__proto__":{"a":1}}')
    Object.defineProperty(Object.getOwnPropertyDescriptor(value, '__proto__')?.value, 'bytes', {
      value: Buffer.from('x'),
      enumerable: true
    })
    const arrived = travelled(Message.of(value, true)).value as object
    assume(Object.keys(arrived)).eql(['__proto__'])
    assume(Object.getPrototypeOf(arrived)).equals(Object.prototype)
  })

  it('is not changed by what happens to the value afterwards', () => {
    const bytes = Buffer.from('before')
    const value = { bytes, list: [1] }
    const message = Message.of(value, true)
    bytes.fill(0)
    value.list.push(2)
    assume(message.value).eql({ bytes: Buffer.from('before'), list: [1] })
  })

  it('travels unchanged when the application changes outgoing data', () => {
    const message = Message.of({ bytes: Buffer.from('before'), list: [1] }, true)
    const written = message.value as { bytes: Buffer; list: number[] }
    written.bytes.fill(0)
    written.list.push(2)
    assume(travelled(message).value).eql({ bytes: Buffer.from('before'), list: [1] })
  })

  for (const text of [
    '"primus::x"',
    '"\\u0070rimus::x"',
    '"\\u0070\\u0072\\u0069\\u006d\\u0075\\u0073\\u003a\\u003ax"',
    ' "primus::x"',
    '\t"primus::x"',
    '\r "primus:\\u003ax"'
  ]) {
    it(`of a peer is refused when clients would read it as protocol: ${JSON.stringify(text)}`, () => {
      let error: unknown
      try {
        Message.received(text, [])
      } catch (thrown) {
        error = thrown
      }
      assume((error as MetroplexError | undefined)?.code).equals('EMESSAGE')
    })
  }

  it('of a peer may be any other string', () => {
    for (const text of ['"\\"primus::x"', '" primus::x"', ' "primus"', '"\\n"', '"x\\u0070rimus::"'])
      assume(Message.received(text, []).value).equals(JSON.parse(text))
  })

  it('from a peer is refused when something else stands in place of a binary part, a message for instance', () => {
    for (const text of ['"primus::x"', '1', '{"a":1}']) {
      let code: unknown
      try {
        Message.received(text, [{ path: text.startsWith('{') ? ['a'] : [], bytes: Buffer.from('x') }])
      } catch (error) {
        code = (error as MetroplexError).code
      }
      assume(code).equals('EMESSAGE')
    }
  })

  it('from a peer is refused when its binary parts have no place in it', () => {
    for (const path of [['a'], ['a', 'b'], ['__proto__'], [0]]) {
      let code = ''
      try {
        Message.received('{"b":null}', [{ path, bytes: Buffer.from('x') }])
      } catch (error) {
        code = (error as MetroplexError).code
      }
      assume(code).equals('EMESSAGE')
    }
  })
})
