import type { Answer, Limits, Peer, Receiver, Request, Transport } from '../../contract'
import { asError } from '../../errors'
import { PubSub } from '../../redis/pubsub'
import type { RedisClient } from '../../types'
import { Answering, type AnsweringTerms } from './answering'
import { Asking, type AskingTerms } from './asking'
import { LARGEST, PIECE, read } from './pieces'

/** What a transport over Redis has to be told. */
export interface RedisTerms extends Omit<AskingTerms, 'largest'>, Omit<AnsweringTerms, 'ask'> {
  /** The user's client: ours are made like it, and it is never used itself. */
  readonly redis: RedisClient
  /** Of the first registry; on Redis Cluster it carries a hash tag. */
  readonly namespace: string
  /** How long a connection to Redis may be mute, in ms. */
  readonly timeout: number
  /** The largest body that is sent, in bytes, when that is less than what goes through Redis. */
  readonly maxBody: number
}

/**
 * Talks to peers through Redis, for servers that cannot reach each other: each has a channel, `<namespace>:channel:<db>:<word>`.
 *
 * Redis keeps no message. So a request is published until somebody hears it, and is known to have arrived by its answer alone. When
 * none comes within a second it is given up, as one that may have arrived. What is lost in between is neither delayed nor kept.
 *
 * The way back to who asks is its channel, which outlives connections: that it has ended is never told.
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
  readonly #asking: Asking
  readonly #answering: Answering

  constructor(private readonly terms: RedisTerms) {
    const { redis, namespace, word, timeout, maxBody } = terms
    this.limits = { body: Math.min(LARGEST, maxBody), batch: Math.min(PIECE, maxBody) }
    this.#pubsub = new PubSub(redis, { namespace, word }, timeout, {
      heard: message => { this.#heard(message) },
      deaf: () => { this.#asking.deaf() },
      failed: error => { terms.failed(error) }
    })
    this.#asking = new Asking(this.#pubsub, { word, largest: this.limits.body, alive: address => terms.alive(address) })
    this.#answering = new Answering(this.#pubsub, {
      word,
      // Who has no address is called by its word.
      ask: (word, request, deadline) => this.#asking.ask({ address: word, pathname: '', word }, request, deadline),
      failed: error => { terms.failed(error) }
    })
  }

  /** Begin to connect and to listen. It needs no waiting for: what is asked before that waits itself. */
  open(receiver: Receiver): void {
    this.#answering.open(receiver)
    this.#pubsub.open()
  }

  /** As `send`: there is no way to open, only somebody to be met. */
  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.#asking.ask(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.#asking.ask(peer, request, deadline)
  }

  release(address: string): void {
    this.#asking.release(address)
  }

  close(): Promise<void> {
    this.#pubsub.close()
    this.#asking.close()
    this.#answering.close()
    return Promise.resolve()
  }

  #heard(message: Buffer): void {
    const piece = read(message)
    if (piece === undefined) return
    try {
      if (piece.kind === '!') this.#asking.answered(piece)
      else this.#answering.asked(piece)
    } catch (error) {
      // Whoever asked hears nothing: nobody knows how far it went.
      this.terms.failed(asError(error))
    }
  }
}
