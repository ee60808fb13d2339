import type { Peer } from '../../common/transport-contract'
import { peerError, type MetroplexError } from '../../common/errors'
import type { AnswerHeaders } from '../../http/foreign-answer'

/** The name of the header that carries a head, and of the protocol in an upgrade. */
export const METROPLEX = 'metroplex'

/** The empty body. */
export const NO_BODY = Buffer.alloc(0)

/** The path of the endpoint, below the path of Primus. */
export function endpoint({ pathname }: Pick<Peer, 'pathname'>): string {
  return `${pathname}/metroplex`
}

/** The error of a hello whose place another one has taken. */
export function replacedError(address: string): MetroplexError {
  return peerError('EUNREACHABLE', address, 'was connected to again before it answered', { maybe: true })
}

/** The error of what was in flight on a connection that was closed. */
export function releasedError(address: string): MetroplexError {
  return peerError('EUNREACHABLE', address, 'was released before it answered', { maybe: true })
}

/** The error for a port that has answered nothing yet, and closes all connections. Redis does so when it gets HTTP. */
export function speechlessError({ address = '', cause }: MetroplexError): MetroplexError {
  const sentence = 'closed each connection without an answer. See which software listens there'
  return peerError('EPROTOCOL', address, sentence, { maybe: true, cause })
}

/**
 * Whether an HTTP answer comes from metroplex: it has our header. Others come from a proxy, a gateway or another layer.
 */
export function isMetroplex(headers: AnswerHeaders): boolean {
  return headers[METROPLEX] !== undefined
}
