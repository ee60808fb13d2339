import { asError } from '../errors'
import { Message, type Blob } from '../message'

/** A message on its way to one server, or to several: it is encoded once for all of them. */
export interface Outgoing {
  /** What is to be done with it, and to whom, as JSON text: see PROTOCOL.md. */
  readonly entry: string
  /** Its JSON text. */
  readonly text: string
  readonly blobs: readonly Blob[]
  /** How many bytes it takes in a batch, about. */
  readonly size: number
}

/** A message that came in. */
export interface Incoming {
  /** The word of the process that sent it. */
  readonly from: string
  readonly kind: string
  /** Whom it is for; what that may be depends on the kind. */
  readonly to: unknown
  readonly message: Message
}

/** A body that is no batch. */
export class Malformed extends Error {}

/** The content type of a batch. */
export const BATCH = 'application/vnd.metroplex.batch'
/** The content type of a hello, which has no body. */
export const HELLO = 'application/vnd.metroplex.hello'
/** The content type of answers. */
export const JSON_TYPE = 'application/json'

const LINE_FEED = 10
const NEWLINE = Buffer.from('\n')

/**
 * A message of a kind, for whom it names.
 *
 * @param to as the kind has it: ids of sparks for `some`, ids to leave out for `all`
 */
export function outgoing(kind: string, to: unknown, { text, blobs, size }: Pick<Outgoing, 'text' | 'blobs' | 'size'>): Outgoing {
  const places = blobs.length === 0 ? '' : `,${JSON.stringify(blobs.map(({ path, bytes }) => [path, bytes.length]))}`
  const entry = `["${kind}",${JSON.stringify(to)}${places}]`
  return { entry, text, blobs, size: size + Buffer.byteLength(entry) + (blobs.length === 0 ? 2 : 3) }
}

/** The body that carries messages, in their order. */
export function batch(messages: readonly Outgoing[]): Buffer {
  const head = `[${messages.map(({ entry }) => entry).join(',')}]\n`
  if (messages.every(({ blobs }) => blobs.length === 0)) return Buffer.from(`${head}${messages.map(({ text }) => text).join('\n')}\n`)
  const parts: Buffer[] = [Buffer.from(head)]
  for (const { text, blobs } of messages) {
    parts.push(Buffer.from(`${text}\n`))
    if (blobs.length > 0) parts.push(...blobs.map(({ bytes }) => bytes), NEWLINE)
  }
  return Buffer.concat(parts)
}

/** The messages in a body. @param from the word of the process that sent it. @throws Malformed */
export function unpack(body: Buffer, from: string): Incoming[] {
  let at = 0
  const line = (): string => {
    const end = body.indexOf(LINE_FEED, at)
    if (end === -1) throw new Malformed('A line does not end.')
    const text = body.toString('utf8', at, end)
    at = end + 1
    return text
  }
  const entries = parsed(line())
  if (!Array.isArray(entries)) throw new Malformed('The first line must be a list of entries.')
  const messages = (entries as unknown[]).map(entry => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || entry.length < 2 || entry.length > 3) throw new Malformed('An entry must be [kind, to] or [kind, to, parts].')
    const [kind, to, parts] = entry as [string, unknown, unknown]
    const text = line()
    if (text === '') throw new Malformed('A message must not be empty.')
    if (parts === undefined) return { from, kind, to, message: received(text, []) }
    const blobs = partsOf(parts).map(([path, size]) => {
      if (at + size > body.length) throw new Malformed('A binary part is cut off.')
      const bytes = body.subarray(at, at + size)
      at += size
      return { path, bytes }
    })
    if (body[at++] !== LINE_FEED) throw new Malformed('The binary parts must end with a line feed.')
    return { from, kind, to, message: received(text, blobs) }
  })
  if (at !== body.length) throw new Malformed('Something follows the last message.')
  return messages
}

function received(text: string, blobs: readonly Blob[]): Message {
  try {
    return Message.received(text, blobs)
  } catch (error) {
    throw new Malformed(asError(error).message)
  }
}

function partsOf(given: unknown): [path: (string | number)[], size: number][] {
  const part = (one: unknown): one is [(string | number)[], number] => Array.isArray(one) && one.length === 2 && Array.isArray(one[0]) &&
    (one[0] as unknown[]).every(key => typeof key === 'string' || Number.isInteger(key)) && Number.isSafeInteger(one[1]) && one[1] >= 0
  if (!Array.isArray(given) || given.length === 0 || !(given as unknown[]).every(part)) throw new Malformed('Binary parts must be a list of [path, size].')
  return given as [(string | number)[], number][]
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed('The first line is no JSON.')
  }
}
