import { isAnyArrayBuffer } from 'node:util/types'
import { MetroplexError, shown } from './errors'

/** An id as the registry knows it. @throws TypeError for what is neither a number nor a string that is not empty */
export function idOf(id: unknown): string {
  if (typeof id === 'string' && id !== '') return id
  if (typeof id === 'number') return String(id)
  throw new TypeError(`metroplex: a spark id must be a string that is not empty; given: ${shown(id)}.`)
}

/** How long the name of a user may be, in bytes of UTF-8. */
const LONGEST = 1024

/** A user as the registry knows it. @throws TypeError for what is neither a number nor a string that is not empty; RangeError for what is too long */
export function userOf(user: unknown): string {
  if ((typeof user !== 'string' || user === '') && typeof user !== 'number') {
    throw new TypeError(`metroplex: a user must be a string that is not empty; given: ${shown(user)}.`)
  }
  const bytes = Buffer.from(String(user))
  if (bytes.length > LONGEST) {
    throw new RangeError(`metroplex: a user must have at most ${LONGEST} bytes of UTF-8; given: ${bytes.length}, ${shown(user)}.`)
  }
  // As Redis has it: what is no Unicode becomes a replacement character.
  return bytes.toString()
}

/** An id that Primus has, to compare with ours: an application's `idGenerator` may make numbers. */
export function plain(id: unknown): unknown {
  return typeof id === 'number' ? String(id) : id
}

/** Ids as the registry knows them, each once. @throws TypeError */
export function idsOf(ids: unknown): string[] {
  if (!Array.isArray(ids)) throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${shown(ids)}.`)
  return [...new Set(Array.from(ids, idOf))]
}

/** A user or users, each once. @throws TypeError, RangeError */
export function usersOf(users: unknown): string[] {
  return [...new Set(Array.from(Array.isArray(users) ? users as unknown[] : [users], userOf))]
}

/** Add to a list that is kept under a name. */
export function file<K, V>(lists: Map<K, V[]>, name: K, value: V): void {
  const list = lists.get(name)
  if (list) list.push(value)
  else lists.set(name, [value])
}

/** A binary part of a message: where it is, and its bytes. */
export interface Blob {
  /** Keys and indexes, from the outside in; none: it is the whole message. */
  readonly path: readonly (string | number)[]
  readonly bytes: Buffer
}

/**
 * A message, checked and encoded once, before it is sent anywhere: JSON text, and what is binary in it beside that.
 *
 * What sparks get is made of that, here as elsewhere, so that it never differs; and so that nothing which the application
 * does to the value afterwards changes what is still on its way.
 */
export class Message {
  /** How many bytes it takes on its way between servers. */
  readonly size: number
  /** It is none to be read: whoever it is for is ended, and told to come back or not. */
  readonly ending: { readonly reconnect: boolean } | undefined
  #value: { readonly value: unknown } | undefined

  private constructor(
    /** Without raw line feeds, and with `null` in the place of each blob. */
    readonly text: string,
    readonly blobs: readonly Blob[],
    ending?: { readonly reconnect: boolean }
  ) {
    this.ending = ending
    this.size = blobs.reduce((sum, { bytes }) => sum + bytes.length, Buffer.byteLength(text))
  }

  /**
   * A message of the application's.
   *
   * @param binary whether what stands between clients and servers can carry binary: then it arrives as a Buffer, wherever in the message it is
   * @throws MetroplexError `EMESSAGE` for what cannot be sent
   */
  static of(value: unknown, binary: boolean): Message {
    if (isBinary(value) && !binary) {
      throw new MetroplexError('EMESSAGE', `Binary messages need a parser that carries them, which JSON does not: set Primus's option \`parser\`; given: ${shown(value)}.`)
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
      throw new MetroplexError('EMESSAGE', `A message must be a value that JSON can express; given: ${shown(value)}.`, { cause })
    }
    return checked(new Message(text, blobs))
  }

  /** One that ends whoever it is for, after all that was sent there before. */
  static ending(reconnect: boolean): Message {
    return new Message(JSON.stringify({ reconnect }), [], { reconnect })
  }

  /** One that came from a peer. Its text is parsed only when it has to be. @throws MetroplexError `EMESSAGE` for what is none */
  static received(text: string, blobs: readonly Blob[]): Message {
    const message = new Message(text, blobs)
    // Whether they fit is to be known before anything is done with it.
    if (blobs.length > 0) message.#value = { value: decoded(text, blobs) }
    return checked(message)
  }

  /** What sparks are written; one value for all of them. */
  get value(): unknown {
    return (this.#value ??= { value: decoded(this.text, this.blobs) }).value
  }
}

/** What Primus's clients take for protocol begins with it. */
const PROTOCOL = 'primus::'
/** JSON text of a string that begins with it, or may: a peer in another language may escape any character. */
const QUOTED = /^[\t\r ]*"(?:primus::|p?r?i?m?u?s?:?\\)/

function refuseProtocol(value: unknown): void {
  if (typeof value !== 'string' || !value.startsWith(PROTOCOL)) return
  throw new MetroplexError('EMESSAGE', `A message must not begin with ${PROTOCOL}, which Primus's clients take for protocol; given: ${shown(value)}.`)
}

/** By what is sent, and not by what was given: a `toJSON` may make anything of it. */
function checked(message: Message): Message {
  if (QUOTED.test(message.text)) refuseProtocol(message.value)
  return message
}

function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView {
  // By `instanceof`, one that another realm has made would be none.
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value)
}

/** A copy: what is still on its way must not change. */
function bytesOf(value: ArrayBuffer | ArrayBufferView): Buffer {
  return Buffer.from(ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value))
}

/** A replacer for `JSON.stringify` that puts what is binary apart, and `null` in its place. */
function apart(blobs: Blob[]): (this: unknown, key: string, value: unknown) => unknown {
  /** Where the objects are whose parts come next. */
  const paths = new Map<unknown, readonly (string | number)[]>()
  /** One for each: a circle of new ones would not be noticed. */
  const shields = new Map<object, object>()
  let outermost = true
  return function replace(key, value) {
    const path = outermost ? [] : [...paths.get(this) ?? [], Array.isArray(this) ? Number(key) : key]
    outermost = false
    if (isBinary(value)) {
      blobs.push({ path, bytes: bytesOf(value) })
      return null
    }
    if (typeof value !== 'object' || value === null) return value
    let inner = shields.get(value)
    if (inner === undefined) shields.set(value, inner = shielded(value))
    paths.set(inner, path)
    return inner
  }
}

/** The same, but that no `toJSON` is called on what is binary directly in it: that of a Buffer would make a list of numbers of it. */
function shielded(value: object): object {
  const parts: unknown[] = Array.isArray(value) ? value : Object.values(value)
  if (!parts.some(encodesItself)) return value
  if (Array.isArray(value)) return Array.from(value, shield)
  const copy = {}
  // An assignment to `__proto__` would be something else.
  for (const [key, part] of Object.entries(value)) Object.defineProperty(copy, key, { value: shield(part), enumerable: true })
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
    if (own(at, last) !== null) throw new MetroplexError('EMESSAGE', 'Where a binary part of a message belongs, something else stands already.')
    // An assignment to `__proto__` would be something else.
    // A copy for those who write to it: what stands in the message may yet have to be sent.
    Object.defineProperty(at, last, { value: Buffer.from(bytes), writable: true, enumerable: true, configurable: true })
  }
  return whole.value
}

function own(at: unknown, key: string | number): unknown {
  if (typeof at === 'object' && at !== null && Object.hasOwn(at, key)) return (at as Record<string | number, unknown>)[key]
  throw new MetroplexError('EMESSAGE', 'A binary part of a message has no place in it.')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MetroplexError('EMESSAGE', 'A message is no JSON.', { cause: error })
  }
}
