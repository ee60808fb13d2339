import type { Answer, Peer, Request } from '../../common/transport-contract'
import { now, delay } from '../../common/async'
import { asError, destroyedError, MetroplexError, type ErrorCode } from '../../common/errors'
import type { PubSub } from '../../redis/pubsub'
import { readAnswerLine, requestLine } from '../head-line'
import { splitIntoChunks, Reassembler, MAX_BODY, chunksOf, type Chunk } from './chunks'

/** Options of the requester. */
export interface RedisRequesterTerms {
  /** The node id of this process, which names its channel. */
  readonly nodeId: string
  /** The largest body that is sent, in bytes. */
  readonly largest: number
  /** Whether the lease of a peer runs. It may reject when that is unknown. */
  alive(address: string): Promise<boolean>
}

/**
 * How long an answer to a published request is waited for, in ms. Redis may lose messages without an error, as when it
 * disconnects a subscriber that is too slow. Failing this early leaves time to send again under the same number.
 */
const ANSWER_TIMEOUT = 1000
/**
 * The shortest pause before a request is published again while the peer is not subscribed, in ms; the longest is five
 * times as long.
 */
const RETRY_PAUSE = 50

/** The number of requests of this process. It is global because a transport that is opened again keeps the node id. */
let count = 0

/** A request that waits for its answer. */
interface PendingRequest {
  readonly id: number
  readonly peer: Peer
  readonly deadline: number
  /** Whether the peer may have received it. */
  maybe: boolean
  /** Whether a subscriber at a replica, which Redis does not count, may have received it. */
  mayBeAtReplica: boolean
  /** Whether all of it was published to a subscriber. */
  published: boolean
  /** An answer that arrives in chunks. */
  partialAnswer: Reassembler | undefined
  /** Ends the pause before the next attempt. */
  wake: AbortController | undefined
  timer: NodeJS.Timeout
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** Sends requests to peers: publishes each until the peer is subscribed, and waits for its answer. */
export class RedisRequester {
  readonly #pending = new Map<number, PendingRequest>()
  #closed = false

  constructor(
    private readonly pubsub: Pick<PubSub, 'ready' | 'sharded' | 'usable' | 'publish' | 'probeSoon'>,
    private readonly terms: RedisRequesterTerms
  ) {}

  /**
   * Publish a request until the peer is subscribed, and wait for the answer.
   *
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `ETOOBIG`, `EPROTOCOL`, `ECLOSED`; `maybe` says whether the
   * peer may have received it
   */
  ask(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    const refuse = (code: ErrorCode, sentence: string): Promise<never> =>
      Promise.reject(new MetroplexError(code, sentence, { address, maybe: false }))
    if (this.#closed) return Promise.reject(destroyedError(address))
    const { length } = request.body
    if (length > this.terms.largest) {
      return refuse(
        'ETOOBIG',
        `A body of ${length} bytes is larger than what is sent through Redis, ${this.terms.largest} bytes.`
      )
    }
    const left = deadline - now()
    if (left <= 0) return refuse('EDEADLINE', `The deadline passed before the request to ${address} was sent.`)
    return new Promise((resolve, reject) => {
      const id = ++count
      const pending: PendingRequest = {
        id,
        peer,
        deadline,
        maybe: false,
        mayBeAtReplica: false,
        published: false,
        partialAnswer: undefined,
        wake: undefined,
        resolve,
        reject,
        // Keeps the process alive, because a caller waits.
        timer: setTimeout(() => {
          this.#expire(pending)
        }, left)
      }
      this.#pending.set(id, pending)
      const messages = splitIntoChunks({
        kind: '?',
        id,
        nodeId: this.terms.nodeId,
        line: requestLine(request.head, request.type),
        body: request.body
      })
      this.#publish(pending, messages).catch((error: unknown) => {
        this.#failPublish(pending, asError(error))
      })
    })
  }

  /** Handle a chunk of an answer. */
  answered(piece: Chunk): void {
    const request = this.#pending.get(piece.id)
    if (request?.peer.word !== piece.nodeId || piece.pieces > chunksOf(MAX_BODY)) return
    const gathering = piece.piece === 1 ? new Reassembler(piece) : request.partialAnswer
    if (gathering === undefined || (piece.piece > 1 && !gathering.take(piece))) return
    request.partialAnswer = gathering
    if (!gathering.complete) return
    const line = readAnswerLine(gathering.first.line)
    if (line !== undefined && this.#settle(request)) request.resolve({ ...line, body: gathering.body })
  }

  /** Handle the loss of our subscription: answers may be lost. */
  subscriptionLost(): void {
    for (const request of [...this.#pending.values()]) {
      const { maybe } = request
      // A subscriber at a replica may have received a request although none was counted.
      if (this.pubsub.sharded) request.mayBeAtReplica = request.maybe = true
      if (maybe)
        this.#fail(request, 'EUNREACHABLE', `The connection to Redis broke before ${request.peer.address} answered.`)
    }
  }

  /** Fail the requests to this address. */
  release(address: string): void {
    for (const request of [...this.#pending.values()]) {
      if (request.peer.address === address)
        this.#fail(request, 'EUNREACHABLE', `${address} was released before it answered.`)
    }
  }

  /** Fail all requests, and refuse new ones. */
  close(): void {
    this.#closed = true
    for (const request of [...this.#pending.values()])
      this.#fail(request, 'ECLOSED', 'metroplex was closed in this process before the answer arrived.')
  }

  /** Publish until a subscriber receives it, or the request has settled. */
  async #publish(request: PendingRequest, messages: readonly Buffer[]): Promise<void> {
    const { id, peer } = request
    for (;;) {
      // Without an `await` when none is needed, so that requests leave in order.
      if (!this.pubsub.ready) await this.pubsub.usable()
      if (!this.#pending.has(id)) return
      if (await this.#publishOnce(request, messages)) break
      if (!this.#pending.has(id)) return
      this.pubsub.probeSoon()
      if (!(await this.#alive(peer))) {
        this.#fail(
          request,
          'EUNREACHABLE',
          `${peer.address} is not subscribed to its channel, and its lease has ended.`
        )
        return
      }
      request.wake = new AbortController()
      await delay(RETRY_PAUSE * (1 + 4 * Math.random()), request.wake.signal)
    }
    if (!this.#pending.has(id)) return
    request.published = true
    clearTimeout(request.timer)
    request.timer = setTimeout(
      () => {
        this.#expire(request)
      },
      Math.min(ANSWER_TIMEOUT, request.deadline - now())
    )
  }

  /** Publish it once. The first chunk goes alone: if no subscriber gets it, the peer has received nothing. */
  async #publishOnce(request: PendingRequest, messages: readonly Buffer[]): Promise<boolean> {
    const {
      id,
      peer: { word: nodeId }
    } = request
    const publish = (message: Buffer): Promise<number> => this.pubsub.publish(nodeId, message)
    request.maybe = true
    try {
      const [first = Buffer.alloc(0), ...rest] = messages
      const receivers = [await publish(first)]
      if (receivers[0] !== 0 && rest.length > 0 && this.#pending.has(id))
        receivers.push(...(await Promise.all(rest.map(publish))))
      if (!receivers.includes(0)) return true
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.maybe !== false) throw error
      // It was not sent. Another connection may work.
      if (this.pubsub.ready) throw error
    }
    request.maybe = request.mayBeAtReplica
    return false
  }

  /** Whether another attempt makes sense. */
  async #alive({ address, word: nodeId }: Peer): Promise<boolean> {
    // A process without an address has no lease.
    if (address === nodeId) return true
    try {
      return await this.terms.alive(address)
    } catch {
      // Unknown. The deadline ends the attempts.
      return true
    }
  }

  /** Fail a request that could not be published. */
  #failPublish(request: PendingRequest, error: Error): void {
    const { code, maybe = request.maybe } = error as Partial<MetroplexError>
    request.maybe = maybe
    this.#fail(
      request,
      code === 'EPROTOCOL' || code === 'ECLOSED' ? code : 'EUNREACHABLE',
      `${request.peer.address} cannot be reached through Redis: ${error.message}`,
      error
    )
  }

  #expire(request: PendingRequest): void {
    const {
      peer: { address },
      maybe,
      published
    } = request
    // Either subscription may be dead without an error.
    this.pubsub.probeSoon()
    if (maybe)
      this.#fail(request, 'EDEADLINE', `${address} did not answer${published ? '' : ', nor did Redis,'} in time.`)
    else if (this.pubsub.ready) this.#fail(request, 'EUNREACHABLE', `${address} is not subscribed to its channel.`)
    else
      this.#fail(
        request,
        'EDEADLINE',
        `There was no connection to Redis before the deadline of the request to ${address}.`
      )
  }

  #fail(request: PendingRequest, code: ErrorCode, sentence: string, cause?: Error): void {
    if (!this.#settle(request)) return
    const {
      peer: { address },
      maybe
    } = request
    request.reject(new MetroplexError(code, sentence, { address, maybe, ...(cause && { cause }) }))
  }

  /** Let go of it; `false` when that has been done. */
  #settle(request: PendingRequest): boolean {
    clearTimeout(request.timer)
    request.wake?.abort()
    return this.#pending.delete(request.id)
  }
}
