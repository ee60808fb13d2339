import Redis, { type Cluster } from 'ioredis'
import { misuse } from '../output/failure'

/** The forms of `--redis`, for errors and for the help. */
export const REDIS_FORMS =
  'redis://[user:password@]host:port/database, rediss:// with TLS, a path of a Unix socket, ' +
  'sentinel://host:port,host:port/master/database, or cluster://host:port,host:port; sentinels:// and clusters:// ' +
  'with TLS'

interface Node {
  readonly host: string
  readonly port: number
}

/** How to log in, and whether by TLS. */
interface Access {
  readonly username?: string
  readonly password?: string
  readonly tls?: object
}

const SEVERAL = /^(sentinel|cluster)(s?):\/\/(?:([^@/]*)@)?([^/?]+)(?:\/([^?]*))?(?:\?(.*))?$/

/**
 * A client for a Redis, a Sentinel or a Redis Cluster. It connects with its first command.
 *
 * @param url one of `REDIS_FORMS`
 * @param source where it was given, for errors. They never show it, because it may carry a password
 */
export function openRedis(url: string, source: string): Redis | Cluster {
  try {
    return opened(url)
  } catch {
    throw misuse(`${source} does not say where Redis is: give it as ${REDIS_FORMS}.`)
  }
}

function opened(url: string): Redis | Cluster {
  if (url.startsWith('/')) return new Redis(url, { lazyConnect: true })
  const [, kind, secure, login = '', hosts = '', path = '', query = ''] = SEVERAL.exec(url) ?? []
  if (kind === undefined) return standalone(url)
  const nodes = hosts.split(',').map(host => nodeOf(host, kind === 'sentinel' ? 26_379 : 6379))
  const access = accessOf(login, secure === 's')
  if (kind === 'cluster') return new Redis.Cluster(nodes, { lazyConnect: true, redisOptions: access })
  const [name = '', database = '0'] = path.split('/').map(decodeURIComponent)
  if (name === '' || !/^\d+$/.test(database)) throw new Error('A Sentinel needs the name of a master.')
  const own = new URLSearchParams(query)
  const [sentinelUsername, sentinelPassword] = [own.get('sentinelUsername'), own.get('sentinelPassword')]
  return new Redis({
    sentinels: nodes,
    name,
    db: Number(database),
    lazyConnect: true,
    ...access,
    ...(access.tls !== undefined && { sentinelTLS: access.tls, enableTLSForSentinelMode: true }),
    ...(sentinelUsername !== null && { sentinelUsername }),
    ...(sentinelPassword !== null && { sentinelPassword })
  })
}

function standalone(url: string): Redis | Cluster {
  const { protocol, hostname, pathname } = new URL(url)
  if (!/^rediss?:$/.test(protocol) || hostname === '' || !/^\/?\d*$/.test(pathname)) throw new Error('No Redis.')
  return new Redis(url, { lazyConnect: true })
}

function nodeOf(text: string, port: number): Node {
  const [, host = '', given = String(port)] = /^(\[[^\]]+\]|[^:[\]]+)(?::(\d+))?$/.exec(text) ?? []
  if (host === '') throw new Error('No host.')
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(given) }
}

function accessOf(login: string, secure: boolean): Access {
  const colon = login.indexOf(':')
  const username = decodeURIComponent(colon < 0 ? login : login.slice(0, colon))
  const password = colon < 0 ? '' : decodeURIComponent(login.slice(colon + 1))
  return { ...(username !== '' && { username }), ...(password !== '' && { password }), ...(secure && { tls: {} }) }
}
