import cluster from 'node:cluster'
import { hostname } from 'node:os'
import Redis from 'ioredis'
import { checked } from './address'
import { milliseconds, refuseUnknown, whole } from './checks'
import { shown } from './errors'
import type { Listen, MaxQueue, MetroplexOptions, RedisClient, TlsOptions, UserOption } from './types'

/** Where a private listener is bound. */
export interface Listening extends Listen {
  /** Nobody asked for it: it is where the server that clients come to is, and reaches no further than that. */
  readonly beside: boolean
}

/** The options, checked and complete. */
export interface Settings {
  readonly redis: RedisClient
  /** Whether `redis` was opened by us, and is ours to close. */
  readonly ownRedis: boolean
  /** Without the colon that stands between it and the rest of a key. */
  readonly namespace: string
  readonly interval: number
  readonly latency: number
  /** `''`: to be read off the server. */
  readonly address: string
  readonly name: string
  readonly lease: number
  readonly timeout: number
  readonly maxBody: number
  readonly tls: TlsOptions | undefined
  readonly shards: number
  /** The first one signs; empty: what the servers have agreed upon. */
  readonly secrets: readonly string[]
  readonly maxQueue: MaxQueue
  readonly maxBuffered: number
  readonly listen: Listening | undefined
  /** Other processes listen where this one does, so that the place where it listens is no address of its own. */
  readonly shares: boolean
  /** The name of one of ours, or the application's own. */
  readonly transport: 'http' | 'redis' | object
  readonly omega: boolean
  readonly user: UserOption | undefined
}

/** The shortest time that a lease or an alive key may live, in ms: a beat has to fit in three times. */
const SHORTEST = 300

/** More registries than that would spend more on beats than they spare. */
const MOST_SHARDS = 256

const KNOWN = ['name', 'lease', 'secret', 'timeout', 'maxBody', 'maxQueue', 'maxBuffered', 'listen', 'transport', 'shards', 'user', 'omega', 'tls'] as const

/** A secret that is shorter could be guessed, in bytes. */
const SHORTEST_SECRET = 16

/**
 * Check the options and fill in the defaults.
 *
 * @throws TypeError or RangeError, in one sentence, with what was given and what is allowed
 */
export function settings(options: MetroplexOptions = {}): Settings {
  const own = options.metroplex ?? {}
  if (typeof own !== 'object' || Array.isArray(own) || options.metroplex as unknown === null) {
    throw new TypeError(`metroplex: \`metroplex\` must be an object with our options; given: ${shown(options.metroplex)}.`)
  }
  for (const key of Object.keys(own)) refuseUnknown('metroplex.', key, KNOWN)

  const interval = milliseconds('interval', options.interval, 300_000, SHORTEST)
  const latency = milliseconds('latency', options.latency, Math.min(2000, interval / 2), 0)
  if (latency >= interval) {
    throw new RangeError(`metroplex: \`latency\` must be less than \`interval\`; given: latency ${latency}, interval ${interval}.`)
  }
  const lease = milliseconds('metroplex.lease', own.lease, Math.min(interval, 15_000), SHORTEST)
  if (lease > interval) {
    throw new RangeError(`metroplex: \`metroplex.lease\` must not be more than \`interval\`; given: lease ${lease}, interval ${interval}.`)
  }
  const timeout = milliseconds('metroplex.timeout', own.timeout, 5000, 1)
  const maxBody = whole('metroplex.maxBody', own.maxBody, 10_485_760, 1024, 'bytes')
  const name = own.name ?? (process.env['METROPLEX_NAME'] || `${hostname()}:${process.pid}`)
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`metroplex: \`metroplex.name\` must be a string that is not empty; given: ${shown(name)}.`)
  }
  if (own.tls !== undefined && (typeof own.tls !== 'object' || own.tls as unknown === null)) {
    throw new TypeError(`metroplex: \`metroplex.tls\` must be an object such as { ca, cert, key, servername }; given: ${shown(own.tls)}.`)
  }

  const chosen = client(options.redis)
  const namespace = namespaceOf(options.namespace)
  const shards = whole('metroplex.shards', own.shards, 1, 1, 'registries', MOST_SHARDS)
  if (shards > 1 && /[{}]/.test(namespace)) {
    throw new TypeError(`metroplex: with \`metroplex.shards\` above 1 \`namespace\` must carry no braces, because each registry gets a hash tag of its own; given: ${shown(namespace)}.`)
  }
  if (shards === 1 && 'isCluster' in chosen.redis && chosen.redis.isCluster === true && !/\{[^}]+\}/.test(namespace)) {
    throw new TypeError(
      'metroplex: on Redis Cluster `namespace` must carry a hash tag, so that all keys of the registry lie in one slot: ' +
      `'{metroplex}' for instance. Or it must be split: \`metroplex: { shards: 16 }\`; given: ${shown(namespace)}.`
    )
  }

  const transport = transportOf(own.transport)
  const address = options.address === undefined || options.address === '' ? '' : checked(options.address)
  if (own.listen !== undefined && own.listen !== false && transport !== 'http') {
    throw new TypeError("metroplex: `metroplex.listen` is for the transport 'http' alone: leave one of the two out.")
  }
  if (own.omega !== undefined && own.omega !== 'auto' && own.omega as unknown !== false) {
    throw new TypeError(`metroplex: \`metroplex.omega\` must be 'auto' or false; given: ${shown(own.omega)}.`)
  }

  if (own.user !== undefined && typeof own.user !== 'function') {
    throw new TypeError(`metroplex: \`metroplex.user\` must be a function of a spark that returns the name of the user behind it; given: ${shown(own.user)}.`)
  }

  // Workers share the port that clients come to: peers would reach any of them there.
  const shares = cluster.isWorker && address === '' && own.listen !== false
  return {
    transport,
    user: own.user,
    secrets: secretsOf(own.secret),
    maxQueue: queueOf(own.maxQueue),
    maxBuffered: whole('metroplex.maxBuffered', own.maxBuffered, 67_108_864, 0, 'bytes'),
    listen: listenOf(own.listen, shares && transport === 'http'),
    shares,
    omega: own.omega !== false,
    namespace,
    interval, latency, lease, timeout, maxBody, name, shards,
    address,
    tls: own.tls,
    ...chosen
  }
}

/** @throws TypeError which says what to pass instead */
function client(redis: unknown): Pick<Settings, 'redis' | 'ownRedis'> {
  // A client of our own is opened by the first command alone: a Primus that only makes client
  // sockets loads its server's plugins too.
  if (redis === undefined || redis === null) return { redis: new Redis({ lazyConnect: true }), ownRedis: true }
  const given = redis as Partial<Record<string, unknown>>
  const fits = typeof redis === 'object' && typeof given['status'] === 'string' &&
    typeof given['duplicate'] === 'function' && typeof given['defineCommand'] === 'function'
  if (fits) return { redis: redis as RedisClient, ownRedis: false }
  const nodeRedis = typeof redis === 'object' && typeof given['sendCommand'] === 'function' && 'isOpen' in given
  throw new TypeError(
    `metroplex: \`redis\` must be an ioredis client, \`new Redis(url)\` or \`new Redis.Cluster(nodes)\` of the package 'ioredis'; ` +
    `given: ${nodeRedis ? "a client of the package 'redis' (node-redis), which has other commands" : shown(redis)}.`
  )
}

/** @throws TypeError or RangeError, which never shows what was given: it may nearly be the secret */
function secretsOf(given: unknown): string[] {
  const found = given ?? (process.env['METROPLEX_SECRET'] || undefined)
  if (found === undefined) return []
  const list: unknown[] = Array.isArray(found) ? found : [found]
  const allowed = `metroplex: \`metroplex.secret\` must be a string of at least ${SHORTEST_SECRET} bytes, or an array of such strings of which the first signs`
  if (list.length === 0) throw new TypeError(`${allowed}; given: an empty array.`)
  for (const secret of list) {
    if (typeof secret !== 'string') throw new TypeError(`${allowed}; given: ${typeof secret}.`)
    const bytes = Buffer.byteLength(secret)
    if (bytes < SHORTEST_SECRET) throw new RangeError(`${allowed}; given: one of ${bytes} bytes.`)
  }
  return list as string[]
}

function queueOf(given: unknown): MaxQueue {
  const standard = { messages: 100_000, bytes: 67_108_864, total: 268_435_456 }
  if (given === undefined) return standard
  const known = Object.keys(standard)
  if (typeof given !== 'object' || given === null || Object.keys(given).some(key => !known.includes(key))) {
    throw new TypeError(`metroplex: \`metroplex.maxQueue\` must be an object such as { messages: 100000, bytes: 67108864, total: 268435456 }; given: ${shown(given)}.`)
  }
  const { messages, bytes, total } = given as Partial<Record<string, unknown>>
  return {
    messages: whole('metroplex.maxQueue.messages', messages, standard.messages, 1, 'messages'),
    bytes: whole('metroplex.maxQueue.bytes', bytes, standard.bytes, 1024, 'bytes'),
    total: whole('metroplex.maxQueue.total', total, standard.total, 1024, 'bytes')
  }
}

function listenOf(given: unknown, needed: boolean): Listening | undefined {
  if (given === undefined) return needed ? { beside: true } : undefined
  if (given === false) return undefined
  const { host, port = 0 } = (typeof given === 'object' && given !== null ? given : {}) as Partial<Record<string, unknown>>
  const fits = typeof given === 'object' && given !== null && (host === undefined || (typeof host === 'string' && host !== '')) &&
    Number.isInteger(port) && (port as number) >= 0 && (port as number) < 65_536
  if (!fits) throw new TypeError(`metroplex: \`metroplex.listen\` must be an object such as { host: '10.0.0.5', port: 9001 }, or false; given: ${shown(given)}.`)
  return { ...typeof host === 'string' && { host }, port: port as number, beside: false }
}

const TRANSPORT = ['open', 'greet', 'send', 'release', 'close'] as const

function transportOf(given: unknown): 'http' | 'redis' | object {
  if (given === undefined) return 'http'
  if (given === 'http' || given === 'redis') return given
  const own = given as Partial<Record<string, unknown>> | null
  if (typeof own === 'object' && own !== null && typeof own['name'] === 'string' && TRANSPORT.every(method => typeof own[method] === 'function')) {
    const { body, batch } = (own['limits'] ?? {}) as Partial<Record<string, unknown>>
    // Without them each message would fail, and none of them would say why.
    if (Number(body) > 0 && Number(batch) > 0) return own
    throw new TypeError('metroplex: the `limits` of `metroplex.transport` must be an object of two numbers above 0, { body, batch }, in bytes.')
  }
  throw new TypeError(`metroplex: \`metroplex.transport\` must be 'http', 'redis', or an object with \`name\`, \`limits\` and the methods ${TRANSPORT.join(', ')}; given: ${shown(given)}.`)
}

function namespaceOf(given: unknown): string {
  if (given === undefined) return 'metroplex'
  if (typeof given === 'string' && given !== '') return given
  throw new TypeError(`metroplex: \`namespace\` must be a string that is not empty; given: ${shown(given)}.`)
}
