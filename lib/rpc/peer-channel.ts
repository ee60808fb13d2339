import type { Message } from '../common/encoded-message'
import type { MessageHandler } from '../transport/receiving/inbox'
import type { Reply } from '../transport/envelope'

/** Carries messages between servers that are for no spark. */
export interface PeerChannel {
  /** Handle messages of a kind. */
  take(kind: string, handler: MessageHandler): void
  /** The address of the peer with this node id; `''` for any other process. */
  addressOf(nodeId: string): string
  /** Whether a caller can be answered: at its address, or on its return path. */
  reaches(nodeId: string): boolean
  /**
   * Send a message to a server, after all messages that were sent to it before. Resolves when it has been applied.
   *
   * @param detail what the message is about: a JSON value
   * @param deadline by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  carry(address: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply>
  /** As `carry`, to a caller, with or without an address. */
  back(nodeId: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply>
}

/** A message without content. */
export const NO_DATA: unknown = null

// The kinds of messages, as PROTOCOL.md lists them.

/** A question. */
export const ASK = 'ask'
/** The answer to a question. */
export const ANSWER = 'answer'
/** The caller has given these questions up. */
export const DROP = 'drop'
/** The caller still waits for these questions. */
export const WAIT = 'wait'
