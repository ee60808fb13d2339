import type { Answer, Peer } from '../../contract'
import { MetroplexError, type ErrorCode } from '../../errors'

/** The header that carries a head, and the protocol that is asked for in an upgrade. */
export const METROPLEX = 'metroplex'

/** What stands for the head of an answer that nobody could sign. */
const UNSIGNED = '-'

const JSON_TYPE = 'application/json'

/** The body of a hello, and of what has none. */
export const NOTHING = Buffer.alloc(0)

/** Where we are asked, below Primus's path. */
export function endpoint({ pathname }: Pick<Peer, 'pathname'>): string {
  return `${pathname}/metroplex`
}

/** An answer with no, which nobody has signed. */
export function refusal(status: number, code: ErrorCode, reason: string): Answer {
  return { status, head: '', type: JSON_TYPE, body: Buffer.from(JSON.stringify({ code, reason })) }
}

/** To whatever comes while we begin, and when we end. */
export function closing(): Answer {
  return refusal(503, 'ECLOSED', 'This server takes nothing: it is starting, or shutting down.')
}

export function tooLarge(maxBody: number): Answer {
  return refusal(413, 'ETOOBIG', `A body may have ${maxBody} bytes here: raise \`maxBody\`.`)
}

export function tooSlow(timeout: number): Answer {
  return refusal(408, 'EDEADLINE', `The body took longer than ${timeout} ms to come.`)
}

export function malformed(): Answer {
  return refusal(400, 'EPROTOCOL', 'This is no frame of a line and a body.')
}

/** Only a mistake of ours leads here. */
export function failed(): Answer {
  return refusal(500, 'EPROTOCOL', 'The request could not be handled.')
}

/** What the receiver says; that it never throws is its own duty, and must not be ours to pay for. */
export function judged<T>(judge: () => T): T | Answer {
  try {
    return judge()
  } catch {
    return failed()
  }
}

/** Why nothing is sent any more. */
export function destroyed(address: string, maybe = false): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server was destroyed: it sends no more.', { address, maybe })
}

/** The line before the body of a request. */
export function requestLine(head: string, type: string): string {
  return `${head} ${type}`
}

/** The head and the content type in such a line. */
export function readRequest(line: string): [head: string, type: string] {
  const end = line.lastIndexOf(' ')
  return [line.slice(0, Math.max(0, end)), line.slice(end + 1)]
}

/** The line before the body of an answer. */
export function answerLine({ status, head, type }: Answer): string {
  return `${status} ${headerOf(head)} ${type}`
}

/** What such a line says; `undefined` for anything else. */
export function readAnswer(line: string): Omit<Answer, 'body'> | undefined {
  const [, status, head = '', type = ''] = /^([1-9]\d\d) (.*) (\S*)$/.exec(line) ?? []
  return status === undefined ? undefined : { status: Number(status), head: headOf(head), type }
}

/** A head as it stands in a header or a line. */
export function headerOf(head: string): string {
  return head === '' ? UNSIGNED : head
}

/** And back; `''` when there is none. */
export function headOf(given: unknown): string {
  return typeof given === 'string' && given !== UNSIGNED ? given : ''
}

/** What stands in a header; `''` when there is none. */
export function textOf(given: unknown): string {
  return typeof given === 'string' ? given : ''
}

/** Whether an answer to HTTP is one of ours: it has our header, or it is a refusal whose header was lost on its way. */
export function isOurs(headers: Readonly<Record<string, unknown>>, body: Buffer): boolean {
  if (headers[METROPLEX] !== undefined) return true
  if (!isJson(headers)) return false
  try {
    const { code, reason } = JSON.parse(body.toString()) as Record<string, unknown>
    return typeof code === 'string' && /^E[A-Z]+$/.test(code) && typeof reason === 'string'
  } catch {
    return false
  }
}

/** Whether an answer to HTTP may be one of ours, by its headers. */
export function mayBeOurs(headers: Readonly<Record<string, unknown>>): boolean {
  return headers[METROPLEX] !== undefined || isJson(headers)
}

function isJson(headers: Readonly<Record<string, unknown>>): boolean {
  return textOf(headers['content-type']).startsWith(JSON_TYPE)
}

/** The path of a request, without what follows a question mark. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}
