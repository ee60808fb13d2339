const NOTHING = Buffer.alloc(0)

/**
 * Collects the bytes of a body, up to a limit.
 *
 * Chunks are copied into one buffer. Keeping them would make a sender of single bytes cost far more than it sends.
 */
export class BodyBuffer {
  #bytes: Buffer = NOTHING
  #length = 0

  constructor(private readonly limit: number) {}

  /** @returns whether the chunk fits; if not, all bytes are dropped */
  add(chunk: Buffer): boolean {
    const length = this.#length + chunk.length
    if (length > this.limit) {
      this.#bytes = NOTHING
      this.#length = 0
      return false
    }
    if (this.#length === 0) {
      // Most bodies arrive in one chunk.
      this.#bytes = chunk
    } else {
      if (length > this.#bytes.length) {
        const larger = Buffer.allocUnsafeSlow(Math.min(this.limit, 2 * length))
        this.#bytes.copy(larger, 0, 0, this.#length)
        this.#bytes = larger
      }
      chunk.copy(this.#bytes, this.#length)
    }
    this.#length = length
    return true
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
