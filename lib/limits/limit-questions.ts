import { MetroplexError } from '../common/errors'
import type { Named } from '../registry/records'
import { parcel } from '../rpc/question'
import type { RpcResponder } from '../rpc/responder'

/** Asks which of these sparks a server holds. Detail: their ids; answer: those that it does not hold. */
export const HOLDS = 'holds'
/** Ends sparks whose users have too many. Detail: pairs of an id and its user; answer: nothing. */
export const OVER = 'over'

/**
 * Keeps users out, and ends their sparks. Detail: the users, for how many ms, whether clients reconnect; answer: the
 * users whose sparks were ended, each with their number.
 */
export const BAR = 'bar'

/** The message of a question that says everything in its detail. */
export const NO_MESSAGE = parcel([])

/** What answering uses of this server. */
export interface LimitedSparks {
  owns(id: string): boolean
  /** End a spark if it has this user, and report it. */
  end(id: string, user: string): void
  /** Keep users out for so many ms. @returns the users whose sparks were ended */
  bar(users: readonly string[], ms: number, reconnect: boolean): EndedUser[]
}

/** A user, and how many of its sparks were ended. */
export type EndedUser = readonly [user: string, sparks: number]

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
  responder.handle(BAR, ({ detail }) => {
    const [users, ms, reconnect] = Array.isArray(detail) ? (detail as unknown[]) : []
    if (!isStrings(users) || !Number.isInteger(ms) || (ms as number) < 0 || typeof reconnect !== 'boolean')
      throw new MetroplexError('EPROTOCOL', 'Users to keep out must be named by [users, ms, reconnect].')
    return () => local.bar(users, ms as number, reconnect)
  })
}

/** Reads the answer to `HOLDS`. @throws MetroplexError `EPROTOCOL` for one of another form */
export function readAbsent(answer: unknown, address: string): readonly string[] {
  if (isStrings(answer)) return answer
  throw new MetroplexError('EPROTOCOL', `${address} has answered something else than ids of sparks.`, { address })
}

/** Reads the answer to `BAR`. @throws MetroplexError `EPROTOCOL` for one of another form */
export function readEnded(answer: unknown, address: string): readonly EndedUser[] {
  const fits = (one: unknown): boolean => Array.isArray(one) && typeof one[0] === 'string' && Number.isInteger(one[1])
  if (Array.isArray(answer) && (answer as unknown[]).every(fits)) return answer as EndedUser[]
  throw new MetroplexError('EPROTOCOL', `${address} has answered something else than users.`, { address })
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && (value as unknown[]).every(one => typeof one === 'string')
}
