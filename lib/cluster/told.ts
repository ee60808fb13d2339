import { asError, isCode, MetroplexError } from '../errors'

/** An error on its way between servers: never with its stack. */
export interface Told {
  readonly code: string
  readonly message: string
  /** What was thrown there, where that is not the error itself. */
  readonly cause?: { readonly name: string; readonly message: string; readonly code?: string | undefined }
}

/** What is told of something that was thrown here: of ours its code, of anybody else's that it failed. */
export function told(thrown: unknown): Told {
  const error = asError(thrown)
  if (!(error instanceof MetroplexError)) return { code: 'EREMOTE', message: textOf(error), cause: described(error) }
  const { code, message, cause } = error
  return { code, message, ...cause instanceof Error && { cause: described(cause) } }
}

/** What was thrown at a server, as an error here. */
export function revived(address: string, { code, message, cause }: Told, maybe: boolean): MetroplexError {
  return new MetroplexError(isCode(code) ? code : 'EPROTOCOL', message, { address, maybe, ...cause && { cause: errorOf(cause) } })
}

/** Whether this is an error that `told` may have made. */
export function isTold(value: unknown): value is Told {
  if (typeof value !== 'object' || value === null) return false
  const { code, message, cause } = value as Partial<Record<keyof Told, unknown>>
  if (typeof code !== 'string' || typeof message !== 'string') return false
  if (cause === undefined) return true
  const { name, message: said, code: called } = cause as Partial<Record<string, unknown>>
  return typeof cause === 'object' && typeof name === 'string' && typeof said === 'string' && (called === undefined || typeof called === 'string')
}

function described(error: Error): NonNullable<Told['cause']> {
  const { name, code } = error as Error & { readonly code?: unknown }
  return { name, message: error.message, ...typeof code === 'string' && { code } }
}

function errorOf({ name, message, code }: NonNullable<Told['cause']>): Error {
  const error = new Error(message)
  error.name = name
  // Where it was made here says nothing of where it was thrown.
  error.stack = `${name}: ${message}`
  return code === undefined ? error : Object.assign(error, { code })
}

function textOf({ name, message }: Error): string {
  return message === '' ? name : message
}
