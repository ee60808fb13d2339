import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'

/** The version of the wire between servers; the first field of every head. */
export const WIRE_VERSION = '2'

/** The fields of a head: the line that stands before each body. See PROTOCOL.md. */
export interface Head {
  /** The node id of the sender. */
  readonly from: string
  /** The node id of the recipient; in a hello, its address. */
  readonly to: string
  /** The session id; in a hello, a nonce. */
  readonly session: string
  /** The number of the batch in its session; 0 for a hello. */
  readonly number: number
  /** SHA-256 of the body. */
  readonly digest: string
}

/** The secrets of the cluster. */
export interface Keyring {
  /** The valid secrets; the first one signs. Empty while none is known. */
  readonly secrets: readonly string[]
  /** Read them again, after a peer has rejected a signature. */
  refresh(): Promise<void>
}

/** A received head with its signature. */
export interface SignedHead extends Head {
  readonly signature: string
}

/** What the signature of an answer includes besides its head, so that it belongs to one request only. */
export interface AnswerSignature {
  readonly status: number
  /** The signature of the request. */
  readonly request: string
}

/** The longest head that is parsed, in characters. */
const LONGEST = 1024
const RANDOM_ID = /^[\w-]{12,64}$/
const NUMBER = /^\d{1,15}$/
const DIGEST = /^[\w-]{43}$/

/** SHA-256 of a body. */
export function digest(body: Buffer): string {
  return hash('sha256', body, 'base64url')
}

/**
 * Encode and sign a head.
 *
 * The signature is an HMAC-SHA256 (RFC 2104) over all fields, each with its length before it, so that different fields
 * never give the same input.
 */
export function signHead(
  secret: string,
  namespace: string,
  head: Head,
  type: string,
  answering?: AnswerSignature
): string {
  const { from, to, session, number, digest } = head
  const proof = signature(secret, namespace, head, type, answering)
  return `${WIRE_VERSION} ${from} ${to} ${session} ${number} ${digest} ${proof}`
}

/** A random id for processes, sessions and hellos. */
export function randomId(): string {
  return randomBytes(12).toString('base64url')
}

/** Whether a text has the form of a node id. An address never has. */
export function isNodeId(text: string): boolean {
  return RANDOM_ID.test(text)
}

/** Parse a signed head; `undefined` if it is malformed. The signature is not verified. */
export function readHead(line: string): SignedHead | undefined {
  if (line.length > LONGEST) return undefined
  const [version, from = '', to = '', session = '', number = '', digest = '', signature = '', ...more] = line.split(' ')
  const fits =
    version === WIRE_VERSION &&
    more.length === 0 &&
    RANDOM_ID.test(from) &&
    to !== '' &&
    RANDOM_ID.test(session) &&
    NUMBER.test(number) &&
    DIGEST.test(digest) &&
    DIGEST.test(signature)
  return fits ? { from, to, session, number: Number(number), digest, signature } : undefined
}

/** Whether a head was signed with one of the secrets. The comparison takes constant time. */
export function verifyHead(
  secrets: readonly string[],
  namespace: string,
  head: SignedHead,
  type: string,
  answering?: AnswerSignature
): boolean {
  const given = Buffer.from(head.signature)
  return secrets.some(secret =>
    timingSafeEqual(given, Buffer.from(signature(secret, namespace, head, type, answering)))
  )
}

function signature(secret: string, namespace: string, head: Head, type: string, answering?: AnswerSignature): string {
  const { from, to, session, number, digest } = head
  const kind = answering === undefined ? 'request' : 'answer'
  const fields = [`metroplex/${WIRE_VERSION}`, kind, namespace, from, to, session, String(number), type, digest]
  if (answering !== undefined) fields.push(String(answering.status), answering.request)
  const input = fields.map(field => `${Buffer.byteLength(field)}:${field},`).join('')
  return createHmac('sha256', secret).update(input).digest('base64url')
}
