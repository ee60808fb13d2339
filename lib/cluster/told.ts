import { isCode, MetroplexError } from '../errors'

/** What was thrown at a server, in words. */
export interface Cause {
  readonly name: string
  readonly message: string
  readonly code?: string | undefined
}

/** An error on its way between servers: never with its stack. */
export interface Told {
  readonly code: string
  readonly message: string
  /** What was thrown there, where that is not the error itself. */
  readonly cause?: Cause
}

/** So much of a sentence is told, in characters: an error must always fit into an answer. */
const LONGEST = 4000

/** What is told of something that was thrown here: of ours its code, of anybody else's that it failed. */
export function told(thrown: unknown): Told {
  if (!(thrown instanceof MetroplexError)) return failed(thrown)
  const { code, message, cause } = thrown
  return { code, message: cut(message), ...cause !== undefined && { cause: described(cause) } }
}

/** What is told of something that a function of the application's has thrown: whatever it is, it is that function's failure. */
export function failed(thrown: unknown): Told {
  const cause = described(thrown)
  return { code: 'EREMOTE', message: cause.message === '' ? cause.name : cause.message, cause }
}

/** What was thrown at a server, as an error here. */
export function revived(address: string, { code, message, cause }: Told, maybe: boolean): MetroplexError {
  return new MetroplexError(isCode(code) ? code : 'EPROTOCOL', message, { address, maybe, ...cause && { cause: errorOf(cause) } })
}

/** Whether this is an error that `told` may have made. */
export function isTold(value: unknown): value is Told {
  const { code, message, cause } = fieldsOf(value)
  if (typeof code !== 'string' || typeof message !== 'string') return false
  if (cause === undefined) return true
  const { name, message: said, code: called } = fieldsOf(cause)
  return typeof name === 'string' && typeof said === 'string' && (called === undefined || typeof called === 'string')
}

/** Anything at all may be thrown, and reading it may throw as well: none of that is to be in the way of what else is told. */
function described(thrown: unknown): Cause {
  try {
    const { name, message, code } = fieldsOf(thrown)
    if (typeof message === 'string') return { name: typeof name === 'string' ? cut(name) : 'Error', message: cut(message), ...typeof code === 'string' && { code: cut(code) } }
    if (!(thrown instanceof Error)) return { name: 'Error', message: cut(String(thrown)) }
  } catch {
    // What it is stays its secret.
  }
  return { name: 'Error', message: 'Something was thrown that cannot be read.' }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
}

function errorOf({ name, message, code }: Cause): Error {
  const error = new Error(message)
  error.name = name
  // Where it was made here says nothing of where it was thrown.
  error.stack = `${name}: ${message}`
  return code === undefined ? error : Object.assign(error, { code })
}
