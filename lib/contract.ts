
/** How a peer is found: what the registry says of it. */
export interface Peer {
  /** A name that nothing resolves, where it is reached otherwise than by HTTP and shares its port: as a worker of node:cluster without an `address` of its own. */
  readonly address: string
  /** Primus's path there, below which our endpoint lies. */
  readonly pathname: string
  /** Random word of its process: the name of its channel, where peers talk through Redis. */
  readonly word: string
}

/** What one server asks of another: signed, and opaque to whatever carries it. */
export interface Request {
  /** Who asks, whom, and its signature: one line of printable ASCII, of at most 1024 characters. */
  readonly head: string
  /** The content type of the body. */
  readonly type: string
  readonly body: Buffer
}

/** What it is answered, signed too. */
export interface Answer {
  /** As of HTTP. */
  readonly status: number
  /** As of a request; `''` when the answerer has no secret to sign with. */
  readonly head: string
  readonly type: string
  readonly body: Buffer
}

/**
 * A way back to who asks, on the connection on which it asked. It leads there for as long as that connection is open, and nowhere else ever.
 */
export interface Back {
  /** Whether it can be used. */
  readonly open: boolean
  /** As `Transport.send`. */
  ask(request: Request, deadline: number): Promise<Answer>
}

/** The one who answers what comes in; a transport is given it. */
export interface Receiver {
  /** The largest body that is taken, in bytes. */
  readonly maxBody: number
  /** For how long a body may take to come, in ms. */
  readonly timeout: number
  /**
   * Judge a request by all but its body, so that the body of a stranger is never read.
   *
   * @returns `undefined`: go on. Else what to answer at once
   */
  admit(head: string, type: string): Answer | undefined
  /**
   * Answer a request; at once, whatever it sets off.
   *
   * @param back the way back on its connection, if there is one: the same object for all that is asked there
   */
  receive(request: Request, back?: Back): Answer
  /** A way back that was handed over has ended for good. */
  closed(back: Back): void
  /** A way that `greet` had opened has ended, and not because it was idle, replaced or let go of. */
  broken(address: string): void
}

/** How much a transport carries. */
export interface Limits {
  /** The largest body in one piece, in bytes: a single message may need it. */
  readonly body: number
  /** What several messages together should not exceed, in bytes. */
  readonly batch: number
}

/**
 * How servers talk to each other. Two come with us, over HTTP and over Redis; an application may bring its own.
 *
 * It carries requests and answers and understands neither. That a request is carried out once only, in its order, and for nobody but who may ask, is
 * the business of those who use it.
 *
 * An implementation
 * * MUST settle every `greet` and `send` within the deadline, and MUST leave nothing behind: no timer, no pending entry.
 * * MUST reject with a `MetroplexError` that says by `maybe` whether the receiver may have got the request: `false` only when it certainly has not.
 * * MUST NOT send a request twice by itself.
 * * MUST hand requests of one sender to the receiver in the order in which they were sent, as long as none failed.
 * * MUST ask `admit` before it reads a body, MUST take no body above `maxBody`, and none that takes longer than `timeout`.
 * * MUST NOT keep the process alive, but for an answer that somebody waits for.
 * * May be asked to `send` one request to a peer at a time. It is asked to talk to many peers at once.
 *
 * It may hand over ways back with requests, so that who has no address can be told something. Without them that fails with `EUNREACHABLE`. If it does,
 * * a way back MUST lead to the very connection, or channel, on which the request came, and MUST be the same object for all that comes there.
 * * its `ask` MUST do what `send` must, and MUST hand what is asked to the receiver that the asker's transport was opened with.
 * * `closed` MUST be told when one has ended, once, and nothing may be asked on it from then on. One that ends with this transport alone is never told of.
 * * `broken` MUST be told at the asker's end, when what leads back there has ended with it.
 */
export interface Transport {
  /** What is written into the registry: servers reach each other when theirs are the same. */
  readonly name: string
  readonly limits: Limits
  /** Begin to receive. Called once, before anything else. */
  open(receiver: Receiver): void | Promise<void>
  /**
   * Open the way to a peer. Its body is empty. Called before the first `send`, and again after one that rejected.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, `ECLOSED`
   */
  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer>
  /**
   * Send on the way that `greet` has opened.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE` also when the way has broken, `EDEADLINE`, `EPROTOCOL` for an answer that is none, `ECLOSED`
   */
  send(peer: Peer, request: Request, deadline: number): Promise<Answer>
  /** Nothing is sent to this address any more, for now: let go of what is kept for it. What is under way fails. */
  release(address: string): void
  /** Stop receiving, and let go of everything. What is under way fails with `ECLOSED`. Harmless when called twice. */
  close(): Promise<void>
}

