/** As much as a frame may hold besides its body, in bytes: a line of a head and a content type. */
export const LINE = 2048

/** A body of at most this size is copied behind its line, in bytes: one small write is cheaper than two. */
const SMALL = 16_384

/** What comes in is no sequence of frames, or one of them may not come, or is larger than what is taken. */
export class BadFrame extends Error {
  constructor(readonly tooLarge: boolean, reason: string) {
    super(reason)
  }
}

/**
 * One frame: 4 bytes with the length of what follows, a line, and a body. In pieces, to be written one after the other.
 *
 * @throws RangeError for a line that could not be told from the body, or from the next line
 */
export function frame(line: string, body: Buffer): Buffer[] {
  if (line.length >= LINE || !/^[\x20-\x7e]*$/.test(line)) throw new RangeError(`A line of a frame must be printable ASCII, of less than ${LINE} characters.`)
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
 * Reads frames out of bytes that come in whatever pieces they like.
 *
 * `push` what has come. Then ask for the `line` of a frame, which is there before its body has come; then for the `body`, or
 * `skip` it. `undefined` says that more has to come. Nothing beyond the bounds is ever kept.
 */
export class FrameReader {
  /** What has come and was not asked for yet; little, unless it is read more slowly than it comes. */
  #chunks: Buffer[] = []
  #length = 0
  /** How much of the frame that has begun is still to come behind what was taken of it; -1 before its length is known. */
  #rest = -1
  /** A line was given out, so that a body comes next. */
  #inBody = false
  /** A body that comes in several pieces, and how much of it is there. */
  #body: Buffer | undefined
  #filled = 0
  #skipping = false

  /** @param largest the largest body that is taken, in bytes */
  constructor(private readonly largest: number) {}

  /** Whether a frame has begun to come, and is not there as a whole. */
  get within(): boolean {
    return this.#length > 0 || this.#rest !== -1
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /**
   * The line of the next frame.
   *
   * @throws BadFrame when this is none, or it is too large
   */
  line(): string | undefined {
    if (this.#skipping && !this.#skipped()) return undefined
    if (this.#rest === -1) {
      if (this.#length < 4) return undefined
      this.#rest = this.#take(4).readUInt32BE(0)
      if (this.#rest > this.largest + LINE) throw new BadFrame(true, `A frame is larger than ${this.largest} bytes.`)
    }
    const most = Math.min(this.#rest, LINE)
    const found = this.#find(most)
    if (found === -1) {
      if (this.#length >= most) throw new BadFrame(false, 'A frame does not begin with a line.')
      return undefined
    }
    const line = this.#take(found + 1).toString('latin1', 0, found)
    this.#rest -= found + 1
    if (this.#rest > this.largest) throw new BadFrame(true, `A body is larger than ${this.largest} bytes.`)
    this.#inBody = true
    return line
  }

  /** The body behind the line that was given out last. */
  body(): Buffer | undefined {
    if (!this.#inBody) return undefined
    if (this.#body === undefined) {
      if (this.#length >= this.#rest) return this.#ended(this.#take(this.#rest))
      // Filled piece by piece: a sender of single bytes must not cost us a buffer for each.
      this.#body = Buffer.allocUnsafeSlow(this.#rest)
      this.#filled = 0
    }
    const body = this.#body
    const piece = this.#take(Math.min(this.#length, body.length - this.#filled))
    piece.copy(body, this.#filled)
    this.#filled += piece.length
    return this.#filled === body.length ? this.#ended(body) : undefined
  }

  /** Throw away the body behind the line that was given out last, as it comes. */
  skip(): void {
    if (!this.#inBody) return
    this.#skipping = true
    this.#skipped()
  }

  /** Throw away all that is kept: nothing more will be asked for. */
  clear(): void {
    this.#chunks = []
    this.#length = 0
    this.#body = undefined
  }

  #skipped(): boolean {
    const piece = Math.min(this.#length, this.#rest)
    this.#drop(piece)
    this.#rest -= piece
    if (this.#rest > 0) return false
    this.#ended(this.#body)
    return true
  }

  #ended<T>(body: T): T {
    this.#rest = -1
    this.#inBody = false
    this.#skipping = false
    this.#body = undefined
    return body
  }

  /** Where the first line feed is among the first `most` bytes; -1 when there is none, or none yet. */
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

  /** The first `size` bytes, of those that are there. */
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
