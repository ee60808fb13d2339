import { BigMap } from './big-map'

/** A map of strings to several strings each, for millions of entries. It is never empty for a key that it has. */
export class BigMultimap {
  /** Most keys have one value, for which a string needs far less memory than a set. */
  readonly #values = new BigMap<string | Set<string>>()
  #size = 0

  /** How many pairs of a key and a value there are. */
  get size(): number {
    return this.#size
  }

  /** How many keys have a value. */
  get keys(): number {
    return this.#values.size
  }

  has(key: string, value: string): boolean {
    const entry = this.#values.get(key)
    return typeof entry === 'string' ? entry === value : entry?.has(value) === true
  }

  /** How many values a key has. */
  count(key: string): number {
    const entry = this.#values.get(key)
    return entry === undefined ? 0 : typeof entry === 'string' ? 1 : entry.size
  }

  /** The values of a key. */
  get(key: string): string[] {
    const entry = this.#values.get(key)
    return entry === undefined ? [] : typeof entry === 'string' ? [entry] : [...entry]
  }

  /** @returns whether the pair is new */
  add(key: string, value: string): boolean {
    const entry = this.#values.get(key)
    if (this.has(key, value)) return false
    if (entry === undefined) this.#values.set(key, value)
    else if (typeof entry === 'string') this.#values.set(key, new Set([entry, value]))
    else entry.add(value)
    this.#size++
    return true
  }

  /** @returns whether the pair was there */
  delete(key: string, value: string): boolean {
    const entry = this.#values.get(key)
    if (!this.has(key, value)) return false
    if (typeof entry !== 'object' || entry.size === 1) this.#values.delete(key)
    else entry.delete(value)
    this.#size--
    return true
  }

  /** All keys, and how many values each has. Those that change meanwhile may or may not be included. */
  *counts(): Generator<[key: string, count: number], undefined> {
    for (const [key, entry] of this.#values) yield [key, typeof entry === 'string' ? 1 : entry.size]
    return undefined
  }

  /** All pairs of a key and a value. Those that are added or removed meanwhile may or may not be included. */
  *[Symbol.iterator](): Generator<[key: string, value: string], undefined> {
    for (const [key, entry] of this.#values) {
      if (typeof entry === 'string') yield [key, entry]
      else for (const value of entry) yield [key, value]
    }
    return undefined
  }
}
