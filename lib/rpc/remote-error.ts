import { isCode, MetroplexError } from '../common/errors'

/** A thrown value, as text. */
export interface Cause {
  readonly name: string
  readonly message: string
  readonly code?: string | undefined
}

/** An error that travels between servers, without its stack. */
export interface RemoteError {
  readonly code: string
  readonly message: string
  /** The value that was thrown there, when it is not the error itself. */
  readonly cause?: Cause
}

/** The longest text of an error, in characters: it must always fit into an answer. */
const LONGEST = 4000

/** A value thrown here, for a peer. A MetroplexError keeps its code; any other value becomes `EREMOTE`. */
export function serializeError(thrown: unknown): RemoteError {
  if (!(thrown instanceof MetroplexError)) return failedOutcome(thrown)
  const { code, message, cause } = thrown
  return { code, message: cut(message), ...(cause !== undefined && { cause: described(cause) }) }
}

/** A value that a function of the application has thrown, for a peer: always `EREMOTE`. */
export function failedOutcome(thrown: unknown): RemoteError {
  const cause = described(thrown)
  return { code: 'EREMOTE', message: cause.message === '' ? cause.name : cause.message, cause }
}

/** The error of a peer, as an error here. */
export function deserializeError(
  address: string,
  { code, message, cause }: RemoteError,
  maybe: boolean
): MetroplexError {
  return new MetroplexError(isCode(code) ? code : 'EPROTOCOL', message, {
    address,
    maybe,
    ...(cause && { cause: errorOf(cause) })
  })
}

/** Whether a value has the form of a `RemoteError`. */
export function isRemoteError(value: unknown): value is RemoteError {
  const { code, message, cause } = fieldsOf(value)
  if (typeof code !== 'string' || typeof message !== 'string') return false
  if (cause === undefined) return true
  const { name, message: text, code: ownCode } = fieldsOf(cause)
  return typeof name === 'string' && typeof text === 'string' && (ownCode === undefined || typeof ownCode === 'string')
}

/** Any value may be thrown, and its getters may throw as well: describe it without ever throwing. */
function described(thrown: unknown): Cause {
  try {
    const { name, message, code } = fieldsOf(thrown)
    if (typeof message === 'string')
      return {
        name: typeof name === 'string' ? cut(name) : 'Error',
        message: cut(message),
        ...(typeof code === 'string' && { code: cut(code) })
      }
    if (!(thrown instanceof Error)) return { name: 'Error', message: cut(String(thrown)) }
  } catch {
    // A getter threw: the value cannot be described.
  }
  return { name: 'Error', message: 'The thrown value cannot be read.' }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
}

function errorOf({ name, message, code }: Cause): Error {
  const error = new Error(message)
  error.name = name
  // The stack of this process would mislead: the error was thrown at the peer.
  error.stack = `${name}: ${message}`
  return code === undefined ? error : Object.assign(error, { code })
}
