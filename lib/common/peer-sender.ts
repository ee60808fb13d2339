import type { Message } from './encoded-message'

/** The sparks of one server that a message is for. */
export interface Recipients {
  /** Only these sparks; absent: all. */
  readonly sparks?: readonly string[]
  /** Only sparks that are in one of these groups. */
  readonly groups?: readonly string[]
  /** All sparks, or all of those groups, but these. */
  readonly except?: readonly string[]
}

/** What a server did with a message. */
export interface Delivered {
  /** How many sparks the message was handed to. */
  readonly send: number
  /**
   * The recipients that the server does not hold; absent when the server does not report them. For a message to groups,
   * the groups that none of its sparks is in.
   */
  readonly missing?: readonly string[]
}

/** Sends messages to other servers, on one of the wires. */
export interface PeerSender {
  /**
   * Sends a message to a server, behind all earlier messages to it.
   *
   * @param deadline when to give up, by `performance.now()`
   * @throws MetroplexError with `address` and `maybe`
   */
  send(address: string, message: Message, recipients: Recipients, deadline: number): Promise<Delivered>
}

/** The ids that a server does not hold; `undefined`: the server did not report them. */
export function absentIds(ids: readonly string[], { send, missing }: Delivered): readonly string[] | undefined {
  // A server of 1.x only reports a number. The ids are known when it is none or all.
  return missing ?? (send === 0 ? ids : send === ids.length ? [] : undefined)
}
