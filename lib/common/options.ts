import cluster from 'node:cluster'
import Redis from 'ioredis'
import { checkAddress, hostName } from './address'
import { balanceOption, functionOrNone, milliseconds, plainInfo, queueOf, refuseUnknown, whole } from './validate'
import { userLimit, type UserLimit } from './validate'
import { inspectValue } from './errors'
import { isClient, isCluster, keyPrefixOf } from './ioredis-client'
import { hashTagOf } from './hash-slots'
import { transportOf } from './transport-contract'
import type { BalanceTerms, GroupsOption, Listen, MaxQueue, MetroplexOptions, RedisClient } from './types'
import type { TlsOptions, UserOption } from './types'

/** Where the private listener is bound. */
export interface ListenSettings extends Listen {
  /** The listener was not requested: a worker of node:cluster needs one. It uses the interface of the public port. */
  readonly beside: boolean
}

/** All options, checked and with defaults. */
export interface Settings {
  readonly redis: RedisClient
  /** Whether we opened `redis`, so that we close it. */
  readonly ownRedis: boolean
  /** Without the colon that joins it to the rest of a key. */
  readonly namespace: string
  readonly interval: number
  readonly latency: number
  /** `''`: read it off the server. */
  readonly address: string
  readonly name: string
  readonly lease: number
  readonly timeout: number
  readonly maxBody: number
  readonly tls: TlsOptions | undefined
  readonly shards: number
  /** The first one signs. Empty: the servers agree on one in Redis. */
  readonly secrets: readonly string[]
  readonly maxQueue: MaxQueue
  readonly maxBuffered: number
  readonly listen: ListenSettings | undefined
  /** Other processes share this one's port, so that the port gives no address of its own. */
  readonly shares: boolean
  /** The name of one of our transports, or the application's own. */
  readonly transport: 'http' | 'redis' | object
  readonly omega: boolean
  readonly user: UserOption | undefined
  readonly groups: GroupsOption | undefined
  readonly grace: number | undefined
  readonly limit: UserLimit | undefined
  readonly info: unknown
  /** How this server evens out its sparks by itself; `undefined`: it does not. */
  readonly balance: BalanceTerms | undefined
}

/** The shortest lease or life of an alive key, in ms: three beats have to fit into it. */
const SHORTEST = 300

/** More registries than that would cost more beats than they save. */
const MOST_SHARDS = 256

const KNOWN = [
  'name',
  'lease',
  'secret',
  'timeout',
  'maxBody',
  'maxQueue',
  'maxBuffered',
  'listen',
  'transport',
  'shards',
  'user',
  'groups',
  'grace',
  'limit',
  'info',
  'balance',
  'omega',
  'tls'
] as const

/** The shortest secret, in bytes: a shorter one could be guessed. */
const SHORTEST_SECRET = 16

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError or RangeError that names the value and what is allowed
 */
export function settings(options: MetroplexOptions = {}): Settings {
  const own = options.metroplex ?? {}
  if (typeof own !== 'object' || Array.isArray(own) || (options.metroplex as unknown) === null) {
    throw new TypeError(
      `metroplex: \`metroplex\` must be an object with our options; given: ${inspectValue(options.metroplex)}.`
    )
  }
  for (const key of Object.keys(own)) refuseUnknown('metroplex.', key, KNOWN)

  const interval = milliseconds('interval', options.interval, 300_000, SHORTEST)
  const latency = milliseconds('latency', options.latency, Math.min(2000, interval / 2), 0)
  if (latency >= interval) {
    throw new RangeError(
      `metroplex: \`latency\` must be less than \`interval\`; given: latency ${latency}, interval ${interval}.`
    )
  }
  const lease = milliseconds('metroplex.lease', own.lease, Math.min(interval, 15_000), SHORTEST)
  if (lease > interval) {
    throw new RangeError(
      `metroplex: \`metroplex.lease\` must not be more than \`interval\`; given: lease ${lease}, interval ${interval}.`
    )
  }
  const timeout = milliseconds('metroplex.timeout', own.timeout, 5000, 1)
  const maxBody = whole('metroplex.maxBody', own.maxBody, 10_485_760, 1024, 'bytes')
  const name = own.name ?? (process.env['METROPLEX_NAME'] || processName())
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(
      `metroplex: \`metroplex.name\` must be a string that is not empty; given: ${inspectValue(name)}.`
    )
  }
  if (own.tls !== undefined && (typeof own.tls !== 'object' || (own.tls as unknown) === null)) {
    throw new TypeError(
      'metroplex: `metroplex.tls` must be an object such as { ca, cert, key, servername }; ' +
        `given: ${inspectValue(own.tls)}.`
    )
  }

  const chosen = defaultClient(options.redis)
  const namespace = namespaceOf(options.namespace)
  const shards = whole('metroplex.shards', own.shards, 1, 1, 'registries', MOST_SHARDS)
  if (shards > 1 && /[{}]/.test(namespace)) {
    throw new TypeError(
      'metroplex: with `metroplex.shards` above 1 `namespace` must carry no braces, because each ' +
        `registry gets a hash tag of its own; given: ${inspectValue(namespace)}.`
    )
  }
  if (isCluster(chosen.redis)) refuseSlots(keyPrefixOf(chosen.redis), namespace, shards)

  const transport = transportOf(own.transport)
  const address = options.address === undefined || options.address === '' ? '' : checkAddress(options.address)
  if (own.listen !== undefined && own.listen !== false && transport !== 'http') {
    throw new TypeError("metroplex: `metroplex.listen` is for the transport 'http' alone: leave one of the two out.")
  }
  if (own.omega !== undefined && own.omega !== 'auto' && (own.omega as unknown) !== false) {
    throw new TypeError(`metroplex: \`metroplex.omega\` must be 'auto' or false; given: ${inspectValue(own.omega)}.`)
  }

  // Workers share the public port: a peer would reach any of them there.
  const shares = cluster.isWorker && address === '' && own.listen !== false
  return {
    transport,
    user: functionOrNone('metroplex.user', own.user, 'the name of the user behind it'),
    groups: functionOrNone('metroplex.groups', own.groups, 'the names of its groups'),
    grace: own.grace === undefined ? undefined : milliseconds('metroplex.grace', own.grace, 0, 0),
    limit: userLimit(own.limit),
    info: typeof own.info === 'function' ? own.info : plainInfo(own.info),
    balance: balanceOption(own.balance),
    secrets: secretsOf(own.secret),
    maxQueue: queueOf(own.maxQueue),
    maxBuffered: whole('metroplex.maxBuffered', own.maxBuffered, 67_108_864, 0, 'bytes'),
    listen: listenOf(own.listen, shares && transport === 'http'),
    shares,
    omega: own.omega !== false,
    namespace,
    interval,
    latency,
    lease,
    timeout,
    maxBody,
    name,
    shards,
    address,
    tls: own.tls,
    ...chosen
  }
}

/** What names this process where no name is given: `host:pid`. */
export function processName(): string {
  return `${hostName() || 'unknown'}:${process.pid}`
}

/**
 * Checks that on Redis Cluster all keys of one registry lie in one slot, and those of several registries in several.
 *
 * @throws TypeError when the client's prefix and the namespace together break this
 */
function refuseSlots(keyPrefix: string, namespace: string, shards: number): void {
  const given =
    keyPrefix === ''
      ? inspectValue(namespace)
      : `${inspectValue(namespace)}, behind the client's keyPrefix ${inspectValue(keyPrefix)}`
  if (shards === 1 && hashTagOf(`${keyPrefix}${namespace}:`) === undefined) {
    throw new TypeError(
      'metroplex: on Redis Cluster `namespace` must carry a hash tag, so that all keys of the ' +
        'registry lie in one slot: ' +
        `'{metroplex}' for instance. Or it must be split: \`metroplex: { shards: 16 }\`; given: ${given}.` +
        (given.includes('{')
          ? ' Redis goes by the first `{` of the key and the first `}` behind it; with nothing between ' +
            'them there is no tag.'
          : '')
    )
  }
  // The first brace of a key decides. With a brace in the prefix, the hash tags of the registries have no effect.
  if (shards > 1 && keyPrefix.includes('{')) {
    throw new TypeError(
      'metroplex: with `metroplex.shards` above 1 the `keyPrefix` of the client must carry no `{`, ' +
        'because each registry gets a hash tag ' +
        `of its own behind it; given: ${given}.`
    )
  }
}

/** @throws TypeError that says what to pass instead */
function defaultClient(redis: unknown): Pick<Settings, 'redis' | 'ownRedis'> {
  // Our own client connects with its first command. A Primus that only makes client sockets loads the plugins of its
  // server too, and must open no connection.
  if (redis === undefined || redis === null) return { redis: ownClient(), ownRedis: true }
  if (isClient(redis)) return { redis, ownRedis: false }
  const given = redis as Partial<Record<string, unknown>>
  const nodeRedis = typeof redis === 'object' && typeof given['sendCommand'] === 'function' && 'isOpen' in given
  throw new TypeError(
    'metroplex: `redis` must be an ioredis client, `new Redis(url)` or `new ' +
      "Redis.Cluster(nodes)` of the package 'ioredis'; " +
      `given: ${nodeRedis ? "a client of the package 'redis' (node-redis), with other commands" : inspectValue(redis)}.`
  )
}

/**
 * A client for an application that passed none. A bundler or a test may have replaced ioredis by a mock.
 *
 * @throws TypeError as for a client that was passed
 */
function ownClient(): RedisClient {
  let made: unknown
  try {
    made = new Redis({ lazyConnect: true })
  } catch (error) {
    made = error
  }
  if (isClient(made)) return made
  throw new TypeError(
    "metroplex: without the option `redis`, the package 'ioredis' must make an ioredis client; it " +
      'seems to be replaced, by a mock for ' +
      'instance: pass `redis`, a client of the real package; ' +
      `given: ${made instanceof Error ? made.message.replace(/\.$/, '') : inspectValue(made)}.`
  )
}

/** @throws TypeError or RangeError that never shows the value: it may be almost the secret */
function secretsOf(given: unknown): string[] {
  const found = given ?? (process.env['METROPLEX_SECRET'] || undefined)
  if (found === undefined) return []
  const list: unknown[] = Array.isArray(found) ? found : [found]
  const allowed =
    `metroplex: \`metroplex.secret\` must be a string of at least ${SHORTEST_SECRET} bytes, or an ` +
    'array of such strings of which the first signs'
  if (list.length === 0) throw new TypeError(`${allowed}; given: an empty array.`)
  for (const secret of list) {
    if (typeof secret !== 'string') throw new TypeError(`${allowed}; given: ${typeof secret}.`)
    const bytes = Buffer.byteLength(secret)
    if (bytes < SHORTEST_SECRET) throw new RangeError(`${allowed}; given: one of ${bytes} bytes.`)
  }
  return list as string[]
}

function listenOf(given: unknown, needed: boolean): ListenSettings | undefined {
  if (given === undefined) return needed ? { beside: true } : undefined
  if (given === false) return undefined
  const { host, port = 0 } = (typeof given === 'object' && given !== null ? given : {}) as Partial<
    Record<string, unknown>
  >
  const fits =
    typeof given === 'object' &&
    given !== null &&
    (host === undefined || (typeof host === 'string' && host !== '')) &&
    Number.isInteger(port) &&
    (port as number) >= 0 &&
    (port as number) < 65_536
  if (!fits)
    throw new TypeError(
      "metroplex: `metroplex.listen` must be an object such as { host: '10.0.0.5', port: 9001 }, " +
        `or false; given: ${inspectValue(given)}.`
    )
  return { ...(typeof host === 'string' && { host }), port: port as number, beside: false }
}

function namespaceOf(given: unknown): string {
  if (given === undefined) return 'metroplex'
  if (typeof given === 'string' && given !== '') return given
  throw new TypeError(`metroplex: \`namespace\` must be a string that is not empty; given: ${inspectValue(given)}.`)
}
