import type { Answer } from '../../common/transport-contract'
import type { ErrorCode } from '../../common/errors'
import { readHead } from '../signature'
import type { Retry } from './retry'

/** The most hellos that another server may answer at the address of the peer: workers that share a port take turns. */
const MOST_MISDIRECTED = 24

/** What was asked, as far as a refusal depends on it. */
export interface Refused {
  /** Whether a hello was refused, and no batch. */
  readonly hello: boolean
  /** Whether the refusal is signed by the peer and belongs to the request. */
  readonly genuine: boolean
  /** The node id of this process. */
  readonly nodeId: string
  /** Whether the batch may have been applied by an earlier attempt. */
  readonly maybe: boolean
  /** Whether the secret was read from Redis again for this batch. */
  readonly refreshed: boolean
  /** How often another server than the peer answered. */
  readonly misdirected: number
}

/** What a refusal means for the batch that is being delivered. */
export interface RefusalMeaning {
  readonly code: ErrorCode
  /** What follows the address, without a full stop. */
  readonly sentence: string
  readonly again: Retry
  /** The batch may have been applied. */
  readonly maybe?: true
  /** The session has ended: a hello is needed. */
  readonly sessionEnded?: true
  /** The batch was not applied under its number, and needs another one. */
  readonly renumber?: true
  /** Another secret may be valid by now. */
  readonly secretOutdated?: true
  /** Another server than the peer answered. */
  readonly misdirected?: true
}

/** Find out what an answer means that is not a genuine 200. */
export function meaningOf(answer: Answer, asked: Refused): RefusalMeaning {
  // A proxy can refuse in the name of the peer after it passed the batch on.
  const passedOn = !asked.genuine && !asked.hello
  return passedOn ? { ...read(answer, { ...asked, maybe: true }), maybe: true } : read(answer, asked)
}

function read({ status, head, body }: Answer, asked: Refused): RefusalMeaning {
  const { genuine, hello } = asked
  const { code, reason } = parseObject(body)
  const why = typeof reason === 'string' ? reason.replace(/\.$/, '') : `it answered with status ${status}`
  // A peer that rejects our signature answers without a signature of its own. A peer whose signature we reject answers
  // with one.
  const unaccepted = status === 401 && code === 'EAUTH' && head === ''
  if (unaccepted || (status === 200 && !genuine && readHead(head)?.to === asked.nodeId)) {
    if (!asked.refreshed)
      return { code: 'EAUTH', sentence: 'does not accept our signature', again: 'at once', secretOutdated: true }
    const sentence = 'signs with another secret than ours: give all servers the same `secret`, or none'
    return { code: 'EAUTH', sentence, again: 'never' }
  }
  if (status === 200 || status === 401) {
    const what = `sent an answer with status ${status} that belongs to no request of ours`
    const again = asked.maybe ? 'a few times' : 'never'
    return { code: 'EPROTOCOL', sentence: `${what}: see which software listens there`, again }
  }
  if (status === 409) return readConflict(code, why, asked)
  if (status === 503) {
    const again = code === 'ECLOSED' ? 'never' : 'later'
    return { code: 'EUNREACHABLE', sentence: `accepts no requests now: ${why}`, again, sessionEnded: true }
  }
  if (status === 413)
    return { code: 'ETOOBIG', sentence: 'refused a body of this size: raise `maxBody` there', again: 'never' }
  if (status === 421) {
    const sentence = `is not the server at this address: ${why}`
    if (!genuine || !hello) return { code: 'EUNREACHABLE', sentence, again: 'never' }
    const again = asked.misdirected < MOST_MISDIRECTED ? 'at once' : 'never'
    return { code: 'EUNREACHABLE', sentence, again, misdirected: true }
  }
  if (status === 408) return { code: 'EDEADLINE', sentence: `did not receive the body in time: ${why}`, again: 'later' }
  return { code: 'EPROTOCOL', sentence: `refused the request: ${why}`, again: 'never' }
}

/** 409 Conflict: the peer does not know the session, or has received a later number. */
function readConflict(code: unknown, why: string, { genuine, maybe }: Refused): RefusalMeaning {
  const renumbered = { code: 'EUNREACHABLE', again: 'at once', sessionEnded: true, renumber: true } as const
  if (genuine && code === 'ESESSION') {
    const sentence = 'does not know our session'
    if (!maybe) return { ...renumbered, sentence }
    const unknown = `${sentence} any more: it is unknown whether it applied this`
    return { code: 'EUNREACHABLE', sentence: unknown, again: 'never', sessionEnded: true }
  }
  // An attempt that was given up arrived late. The answer to the next hello has the last number.
  if (genuine && code === 'EOLD' && !maybe) return { ...renumbered, sentence: 'has received a later batch already' }
  return { code: 'EPROTOCOL', sentence: `refused the request: ${why}`, again: 'never', maybe: true }
}

/** The object in the body of an answer; an empty one when there is none. */
export function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
