import type { Answer, Limits, Peer, Request } from '../../common/transport-contract'
import { ThrottledReports } from '../../reporting/throttled-reports'
import { asError } from '../../common/errors'
import { PubSub } from '../../redis/pubsub'
import type { RedisClient } from '../../common/types'
import type { Reception, ReceptionTransport } from '../receiving/reception-contract'
import { RedisResponder, type RedisResponderTerms } from './responder'
import { RedisRequester, type RedisRequesterTerms } from './requester'
import { MAX_BODY, CHUNK_SIZE, readChunk } from './chunks'

/** Options of the Redis transport. */
export interface RedisTerms extends Omit<RedisRequesterTerms, 'largest'>, Omit<RedisResponderTerms, 'ask'> {
  /** The client of the application. Ours are duplicates of it; it is never used itself. */
  readonly redis: RedisClient
  /** The namespace of the first shard; on Redis Cluster it carries a hash tag. */
  readonly namespace: string
  /** The name of this process for operators, as in `CLIENT LIST` of Redis. */
  readonly processName: string
  /** How long Redis may take to answer, in ms. */
  readonly timeout: number
  /** The largest body that is sent, in bytes, if less than the limit of this transport. */
  readonly maxBody: number
  /** `trouble` changed: messages pass again, or no longer pass. */
  changed?(): void
}

/**
 * Communicates with peers through Redis, for servers that cannot reach each other. Each process has a channel,
 * `<namespace>:channel:<db>:<node id>`.
 *
 * Redis stores no message. So a request is published until the peer is subscribed, and only its answer proves that it
 * arrived. After a second without an answer it fails, as one that may have arrived.
 *
 * The return path of a process is its channel, which outlives connections. So its end is never reported.
 *
 * Bodies up to 1 MiB pass, in chunks of 256 KiB. On Redis Cluster it needs Redis 7.
 *
 * @example
 * const transport = new RedisTransport({
 *   redis,
 *   namespace,
 *   nodeId,
 *   processName: 'web-1',
 *   timeout: 5000,
 *   maxBody: 10_485_760,
 *   alive,
 *   failed
 * })
 * transport.open(receiver)
 * const answer = await transport.send(peer, request, now() + 5000)
 * await transport.close()
 */
export class RedisTransport implements ReceptionTransport {
  readonly name = 'redis'
  readonly limits: Limits
  readonly #pubsub: PubSub
  readonly #requester: RedisRequester
  readonly #responder: RedisResponder

  /** Failures of received messages, throttled: a process that may publish here can cause any number of them. */
  readonly #reports: ThrottledReports

  constructor(terms: RedisTerms) {
    const { redis, namespace, nodeId, processName, timeout, maxBody } = terms
    this.#reports = new ThrottledReports(error => {
      terms.failed(error)
    })
    this.limits = { body: Math.min(MAX_BODY, maxBody), batch: Math.min(CHUNK_SIZE, maxBody) }
    this.#pubsub = new PubSub(redis, { namespace, nodeId, name: processName }, timeout, {
      received: message => {
        this.#received(message)
      },
      subscriptionLost: () => {
        this.#requester.subscriptionLost()
      },
      failed: error => {
        terms.failed(error)
      },
      changed: () => {
        terms.changed?.()
      }
    })
    this.#requester = new RedisRequester(this.#pubsub, {
      nodeId,
      largest: this.limits.body,
      alive: address => terms.alive(address)
    })
    this.#responder = new RedisResponder(this.#pubsub, {
      nodeId,
      // The node id takes the place of the address.
      ask: (nodeId, request, deadline) =>
        this.#requester.ask({ address: nodeId, pathname: '', word: nodeId }, request, deadline),
      failed: error => {
        this.#reports.complain('answer', () => error)
      }
    })
  }

  get trouble(): string | undefined {
    return this.#pubsub.trouble
  }

  /** Start to connect and to subscribe. Requests before that wait. */
  open(receiver: Reception): void {
    this.#responder.open(receiver)
    this.#pubsub.open()
  }

  /** As `send`: there is no connection to open. */
  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.#requester.ask(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.#requester.ask(peer, request, deadline)
  }

  release(address: string): void {
    this.#requester.release(address)
  }

  close(): Promise<void> {
    this.#pubsub.close()
    this.#requester.close()
    this.#responder.close()
    return Promise.resolve()
  }

  #received(message: Buffer): void {
    const chunk = readChunk(message)
    if (chunk === undefined) return
    try {
      if (chunk.kind === '!') this.#requester.answered(chunk)
      else this.#responder.asked(chunk)
    } catch (error) {
      // There is no answer: it is unknown how far the request was processed.
      this.#reports.complain('message', () => asError(error))
    }
  }
}
