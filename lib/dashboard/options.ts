import type { IncomingMessage } from 'node:http'
import { inspectValue } from '../common/errors'
import { isClient, isCluster } from '../common/ioredis-client'
import { settings } from '../common/options'
import type { ClientOptions, RedisClient } from '../common/types'
import { refuseUnknown } from '../common/validate'
import type { SurveyTerms } from '../survey/operator-session'

/** Options of `dashboard`. */
export interface DashboardOptions {
  /** A client of the Redis of the cluster. Its options are used for further connections; it is not closed. */
  readonly redis: RedisClient
  /** The option `namespace` of the servers. @default 'metroplex' */
  readonly namespace?: string
  /**
   * What the servers have in common: `secret`, if they have one; `shards`, which is read from Redis otherwise; and
   * `timeout`, how long to wait for Redis and for each server, in ms, 2000 by default.
   */
  readonly metroplex?: Pick<NonNullable<ClientOptions['metroplex']>, 'secret' | 'shards' | 'timeout'>
  /** The path under which the application receives the requests, as `'/cluster'`. @default '/' */
  readonly path?: string
  /** The name of the environment, which the page shows: in red, when it is `production`. @default none */
  readonly environment?: string
  /** Whether the page only shows, and neither sends nor ends nor drains. @default false */
  readonly readOnly?: boolean
  /** What a user of the page has to give: 16 characters or more. @default none */
  readonly token?: string
  /**
   * Decides whether a request is answered; for an application that knows its users. Without `token` and `authorize`
   * only requests from this machine are answered.
   *
   * @default all requests that have the token
   */
  readonly authorize?: (req: IncomingMessage) => boolean | Promise<boolean>
  /** Names under which browsers reach the page, besides `localhost` and addresses. @default none */
  readonly hosts?: readonly string[]
}

/** The options, checked and with defaults. */
export interface DashboardSettings {
  readonly redis: RedisClient
  readonly survey: SurveyTerms
  /** `''` for the root; else it begins with a slash, and ends without one. */
  readonly path: string
  readonly environment: string
  readonly readOnly: boolean
  readonly token: string | undefined
  readonly authorize: DashboardOptions['authorize']
  readonly hosts: ReadonlySet<string>
}

const KNOWN = [
  'redis',
  'namespace',
  'metroplex',
  'path',
  'environment',
  'readOnly',
  'token',
  'authorize',
  'hosts'
] as const
const SURVEYED = ['secret', 'shards', 'timeout'] as const

/** How long to wait for Redis and for each server if no other time is given, in ms. */
const TIMEOUT = 2000
/** A shorter token could be guessed. */
const SHORTEST_TOKEN = 16

/** @throws TypeError or RangeError that names the value and what is allowed */
export function dashboardSettings(options: unknown): DashboardSettings {
  if (typeof options !== 'object' || options === null)
    throw new TypeError(
      `metroplex: the options of a dashboard must be an object such as { redis, namespace }; ` +
        `given: ${inspectValue(options)}.`
    )
  for (const key of Object.keys(options)) refuseUnknown('', key, KNOWN)
  const given = options as Partial<Record<keyof DashboardOptions, unknown>>
  const { redis, metroplex = {}, authorize, readOnly = false } = given
  if (!isClient(redis))
    throw new TypeError(`metroplex: \`redis\` must be a client of ioredis; given: ${inspectValue(redis)}.`)
  if (typeof metroplex === 'object' && metroplex !== null)
    for (const key of Object.keys(metroplex)) refuseUnknown('metroplex.', key, SURVEYED)
  const terms = metroplex as { secret?: string | string[]; shards?: number; timeout?: number }
  const namespace = given.namespace as string | undefined
  // A registry on Redis Cluster is split, or its namespace carries a hash tag. Into how many, Redis says.
  const split = isCluster(redis) && !String(namespace).includes('{')
  const checked = settings({
    redis,
    ...(namespace !== undefined && { namespace }),
    metroplex: { timeout: TIMEOUT, ...(split && { shards: 2 }), ...terms }
  })
  if (typeof readOnly !== 'boolean')
    throw new TypeError(`metroplex: \`readOnly\` must be true or false; given: ${inspectValue(readOnly)}.`)
  if (authorize !== undefined && typeof authorize !== 'function')
    throw new TypeError(
      'metroplex: `authorize` must be a function of a request that returns true or false; ' +
        `given: ${inspectValue(authorize)}.`
    )
  return {
    redis,
    survey: {
      namespace: checked.namespace,
      secret: checked.secrets[0],
      shards: terms.shards,
      timeout: checked.timeout
    },
    path: pathOption(given.path),
    environment: textOption('environment', given.environment) ?? '',
    readOnly,
    token: tokenOption(given.token),
    authorize: authorize as DashboardOptions['authorize'],
    hosts: hostsOption(given.hosts)
  }
}

function textOption(what: string, given: unknown): string | undefined {
  if (given === undefined || typeof given === 'string') return given
  throw new TypeError(`metroplex: \`${what}\` must be a string; given: ${inspectValue(given)}.`)
}

function pathOption(given: unknown): string {
  const path = textOption('path', given) ?? '/'
  if (/^\/(?:[\w.~-]+\/?)*$/.test(path)) return path.replace(/\/$/, '')
  throw new TypeError(`metroplex: \`path\` must be a path such as '/cluster'; given: ${inspectValue(path)}.`)
}

/** Checks a token. The error does not show it. */
function tokenOption(given: unknown): string | undefined {
  if (given === undefined) return undefined
  if (typeof given !== 'string')
    throw new TypeError(`metroplex: \`token\` must be a string of ${SHORTEST_TOKEN} characters or more.`)
  if (given.length >= SHORTEST_TOKEN) return given
  throw new RangeError(
    `metroplex: \`token\` must have ${SHORTEST_TOKEN} characters or more, so that it cannot be guessed; ` +
      `given: ${given.length}.`
  )
}

function hostsOption(given: unknown): ReadonlySet<string> {
  const hosts = given ?? []
  if (Array.isArray(hosts) && hosts.every(host => typeof host === 'string' && /^[\w.-]+$/.test(host)))
    return new Set(hosts.map(host => (host as string).toLowerCase()))
  throw new TypeError(
    "metroplex: `hosts` must be an array of names such as 'admin.example.com', without a port; " +
      `given: ${inspectValue(hosts)}.`
  )
}
