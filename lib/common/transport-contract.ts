import { inspectValue } from './errors'

/** A server or process as the registry describes it: where it is reached. */
export interface Peer {
  /**
   * The address of the peer. It is only a name where the peer is not reached by HTTP and shares its port, as a worker
   * of node:cluster without an `address`.
   */
  readonly address: string
  /** The path of Primus on that server. Our endpoint is below it. */
  readonly pathname: string
  /** The node id of its process, which names its channel in Redis. */
  readonly word: string
}

/** What one server sends to another: signed, and opaque to the transport. */
export interface Request {
  /** Sender, receiver and signature: one line of printable ASCII, at most 1024 characters. */
  readonly head: string
  /** The content type of the body. */
  readonly type: string
  readonly body: Buffer
}

/** The signed answer to a request. */
export interface Answer {
  /** An HTTP status, on every transport. */
  readonly status: number
  /** As `head` of a request; `''` when the answering server has no secret. */
  readonly head: string
  readonly type: string
  readonly body: Buffer
}

/**
 * A return path: it leads to the sender of a request, on the connection on which the request came. It works as long
 * as that connection is open, and never leads anywhere else.
 */
export interface Back {
  /** Whether the return path still works. */
  readonly open: boolean
  /** Sends a request to that process; as `Transport.send`. */
  ask(request: Request, deadline: number): Promise<Answer>
}

/** Handles what a transport receives. metroplex passes it to `Transport.open`. */
export interface Receiver {
  /** The largest body to accept, in bytes. */
  readonly maxBody: number
  /** How long a body may take to arrive, in ms. */
  readonly timeout: number
  /**
   * Checks a request before its body is read, so that the body of a stranger is never read.
   *
   * @returns `undefined`: read the body and call `receive`. Otherwise the answer to send at once
   */
  admit(head: string, type: string): Answer | undefined
  /**
   * Answers a request, synchronously; what it starts goes on later.
   *
   * @param back the return path of its connection, if the transport has one: the same object for all requests on that
   * connection
   */
  receive(request: Request, back?: Back): Answer
  /** A return path has ended for good. */
  closed(back: Back): void
  /** A connection that `greet` opened has broken: it was not idle, replaced or released. */
  broken(address: string): void
}

/** How much a transport carries. */
export interface Limits {
  /** The largest body, in bytes. A single message may need it. */
  readonly body: number
  /** The size that a batch of several messages should not exceed, in bytes. */
  readonly batch: number
}

/**
 * How servers talk to each other. metroplex has two transports, over HTTP and over Redis; an application may pass its
 * own.
 *
 * A transport carries requests and answers and does not understand them. Order, deduplication and authentication are
 * above it.
 *
 * An implementation
 * * MUST settle every `greet` and `send` within the deadline, and leave no timer and no pending entry behind.
 * * MUST reject with a `MetroplexError` whose `maybe` says whether the receiver may have the request: `false` only
 *   when it certainly has not.
 * * MUST NOT send a request twice by itself.
 * * MUST deliver the requests of one sender in the order in which they were sent, as long as none failed.
 * * MUST call `admit` before it reads a body; MUST refuse a body above `maxBody`, and one that takes longer than
 *   `timeout`.
 * * MUST NOT keep the process alive, except while an answer is awaited.
 * * need not accept more than one `send` to a peer at a time, but MUST accept `greet` and `send` for many peers at
 *   once.
 *
 * It may pass return paths with requests, so that processes without an address can be sent messages. Without return
 * paths those fail with `EUNREACHABLE`. If it passes them,
 * * a return path MUST lead to the very connection, or channel, on which the request came, and MUST be the same
 *   object for all requests there.
 * * its `ask` MUST behave as `send`, and MUST deliver to the receiver with which the other transport was opened.
 * * it MUST call `closed` once when a return path has ended, after which nothing is sent on it. It need not do so
 *   when the transport itself is closed.
 * * it MUST call `broken` at the other end, when the connection under a return path has broken.
 */
export interface Transport {
  /** The name of the transport in the registry. Servers reach each other when theirs are equal. */
  readonly name: string
  readonly limits: Limits
  /**
   * Why no message passes to or from this server now, in a sentence for `health()`; `undefined` while messages pass.
   * Without this property messages count as passing.
   */
  readonly trouble?: string | undefined
  /** Starts to receive. Called once, before anything else. */
  open(receiver: Receiver): void | Promise<void>
  /**
   * Opens a connection to a peer with a request whose body is empty. Called before the first `send`, and again after
   * a `send` that rejected.
   *
   * @param deadline when to give up, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, `ECLOSED`
   */
  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer>
  /**
   * Sends a request on the connection that `greet` opened.
   *
   * @param deadline when to give up, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, also when the connection has broken; `EDEADLINE`; `EPROTOCOL` for an
   * invalid answer; `ECLOSED`
   */
  send(peer: Peer, request: Request, deadline: number): Promise<Answer>
  /** Frees what is kept for an address, to which nothing is sent for now. Requests in flight fail. */
  release(address: string): void
  /** Stops receiving and frees everything. Requests in flight fail with `ECLOSED`. Can be called twice. */
  close(): Promise<void>
}

/** The methods of a transport of an application. */
const METHODS = ['open', 'greet', 'send', 'release', 'close'] as const

/** The option `transport`. @throws TypeError for anything but a name of ours, or a transport */
export function transportOf(given: unknown): 'http' | 'redis' | object {
  if (given === undefined) return 'http'
  if (given === 'http' || given === 'redis') return given
  const own = given as Partial<Record<string, unknown>> | null
  if (
    typeof own === 'object' &&
    own !== null &&
    typeof own['name'] === 'string' &&
    METHODS.every(method => typeof own[method] === 'function')
  ) {
    const { body, batch } = (own['limits'] ?? {}) as Partial<Record<string, unknown>>
    // Without limits each message would fail, with an error that does not say why.
    if (Number(body) > 0 && Number(batch) > 0) return own
    throw new TypeError(
      'metroplex: the `limits` of `metroplex.transport` must be an object of two numbers above 0, { ' +
        'body, batch }, in bytes.'
    )
  }
  throw new TypeError(
    "metroplex: `metroplex.transport` must be 'http', 'redis', or an object with `name`, " +
      `\`limits\` and the methods ${METHODS.join(', ')}; given: ${inspectValue(given)}.`
  )
}
