import { ignore } from '../../callback'
import type { Answer, Back, Receiver, Request } from '../../contract'
import { MetroplexError, type ErrorCode } from '../../errors'
import type { PubSub } from '../../redis/pubsub'
import { cut, Gathering, LARGEST, lineOf, parsed, PIECE, type Piece } from './pieces'

/** What who answers has to be told. */
export interface AnsweringTerms {
  /** The random word of this process: the name of our channel. */
  readonly word: string
  /** Ask whoever has this word, on its channel. */
  ask(word: string, request: Request, deadline: number): Promise<Answer>
  /** Something is wrong in the background; told once until it works again. */
  failed(error: Error): void
}

/** How much of unfinished bodies we hold, of all senders together, in bytes. */
const UNFINISHED = 32 * LARGEST
/** Of how many senders we remember what came last. */
const SENDERS = 10_000

/** What is remembered of who has asked. */
interface Sender {
  /** Its last request that was handed over: what comes out of an old connection late must not follow a newer one. */
  last: number
  /** Its channel is there whatever happens to connections. */
  readonly back: Back
}

/** A request to us of which not all is there. */
interface Coming {
  readonly gathering: Gathering
  readonly timer: NodeJS.Timeout
}

/** Answers what peers ask, one request of each at a time: puts its pieces together, and has it judged before any of its body is kept. */
export class Answering {
  /** By the word of the sender: one request of each. */
  readonly #coming = new Map<string, Coming>()
  /** How much of those is here, in bytes. */
  #held = 0
  /** By their words; the one that was silent longest comes first. */
  readonly #senders = new Map<string, Sender>()
  #receiver: Receiver | undefined

  constructor(private readonly pubsub: Pick<PubSub, 'ready' | 'usable' | 'publish'>, private readonly terms: AnsweringTerms) {}

  /** From now on there is somebody who answers. */
  open(receiver: Receiver): void {
    this.#receiver = receiver
  }

  /** A piece of a request has come. */
  asked(piece: Piece): void {
    if (piece.piece === 1) this.#begin(piece)
    else this.#continue(piece)
  }

  /** Let go of what is not complete. */
  close(): void {
    for (const word of [...this.#coming.keys()]) this.#forget(word)
    this.#senders.clear()
  }

  #begin(piece: Piece): void {
    const { word, id, pieces } = piece
    this.#forget(word)
    if (id <= (this.#senders.get(word)?.last ?? 0)) return
    const receiver = this.#receiver
    const line = parsed('?', piece.line)
    if (receiver === undefined || line === undefined) return
    const refusal = receiver.admit(line.head, line.type)
    if (refusal !== undefined) {
      this.#answer(piece, refusal)
    } else if ((pieces - 1) * PIECE + (pieces === 1 ? piece.body.length : 1) > receiver.maxBody) {
      this.#answer(piece, tooBig(receiver.maxBody))
    } else if (pieces === 1) {
      this.#receive(new Gathering(piece))
    } else {
      // The sender has given it up by then.
      const timer = setTimeout(() => { this.#forget(word) }, receiver.timeout).unref()
      this.#coming.set(word, { gathering: new Gathering(piece), timer })
      this.#hold(piece)
    }
  }

  #continue(piece: Piece): void {
    const gathering = this.#coming.get(piece.word)?.gathering
    if (gathering?.take(piece) !== true || !this.#hold(piece) || !gathering.whole) return
    this.#forget(piece.word)
    const { maxBody = 0 } = this.#receiver ?? {}
    if (gathering.size > maxBody) this.#answer(piece, tooBig(maxBody))
    else this.#receive(gathering)
  }

  /** Account for a piece; `false` when that is too much. */
  #hold({ word, id, body }: Piece): boolean {
    this.#held += body.length
    if (this.#held <= UNFINISHED) return true
    this.#forget(word)
    this.#answer({ word, id }, refusal(503, 'EUNREACHABLE', 'Too much is coming in at the same time.'))
    return false
  }

  /** Give up what has come of a sender's request. */
  #forget(word: string): void {
    const coming = this.#coming.get(word)
    if (coming === undefined) return
    clearTimeout(coming.timer)
    this.#coming.delete(word)
    this.#held -= coming.gathering.size
  }

  #receive({ first, body }: Gathering): void {
    const line = parsed('?', first.line)
    if (line === undefined || this.#receiver === undefined) return
    const { head, type } = line
    this.#answer(first, this.#receiver.receive({ head, type, body }, this.#sent(first)))
  }

  /** Take note of what a sender has sent last. @returns the way back to it */
  #sent({ word, id }: Piece): Back {
    const senders = this.#senders
    const sender = senders.get(word) ?? { last: 0, back: { open: true, ask: (request, deadline) => this.terms.ask(word, request, deadline) } }
    sender.last = id
    senders.delete(word)
    senders.set(word, sender)
    const [oldest] = senders.keys()
    if (senders.size > SENDERS && oldest !== undefined) senders.delete(oldest)
    return sender.back
  }

  /** Answer on the sender's channel. When that is lost, the sender asks again. */
  #answer({ word, id }: Pick<Piece, 'word' | 'id'>, answer: Answer): void {
    const { length } = answer.body
    if (length > LARGEST) {
      this.terms.failed(new MetroplexError('ETOOBIG', `An answer of ${length} bytes is larger than what is sent through Redis, ${LARGEST} bytes.`))
      return
    }
    for (const message of cut({ kind: '!', id, word: this.terms.word, line: lineOf(answer), body: answer.body })) {
      this.#publish(word, message).catch(ignore)
    }
  }

  /** At once, or as soon as that can be done: who hears may be there before who speaks is, and a lost answer costs the sender a second. */
  async #publish(word: string, message: Buffer): Promise<void> {
    if (!this.pubsub.ready) await this.pubsub.usable()
    await this.pubsub.publish(word, message)
  }
}

function tooBig(maxBody: number): Answer {
  return refusal(413, 'ETOOBIG', `The body is larger than \`maxBody\`, ${maxBody} bytes.`)
}

/** An answer of the transport itself, which has nothing to sign with. */
function refusal(status: number, code: ErrorCode, reason: string): Answer {
  return { status, head: '', type: 'application/json', body: Buffer.from(JSON.stringify({ code, reason })) }
}
