/** The number of small maps; a power of two. */
export const PARTS = 64

/**
 * A map of strings for millions of entries, made of many small maps.
 *
 * A full map is copied into one of twice the size. With a million entries, that blocks the process for 100 ms.
 */
export class BigMap<V> {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<string, V>())
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    // Most maps of a server without users, groups or a full Redis are empty, and are asked for each spark.
    if (this.#size === 0) return undefined
    return this.#part(key).get(key)
  }

  has(key: string): boolean {
    return this.#size > 0 && this.#part(key).has(key)
  }

  set(key: string, value: V): void {
    const part = this.#part(key)
    const before = part.size
    part.set(key, value)
    this.#size += part.size - before
  }

  delete(key: string): boolean {
    if (this.#size === 0) return false
    const deleted = this.#part(key).delete(key)
    if (deleted) this.#size--
    return deleted
  }

  /** All keys. Those that are set or deleted meanwhile may or may not be included. */
  *keys(): Generator<string, undefined> {
    for (const part of this.#parts) yield* part.keys()
    return undefined
  }

  /** All entries. Those that are set or deleted meanwhile may or may not be included. */
  *[Symbol.iterator](): Generator<[string, V], undefined> {
    for (const part of this.#parts) yield* part
    return undefined
  }

  clear(): void {
    for (const part of this.#parts) part.clear()
    this.#size = 0
  }

  #part(key: string): Map<string, V> {
    return this.#parts[partOf(key)] as Map<string, V>
  }
}

/**
 * Which of the small maps has a key.
 *
 * It depends on the last characters, where consecutive ids of an application differ, and on two in the middle: the last
 * characters of an id with a tag name its server, and are the same for all of its sparks.
 */
export function partOf(key: string): number {
  const last = key.length - 1
  const middle = last >> 1
  const end = key.charCodeAt(last) + 7 * key.charCodeAt(last - 1) + 31 * key.charCodeAt(last - 2)
  return (end + 13 * key.charCodeAt(middle) + 3 * key.charCodeAt(middle - 1)) & (PARTS - 1)
}
