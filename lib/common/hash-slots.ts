/**
 * How many slots a Redis Cluster has; see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
 */
export const SLOTS = 16_384

/**
 * The hash tag of a key, by the rule of Redis Cluster: the text between the first `{` and the first `}` behind it.
 * `undefined` when there is no such pair or the text is empty: then the slot is that of the whole key.
 */
export function hashTagOf(key: string): string | undefined {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  return close > open + 1 ? key.slice(open + 1, close) : undefined
}

/** The slot of a key without a hash tag, or of a hash tag: CRC16 (XMODEM), as in Redis Cluster. */
export function slotOf(key: string): number {
  let crc = 0
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff
  }
  return crc % SLOTS
}
