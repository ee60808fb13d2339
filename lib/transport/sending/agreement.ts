import type { Answer } from '../../common/transport-contract'
import { readHead } from '../signature'
import { parseObject } from './refusals'

/** The most batches that wait for their answers, however many the peer allows. */
const MOST_OPEN = 64

/** What the peer answered to the hello of this connection. */
export interface Agreement {
  readonly sessionId: string
  /** The node id of the process that answered. */
  readonly peerNodeId: string
  /** The largest body that it accepts, in bytes. */
  readonly maxBody: number
  /** The number of the last batch of this session that it has applied. */
  readonly last: number
  /** The most batches that may wait for their answers. Earlier releases do not say it: one. */
  readonly window: number
}

/** Read the answer to a hello; `undefined` when it has another form. */
export function readAgreement(answer: Answer): Agreement | undefined {
  const { session, maxBody, last, window } = parseObject(answer.body)
  const peerNodeId = readHead(answer.head)?.from
  if (
    peerNodeId === undefined ||
    typeof session !== 'string' ||
    typeof maxBody !== 'number' ||
    typeof last !== 'number'
  )
    return undefined
  const most = typeof window === 'number' ? Math.min(window, MOST_OPEN) : 1
  return { sessionId: session, peerNodeId, maxBody, last, window: most }
}
