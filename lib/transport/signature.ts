import { createHmac, hash, timingSafeEqual } from 'node:crypto'

/** The version of the language of heads and bodies; the first word of every head. */
export const VERSION = '2'

/** Words and numbers that say who asks whom what, before the body: see PROTOCOL.md. */
export interface Head {
  /** The word of the process that says it. */
  readonly from: string
  /** The word of the process that is meant; of a hello, its address. */
  readonly to: string
  /** Of a hello, a word that was never used before. */
  readonly session: string
  /** 0: a hello. */
  readonly number: number
  /** Of the body. */
  readonly digest: string
}

/** A head together with its signature, as it was received. */
export interface SignedHead extends Head {
  readonly signature: string
}

/** What an answer is signed with besides its head: so it can be no other request's. */
export interface Answering {
  readonly status: number
  /** The signature of the request. */
  readonly request: string
}

/** The longest head that is looked at, in characters. */
const LONGEST = 1024
const WORD = /^[\w-]{12,64}$/
const NUMBER = /^\d{1,15}$/
const DIGEST = /^[\w-]{43}$/

/** SHA-256 of a body. */
export function digest(body: Buffer): string {
  return hash('sha256', body, 'base64url')
}

/**
 * The line that stands before a body: the head, signed.
 *
 * HMAC-SHA256 (RFC 2104) over all fields, each with its length before it, so that no two lists of fields look the same.
 */
export function signed(secret: string, namespace: string, head: Head, type: string, answering?: Answering): string {
  const { from, to, session, number, digest } = head
  return `${VERSION} ${from} ${to} ${session} ${number} ${digest} ${signature(secret, namespace, head, type, answering)}`
}

/** Whether something is the word of a process: no address is. */
export function isWord(text: string): boolean {
  return WORD.test(text)
}

/** Read a line that `signed` has written; `undefined` for anything else. It proves nothing yet. */
export function read(line: string): SignedHead | undefined {
  if (line.length > LONGEST) return undefined
  const [version, from = '', to = '', session = '', number = '', digest = '', signature = '', ...more] = line.split(' ')
  const fits = version === VERSION && more.length === 0 && WORD.test(from) && to !== '' && WORD.test(session) &&
    NUMBER.test(number) && DIGEST.test(digest) && DIGEST.test(signature)
  return fits ? { from, to, session, number: Number(number), digest, signature } : undefined
}

/** Whether a head was signed with one of the secrets; takes the same time for every signature that is wrong. */
export function genuine(secrets: readonly string[], namespace: string, head: SignedHead, type: string, answering?: Answering): boolean {
  const given = Buffer.from(head.signature)
  return secrets.some(secret => timingSafeEqual(given, Buffer.from(signature(secret, namespace, head, type, answering))))
}

function signature(secret: string, namespace: string, head: Head, type: string, answering?: Answering): string {
  const { from, to, session, number, digest } = head
  const kind = answering === undefined ? 'request' : 'answer'
  const fields = [`metroplex/${VERSION}`, kind, namespace, from, to, session, String(number), type, digest]
  if (answering !== undefined) fields.push(String(answering.status), answering.request)
  const input = fields.map(field => `${Buffer.byteLength(field)}:${field},`).join('')
  return createHmac('sha256', secret).update(input).digest('base64url')
}
