/** How many maps there are in one; a power of two. */
const PARTS = 64

/**
 * A map of strings that may have millions of entries: many small maps.
 *
 * A map that is full is copied into one of twice the size in one go. With a million entries, that stops the process for a tenth of a second.
 */
export class BigMap<V> {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<string, V>())
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    return this.#part(key).get(key)
  }

  has(key: string): boolean {
    return this.#part(key).has(key)
  }

  set(key: string, value: V): void {
    const part = this.#part(key)
    const before = part.size
    part.set(key, value)
    this.#size += part.size - before
  }

  delete(key: string): boolean {
    const deleted = this.#part(key).delete(key)
    if (deleted) this.#size--
    return deleted
  }

  /** All keys; those that are set or deleted meanwhile may or may not be among them. */
  *keys(): Generator<string, undefined> {
    for (const part of this.#parts) yield* part.keys()
    return undefined
  }

  /** All of them; those that are set or deleted meanwhile may or may not be among them. */
  *[Symbol.iterator](): Generator<[string, V], undefined> {
    for (const part of this.#parts) yield* part
    return undefined
  }

  clear(): void {
    for (const part of this.#parts) part.clear()
    this.#size = 0
  }

  /** By its last characters: ids that an application counts differ there, too. */
  #part(key: string): Map<string, V> {
    const last = key.length - 1
    const hash = key.charCodeAt(last) + 7 * key.charCodeAt(last - 1) + 31 * key.charCodeAt(last - 2)
    return this.#parts[hash & (PARTS - 1)] as Map<string, V>
  }
}
