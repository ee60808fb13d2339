import type { Answer, Back, Receiver, Transport } from '../../common/transport-contract'
import type { SignedHead } from '../signature'

/**
 * Handles what a transport of metroplex receives. It differs from the `Receiver` of an application's own transport:
 * `admit` returns the verified head, and `receive` takes it, so that no head is verified twice.
 */
export interface Reception extends Omit<Receiver, 'admit' | 'receive'> {
  /**
   * Verifies a request before its body is read.
   *
   * @param line the head
   * @returns the verified head: read the body and call `receive`. Otherwise the answer to send at once
   */
  admit(line: string, type: string): AdmittedHead | Answer
  /**
   * Answers an admitted request, synchronously.
   *
   * @param back the return path of its connection
   */
  receive(head: AdmittedHead, body: Buffer, back?: Back): ReceivedAnswer
}

/** The verified head of a request. */
export interface AdmittedHead extends SignedHead {
  /**
   * Its sender may have sent further requests behind it on the same stream. So when it is refused, none of these may be
   * read any more: the stream is closed.
   */
  readonly deferrable?: true
}

/** The answer of a `Reception`. */
export interface ReceivedAnswer extends Answer {
  /** It may be sent later, together with the next answers on the same stream and in their order. */
  readonly deferrable?: true
}

/** A transport that hands requests to a `Reception`. */
export interface ReceptionTransport extends Omit<Transport, 'open'> {
  /** Starts to receive. Called once, before anything else. */
  open(reception: Reception): void | Promise<void>
  /**
   * Whether the connection to a peer that `greet` opened takes further requests while earlier ones wait for their
   * answers, delivers and answers them in order, and fails all of them when it breaks. Absent: no connection does.
   */
  pipelines?(address: string): boolean
}

/** Whether a request was refused when it was to be admitted. */
export function isRefusal(admitted: AdmittedHead | Answer): admitted is Answer {
  return 'status' in admitted
}
