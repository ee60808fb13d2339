/** The largest body that is sent through Redis, in bytes. */
export const MAX_BODY = 1_048_576

/**
 * The bytes of a body in one message of Redis; the last message of a body may carry fewer. Redis buffers whole
 * messages, and by default disconnects a subscriber that is 8 MB behind for a minute.
 */
export const CHUNK_SIZE = 262_144

/** The longest line before a body, in bytes: a head of 1024 characters, a content type, and the fields of a chunk. */
const LINE_LIMIT = 2048

/**
 * One message of Redis, a chunk of a request or an answer: a line of ASCII, `\n`, and bytes of the body.
 *
 * The line is `<kind> <id> <node id> <chunk> <chunks>`. In the first chunk the line of a frame follows: `<head> <type>`
 * of a request, `<status> <head or -> <type>` of an answer. All chunks but the last one have exactly 262 144 bytes of
 * the body, so the first one tells its size.
 */
export interface Chunk {
  /** A request or an answer. */
  readonly kind: '?' | '!'
  /** The number of the request, in ascending order; an answer has that of its request. */
  readonly id: number
  /** The node id of the sender, which names its channel. */
  readonly nodeId: string
  /** The number of this chunk, from 1 on. */
  readonly piece: number
  readonly pieces: number
  /** The line of the frame; only in the first chunk. */
  readonly line: string
  readonly body: Buffer
}

/** A request or an answer before it is split. */
export type UnsplitMessage = Pick<Chunk, 'kind' | 'id' | 'nodeId' | 'line' | 'body'>

/** The number of chunks of a body of this size. */
export function chunksOf(size: number): number {
  return Math.max(1, Math.ceil(size / CHUNK_SIZE))
}

/** Split a request or an answer into messages of Redis, in order. */
export function splitIntoChunks({ kind, id, nodeId, line, body }: UnsplitMessage): Buffer[] {
  const pieces = chunksOf(body.length)
  return Array.from({ length: pieces }, (_, i) =>
    Buffer.concat([
      Buffer.from(`${kind} ${id} ${nodeId} ${i + 1} ${pieces}${i === 0 ? ` ${line}` : ''}\n`),
      body.subarray(i * CHUNK_SIZE, (i + 1) * CHUNK_SIZE)
    ])
  )
}

/** Parse a message of Redis; `undefined` when it is invalid. */
export function readChunk(message: Buffer): Chunk | undefined {
  const end = message.subarray(0, LINE_LIMIT).indexOf('\n')
  if (end === -1 || message.length - end - 1 > CHUNK_SIZE) return undefined
  const [, kind, id, nodeId = '', piece, pieces, line = ''] = LINE_FORMAT.exec(message.toString('latin1', 0, end)) ?? []
  if (kind === undefined) return undefined
  const found = {
    kind: kind as Chunk['kind'],
    id: Number(id),
    nodeId,
    piece: Number(piece),
    pieces: Number(pieces),
    line,
    body: message.subarray(end + 1)
  }
  const fits = found.piece === found.pieces || (found.piece < found.pieces && found.body.length === CHUNK_SIZE)
  return fits && found.piece > 0 ? found : undefined
}

const LINE_FORMAT = /^([?!]) (\d{1,15}) ([\w-]{1,64}) (\d{1,4}) (\d{1,4})(?: (.*))?$/

/** Joins chunks that arrive in order. The caller limits their number and time. */
export class Reassembler {
  readonly #bodies: Buffer[] = []

  /** @param first the first chunk */
  constructor(readonly first: Chunk) {
    this.#bodies.push(first.body)
  }

  /** The bytes of the body that have arrived. */
  get size(): number {
    return this.#bodies.reduce((sum, { length }) => sum + length, 0)
  }

  /** Whether all chunks have arrived. */
  get complete(): boolean {
    return this.#bodies.length === this.first.pieces
  }

  /** The body that has arrived. */
  get body(): Buffer {
    const [only] = this.#bodies
    return this.#bodies.length === 1 && only !== undefined ? only : Buffer.concat(this.#bodies)
  }

  /** Add a chunk. @returns whether it is the next one */
  take({ id, piece, pieces, body }: Chunk): boolean {
    if (id !== this.first.id || pieces !== this.first.pieces || piece !== this.#bodies.length + 1) return false
    this.#bodies.push(body)
    return true
  }
}
