import { Server as SecureServer } from 'node:https'
import { hostname, networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import { asError, MetroplexError, inspectValue } from './errors'

/** The part of an HTTP server that tells where it listens. */
export interface Listening {
  address?(): { address: string; port: number } | string | null
}

/**
 * The network interfaces of this machine.
 *
 * @param remedy what to set when they cannot be listed, as in a sandbox without AF_NETLINK
 * @throws MetroplexError `EADDRESS` when they cannot be listed
 */
export function interfaces(
  remedy = '`address` to the URL at which peers reach this process'
): NodeJS.Dict<NetworkInterfaceInfo[]> {
  try {
    return networkInterfaces()
  } catch (error) {
    const why = asError(error).message
    const sentence =
      `No address can be guessed, because the network interfaces cannot be listed (${why}): set ` + `${remedy}.`
    throw new MetroplexError('EADDRESS', sentence, { cause: error })
  }
}

const UNSPECIFIED = new Set(['0.0.0.0', '::', ''])

/**
 * The address at which a server can be reached: `http://10.0.0.5:8080`.
 *
 * A string is returned unchanged. A server that does not listen yet, or listens on a unix socket, has no address:
 * `''`. A server on all interfaces gets the first address that other machines can reach, IPv4 before IPv6. A server
 * with TLS, also one of http2, gets `https://`.
 *
 * @throws MetroplexError `EADDRESS` when the network interfaces are needed and cannot be listed
 */
export function parse(server: unknown): string {
  if (typeof server === 'string') return server
  if (!isServer(server)) return ''
  const bound = server.address?.()
  if (bound === null || bound === undefined || typeof bound === 'string') return ''
  const secure = server instanceof SecureServer || 'addContext' in server
  const host = UNSPECIFIED.has(bound.address) ? reachable(interfaces()) : bound.address
  return `http${secure ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${bound.port}`
}

/** Whether a server listens on a unix socket, which only processes of this machine can reach. */
export function onUnixSocket(server: unknown): boolean {
  return isServer(server) && typeof server.address?.() === 'string'
}

/** The error of a server that listens on a unix socket without the option `address`. */
export function unixSocket(): MetroplexError {
  return new MetroplexError(
    'EADDRESS',
    'The server listens on a unix socket, which peers cannot reach: set the option `address` to the ' +
      'URL at which they reach this process.'
  )
}

/**
 * The one interface that a server is bound to; `''`: several, or a unix socket; `undefined`: the server does not
 * listen.
 */
export function boundTo(server: unknown): string | undefined {
  const bound = isServer(server) ? server.address?.() : undefined
  if (bound === null || bound === undefined) return undefined
  return typeof bound === 'string' || UNSPECIFIED.has(bound.address) ? '' : bound.address
}

/**
 * The first address of this machine that other machines can reach.
 *
 * IPv4 comes before IPv6, because brackets are a character class in the key patterns of other packages. Link-local
 * addresses come last, because they differ in meaning between machines.
 */
export function reachable(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const candidates = Object.values(interfaces)
    .flatMap(addresses => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address, family }) => ({ address, rank: rank(address, family) }))
    .sort((a, b) => a.rank - b.rank)
  return candidates[0]?.address ?? '127.0.0.1'
}

/**
 * The interface of this machine to which an address leads. A host name, and an IP of no interface, lead to the first
 * interface that other machines can reach.
 */
export function interfaceOf(address: string, interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const host = address === '' ? '' : new URL(address).hostname.replace(/^\[|\]$/g, '')
  const ours = Object.values(interfaces).some(list => list?.some(one => one.address === host))
  const found = ours ? host : reachable(interfaces)
  // A server cannot listen on a link-local address without the name of its link.
  return !ours && /^fe[89ab]/i.test(found) ? '127.0.0.1' : found
}

/**
 * Checks an address that the application passed: `http(s)://host[:port]`, without a path.
 *
 * @returns the address, without a slash at its end
 * @throws TypeError that names the value and what is allowed
 */
export function checkAddress(address: unknown, what = 'address'): string {
  const allowed = `must be the URL at which peers reach this process, without a path, like 'http://10.0.0.5:8080'`
  if (typeof address !== 'string')
    throw new TypeError(`metroplex: \`${what}\` ${allowed}; given: ${inspectValue(address)}.`)
  const trimmed = address.replace(/\/$/, '')
  const url = URL.canParse(trimmed) ? new URL(trimmed) : null
  // The address is sent in headers, and compared as a string.
  const plain =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    /^https?:\/\/[!-~]+$/i.test(trimmed) &&
    !/[/?#@]/.test(trimmed.slice(trimmed.indexOf('//') + 2))
  if (!plain) throw new TypeError(`metroplex: \`${what}\` ${allowed}; given: ${inspectValue(address)}.`)
  return trimmed
}

function rank(address: string, family: string): number {
  const linkLocal = address.startsWith('169.254.') || /^fe[89ab]/i.test(address)
  return (linkLocal ? 2 : 0) + (family === 'IPv4' ? 0 : 1)
}

function isServer(server: unknown): server is Listening {
  return typeof server === 'object' && server !== null
}

/** The host name of this machine; `''` where it cannot be read, as in a sandbox. */
export function hostName(): string {
  try {
    return hostname()
  } catch {
    return ''
  }
}
