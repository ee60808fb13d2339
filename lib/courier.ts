import type { Message } from './message'

/** Whom a message is for, of the sparks of one server. */
export interface Whom {
  /** These; absent: all. */
  readonly sparks?: readonly string[]
  /** All but these. */
  readonly except?: readonly string[]
}

/** What a server did with a message. */
export interface Delivered {
  /** Sparks it was handed to. */
  readonly send: number
  /** Of the sparks it was for, those that are not there; absent when the server does not say. */
  readonly missing?: readonly string[]
}

/** Whoever hands messages to other servers, by whatever wire they speak. */
export interface Courier {
  /**
   * Hand a message to a server, after all that was handed to it before.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError with `address` and `maybe`
   */
  send(address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered>
}

/** Which sparks were not there, as far as the server says so; `undefined`: it does not. */
export function absent(ids: readonly string[], { send, missing }: Delivered): readonly string[] | undefined {
  // A server of 1.x gives the number alone: only when it is none do we know which ones.
  return missing ?? (send === 0 ? ids : send === ids.length ? [] : undefined)
}
