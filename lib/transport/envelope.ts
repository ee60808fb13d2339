import type { Urgency } from '../common/async'
import { asError } from '../common/errors'
import { Message, type Blob } from '../common/encoded-message'

/** A message to one server or several. It is encoded once for all of them. */
export interface Outgoing {
  /** Kind, recipients and binary parts as JSON text; see PROTOCOL.md. */
  readonly entry: string
  /** Its JSON text. */
  readonly text: string
  readonly blobs: readonly Blob[]
  /** Its approximate size in a batch, in bytes. */
  readonly size: number
  /** Whether a caller waits for its result; absent: one does. */
  readonly urgency?: Urgency | undefined
}

/** A received message. */
export interface ReceivedMessage {
  /** The node id of the sender. */
  readonly from: string
  readonly kind: string
  /** The recipients; their form depends on the kind. */
  readonly to: unknown
  readonly message: Message
}

/** The reply to one message: the number of sparks it was written to, with the missing ids if any; or an error. */
export type Reply =
  number | readonly [send: number, missing: readonly string[]] | { readonly code: string; readonly message: string }

/** The body of a request is not a valid batch. */
export class Malformed extends Error {}

/** The content type of a batch. */
export const BATCH = 'application/vnd.metroplex.batch'
/** The content type of a batch whose answer may come later, together with the next ones: no caller waits for it. */
export const DEFERRABLE_BATCH = `${BATCH};answer=later`
/** The content type of a hello, which has no body. */
export const HELLO = 'application/vnd.metroplex.hello'
/** The content type of answers. */
export const JSON_TYPE = 'application/json'

const LINE_FEED = 10
const NEWLINE = Buffer.from('\n')

/**
 * Encode a message.
 *
 * @param to the recipients as the kind defines them: ids of sparks for `some`, ids to exclude for `all`
 */
export function outgoing(
  kind: string,
  to: unknown,
  { text, blobs, size, urgency }: Pick<Outgoing, 'text' | 'blobs' | 'size' | 'urgency'>
): Outgoing {
  const places = blobs.length === 0 ? '' : `,${JSON.stringify(blobs.map(({ path, bytes }) => [path, bytes.length]))}`
  const entry = `["${kind}",${JSON.stringify(to)}${places}]`
  return { entry, text, blobs, size: size + Buffer.byteLength(entry) + (blobs.length === 0 ? 2 : 3), urgency }
}

/** The kind of messages that a parser with this name has packed. */
export function packedKind(kind: string, parser: string): string {
  return `${kind}/${parser}`
}

/** Encode a batch of messages, in their order. */
export function batch(messages: readonly Outgoing[]): Buffer {
  const head = `[${messages.map(({ entry }) => entry).join(',')}]\n`
  if (messages.every(({ blobs }) => blobs.length === 0))
    return Buffer.from(`${head}${messages.map(({ text }) => text).join('\n')}\n`)
  const parts: Buffer[] = [Buffer.from(head)]
  for (const { text, blobs } of messages) {
    parts.push(Buffer.from(`${text}\n`))
    if (blobs.length > 0) parts.push(...blobs.map(({ bytes }) => bytes), NEWLINE)
  }
  return Buffer.concat(parts)
}

/**
 * Decode a batch.
 * @param from the node id of the sender
 * @throws Malformed
 */
export function unpack(body: Buffer, from: string): ReceivedMessage[] {
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
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || entry.length < 2 || entry.length > 3)
      throw new Malformed('An entry must be [kind, to] or [kind, to, parts].')
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
  const part = (one: unknown): one is [(string | number)[], number] =>
    Array.isArray(one) &&
    one.length === 2 &&
    Array.isArray(one[0]) &&
    (one[0] as unknown[]).every(key => typeof key === 'string' || Number.isInteger(key)) &&
    Number.isSafeInteger(one[1]) &&
    one[1] >= 0
  if (!Array.isArray(given) || given.length === 0 || !(given as unknown[]).every(part))
    throw new Malformed('Binary parts must be a list of [path, size].')
  return given as [(string | number)[], number][]
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed('The first line is no JSON.')
  }
}

/** Read the replies to the messages of a batch; `undefined` if the text has another form. */
export function readReplies(text: string): Reply[] | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return Array.isArray(value) && (value as unknown[]).every(isReply) ? (value as Reply[]) : undefined
}

function isReply(value: unknown): value is Reply {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0
  if (Array.isArray(value))
    return (
      value.length === 2 &&
      typeof value[0] === 'number' &&
      Array.isArray(value[1]) &&
      (value[1] as unknown[]).every(id => typeof id === 'string')
    )
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { code?: unknown }).code === 'string' &&
    typeof (value as { message?: unknown }).message === 'string'
  )
}
