import { ignore } from '../callback'
import { now, pause } from '../deadline'
import { asError, MetroplexError, type ErrorCode } from '../errors'
import { PubSub } from '../redis/pubsub'
import type { RedisClient } from '../types'
import type { Answer, Limits, Peer, Receiver, Request, Transport } from '../contract'
import { cut, Gathering, lineOf, parsed, PIECE, piecesOf, read, type Piece } from './pieces'

/** What a transport over Redis has to be told. */
export interface RedisTerms {
  /** The user's client: ours are made like it, and it is never used itself. */
  readonly redis: RedisClient
  /** Of the first registry; on Redis Cluster it carries a hash tag. */
  readonly namespace: string
  /** The random word of this process: the name of our channel. */
  readonly word: string
  /** How long a connection to Redis may be mute, in ms. */
  readonly timeout: number
  /** The largest body that is sent, in bytes, when that is less than what goes through Redis. */
  readonly maxBody: number
  /** Whether the lease of a peer holds. When that cannot be known, it may reject. */
  alive(address: string): Promise<boolean>
  /** Something is wrong in the background; told once until it works again. */
  failed(error: Error): void
}

/** The largest body that goes through Redis, in bytes. */
const LARGEST = 1_048_576
/**
 * How long we wait for an answer to what somebody has heard, in ms, if there is that much time. Redis loses messages without a word, as when it cuts
 * a subscriber that is too slow. Who is told so this early has the time to send again under the same number.
 */
const SILENCE = 1000
/** While nobody listens at a peer that lives, we try again after this many ms at least, and five times as many at most. */
const AGAIN = 50
/** How much of unfinished bodies we hold, of all senders together, in bytes. */
const UNFINISHED = 32 * LARGEST
/** Of how many senders we remember what came last. */
const SENDERS = 10_000

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

/** A request to us of which not all is there. */
interface Coming {
  readonly gathering: Gathering
  readonly timer: NodeJS.Timeout
}

/**
 * Talks to peers through Redis, for servers that cannot reach each other: each has a channel, `<namespace>:channel:<db>:<word>`.
 *
 * Redis keeps no message. So a request is published until somebody hears it, and is known to have arrived by its answer alone. When
 * none comes within a second it is given up, as one that may have arrived. What is lost in between is neither delayed nor kept.
 *
 * Bodies up to 1 MB pass, in pieces of 256 kB. On Redis Cluster it needs Redis 7.
 *
 * @example
 * const transport = new RedisTransport({ redis, namespace: 'metroplex', word, timeout: 5000, maxBody: 10_485_760, alive, failed })
 * transport.open(receiver)
 * const answer = await transport.send(peer, request, now() + 5000)
 * await transport.close()
 */
export class RedisTransport implements Transport {
  readonly name = 'redis'
  readonly limits: Limits
  readonly #pubsub: PubSub
  readonly #asked = new Map<number, Asked>()
  /** By the word of the sender: one request of each. */
  readonly #coming = new Map<string, Coming>()
  /** How much of those is here, in bytes. */
  #held = 0
  /** The last request that was handed over, by the word of its sender: what comes out of an old connection late must not follow a newer one. */
  readonly #last = new Map<string, number>()
  #receiver: Receiver | undefined
  #closed = false

  constructor(private readonly terms: RedisTerms) {
    const { redis, namespace, word, timeout, maxBody } = terms
    this.limits = { body: Math.min(LARGEST, maxBody), batch: Math.min(PIECE, maxBody) }
    this.#pubsub = new PubSub(redis, { namespace, word }, timeout, {
      heard: message => { this.#heard(message) },
      deaf: () => { this.#deaf() },
      failed: error => { terms.failed(error) }
    })
  }

  /** Begin to connect and to listen. It needs no waiting for: what is asked before that waits itself. */
  open(receiver: Receiver): void {
    this.#receiver = receiver
    this.#pubsub.open()
  }

  /** As `send`: there is no way to open, only somebody to be met. */
  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.#ask(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.#ask(peer, request, deadline)
  }

  release(address: string): void {
    for (const asked of [...this.#asked.values()]) {
      if (asked.peer.address === address) this.#fail(asked, 'EUNREACHABLE', `${address} was let go of before an answer came.`)
    }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#pubsub.close()
    for (const asked of [...this.#asked.values()]) this.#fail(asked, 'ECLOSED', 'This server was destroyed before an answer came.')
    for (const word of [...this.#coming.keys()]) this.#forget(word)
    this.#last.clear()
    return Promise.resolve()
  }

  // What we ask

  #ask(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    const refused = (code: ErrorCode, sentence: string): Promise<never> => Promise.reject(new MetroplexError(code, sentence, { address, maybe: false }))
    if (this.#closed) return refused('ECLOSED', 'This server has been destroyed: it sends no more.')
    const { length } = request.body
    if (length > this.limits.body) {
      return refused('ETOOBIG', `A body of ${length} bytes is larger than what is sent through Redis, ${this.limits.body} bytes.`)
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

  /** Publish until somebody hears it, or it is over. */
  async #publish(asked: Asked, messages: readonly Buffer[]): Promise<void> {
    const { id, peer } = asked
    for (;;) {
      // Without a turn of its own when there is nothing to wait for: what is asked first leaves first.
      if (!this.#pubsub.ready) await this.#pubsub.usable()
      if (!this.#asked.has(id)) return
      if (await this.#reached(asked, messages)) break
      if (!this.#asked.has(id)) return
      this.#pubsub.look()
      if (!await this.#alive(peer.address)) {
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
    const publish = (message: Buffer): Promise<number> => this.#pubsub.publish(word, message)
    asked.maybe = true
    try {
      const [first = Buffer.alloc(0), ...rest] = messages
      const hearers = [await publish(first)]
      if (hearers[0] !== 0 && rest.length > 0 && this.#asked.has(id)) hearers.push(...await Promise.all(rest.map(publish)))
      if (!hearers.includes(0)) return true
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.maybe !== false) throw error
      // It has not left. Perhaps it will on another connection.
      if (this.#pubsub.ready) throw error
    }
    asked.maybe = asked.doubtful
    return false
  }

  /** Whether there is a point in trying again. */
  async #alive(address: string): Promise<boolean> {
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
    this.#pubsub.look()
    if (maybe) this.#fail(asked, 'EDEADLINE', `${address} did not answer${heard ? '' : ', and Redis neither,'} in time.`)
    else if (this.#pubsub.ready) this.#fail(asked, 'EUNREACHABLE', `Nobody listens at ${address}.`)
    else this.#fail(asked, 'EDEADLINE', `There was no connection to Redis in time to ask ${address}.`)
  }

  /** What was on its way to us is lost, and may be the answers. */
  #deaf(): void {
    for (const asked of [...this.#asked.values()]) {
      const { maybe } = asked
      // Of those that were counted by nobody, some may be at a replica.
      if (this.#pubsub.sharded) asked.doubtful = asked.maybe = true
      if (maybe) this.#fail(asked, 'EUNREACHABLE', `The connection to Redis broke before ${asked.peer.address} had answered.`)
    }
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

  #answered(piece: Piece): void {
    const asked = this.#asked.get(piece.id)
    if (asked?.peer.word !== piece.word || piece.pieces > piecesOf(LARGEST)) return
    const gathering = piece.piece === 1 ? new Gathering(piece) : asked.gathering
    if (gathering === undefined || (piece.piece > 1 && !gathering.take(piece))) return
    asked.gathering = gathering
    if (!gathering.whole) return
    const line = parsed('!', gathering.first.line)
    if (line !== undefined && this.#settle(asked)) asked.resolve({ ...line, body: gathering.body })
  }

  // What we are asked

  #heard(message: Buffer): void {
    const piece = read(message)
    if (piece === undefined || this.#closed) return
    try {
      if (piece.kind === '!') this.#answered(piece)
      else if (piece.piece === 1) this.#begin(piece)
      else this.#continue(piece)
    } catch (error) {
      // Whoever asked hears nothing: nobody knows how far it went.
      this.terms.failed(asError(error))
    }
  }

  #begin(piece: Piece): void {
    const { word, id, pieces } = piece
    this.#forget(word)
    if (id <= (this.#last.get(word) ?? 0)) return
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
    this.#last.delete(first.word)
    this.#last.set(first.word, first.id)
    const [oldest] = this.#last.keys()
    if (this.#last.size > SENDERS && oldest !== undefined) this.#last.delete(oldest)
    const { head, type } = line
    this.#answer(first, this.#receiver.receive({ head, type, body }))
  }

  /** Answer on the sender's channel. When that is lost, the sender asks again. */
  #answer({ word, id }: Pick<Piece, 'word' | 'id'>, answer: Answer): void {
    const { length } = answer.body
    if (length > LARGEST) {
      this.terms.failed(new MetroplexError('ETOOBIG', `An answer of ${length} bytes is larger than what is sent through Redis, ${LARGEST} bytes.`))
      return
    }
    for (const message of cut({ kind: '!', id, word: this.terms.word, line: lineOf(answer), body: answer.body })) {
      this.#pubsub.publish(word, message).catch(ignore)
    }
  }
}

function tooBig(maxBody: number): Answer {
  return refusal(413, 'ETOOBIG', `The body is larger than \`maxBody\`, ${maxBody} bytes.`)
}

/** An answer of the transport itself, which has nothing to sign with. */
function refusal(status: number, code: ErrorCode, reason: string): Answer {
  return { status, head: '', type: 'application/json', body: Buffer.from(JSON.stringify({ code, reason })) }
}
