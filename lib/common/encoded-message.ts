import { isAnyArrayBuffer } from 'node:util/types'
import type { Urgency } from './async'
import { MetroplexError, inspectValue } from './errors'

/** A binary part of a message: its place and its bytes. */
export interface Blob {
  /** Keys and indexes from the outside in. Empty: the whole message is binary. */
  readonly path: readonly (string | number)[]
  readonly bytes: Buffer
}

/** A parser that makes packets for clients. */
export interface Packer {
  /** The same on all servers that have this parser. */
  readonly name: string
  /** Decodes a packet. @throws MetroplexError `EMESSAGE` when that fails */
  read(packet: string | Buffer): unknown
  /** Encodes a message. @throws MetroplexError `EMESSAGE` when that fails */
  message(value: unknown): Message
}

/** The packet that a parser made of a message. */
export interface Packed {
  readonly by: Packer
  readonly packet: string | Buffer
}

/**
 * A message, checked and encoded once, before it is sent. It is JSON text with its binary parts beside it, or the
 * packet of a parser, which is a string or binary.
 *
 * Local and remote sparks get what is decoded from it, so that they get the same. A later change of the application's
 * value has no effect.
 */
export class Message {
  /** The size of the message between servers, in bytes. */
  readonly size: number
  /** Set for a message that ends its sparks instead of being written to them. */
  readonly ending: { readonly reconnect: boolean } | undefined
  /** Whether a caller waits for its result; absent: one does. */
  urgency?: Urgency
  #value: { readonly value: unknown } | undefined
  #plain: Message | undefined

  private constructor(
    /**
     * JSON without raw line feeds, with `null` in the place of each blob. A packet that is a string is stored as a
     * JSON string.
     */
    readonly text: string,
    readonly blobs: readonly Blob[],
    ending?: { readonly reconnect: boolean },
    /** The packet of the parser; `undefined`: the message is JSON and blobs. */
    readonly packed?: Packed
  ) {
    this.ending = ending
    this.size = blobs.reduce((sum, { bytes }) => sum + bytes.length, Buffer.byteLength(text))
  }

  /**
   * Encodes a message of the application.
   *
   * @param binary whether the parser of the clients carries binary: then a binary part arrives as a Buffer, anywhere
   * in the message
   * @throws MetroplexError `EMESSAGE` for a value that cannot be sent
   */
  static of(value: unknown, binary: boolean): Message {
    if (isBinary(value) && !binary) {
      throw new MetroplexError(
        'EMESSAGE',
        "Binary messages need a parser that carries them, which JSON does not: set Primus's option " +
          `\`parser\`; given: ${inspectValue(value)}.`
      )
    }
    if (isBinary(value)) return new Message('null', [{ path: [], bytes: bytesOf(value) }])
    const blobs: Blob[] = []
    let text: string | undefined
    let cause: unknown
    try {
      text = binary ? JSON.stringify(value, apart(blobs)) : JSON.stringify(value)
    } catch (error) {
      cause = error
    }
    if (text === undefined) {
      throw new MetroplexError(
        'EMESSAGE',
        `A message must be a value that JSON can express; given: ${inspectValue(value)}.`,
        { cause }
      )
    }
    return checked(new Message(text, blobs))
  }

  /** A message from the packet of a parser. @throws MetroplexError `EMESSAGE` when clients take it for protocol */
  static packed(packet: string | Buffer, by: Packer): Message {
    const binary = typeof packet !== 'string'
    const message = new Message(
      binary ? 'null' : JSON.stringify(packet),
      binary ? [{ path: [], bytes: packet }] : [],
      undefined,
      { by, packet }
    )
    if (mayBeProtocol(packet)) refuseProtocol(message.value)
    return message
  }

  /** A message that ends its sparks, after all earlier messages to them. */
  static ending(reconnect: boolean): Message {
    return new Message(JSON.stringify({ reconnect }), [], { reconnect })
  }

  /** A message of a peer. Its text is parsed only when needed. @throws MetroplexError `EMESSAGE` for an invalid one */
  static received(text: string, blobs: readonly Blob[]): Message {
    const message = new Message(text, blobs)
    // Blobs that do not fit must be refused before the message has an effect.
    if (blobs.length > 0) message.#value = { value: decoded(text, blobs) }
    return checked(message)
  }

  /** The value that sparks are written; the same one for all of them. */
  get value(): unknown {
    const { packed } = this
    return (this.#value ??= {
      value: packed === undefined ? decoded(this.text, this.blobs) : packed.by.read(packed.packet)
    }).value
  }

  /**
   * The message as JSON and binary, for servers without this parser. @throws MetroplexError `EMESSAGE` when JSON
   * cannot express it
   */
  get plain(): Message {
    return this.packed === undefined ? this : (this.#plain ??= Message.of(this.value, true))
  }

  /** Whether two messages have the same text and bytes. */
  equals({ text, blobs }: Message): boolean {
    return (
      this.text === text &&
      this.blobs.length === blobs.length &&
      this.blobs.every(({ bytes }, i) => bytes.equals(blobs[i]?.bytes ?? NONE))
    )
  }
}

const NONE = Buffer.alloc(0)

/** Primus's clients take a string with this prefix for protocol. */
const PROTOCOL = 'primus::'
/** JSON text of a string that has, or may have, this prefix: a peer in another language may escape any character. */
const QUOTED = /^[\t\r ]*"(?:primus::|p?r?i?m?u?s?:?\\)/

/**
 * Parsers write a short head before the text of a string. So a packet without the prefix in its first bytes cannot be
 * protocol.
 */
function mayBeProtocol(packet: string | Buffer): boolean {
  return typeof packet === 'string'
    ? QUOTED.test(packet) || packet.slice(0, HEAD).includes(PROTOCOL)
    : packet.toString('latin1', 0, HEAD).includes(PROTOCOL)
}

const HEAD = 64

function refuseProtocol(value: unknown): void {
  if (typeof value !== 'string' || !value.startsWith(PROTOCOL)) return
  throw new MetroplexError(
    'EMESSAGE',
    `A message must not begin with ${PROTOCOL}, which Primus's clients take for protocol; ` +
      `given: ${inspectValue(value)}.`
  )
}

/** Checks the encoded text and not the value, because a `toJSON` may return anything. */
function checked(message: Message): Message {
  if (QUOTED.test(message.text)) refuseProtocol(message.value)
  return message
}

export function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView {
  // `instanceof` fails for objects of another realm.
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value)
}

/** Copies the bytes: later changes must not reach a message in flight. */
export function bytesOf(value: ArrayBuffer | ArrayBufferView): Buffer {
  return Buffer.from(
    ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value)
  )
}

/** A replacer for `JSON.stringify` that moves binary values into `blobs` and leaves `null` in their places. */
function apart(blobs: Blob[]): (this: unknown, key: string, value: unknown) => unknown {
  /** The path of each object whose properties come next. */
  const paths = new Map<unknown, readonly (string | number)[]>()
  /** One copy for each object: with a new copy each time, a circular reference would not be detected. */
  const shields = new Map<object, object>()
  let outermost = true
  return function replace(key, value) {
    const path = outermost ? [] : [...(paths.get(this) ?? []), Array.isArray(this) ? Number(key) : key]
    outermost = false
    if (isBinary(value)) {
      blobs.push({ path, bytes: bytesOf(value) })
      return null
    }
    if (typeof value !== 'object' || value === null) return value
    let inner = shields.get(value)
    if (inner === undefined) shields.set(value, (inner = shielded(value)))
    paths.set(inner, path)
    return inner
  }
}

/**
 * A copy of the object in which binary values have no `toJSON`: that of a Buffer would turn it into a list of
 * numbers.
 */
function shielded(value: object): object {
  const parts: unknown[] = Array.isArray(value) ? value : Object.values(value)
  if (!parts.some(encodesItself)) return value
  if (Array.isArray(value)) return Array.from(value, shield)
  const copy = {}
  // Assigning to `__proto__` would change the prototype instead.
  for (const [key, part] of Object.entries(value))
    Object.defineProperty(copy, key, { value: shield(part), enumerable: true })
  return copy
}

function encodesItself(part: unknown): part is ArrayBufferView {
  return ArrayBuffer.isView(part) && 'toJSON' in part
}

function shield(part: unknown): unknown {
  return encodesItself(part) ? new Uint8Array(part.buffer, part.byteOffset, part.byteLength) : part
}

function decoded(text: string, blobs: readonly Blob[]): unknown {
  const whole = { value: parsed(text) }
  for (const { path, bytes } of blobs) {
    let at: unknown = whole
    const keys = ['value', ...path]
    const last = keys.pop() ?? 'value'
    for (const key of keys) at = own(at, key)
    if (own(at, last) !== null)
      throw new MetroplexError('EMESSAGE', 'Where a binary part of a message belongs, something else stands already.')
    // Assigning to `__proto__` would change the prototype instead. The copy protects the message, which may still
    // have to be sent, from a receiver that writes to the buffer.
    Object.defineProperty(at, last, { value: Buffer.from(bytes), writable: true, enumerable: true, configurable: true })
  }
  return whole.value
}

function own(at: unknown, key: string | number): unknown {
  if (typeof at === 'object' && at !== null && Object.hasOwn(at, key))
    return (at as Record<string | number, unknown>)[key]
  throw new MetroplexError('EMESSAGE', 'A binary part of a message has no place in it.')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MetroplexError('EMESSAGE', 'A message is no JSON.', { cause: error })
  }
}
