const NOTHING = Buffer.alloc(0)

/**
 * Bytes that come in pieces, as many as are allowed and no more.
 *
 * A sender of single bytes costs no more than what it sends: pieces are not kept, but copied together.
 */
export class Gathered {
  #bytes: Buffer = NOTHING
  #length = 0

  constructor(private readonly most: number) {}

  /** @returns whether there is room for them; if not, all is thrown away */
  add(piece: Buffer): boolean {
    const length = this.#length + piece.length
    if (length > this.most) {
      this.#bytes = NOTHING
      this.#length = 0
      return false
    }
    if (this.#length === 0) {
      // Mostly there is but one piece.
      this.#bytes = piece
    } else {
      if (length > this.#bytes.length) {
        const larger = Buffer.allocUnsafeSlow(Math.min(this.most, 2 * length))
        this.#bytes.copy(larger, 0, 0, this.#length)
        this.#bytes = larger
      }
      piece.copy(this.#bytes, this.#length)
    }
    this.#length = length
    return true
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
