import { MetroplexError } from '../common/errors'
import type { ServerStatus } from '../operations/operator-questions'
import { isMisdirected, type Answered } from './answers'
import type { ServerView } from './cluster-view'

/** How a server is, as far as it and the registry tell. */
export interface ObservedState {
  /**
   * Its own state if it answered; `mute`, `refused` or `other` if it did not, or if another server did; else what the
   * registry says of it.
   */
  readonly state: string
  /** Why that is not its own state. */
  readonly error: MetroplexError | undefined
}

/** The state of a server. @param answer what came of asking it for its status; `undefined`: it was not asked */
export function observedState(
  { address, registered }: ServerView,
  answer: Answered<ServerStatus> | undefined
): ObservedState {
  const { failure: error, value } = answer ?? {}
  const other = value?.address ?? ''
  if (other !== '' && other !== address) {
    const sentence = `Another server answers at ${address}: ${other}.`
    return { state: 'other', error: new MetroplexError('EADDRESS', sentence, { address }) }
  }
  // Redis may have refused the question. That says nothing about the server.
  const unanswered = error === undefined || error.code === 'EREGISTRY' ? undefined : stateOfFailure(error)
  return { state: unanswered ?? value?.stats.state ?? registered, error }
}

function stateOfFailure(failure: MetroplexError): string {
  if (failure.code === 'EAUTH') return 'refused'
  return isMisdirected(failure) ? 'other' : 'mute'
}
