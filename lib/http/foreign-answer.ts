import { inspectValue } from '../common/errors'

/** The headers of an answer. */
export type AnswerHeaders = Readonly<Record<string, unknown>>

/** How much of a foreign answer is quoted, in bytes. */
const QUOTED = 200

/** How long to wait for the body of a foreign answer, in ms. It may never end. */
export const FOREIGN_BODY_TIMEOUT = 100

/** The text of a header; `''` when there is none. */
export function textOf(given: unknown): string {
  return typeof given === 'string' ? given : ''
}

/** Describe the software that answered in place of the peer, for errors: `, by 'nginx', with '…'`, or nothing. */
export function describeAnswerer(headers: AnswerHeaders, body?: Buffer): string {
  const software = ['server', 'via', 'x-powered-by'].map(name => textOf(headers[name])).find(name => name !== '')
  const target = textOf(headers['location'])
  const text = (body?.subarray(0, QUOTED).toString() ?? '').replace(/[^\x20-\x7e]+/g, ' ').trim()
  const by = software === undefined ? '' : `, by ${inspectValue(software)}`
  const to = target === '' ? '' : `, to ${inspectValue(target)}`
  return `${by}${to}${text === '' ? '' : `, with ${inspectValue(text)}`}`
}

/**
 * Whether an error of a connection says that the bytes which arrived are no HTTP, as with Redis at that port. Node.js
 * and undici name such errors differently.
 */
export function isNoHttp(error: Error): boolean {
  const { name, code } = error as NodeJS.ErrnoException
  return name === 'HTTPParserError' || code?.startsWith('HPE_') === true
}

/** Say that a port answers, but not by HTTP. */
export function describeNoHttp({ message }: Error): string {
  return `did not answer by HTTP: ${message.replace(/\.$/, '')}. See which software listens there`
}
