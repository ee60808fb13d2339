/** A message on its way to the sparks of one server. */
export interface Outgoing {
  /** The message, as JSON text. */
  readonly text: string
  /** The sparks it is for; absent: all of that server. */
  readonly sparks?: readonly string[]
  /** The sparks it is not for, when it is for all others. */
  readonly except?: readonly string[]
}

/** What a server did with a message. */
export interface Delivered {
  /** Sparks it was handed to. */
  readonly send: number
  /** Of the sparks it was for, those that are not there; absent when the server does not say. */
  readonly missing?: readonly string[]
}

/**
 * How servers talk to each other.
 *
 * An implementation MUST settle every `send` within the deadline, and MUST keep the order of messages to one address.
 * It MUST say of a failure whether the message may have arrived (`maybe`).
 */
export interface Transport {
  /**
   * Hand a message to the server at an address.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EAUTH`, `ETOOBIG`, `EPROTOCOL`, `ECLOSED`, with `address` and `maybe`
   */
  send(address: string, message: Outgoing, deadline: number): Promise<Delivered>
  /** Close all connections; what is under way fails with `ECLOSED`. */
  close(): Promise<void>
}
