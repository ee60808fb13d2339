import { inspectValue, MetroplexError } from '../common/errors'
import { Message } from '../common/encoded-message'
import { NO_DATA } from './peer-channel'
import type { RemoteError } from './remote-error'

/** What one server asks of another: a kind, its detail, and the values that go with it. */
export interface Question {
  readonly kind: string
  /** A JSON value; its form depends on the kind. */
  readonly detail: unknown
  readonly message: Message
}

/** Questions that call a method. Detail: the method's name and, with `apply`, the spark's id. */
export const CALL = 'call'
/** Questions that carry an event. Detail: its type. */
export const EVENT = 'event'
/** Questions for the client of a spark. Detail: the spark's id. */
export const REQUEST = 'request'

/** The answer to a question. */
export type RpcOutcome =
  | { readonly state: 'value'; readonly message: Message }
  | { readonly state: 'nothing' }
  | { readonly state: 'error'; readonly error: RemoteError }

/** A message without content. */
export const EMPTY = Message.of(NO_DATA, false)

/**
 * Values as a message. They travel in a list, because not every value can be a message by itself.
 *
 * @throws MetroplexError `EMESSAGE` for a value that no message can carry
 */
export function parcel(values: readonly unknown[]): Message {
  const refused = (given: unknown, cause?: unknown): MetroplexError =>
    new MetroplexError(
      'EMESSAGE',
      `What goes to other servers must be a value that JSON can express, or binary; given: ${inspectValue(given)}.`,
      { cause }
    )
  for (const value of values) if (typeof value === 'function' || typeof value === 'symbol') throw refused(value)
  try {
    return Message.of(values, true)
  } catch (error) {
    throw refused(values.length === 1 ? values[0] : values, error instanceof MetroplexError ? error.cause : error)
  }
}

/** Whether a value can be the number of a question. */
export function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
