import type { Answer, Peer, Request } from '../../contract'
import { now, pause } from '../../deadline'
import { asError, MetroplexError, type ErrorCode } from '../../errors'
import type { PubSub } from '../../redis/pubsub'
import { cut, Gathering, LARGEST, lineOf, parsed, piecesOf, type Piece } from './pieces'

/** What who asks has to be told. */
export interface AskingTerms {
  /** The random word of this process: the name of our channel. */
  readonly word: string
  /** The largest body that is sent, in bytes. */
  readonly largest: number
  /** Whether the lease of a peer holds. When that cannot be known, it may reject. */
  alive(address: string): Promise<boolean>
}

/**
 * How long we wait for an answer to what somebody has heard, in ms, if there is that much time. Redis loses messages without a word, as when it cuts
 * a subscriber that is too slow. Who is told so this early has the time to send again under the same number.
 */
const SILENCE = 1000
/** While nobody listens at a peer that lives, we try again after this many ms at least, and five times as many at most. */
const AGAIN = 50

/** How many requests have left this process. Whoever opens a transport again has the same word, and must not begin anew. */
let count = 0

/** A request of ours that waits for its answer. */
interface Asked {
  readonly id: number
  readonly peer: Peer
  readonly deadline: number
  /** Whether the peer may have got it. */
  maybe: boolean
  /** Whether somebody may have heard it although nobody was counted. */
  doubtful: boolean
  /** Whether somebody has heard all of it. */
  heard: boolean
  /** An answer in pieces. */
  gathering: Gathering | undefined
  /** Ends a pause, when there is one. */
  wake: AbortController | undefined
  timer: NodeJS.Timeout
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** Asks peers: publishes each request until somebody hears it, and waits for its answer. */
export class Asking {
  readonly #asked = new Map<number, Asked>()
  #closed = false

  constructor(private readonly pubsub: Pick<PubSub, 'ready' | 'sharded' | 'usable' | 'publish' | 'look'>, private readonly terms: AskingTerms) {}

  /**
   * Publish a request until somebody hears it, and wait for the answer.
   *
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `ETOOBIG`, `EPROTOCOL`, `ECLOSED`; `maybe` says whether the peer may have got it
   */
  ask(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    const refused = (code: ErrorCode, sentence: string): Promise<never> => Promise.reject(new MetroplexError(code, sentence, { address, maybe: false }))
    if (this.#closed) return refused('ECLOSED', 'This server has been destroyed: it sends no more.')
    const { length } = request.body
    if (length > this.terms.largest) {
      return refused('ETOOBIG', `A body of ${length} bytes is larger than what is sent through Redis, ${this.terms.largest} bytes.`)
    }
    const left = deadline - now()
    if (left <= 0) return refused('EDEADLINE', `There was no time left to ask ${address}.`)
    return new Promise((resolve, reject) => {
      const id = ++count
      const asked: Asked = {
        id, peer, deadline, maybe: false, doubtful: false, heard: false, gathering: undefined, wake: undefined, resolve, reject,
        // It holds the process, for somebody waits.
        timer: setTimeout(() => { this.#late(asked) }, left)
      }
      this.#asked.set(id, asked)
      const messages = cut({ kind: '?', id, word: this.terms.word, line: lineOf(request), body: request.body })
      this.#publish(asked, messages).catch((error: unknown) => { this.#broken(asked, asError(error)) })
    })
  }

  /** A piece of an answer has come. */
  answered(piece: Piece): void {
    const asked = this.#asked.get(piece.id)
    if (asked?.peer.word !== piece.word || piece.pieces > piecesOf(LARGEST)) return
    const gathering = piece.piece === 1 ? new Gathering(piece) : asked.gathering
    if (gathering === undefined || (piece.piece > 1 && !gathering.take(piece))) return
    asked.gathering = gathering
    if (!gathering.whole) return
    const line = parsed('!', gathering.first.line)
    if (line !== undefined && this.#settle(asked)) asked.resolve({ ...line, body: gathering.body })
  }

  /** What was on its way to us is lost, and may be the answers. */
  deaf(): void {
    for (const asked of [...this.#asked.values()]) {
      const { maybe } = asked
      // Of those that were counted by nobody, some may be at a replica.
      if (this.pubsub.sharded) asked.doubtful = asked.maybe = true
      if (maybe) this.#fail(asked, 'EUNREACHABLE', `The connection to Redis broke before ${asked.peer.address} had answered.`)
    }
  }

  /** Wait no longer for who is at this address. */
  release(address: string): void {
    for (const asked of [...this.#asked.values()]) {
      if (asked.peer.address === address) this.#fail(asked, 'EUNREACHABLE', `${address} was let go of before an answer came.`)
    }
  }

  /** Ask nobody any more. */
  close(): void {
    this.#closed = true
    for (const asked of [...this.#asked.values()]) this.#fail(asked, 'ECLOSED', 'This server was destroyed before an answer came.')
  }

  /** Publish until somebody hears it, or it is over. */
  async #publish(asked: Asked, messages: readonly Buffer[]): Promise<void> {
    const { id, peer } = asked
    for (;;) {
      // Without a turn of its own when there is nothing to wait for: what is asked first leaves first.
      if (!this.pubsub.ready) await this.pubsub.usable()
      if (!this.#asked.has(id)) return
      if (await this.#reached(asked, messages)) break
      if (!this.#asked.has(id)) return
      this.pubsub.look()
      if (!await this.#alive(peer)) {
        this.#fail(asked, 'EUNREACHABLE', `Nobody listens at ${peer.address}, and its lease has ended.`)
        return
      }
      asked.wake = new AbortController()
      await pause(AGAIN * (1 + 4 * Math.random()), asked.wake.signal)
    }
    if (!this.#asked.has(id)) return
    asked.heard = true
    clearTimeout(asked.timer)
    asked.timer = setTimeout(() => { this.#late(asked) }, Math.min(SILENCE, asked.deadline - now()))
  }

  /** Publish it once. The first piece goes alone: when nobody hears that, nobody has got anything. */
  async #reached(asked: Asked, messages: readonly Buffer[]): Promise<boolean> {
    const { id, peer: { word } } = asked
    const publish = (message: Buffer): Promise<number> => this.pubsub.publish(word, message)
    asked.maybe = true
    try {
      const [first = Buffer.alloc(0), ...rest] = messages
      const hearers = [await publish(first)]
      if (hearers[0] !== 0 && rest.length > 0 && this.#asked.has(id)) hearers.push(...await Promise.all(rest.map(publish)))
      if (!hearers.includes(0)) return true
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.maybe !== false) throw error
      // It has not left. Perhaps it will on another connection.
      if (this.pubsub.ready) throw error
    }
    asked.maybe = asked.doubtful
    return false
  }

  /** Whether there is a point in trying again. */
  async #alive({ address, word }: Peer): Promise<boolean> {
    // Who has no address has no lease either.
    if (address === word) return true
    try {
      return await this.terms.alive(address)
    } catch {
      // Who knows. The deadline ends it.
      return true
    }
  }

  /** It could not be published, and there is no hope. */
  #broken(asked: Asked, error: Error): void {
    const { code, maybe = asked.maybe } = error as Partial<MetroplexError>
    asked.maybe = maybe
    this.#fail(asked, code === 'EPROTOCOL' || code === 'ECLOSED' ? code : 'EUNREACHABLE', `${asked.peer.address} cannot be reached through Redis: ${error.message}`, error)
  }

  #late(asked: Asked): void {
    const { peer: { address }, maybe, heard } = asked
    // Either side may be deaf, and not know it.
    this.pubsub.look()
    if (maybe) this.#fail(asked, 'EDEADLINE', `${address} did not answer${heard ? '' : ', and Redis neither,'} in time.`)
    else if (this.pubsub.ready) this.#fail(asked, 'EUNREACHABLE', `Nobody listens at ${address}.`)
    else this.#fail(asked, 'EDEADLINE', `There was no connection to Redis in time to ask ${address}.`)
  }

  #fail(asked: Asked, code: ErrorCode, sentence: string, cause?: Error): void {
    if (!this.#settle(asked)) return
    const { peer: { address }, maybe } = asked
    asked.reject(new MetroplexError(code, sentence, { address, maybe, ...cause && { cause } }))
  }

  /** Let go of it; `false` when that has been done. */
  #settle(asked: Asked): boolean {
    clearTimeout(asked.timer)
    asked.wake?.abort()
    return this.#asked.delete(asked.id)
  }
}
