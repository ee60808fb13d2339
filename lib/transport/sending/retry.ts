import type { MetroplexError } from '../../common/errors'

/** Whether and when a batch is sent again after a failed attempt. */
export type Retry = 'at once' | 'later' | 'a few times' | 'never'

/** Whether to retry after a hello failed. @param maybe whether the batch may have arrived */
export function afterHello(failure: MetroplexError, maybe: boolean): Retry {
  // A proxy answered instead of the peer. A gateway may find the peer again; a proxy that refuses a request refuses the
  // next one, too.
  if (failure.status !== undefined) return maybe || failure.code === 'EUNREACHABLE' ? 'a few times' : 'never'
  if (failure.code === 'EPROTOCOL') return 'a few times'
  // A peer that does not exist is not retried, unless it may have applied the batch: then its answer is still needed.
  return maybe || failure.maybe !== false || late(failure) ? 'later' : 'never'
}

/**
 * Whether to retry after a batch could not be sent.
 * @param greeted whether the connection was opened for this attempt
 */
export function afterSend(failure: MetroplexError, maybe: boolean, greeted: boolean): Retry {
  if (failure.code === 'ETOOBIG') return 'never'
  if (failure.status !== undefined) return 'a few times'
  // A connection that broke while idle says nothing about the peer. After one that breaks right after its hello,
  // another kind of connection may work.
  if (failure.maybe === false && failure.code === 'EUNREACHABLE') return greeted ? 'a few times' : 'at once'
  return maybe || late(failure) ? 'later' : 'never'
}

/** Whether more time may help. */
function late({ code }: MetroplexError): boolean {
  return code === 'EDEADLINE'
}
