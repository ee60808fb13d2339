import { pushTo } from '../common/multimap'
import { SLOTS, slotOf } from '../common/hash-slots'

/**
 * Splits the registry of a cluster into several, side by side.
 *
 * Each has a namespace of its own with a hash tag. The tags are spread evenly over the 16384 slots of Redis Cluster, so
 * masters with equal shares of the slots get equal shares of the registries. Other programs find sparks by these rules.
 */

/**
 * The namespaces of the registries of a cluster. A single registry has the given one; each of several adds a hash tag.
 *
 * The n-th tag is the smallest whole number, from 0 up, whose slot lies in the n-th equal part of the slots.
 */
export function namespaces(namespace: string, shards: number): string[] {
  if (shards === 1) return [namespace]
  const tags = new Array<string>(shards)
  for (let tag = 0, missing = shards; missing > 0; tag++) {
    const part = Math.floor((slotOf(String(tag)) * shards) / SLOTS)
    if (tags[part] !== undefined) continue
    tags[part] = String(tag)
    missing--
  }
  return tags.map(tag => `${namespace}:{${tag}}`)
}

/**
 * The number of the registry of an id, counted from 0.
 *
 * It is FNV-1a of 32 bits over the UTF-8 of the id, its halves folded by XOR, modulo the number of registries.
 * See http://www.isthe.com/chongo/tech/comp/fnv/
 */
export function shardOf(id: string, shards: number): number {
  if (shards === 1) return 0
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (((hash >>> 16) ^ (hash & 0xffff)) >>> 0) % shards
}

/**
 * Ask the part of each key about it, all parts at once.
 *
 * @param parts one for each registry
 * @returns the answers in the order of the keys
 */
export async function eachOf<P, T>(
  parts: readonly P[],
  keys: readonly string[],
  ask: (part: P, keys: readonly string[]) => Promise<T[]>
): Promise<T[]> {
  if (keys.length === 0) return []
  const partOf = (key: string): P => parts[shardOf(key, parts.length)] as P
  if (parts.length === 1 || keys.length === 1) return ask(partOf(keys[0] ?? ''), keys)
  const groups = new Map<P, number[]>()
  keys.forEach((key, i) => {
    pushTo(groups, partOf(key), i)
  })
  const answers = new Array<T>(keys.length)
  await Promise.all(
    [...groups].map(async ([part, positions]) => {
      const found = await ask(
        part,
        positions.map(at => keys[at] ?? '')
      )
      positions.forEach((at, i) => {
        answers[at] = found[i] as T
      })
    })
  )
  return answers
}
