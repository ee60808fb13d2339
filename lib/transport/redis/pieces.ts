/** The largest body that goes through Redis, in bytes. */
export const LARGEST = 1_048_576

/**
 * How many bytes of a body one message of Redis carries; the last one of a body may carry less. Redis buffers whole messages, and by
 * default cuts a subscriber that is 8 MB behind for a minute.
 */
export const PIECE = 262_144

/** The longest line before a body: a head of 1024 characters, its type, and who sends it to whom. */
const LINE = 2048

/**
 * A part of a request or an answer, as it lies in one message of Redis: a line of ASCII, `\n`, and the bytes.
 *
 * The line is `<kind> <id> <word> <piece> <pieces>`, and in the first piece the line of a stream's frame after that: `<head> <type>` of a request,
 * `<status> <head or -> <type>` of an answer. All pieces but the last one are of exactly 262 144 bytes, so that the first one says how much there will be.
 */
export interface Piece {
  /** A request, or an answer. */
  readonly kind: '?' | '!'
  /** Which request of its sender's; of an answer: which one it answers. They grow. */
  readonly id: number
  /** Who sends it: the word that names its channel. */
  readonly word: string
  /** Which part it is, from 1 on. */
  readonly piece: number
  readonly pieces: number
  /** What stands before the body; in the first piece alone. */
  readonly line: string
  readonly body: Buffer
}

/** What is sent: all of a piece but where it was cut. */
export type Whole = Pick<Piece, 'kind' | 'id' | 'word' | 'line' | 'body'>

/** How many pieces a body of this size takes. */
export function piecesOf(size: number): number {
  return Math.max(1, Math.ceil(size / PIECE))
}

/** The messages of Redis that carry something, in order. */
export function cut({ kind, id, word, line, body }: Whole): Buffer[] {
  const pieces = piecesOf(body.length)
  return Array.from({ length: pieces }, (_, i) => Buffer.concat([
    Buffer.from(`${kind} ${id} ${word} ${i + 1} ${pieces}${i === 0 ? ` ${line}` : ''}\n`),
    body.subarray(i * PIECE, (i + 1) * PIECE)
  ]))
}

/** What is in a message of Redis; `undefined` when it is none of ours. */
export function read(message: Buffer): Piece | undefined {
  const end = message.subarray(0, LINE).indexOf('\n')
  if (end === -1 || message.length - end - 1 > PIECE) return undefined
  const [, kind, id, word = '', piece, pieces, line = ''] = FORM.exec(message.toString('latin1', 0, end)) ?? []
  if (kind === undefined) return undefined
  const found = { kind: kind as Piece['kind'], id: Number(id), word, piece: Number(piece), pieces: Number(pieces), line, body: message.subarray(end + 1) }
  const fits = found.piece === found.pieces || (found.piece < found.pieces && found.body.length === PIECE)
  return fits && found.piece > 0 ? found : undefined
}

/** What stands before the body of an answer, or of a request, which has no status. */
export interface Line {
  readonly status: number
  readonly head: string
  readonly type: string
}

/** As on a stream: the status, if there is one, the head or `-`, and the type. */
export function lineOf({ status, head, type }: Omit<Line, 'status'> & { readonly status?: number }): string {
  return status === undefined ? `${head} ${type}` : `${status} ${head === '' ? '-' : head} ${type}`
}

/** What a line says; `undefined` when it says nothing. */
export function parsed(kind: Piece['kind'], line: string): Line | undefined {
  const found = (kind === '!' ? /^(\d{3}) (.*) (\S*)$/ : /^()(.*) (\S*)$/).exec(line)
  if (found === null) return undefined
  const [, status, head = '', type = ''] = found
  return { status: Number(status), head: kind === '!' && head === '-' ? '' : head, type }
}

const FORM = /^([?!]) (\d{1,15}) ([\w-]{1,64}) (\d{1,4}) (\d{1,4})(?: (.*))?$/

/** Puts pieces together that come in order. Whoever has it bounds how many they may be, and for how long they may take. */
export class Gathering {
  readonly #bodies: Buffer[] = []

  /** @param first its first piece */
  constructor(readonly first: Piece) {
    this.#bodies.push(first.body)
  }

  /** How many bytes it holds. */
  get size(): number {
    return this.#bodies.reduce((sum, { length }) => sum + length, 0)
  }

  /** Whether all of it is there. */
  get whole(): boolean {
    return this.#bodies.length === this.first.pieces
  }

  /** All of it that is there. */
  get body(): Buffer {
    const [only] = this.#bodies
    return this.#bodies.length === 1 && only !== undefined ? only : Buffer.concat(this.#bodies)
  }

  /** Whether this is the next piece; then it is taken. */
  take({ id, piece, pieces, body }: Piece): boolean {
    if (id !== this.first.id || pieces !== this.first.pieces || piece !== this.#bodies.length + 1) return false
    this.#bodies.push(body)
    return true
  }
}
