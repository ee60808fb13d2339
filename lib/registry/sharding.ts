import { file } from '../message'

/**
 * How one cluster's registry is split into several, side by side.
 *
 * Each has a namespace of its own with a hash tag, and the tags lie evenly on the 16384 slots of Redis Cluster, so that masters
 * with equal shares of the slots get equal shares of the registries. Both rules are public: other programs find a spark by them.
 */

/** Slots of a Redis Cluster; see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
const SLOTS = 16_384

/**
 * The namespaces of the registries of a cluster: the given one for a single registry, else one with a hash tag for each.
 *
 * The n-th tag is the smallest whole number, counted from 0, whose slot lies in the n-th equal part of the slots.
 */
export function namespaces(namespace: string, shards: number): string[] {
  if (shards === 1) return [namespace]
  const tags = new Array<string>(shards)
  for (let tag = 0, missing = shards; missing > 0; tag++) {
    const part = Math.floor(slotOf(String(tag)) * shards / SLOTS)
    if (tags[part] !== undefined) continue
    tags[part] = String(tag)
    missing--
  }
  return tags.map(tag => `${namespace}:{${tag}}`)
}

/**
 * The number of the registry an id lies in, counted from 0: FNV-1a of 32 bits over its UTF-8, its halves folded by XOR, modulo
 * the number of registries. See http://www.isthe.com/chongo/tech/comp/fnv/
 */
export function shardOf(id: string, shards: number): number {
  if (shards === 1) return 0
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, 0x01000193)
  return ((hash >>> 16 ^ hash & 0xffff) >>> 0) % shards
}

/** Ask something of the parts that keys lie in, of which there is one for each registry; the answers are in the order of the keys. */
export async function eachOf<P, T>(parts: readonly P[], keys: readonly string[], ask: (part: P, keys: readonly string[]) => Promise<T[]>): Promise<T[]> {
  if (keys.length === 0) return []
  const partOf = (key: string): P => parts[shardOf(key, parts.length)] as P
  if (parts.length === 1 || keys.length === 1) return ask(partOf(keys[0] ?? ''), keys)
  const groups = new Map<P, number[]>()
  keys.forEach((key, i) => { file(groups, partOf(key), i) })
  const answers = new Array<T>(keys.length)
  await Promise.all([...groups].map(async ([part, positions]) => {
    const found = await ask(part, positions.map(at => keys[at] ?? ''))
    positions.forEach((at, i) => { answers[at] = found[i] as T })
  }))
  return answers
}

/** The slot of a key without a hash tag, or of a hash tag: CRC16 (XMODEM), as Redis Cluster has it. */
export function slotOf(key: string): number {
  let crc = 0
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff
  }
  return crc % SLOTS
}
