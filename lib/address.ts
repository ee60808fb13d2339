import { Server as SecureServer } from 'node:https'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import { MetroplexError, shown } from './errors'

/** As much of an HTTP server as tells where it listens. */
export interface Listening {
  address?(): { address: string; port: number } | string | null
}

const UNSPECIFIED = new Set(['0.0.0.0', '::', ''])

/**
 * The address at which a server can be reached: `http://10.0.0.5:8080`.
 *
 * A string is returned as it is. A server that does not listen (yet), or that listens on a unix
 * socket, has none: `''`. A server that listens on all interfaces gets the first address that
 * others can reach, IPv4 before IPv6. TLS, also of http2, gives `https://`.
 */
export function parse(server: unknown): string {
  if (typeof server === 'string') return server
  if (!isServer(server)) return ''
  const bound = server.address?.()
  if (bound === null || bound === undefined || typeof bound === 'string') return ''
  const secure = server instanceof SecureServer || 'addContext' in server
  const host = UNSPECIFIED.has(bound.address) ? reachable(networkInterfaces()) : bound.address
  return `http${secure ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${bound.port}`
}

/** Whether a server listens where only processes of this machine that know a path can reach it. */
export function onUnixSocket(server: unknown): boolean {
  return isServer(server) && typeof server.address?.() === 'string'
}

/** What to do about that. */
export function unixSocket(): MetroplexError {
  return new MetroplexError(
    'EADDRESS',
    'The server listens on a unix socket, which peers cannot reach: set the option `address` to the URL at which they reach this process.'
  )
}

/** The one interface that a server listens on; `''` when there are several, or none because it is a unix socket; `undefined` while it does not listen. */
export function boundTo(server: unknown): string | undefined {
  const bound = isServer(server) ? server.address?.() : undefined
  if (bound === null || bound === undefined) return undefined
  return typeof bound === 'string' || UNSPECIFIED.has(bound.address) ? '' : bound.address
}

/**
 * The first address of this machine that other machines may reach.
 *
 * IPv4 before IPv6: brackets are a character class in the key patterns of other packages.
 * Link-local addresses mean something else on every machine and come last.
 */
export function reachable(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const candidates = Object.values(interfaces)
    .flatMap(addresses => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address, family }) => ({ address, rank: rank(address, family) }))
    .sort((a, b) => a.rank - b.rank)
  return candidates[0]?.address ?? '127.0.0.1'
}

/** The interface of this machine that an address leads to, given as an IP; any other one, or a name, leads to the first that other machines may reach, if there is any. */
export function interfaceOf(address: string, interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const host = address === '' ? '' : new URL(address).hostname.replace(/^\[|\]$/g, '')
  const ours = Object.values(interfaces).some(list => list?.some(one => one.address === host))
  const found = ours ? host : reachable(interfaces)
  // A link-local one would have to say on which link: nothing can listen there, and nobody come.
  return !ours && /^fe[89ab]/i.test(found) ? '127.0.0.1' : found
}

/**
 * Check an address that somebody wrote down: `http(s)://host[:port]`, without a path.
 *
 * @returns the address, without a slash at its end
 * @throws TypeError with what was given and what is allowed
 */
export function checked(address: unknown, what = 'address'): string {
  const allowed = `must be the URL at which peers reach this process, without a path, like 'http://10.0.0.5:8080'`
  if (typeof address !== 'string') throw new TypeError(`metroplex: \`${what}\` ${allowed}; given: ${shown(address)}.`)
  const trimmed = address.replace(/\/$/, '')
  const url = URL.canParse(trimmed) ? new URL(trimmed) : null
  // It travels in headers, and is compared letter by letter.
  const plain = url !== null && /^https?:$/.test(url.protocol) && /^https?:\/\/[!-~]+$/i.test(trimmed) && !/[/?#@]/.test(trimmed.slice(trimmed.indexOf('//') + 2))
  if (!plain) throw new TypeError(`metroplex: \`${what}\` ${allowed}; given: ${shown(address)}.`)
  return trimmed
}

function rank(address: string, family: string): number {
  const linkLocal = address.startsWith('169.254.') || /^fe[89ab]/i.test(address)
  return (linkLocal ? 2 : 0) + (family === 'IPv4' ? 0 : 1)
}

function isServer(server: unknown): server is Listening {
  return typeof server === 'object' && server !== null
}
