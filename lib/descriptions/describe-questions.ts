import { MetroplexError } from '../common/errors'
import { parcel } from '../rpc/question'
import type { RpcResponder } from '../rpc/responder'
import type { DescribedSparks, Describes } from './local-descriptions'

/**
 * Asks what a server knows of sparks, as PROTOCOL.md says. Detail: their ids. A server that answers it names the word
 * among its kinds.
 */
export const DESCRIBE = 'describe'

/** The message of the question, which says everything in its detail. */
export const NO_TEXT = parcel([])

/** The most ids in one question. An answer has some hundred bytes for each, and at most some kilobytes. */
export const DESCRIBED = 500

/** Answer questions of other servers about local sparks. */
export function answerDescribe(responder: RpcResponder, local: Describes): void {
  responder.handle(DESCRIBE, ({ detail }) => {
    if (!Array.isArray(detail) || detail.length > DESCRIBED || !(detail as unknown[]).every(isString))
      throw new MetroplexError('EPROTOCOL', `Sparks must be named by a list of at most ${DESCRIBED} ids.`)
    return () => local.describe(detail as string[])
  })
}

/** Reads an answer. @throws MetroplexError `EPROTOCOL` for one of another form */
export function readDescribed(answer: unknown, address: string): DescribedSparks {
  const { sparks, missing, server, transport } = (answer ?? {}) as Partial<Record<keyof DescribedSparks, unknown>>
  const fits =
    Array.isArray(sparks) &&
    (sparks as unknown[]).every(one => Array.isArray(one) && isString(one[0])) &&
    Array.isArray(missing) &&
    (missing as unknown[]).every(isString) &&
    isString(server) &&
    isString(transport)
  if (fits) return answer as DescribedSparks
  throw new MetroplexError('EPROTOCOL', `${address} has answered something else than a description of sparks.`, {
    address
  })
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}
