const CODES = [
  'EADDRESS',
  'EAUTH',
  'EBARRED',
  'EBUSY',
  'ECLOSED',
  'EDEADLINE',
  'EDRAINING',
  'EGROUP',
  'EINFO',
  'ELIMIT',
  'EMESSAGE',
  'ENOMETHOD',
  'ENOSPARK',
  'EPROTOCOL',
  'EREGISTRY',
  'EREMOTE',
  'ESTICKY',
  'ETOOBIG',
  'EUNREACHABLE',
  'EUSER',
  'EWATCH',
  'EWORKER'
] as const

/**
 * What went wrong. Codes stay the same from version to version.
 *
 * * `EADDRESS`: another live process is registered under our address, or no address can be found.
 *   Set the option `address` to a URL that reaches only this process.
 * * `EAUTH`: a peer does not accept our signature, or our omega-supreme credentials.
 *   Give all servers the same `secret`, or none, and the same `username` and `password`.
 * * `EBARRED`: the user of a spark is kept out by `endUser`, so the spark is ended. `endUser(user, { for: 0 })` lets
 *   the user in again.
 * * `EBUSY`: more is waiting, or being answered, than `maxQueue` allows. Look at the named peer; send less, or
 *   raise it.
 * * `ECLOSED`: the object has been closed, by `destroy`, `close` or `stop`. Do not use it any more.
 * * `EDEADLINE`: no answer within `timeout`. Look at the named peer; raise `timeout` if it is only slow.
 * * `EDRAINING`: a client connected to a server that is draining. Clients try again and get another server;
 *   `register()` ends the drain.
 * * `EGROUP`: the option `groups` threw, returned an invalid name, or has not answered in time; or primus-rooms was to
 *   send to a room whose name is refused. `cause` says which. Reported once a minute for each kind. Check what clients
 *   send before you return it.
 * * `EINFO`: the option `info` threw, returned a value that is no info, or has not answered in time; `cause` says
 *   which. Reported once a minute for each kind. Check what clients send before you return it.
 * * `ELIMIT`: the user has as many sparks as the option `limit` allows, so this one is ended. Nothing is to be done, or
 *   raise `limit.sparks`.
 * * `EMESSAGE`: the parser cannot encode the message, or JSON cannot, where servers have different parsers.
 *   Send another value.
 * * `ENOMETHOD`: a server has no method of this name. Register it there with `method`, before the server listens.
 * * `ENOSPARK`: no server holds this spark. Usually it has gone, and nothing is to be done.
 * * `EPROTOCOL`: a peer gave an answer that is not understood. See which software listens at its address.
 * * `EREGISTRY`: Redis could not be asked; `cause` is its error. See whether Redis can be reached.
 * * `EREMOTE`: a peer failed while it applied a message, or a method, handler or client failed; `cause` has the
 *   name, message and code of that error. Look at the log of the peer.
 * * `ESTICKY`: most clients that `balance` let go came straight back to this server. Let the balancer in front lead
 *   clients to any server, or do not balance.
 * * `ETOOBIG`: the message is larger than `maxBody`. Send less, or raise `maxBody` on all servers.
 * * `EUNREACHABLE`: no connection to a peer; or the client of a request has gone, or has not loaded the client half.
 *   See whether the address can be reached from here.
 * * `EUSER`: the option `user` threw, or returned an invalid name; `cause` says which. Reported once a minute for
 *   each kind. Check what clients send before you return it.
 * * `EWATCH`: a handler of `watch` threw, or has not settled within twice `timeout`; `cause` says which. Reported once
 *   a minute; the handler is called again. See what it waits for.
 * * `EWORKER`: a worker of a supervisor did not become ready, is flapping, or cannot be sent a message because it is
 *   ending. See its output; its `death` says how it ended. Or commands cannot reach the supervisor: its `control` says
 *   where.
 */
export type ErrorCode = (typeof CODES)[number]

/** Whether a word is one of our error codes. */
export function isCode(word: unknown): word is ErrorCode {
  return CODES.some(code => code === word)
}

/** The message of a failed forward. */
export interface ForwardedPacket {
  readonly msg?: unknown
  /** The spark id or ids, as they were given; `''`: all sparks. */
  readonly sparks?: unknown
}

/** What an error may carry besides its code and message. */
export interface ErrorDetails {
  /** The address of the server where the failure happened, or of the peer that was asked. */
  readonly address?: string
  /** The underlying error, for example that of the Redis client. */
  readonly cause?: unknown
  /** For a message or call: `true` when it may have arrived although no answer came. */
  readonly maybe?: boolean | undefined
  /** The HTTP status of an answer that reported a failure. */
  readonly status?: number | undefined
}

/**
 * Every error of the cluster. It has a stable `code`, and a `message` that says what to do.
 *
 * Wrong arguments and options are a `TypeError` or a `RangeError` instead.
 *
 * @example
 * primus.metroplex.spark(id).catch(error => { if (error.code === 'EREGISTRY') console.error(error.cause) })
 */
export class MetroplexError extends Error {
  override readonly name = 'MetroplexError'
  readonly code: ErrorCode
  // `declare` creates no property, so that a printed error shows only those that have a value.
  declare readonly address?: string
  declare readonly maybe?: boolean
  declare readonly status?: number
  /** Set when a callback gets the error of a failed forward: the message, and the sparks it was sent to. */
  declare readonly packet?: ForwardedPacket
  /** Set together with `packet`: sent to all sparks, to one, or to several. */
  declare readonly type?: 'broadcast' | 'spark' | 'sparks'

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    if (details.address !== undefined) this.address = details.address
    if (details.maybe !== undefined) this.maybe = details.maybe
    if (details.status !== undefined) this.status = details.status
  }
}

/**
 * An error that is about a peer. Its message is a sentence that begins with the address.
 *
 * @param sentence what follows the address, without the full stop at the end
 */
export function peerError(
  code: ErrorCode,
  address: string,
  sentence: string,
  details: Omit<ErrorDetails, 'address'> = { maybe: false }
): MetroplexError {
  return new MetroplexError(code, `${address} ${sentence.replace(/\.$/, '')}.`, { address, ...details })
}

/** The error of what is sent to a peer, or was in flight, when metroplex was closed in this process. */
export function destroyedError(address: string, maybe = false): MetroplexError {
  return new MetroplexError('ECLOSED', 'metroplex was closed in this process: it sends no more.', { address, maybe })
}

/**
 * An error without one of our codes: a `TypeError` or `RangeError` for a wrong argument, an `AggregateError`, or what
 * the application threw or aborted with.
 */
export interface UncodedError extends Error {
  readonly code?: undefined
  readonly address?: undefined
  readonly maybe?: undefined
  readonly status?: undefined
  readonly packet?: undefined
  readonly type?: undefined
}

/**
 * The error that callbacks, entries of `call` and the event `error` get. `code` can be read without a check; when it
 * is one of ours, the error is a `MetroplexError`.
 *
 * @example
 * primus.metroplex.on('error', error => {
 *   if (error.code === 'EADDRESS') console.error(error.address, error.message)
 * })
 */
export type ClusterError = MetroplexError | UncodedError

/**
 * The kind of a failure, for throttling reports: its code, and the first word of the Redis reply or the code of the
 * system error, as in `EREGISTRY MISCONF`.
 *
 * The message is not part of it: it names scripts, commands and numbers, which differ between failures of one kind.
 */
export function kindOf(error: Error): string {
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  const own = typeof code === 'string' ? code : error.name
  const word = wordOf(error) || (cause instanceof Error ? wordOf(cause) || codeOf(cause) : '')
  return word === '' || word === own ? own : `${own} ${word}`
}

/** Whether an error is an error reply of Redis. */
export function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

/** The first word of an error reply. Redis 6 puts the word of a script's failure at the end of its own sentence. */
function wordOf(error: Error): string {
  const { message } = error
  // Sentinel errors, and the error of a SELECT that ioredis sent, quote the reply of Redis in their message.
  if (!isReply(error)) return /\b(WRONGPASS|NOAUTH|NOPERM|SELECT)\b/.exec(message)?.[1] ?? ''
  return (/\s-([A-Z]{2,})\b/.exec(message) ?? /^-?([A-Z]{2,})\b/.exec(message))?.[1] ?? ''
}

function codeOf(error: Error): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** The thrown value as an `Error` that says what happened. It never throws. */
export function asError(thrown: unknown): Error {
  try {
    if (!(thrown instanceof Error)) return new Error(String(thrown))
    return thrown instanceof AggregateError && thrown.message === '' ? gathered(thrown) : thrown
  } catch {
    // An object without a prototype has no text.
    return new Error(inspectValue(thrown))
  }
}

/** Node.js gives no message when it reached none of the addresses of a host: it is what was said of each of them. */
function gathered(error: AggregateError): Error {
  const message = error.errors.map(one => asError(one).message).join('; ')
  const code = codeOf(error)
  return Object.assign(new AggregateError(error.errors, message), code !== '' && { code })
}

/** Describes a value for an error message: short, on one line. It never throws. */
export function inspectValue(value: unknown): string {
  try {
    return inspected(value)
  } catch {
    // A revoked proxy throws at each look at it, and any other proxy or getter may.
    return 'an object that cannot be read'
  }
}

function inspected(value: unknown): string {
  if (typeof value === 'string') return value.length > 60 ? `'${value.slice(0, 60)}…'` : `'${value}'`
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) {
    const { constructor } = value as { constructor?: { name?: unknown } }
    return `an object (${typeof constructor?.name === 'string' && constructor.name ? constructor.name : 'Object'})`
  }
  return String(value)
}
