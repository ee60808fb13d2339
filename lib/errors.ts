/**
 * What can go wrong, by a code that stays the same from version to version.
 *
 * | code | cause | what to do |
 * | --- | --- | --- |
 * | `EADDRESS` | another live process is registered under our address, or no address can be found | set the option `address` to one that reaches just this process |
 * | `EAUTH` | a peer does not accept our signature, or our omega-supreme credentials | give all servers the same `secret`, or none; the same `username` and `password` |
 * | `EBUSY` | more is waiting than `maxQueue` allows | send less, or raise it; look at the peer that is named |
 * | `ECLOSED` | the operation needs what `destroy` has ended | do not use the object after `destroy` |
 * | `EDEADLINE` | no answer within `timeout` | look at the peer that is named; raise `timeout` if it is only slow |
 * | `EDRAINING` | a client asked for a new spark of a server that is draining | nothing: connect again, and get another server; `register()` has this one take sparks again |
 * | `EMESSAGE` | the message cannot be sent as it is | send a JSON value |
 * | `ENOMETHOD` | a server has no method of this name | register it there with `method`, before the server listens |
 * | `ENOSPARK` | no server holds this spark | it has gone: usually nothing |
 * | `EPROTOCOL` | a peer answered something we do not understand | see which software listens at its address |
 * | `EREGISTRY` | Redis could not be asked; `cause` is its error | see whether Redis can be reached |
 * | `EREMOTE` | a peer failed while it carried something out; `cause` has the name, message and code of what was thrown there, as far as it says; or a client that was asked failed | look at its log |
 * | `ETOOBIG` | the message is larger than `maxBody` | send less, or raise `maxBody` on all servers |
 * | `EUNREACHABLE` | no connection to a peer; or a client that was asked has gone, or understands no requests | see whether its address can be reached from here |
 * | `EWORKER` | a worker of a supervisor did not become ready, keeps dying, or cannot be told something because it has gone | see what it wrote; its `death` says how it ended |
 */
export type ErrorCode =
  | 'EADDRESS'
  | 'EAUTH'
  | 'EBUSY'
  | 'ECLOSED'
  | 'EDEADLINE'
  | 'EDRAINING'
  | 'EMESSAGE'
  | 'ENOMETHOD'
  | 'ENOSPARK'
  | 'EPROTOCOL'
  | 'EREGISTRY'
  | 'EREMOTE'
  | 'ETOOBIG'
  | 'EUNREACHABLE'
  | 'EWORKER'

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'EADDRESS', 'EAUTH', 'EBUSY', 'ECLOSED', 'EDEADLINE', 'EMESSAGE', 'ENOMETHOD', 'ENOSPARK', 'EPROTOCOL', 'EREGISTRY', 'EREMOTE', 'ETOOBIG', 'EUNREACHABLE'
])

/** Whether a word is a code of ours. */
export function isCode(word: unknown): word is ErrorCode {
  return typeof word === 'string' && CODES.has(word)
}

/** What an error may carry besides its code and its sentence. */
export interface ErrorDetails {
  /** The server it happened at or with. */
  readonly address?: string
  /** What lies underneath, for instance the error of the Redis client. */
  readonly cause?: unknown
  /** Of a message: `true` when it may have arrived although no answer came. */
  readonly maybe?: boolean
}

/**
 * Every error of the cluster: a stable `code`, and a sentence to act on.
 *
 * Wrong arguments and options are no such error but a `TypeError` or a `RangeError`.
 *
 * @example
 * primus.metroplex.spark(id).catch(error => { if (error.code === 'EREGISTRY') pageTheRedisPeople(error.cause) })
 */
export class MetroplexError extends Error {
  override readonly name = 'MetroplexError'
  readonly code: ErrorCode
  // Without a value they are not there, and do not show when it is printed.
  declare readonly address?: string
  declare readonly maybe?: boolean

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    if (details.address !== undefined) this.address = details.address
    if (details.maybe !== undefined) this.maybe = details.maybe
  }
}

/** Whatever was thrown, as an `Error`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** A value as it may stand in an error's sentence: short, on one line, never throwing. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value.length > 60 ? `'${value.slice(0, 60)}…'` : `'${value}'`
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) {
    const { constructor } = value as { constructor?: { name?: unknown } }
    return `an object (${typeof constructor?.name === 'string' && constructor.name ? constructor.name : 'Object'})`
  }
  return String(value)
}
