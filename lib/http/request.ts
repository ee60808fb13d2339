import { request as requestPlain, type ClientRequest, type RequestOptions } from 'node:http'
import { request as requestSecure } from 'node:https'
import type { TlsOptions } from '../common/types'

/** What is asked of an address. */
export interface HttpRequest extends Pick<RequestOptions, 'headers' | 'signal'> {
  /** Sent as it is: resolving it against the address would take the first part of `//metroplex` for a host. */
  readonly path: string
}

/**
 * Begins a GET request to a server of the cluster, on a connection of its own. The caller ends it and listens for
 * errors.
 *
 * Streams and self-probes both use it, so that a probe goes the way that messages go: same path, same client
 * certificate.
 *
 * @throws Error for an address or a path that cannot be asked
 */
export function requestTo(address: string, asked: HttpRequest, tls: TlsOptions | undefined): ClientRequest {
  const { protocol, hostname, port } = new URL(address)
  if (protocol !== 'https:' && protocol !== 'http:') throw new Error('it is no http: or https: address')
  const options: RequestOptions = {
    ...asked,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    agent: false,
    ...(port !== '' && { port })
  }
  return protocol === 'https:' ? requestSecure({ ...(tls as object), ...options }) : requestPlain(options)
}
