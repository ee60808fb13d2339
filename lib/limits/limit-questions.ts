import { MetroplexError } from '../common/errors'
import type { Named } from '../registry/records'
import { parcel } from '../rpc/question'
import type { RpcResponder } from '../rpc/responder'

/** Asks which of these sparks a server holds. Detail: their ids; answer: those that it does not hold. */
export const HOLDS = 'holds'
/** Ends sparks whose users have too many. Detail: pairs of an id and its user; answer: nothing. */
export const OVER = 'over'

/** The message of a question that says everything in its detail. */
export const NO_MESSAGE = parcel([])

/** What answering uses of this server. */
export interface LimitedSparks {
  owns(id: string): boolean
  /** End a spark if it has this user, and report it. */
  end(id: string, user: string): void
}

/** Answer questions of other servers about sparks of users that have a limit. */
export function answerLimitQuestions(responder: RpcResponder, local: LimitedSparks): void {
  responder.handle(HOLDS, ({ detail }) => {
    if (!isStrings(detail)) throw new MetroplexError('EPROTOCOL', 'Sparks must be named by a list of their ids.')
    return () => detail.filter(id => !local.owns(id))
  })
  responder.handle(OVER, ({ detail }) => {
    if (!Array.isArray(detail) || !(detail as unknown[]).every(one => isStrings(one) && one.length === 2))
      throw new MetroplexError('EPROTOCOL', 'Sparks must be named by pairs of an id and a user.')
    return () => {
      for (const [id, user] of detail as Named[]) local.end(id, user)
    }
  })
}

/** Reads the answer to `HOLDS`. @throws MetroplexError `EPROTOCOL` for one of another form */
export function readAbsent(answer: unknown, address: string): readonly string[] {
  if (isStrings(answer)) return answer
  throw new MetroplexError('EPROTOCOL', `${address} has answered something else than ids of sparks.`, { address })
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && (value as unknown[]).every(one => typeof one === 'string')
}
