import type { Answer } from '../common/transport-contract'

/** Stands in place of the head of an unsigned answer. */
const UNSIGNED = '-'

/** The line before the body of a request: in a frame of a stream, and in the first message of Redis. */
export function requestLine(head: string, type: string): string {
  return `${head} ${type}`
}

/** Parse the line of a request; `undefined` if it has only one word. */
export function readRequestLine(line: string): [head: string, type: string] | undefined {
  const end = line.lastIndexOf(' ')
  return end === -1 ? undefined : [line.slice(0, end), line.slice(end + 1)]
}

/** The line before the body of an answer. */
export function answerLine({ status, head, type }: Answer): string {
  return `${status} ${headerOf(head)} ${type}`
}

/** Parse the line of an answer; `undefined` if it is none. */
export function readAnswerLine(line: string): Omit<Answer, 'body'> | undefined {
  const [, status, head = '', type = ''] = /^([1-9]\d\d) (.*) (\S*)$/.exec(line) ?? []
  return status === undefined ? undefined : { status: Number(status), head: headOf(head), type }
}

/** Encode a head for a line or a header, which must not be empty. */
export function headerOf(head: string): string {
  return head === '' ? UNSIGNED : head
}

/** Decode a head; `''` when there is none. */
export function headOf(given: unknown): string {
  return typeof given === 'string' && given !== UNSIGNED ? given : ''
}
