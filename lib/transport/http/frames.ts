import type { Writable } from 'node:stream'

/** The most bytes of a frame besides its body: a line with a head and a content type. */
export const LINE_FRAME = 2048

/** A body up to this size is copied behind its line, in bytes: one small write is cheaper than two. */
const SMALL = 16_384

/** The received bytes are no valid frame, or the frame is unexpected or too large. */
export class BadFrame extends Error {
  constructor(
    readonly tooLarge: boolean,
    reason: string
  ) {
    super(reason)
  }
}

/**
 * Encode a frame: 4 bytes with the length of what follows, a line, and a body. The buffers must be written in order.
 *
 * @throws RangeError for a line that could not be told from the body, or from the next line
 */
export function frame(line: string, body: Buffer): Buffer[] {
  if (line.length >= LINE_FRAME || !/^[\x20-\x7e]*$/.test(line))
    throw new RangeError(`A line of a frame must be printable ASCII, of less than ${LINE_FRAME} characters.`)
  const before = 4 + line.length + 1
  const small = body.length <= SMALL
  const start = Buffer.allocUnsafe(small ? before + body.length : before)
  start.writeUInt32BE(line.length + 1 + body.length, 0)
  start.write(line, 4, 'latin1')
  start[before - 1] = 0x0a
  if (!small) return [start, body]
  body.copy(start, before)
  return [start]
}

/**
 * Write a frame, with one system call.
 *
 * @returns whether the socket accepts more output
 * @throws RangeError as `frame`
 */
export function writeFrame(socket: Writable, line: string, body: Buffer): boolean {
  const buffers = frame(line, body)
  if (buffers.length > 1) socket.cork()
  let writable = true
  for (const buffer of buffers) writable = socket.write(buffer)
  if (buffers.length > 1) socket.uncork()
  return writable
}

/**
 * Decodes frames from chunks of bytes.
 *
 * `push` each chunk. Then ask for the `line` of a frame, which is available before its body; then for the `body`, or
 * `skip` it. `undefined` means that more bytes are needed. Nothing beyond the limits is ever kept.
 */
export class FrameReader {
  /** Received bytes that were not read yet. */
  #chunks: Buffer[] = []
  #length = 0
  /** The bytes of the current frame that were not read yet; -1 before its length is known. */
  #remaining = -1
  /** Whether the line of the current frame was read, so that its body is next. */
  #inBody = false
  /** A body that arrives in several chunks. */
  #body: Buffer | undefined
  /** The bytes of it that have arrived. */
  #filled = 0
  #skipping = false

  /** @param largest the largest body that is accepted, in bytes */
  constructor(private readonly largest: number) {}

  /** Whether part of a frame has arrived. */
  get partial(): boolean {
    return this.#length > 0 || this.#remaining !== -1
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /**
   * The line of the next frame.
   *
   * @throws BadFrame when the frame is malformed or too large
   */
  line(): string | undefined {
    if (this.#skipping && !this.#skipped()) return undefined
    if (this.#remaining === -1) {
      if (this.#length < 4) return undefined
      this.#remaining = this.#take(4).readUInt32BE(0)
      if (this.#remaining > this.largest + LINE_FRAME)
        throw new BadFrame(true, `A frame is larger than ${this.largest} bytes.`)
    }
    const most = Math.min(this.#remaining, LINE_FRAME)
    const found = this.#find(most)
    if (found === -1) {
      if (this.#length >= most) throw new BadFrame(false, 'A frame does not begin with a line.')
      return undefined
    }
    const line = this.#take(found + 1).toString('latin1', 0, found)
    this.#remaining -= found + 1
    if (this.#remaining > this.largest) throw new BadFrame(true, `A body is larger than ${this.largest} bytes.`)
    this.#inBody = true
    return line
  }

  /** The body of the frame whose line was read. */
  body(): Buffer | undefined {
    if (!this.#inBody) return undefined
    if (this.#body === undefined) {
      if (this.#length >= this.#remaining) return this.#ended(this.#take(this.#remaining))
      // Filled chunk by chunk: a sender of single bytes must not cost a buffer for each.
      this.#body = Buffer.allocUnsafeSlow(this.#remaining)
      this.#filled = 0
    }
    const body = this.#body
    const piece = this.#take(Math.min(this.#length, body.length - this.#filled))
    piece.copy(body, this.#filled)
    this.#filled += piece.length
    return this.#filled === body.length ? this.#ended(body) : undefined
  }

  /** Discard the body of the frame whose line was read. */
  skip(): void {
    if (!this.#inBody) return
    this.#skipping = true
    this.#skipped()
  }

  /** Drop all buffered bytes: nothing more will be read. */
  clear(): void {
    this.#chunks = []
    this.#length = 0
    this.#body = undefined
  }

  #skipped(): boolean {
    const piece = Math.min(this.#length, this.#remaining)
    this.#drop(piece)
    this.#remaining -= piece
    if (this.#remaining > 0) return false
    this.#ended(this.#body)
    return true
  }

  #ended<T>(body: T): T {
    this.#remaining = -1
    this.#inBody = false
    this.#skipping = false
    this.#body = undefined
    return body
  }

  /** The position of the first line feed among the first `most` bytes; -1 when none has arrived. */
  #find(most: number): number {
    let before = 0
    for (const chunk of this.#chunks) {
      if (before >= most) break
      const at = chunk.subarray(0, most - before).indexOf(0x0a)
      if (at !== -1) return before + at
      before += chunk.length
    }
    return -1
  }

  /** Remove and return the first `size` bytes. */
  #take(size: number): Buffer {
    const [first] = this.#chunks
    if (first === undefined || size === 0) return Buffer.alloc(0)
    if (first.length >= size) {
      const taken = first.subarray(0, size)
      this.#drop(size)
      return taken
    }
    const taken = Buffer.concat(this.#chunks, size)
    this.#drop(size)
    return taken
  }

  #drop(size: number): void {
    this.#length -= size
    let left = size
    let whole = 0
    for (const chunk of this.#chunks) {
      if (chunk.length > left) break
      left -= chunk.length
      whole++
    }
    if (whole > 0) this.#chunks.splice(0, whole)
    const [first] = this.#chunks
    if (left > 0 && first !== undefined) this.#chunks[0] = first.subarray(left)
  }
}
