import type { Message } from '../message'
import type { Handler, Reply } from '../transport/reception'

/** What carries messages that are for no spark between servers. */
export interface Mail {
  /** Take messages of a kind. */
  take(kind: string, handler: Handler): void
  /** The address of the peer whose process has this word; `''` for anybody else. */
  addressOf(word: string): string
  /** Whether anything can be said to whoever has asked us: to a peer, or to somebody on the connection on which it asked. */
  reaches(word: string): boolean
  /**
   * Have a server carry out a message, after all that was sent there before.
   *
   * @param detail whom or what it is about: a JSON value
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  carry(address: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply>
  /** As `carry`, to whoever has asked us something, with an address or without. */
  back(word: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply>
}

/** A message without content. */
export const NOTHING: unknown = null

/** The kinds of messages by which questions travel: see PROTOCOL.md. */
export const ASK = 'ask'
/** What came of a question. */
export const ANSWER = 'answer'
/** These questions are given up. */
export const DROP = 'drop'
/** These questions are still waited for. */
export const WAIT = 'wait'
