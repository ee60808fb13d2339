import { ignore } from '../../common/callback'
import type { Answer, Back, Request } from '../../common/transport-contract'
import { MetroplexError } from '../../common/errors'
import type { PubSub } from '../../redis/pubsub'
import { answerLine, readRequestLine } from '../head-line'
import { isRefusal, type Reception } from '../receiving/reception-contract'
import { refusalAnswer, tooLargeAnswer } from '../receiving/transport-refusals'
import type { SignedHead } from '../signature'
import { splitIntoChunks, Reassembler, MAX_BODY, CHUNK_SIZE, type Chunk } from './chunks'

/** Options of the responder. */
export interface RedisResponderTerms {
  /** The node id of this process, which names its channel. */
  readonly nodeId: string
  /** Send a request to the process with this node id, on its channel. */
  ask(nodeId: string, request: Request, deadline: number): Promise<Answer>
  /** A background operation failed. */
  failed(error: Error): void
}

/** The most bytes of incomplete requests, of all senders together. */
const MOST_PARTIAL_BYTES = 32 * MAX_BODY
/** The most senders whose last request is remembered. */
const MOST_SENDERS = 10_000

/** The state of one sender. */
interface Sender {
  /** The id of its last complete request. An older one that arrives late on a former connection is dropped. */
  last: number
  /** Its return path, which does not depend on connections. */
  readonly back: Back
}

/** A request that has arrived in part. */
interface PartialRequest {
  readonly head: SignedHead
  readonly message: Reassembler
  readonly timer: NodeJS.Timeout
}

/** Answers the requests of peers, one at a time of each. A request is verified before any of its body is kept. */
export class RedisResponder {
  /** By the node id of the sender. */
  readonly #partial = new Map<string, PartialRequest>()
  /** The bytes of all of them. */
  #partialBytes = 0
  /** By node id, in the order of their last request. */
  readonly #senders = new Map<string, Sender>()
  #receiver: Reception | undefined

  constructor(
    private readonly pubsub: Pick<PubSub, 'ready' | 'usable' | 'publish'>,
    private readonly terms: RedisResponderTerms
  ) {}

  /** Start to answer. */
  open(receiver: Reception): void {
    this.#receiver = receiver
  }

  /** Handle a chunk of a request. */
  asked(piece: Chunk): void {
    if (piece.piece === 1) this.#begin(piece)
    else this.#continue(piece)
  }

  /** Drop incomplete requests. */
  close(): void {
    for (const nodeId of [...this.#partial.keys()]) this.#dropPartial(nodeId)
    this.#senders.clear()
  }

  #begin(piece: Chunk): void {
    const { nodeId, id, pieces } = piece
    this.#dropPartial(nodeId)
    if (id <= (this.#senders.get(nodeId)?.last ?? 0)) return
    const receiver = this.#receiver
    const line = readRequestLine(piece.line)
    if (receiver === undefined || line === undefined) return
    const head = receiver.admit(...line)
    if (isRefusal(head)) {
      this.#answer(piece, head)
    } else if ((pieces - 1) * CHUNK_SIZE + (pieces === 1 ? piece.body.length : 1) > receiver.maxBody) {
      this.#answer(piece, tooLargeAnswer(receiver.maxBody))
    } else if (pieces === 1) {
      this.#receive(receiver, head, new Reassembler(piece))
    } else {
      // The sender has given the request up by then.
      const timer = setTimeout(() => {
        this.#dropPartial(nodeId)
      }, receiver.timeout).unref()
      this.#partial.set(nodeId, { head, message: new Reassembler(piece), timer })
      this.#countPartial(piece)
    }
  }

  #continue(piece: Chunk): void {
    const partial = this.#partial.get(piece.nodeId)
    const receiver = this.#receiver
    if (partial === undefined || receiver === undefined) return
    const { head, message } = partial
    if (!message.take(piece) || !this.#countPartial(piece) || !message.complete) return
    this.#dropPartial(piece.nodeId)
    const { maxBody } = receiver
    if (message.size > maxBody) this.#answer(piece, tooLargeAnswer(maxBody))
    else this.#receive(receiver, head, message)
  }

  /** Count the bytes of a chunk. @returns whether the limit allows it */
  #countPartial({ nodeId, id, body }: Chunk): boolean {
    this.#partialBytes += body.length
    if (this.#partialBytes <= MOST_PARTIAL_BYTES) return true
    this.#dropPartial(nodeId)
    this.#answer(
      { nodeId, id },
      refusalAnswer(503, 'EUNREACHABLE', 'Too many large requests are arriving at the same time.')
    )
    return false
  }

  /** Drop the incomplete request of a sender. */
  #dropPartial(nodeId: string): void {
    const partial = this.#partial.get(nodeId)
    if (partial === undefined) return
    clearTimeout(partial.timer)
    this.#partial.delete(nodeId)
    this.#partialBytes -= partial.message.size
  }

  #receive(receiver: Reception, head: SignedHead, { first, body }: Reassembler): void {
    this.#answer(first, receiver.receive(head, body, this.#recordSender(first)))
  }

  /** Record the request of a sender as its last one. @returns its return path */
  #recordSender({ nodeId, id }: Chunk): Back {
    const senders = this.#senders
    const sender = senders.get(nodeId) ?? {
      last: 0,
      back: { open: true, ask: (request, deadline) => this.terms.ask(nodeId, request, deadline) }
    }
    sender.last = id
    senders.delete(nodeId)
    senders.set(nodeId, sender)
    const [oldest] = senders.keys()
    if (senders.size > MOST_SENDERS && oldest !== undefined) senders.delete(oldest)
    return sender.back
  }

  /** Answer on the channel of the sender. When the answer is lost, the sender sends its request again. */
  #answer({ nodeId, id }: Pick<Chunk, 'nodeId' | 'id'>, answer: Answer): void {
    const { length } = answer.body
    if (length > MAX_BODY) {
      this.terms.failed(
        new MetroplexError(
          'ETOOBIG',
          `An answer of ${length} bytes is larger than what is sent through Redis, ${MAX_BODY} bytes.`
        )
      )
      return
    }
    for (const message of splitIntoChunks({
      kind: '!',
      id,
      nodeId: this.terms.nodeId,
      line: answerLine(answer),
      body: answer.body
    })) {
      this.#publish(nodeId, message).catch(ignore)
    }
  }

  /** Publish an answer, if need be when Redis is connected again: a lost answer costs the sender a second. */
  async #publish(nodeId: string, message: Buffer): Promise<void> {
    if (!this.pubsub.ready) await this.pubsub.usable()
    await this.pubsub.publish(nodeId, message)
  }
}
