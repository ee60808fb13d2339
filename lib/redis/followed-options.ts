import type { Redis } from 'ioredis'

/** The options for address and authentication. ioredis reads them for each connection. */
const FOLLOWED = [
  'path',
  'host',
  'port',
  'family',
  'tls',
  'username',
  'password',
  'name',
  'natMap',
  'sentinelUsername',
  'sentinelPassword',
  'sentinelTLS',
  'enableTLSForSentinelMode'
] as const

/**
 * Make our client read address and credentials from the client of the application each time it connects.
 *
 * An application that rotates a password or renews a token sets `redis.options.password`, which ioredis reads when it
 * reconnects. A copy of the options would keep the old one for ever.
 */
export function followOptions(ours: Redis, user: Redis): void {
  for (const name of FOLLOWED) {
    const get = (): unknown => (user.options as Record<string, unknown>)[name]
    Object.defineProperty(ours.options, name, { get, enumerable: true, configurable: true })
  }
}
