import type { Answer, Peer, Request } from '../../common/transport-contract'
import { now, delay } from '../../common/async'
import { ignore } from '../../common/callback'
import { MetroplexError, peerError, type ErrorCode } from '../../common/errors'
import { BATCH, DEFERRABLE_BATCH, HELLO } from '../envelope'
import type { ReceptionTransport } from '../receiving/reception-contract'
import { digest, randomId, type Head, type Keyring } from '../signature'
import { readAgreement, type Agreement } from './agreement'
import { AttemptFailed, asTransportError, BatchProgress, markUnread } from './progress'
import { meaningOf } from './refusals'
import { afterHello, afterSend, type Retry } from './retry'
import { Signer, type Asker } from './signer'

/** The number of attempts that fit into the timeout: each waits for its answer for this fraction of it. */
const MOST_ATTEMPTS = 3
/** A batch above this size is given the whole deadline for one attempt, in bytes. */
const LARGE = 1_048_576
/** The first and the longest pause between two attempts, in ms. */
const [SHORTEST, LONGEST] = [10, 500]

/**
 * The sending end of a session with one peer. Each batch is applied once or fails, and all are applied in their order.
 *
 * A batch keeps its number over all attempts. It is sent again when the connection breaks or no answer comes, until its
 * deadline. Once it may have arrived, it is never sent in another session: only the old session knows whether it was
 * applied.
 *
 * One batch is sent after the other. But while no caller waits for the results, on a stream and if the peer allows it,
 * batches are sent before the earlier ones are answered. After a break all that are unanswered are sent again, one
 * after the other, and nothing new before them.
 */
export class Session {
  readonly #signer: Signer
  #agreed: Agreement | undefined
  /** The id of the last session. It outlives the connection. */
  #lastSessionId = ''
  /** The number of the last batch in that session. */
  #lastNumber = 0
  /** The largest body that the peer accepted at its last hello, in bytes. */
  #peerMaxBody = Infinity
  /** The batches that have not settled, in their order. */
  readonly #open = new Set<BatchProgress>()
  /** The newest batch. */
  #newest: BatchProgress | undefined
  /** Resolves when all batches until now have settled. */
  #landed: Promise<void> = Promise.resolve()
  /** The number of open batches of which an attempt has failed. */
  #failing = 0
  /** Whether a batch has been sent once more since none was failing. */
  #resent = false
  #lastError: MetroplexError | undefined

  constructor(
    private readonly transport: Pick<ReceptionTransport, 'greet' | 'send' | 'pipelines'>,
    local: Asker,
    keyring: Keyring,
    readonly peer: Peer,
    /** The duration of one operation, in ms. */
    private readonly timeout: number,
    /** Called when a batch is sent once more. */
    private readonly onRetry: () => void,
    /** Called when the batches that were sent more than once were applied, or failed. */
    private readonly onRetriesEnded: () => void
  ) {
    this.#signer = new Signer(local, keyring)
  }

  /** The largest body that the peer accepts, in bytes; `Infinity` before its first answer. */
  get maxBody(): number {
    return this.#peerMaxBody
  }

  /** Why the last attempt to send an open batch failed; `undefined` when none has. */
  get lastError(): MetroplexError | undefined {
    return this.#lastError
  }

  /** Whether the next batch can be sent at once. */
  get ready(): boolean {
    const { size } = this.#open
    return size === 0 || (this.#newest?.deferred === true && this.#failing === 0 && size < this.#window)
  }

  /** How many batches may wait for their answers on this connection. */
  get #window(): number {
    const agreed = this.#agreed
    return agreed !== undefined && this.transport.pipelines?.(this.peer.address) === true ? agreed.window : 1
  }

  /**
   * Send a batch, after all earlier ones, with retries.
   *
   * @param deadline by `performance.now()`
   * @param peerLeft aborted when the peer is known to have ended
   * @param deferrable whether its answer may come later: no caller waits for it
   * @returns the progress; and the body of the answer. It rejects with a MetroplexError with `maybe`: whether the batch
   * may have been applied all the same
   */
  deliver(
    body: Buffer,
    deadline: number,
    peerLeft: AbortSignal,
    deferrable: boolean
  ): { readonly progress: BatchProgress; readonly answer: Promise<string> } {
    const progress = new BatchProgress(body, deadline, deferrable)
    const { ready } = this
    const before = this.#landed
    if (this.#failing === 0) this.#lastError = undefined
    this.#open.add(progress)
    this.#newest = progress
    const answer = this.#deliver(progress, before, ready, peerLeft)
    this.#landed = answer.then(ignore, ignore).then(() => before)
    return { progress, answer }
  }

  /** @param before resolves when all earlier batches have settled @param ready whether to send before that */
  async #deliver(
    progress: BatchProgress,
    before: Promise<void>,
    ready: boolean,
    peerLeft: AbortSignal
  ): Promise<string> {
    let attempt = 0
    try {
      if (!ready) await before
      for (;;) {
        try {
          return await this.#attempt(progress)
        } catch (failed) {
          if (!progress.failed) this.#failing++
          progress.failed = true
          await this.#pauseBeforeRetry(failed, progress, attempt, before, peerLeft)
        }
        attempt++
        this.#resent = true
        this.onRetry()
      }
    } finally {
      this.#open.delete(progress)
      if (progress.failed && --this.#failing === 0 && this.#resent) {
        this.#resent = false
        this.onRetriesEnded()
      }
    }
  }

  /** Wait before the next attempt. @throws MetroplexError when there must be none */
  async #pauseBeforeRetry(
    failed: unknown,
    progress: BatchProgress,
    attempt: number,
    before: Promise<void>,
    peerLeft: AbortSignal
  ): Promise<void> {
    const { error, again } = this.#failed(failed, progress)
    this.#lastError = error
    const ended = (): boolean => peerLeft.aborted
    if (again === 'never' || (again === 'a few times' && attempt >= MOST_ATTEMPTS) || ended()) throw error
    // Batches that were in flight together are sent again one after the other, in their order.
    await before
    if (ended()) throw error
    const left = progress.deadline - now()
    if (left <= 0)
      throw error.code === 'EDEADLINE' || error.code === 'EREGISTRY'
        ? error
        : peerError(
            'EDEADLINE',
            this.peer.address,
            `could not be reached within the deadline of ${this.timeout} ms: ${error.message}`,
            { maybe: progress.maybe, status: error.status, cause: error }
          )
    // Repeated new sessions are slowed down, too.
    if (again === 'at once' && attempt - progress.misdirected < MOST_ATTEMPTS) return
    await delay(Math.min(left, SHORTEST * 2 ** Math.min(attempt, 10), LONGEST) * (0.5 + Math.random() / 2), peerLeft)
    if (ended()) throw error
  }

  async #attempt(progress: BatchProgress): Promise<string> {
    const greeted = this.#agreed === undefined
    const agreed = this.#agreed ?? (await this.#greet(progress))
    if (progress.session === '') {
      progress.session = agreed.sessionId
      progress.number = ++this.#lastNumber
    } else if (progress.session !== agreed.sessionId) {
      if (progress.maybe)
        throw this.#failure('EUNREACHABLE', 'was restarted: it is unknown whether it applied this', true, 'never')
      progress.session = ''
      throw this.#failure('EUNREACHABLE', 'was restarted', false, 'at once')
    }
    if (progress.body.length > agreed.maxBody) {
      const what = `accepts at most ${agreed.maxBody} bytes, and this is ${progress.body.length}`
      throw this.#failure('ETOOBIG', `${what}: raise \`maxBody\` there`, progress.maybe, 'never')
    }
    const head = {
      from: this.#signer.nodeId,
      to: agreed.peerNodeId,
      session: agreed.sessionId,
      number: progress.number,
      digest: progress.digest
    }
    progress.deferred = progress.deferrable && !progress.failed && this.#window > 1
    const request = this.#sign(head, progress.deferred ? DEFERRABLE_BATCH : BATCH, progress.body)
    let answer: Answer
    try {
      progress.mayHaveLeft = progress.inFlight = true
      progress.unread = false
      answer = await this.transport.send(this.peer, request, this.#attemptDeadline(progress))
      progress.inFlight = false
    } catch (error) {
      progress.inFlight = false
      if (this.#agreed === agreed) this.#agreed = undefined
      const failure = progress.unread ? this.#unread(progress) : asTransportError(error)
      progress.maybe ||= failure.maybe !== false
      progress.mayHaveLeft = progress.maybe
      throw new AttemptFailed(failure, afterSend(failure, progress.maybe, greeted))
    }
    const genuine = this.#signer.verifies(request, head, answer)
    if (answer.status === 200 && genuine) return answer.body.toString()
    throw await this.#refused(answer, genuine, progress)
  }

  /** Say hello to agree on a session. */
  async #greet(progress: BatchProgress): Promise<Agreement> {
    const head: Head = {
      from: this.#signer.nodeId,
      to: this.peer.address,
      session: randomId(),
      number: 0,
      digest: EMPTY
    }
    const hello = this.#sign(head, HELLO, NOTHING)
    let answer: Answer
    try {
      answer = await this.transport.greet(this.peer, hello, this.#attemptDeadline(progress))
    } catch (error) {
      const failure = asTransportError(error)
      const { code, message, status } = failure
      const { maybe } = progress
      // A hello applies nothing. What counts is whether the batch may have arrived before.
      const retold = new MetroplexError(code, message, { address: this.peer.address, maybe, status, cause: failure })
      throw new AttemptFailed(retold, afterHello(failure, maybe))
    }
    const genuine = this.#signer.verifies(hello, head, answer)
    if (answer.status !== 200 || !genuine) throw await this.#refused(answer, genuine, progress, true)
    const agreed = readAgreement(answer)
    if (agreed === undefined)
      throw this.#failure('EPROTOCOL', 'sent an invalid answer to a hello', progress.maybe, 'never')
    const { sessionId, last } = agreed
    // The peer may remember later batches than we do, after the outbox for it was dropped and created again.
    this.#lastNumber = sessionId === this.#lastSessionId ? Math.max(this.#lastNumber, last) : last
    this.#lastSessionId = sessionId
    this.#peerMaxBody = agreed.maxBody
    return (this.#agreed = agreed)
  }

  /** Turn a refusal into an error with a retry policy. */
  async #refused(answer: Answer, genuine: boolean, progress: BatchProgress, hello = false): Promise<AttemptFailed> {
    const { maybe, refreshed, misdirected } = progress
    const { nodeId } = this.#signer
    const meaning = meaningOf(answer, { hello, genuine, nodeId, maybe, refreshed, misdirected })
    if (meaning.maybe === true) progress.maybe = true
    if (meaning.sessionEnded === true) this.#agreed = undefined
    if (meaning.renumber === true) progress.session = ''
    if (meaning.misdirected === true) progress.misdirected++
    if (progress.deferred && !hello) {
      // The peer closes the stream. When a proxy refuses in its name, the peer may have read what was sent behind.
      this.#agreed = undefined
      if (genuine) markUnread(this.#open, progress)
    }
    if (meaning.secretOutdated === true) {
      progress.refreshed = true
      await this.#signer.refresh()
    }
    return this.#failure(meaning.code, meaning.sentence, progress.maybe, meaning.again)
  }

  /** The error of a batch that the peer has not read. It gets a new number, as the refused one may, before it. */
  #unread(progress: BatchProgress): MetroplexError {
    progress.session = ''
    return peerError('EUNREACHABLE', this.peer.address, 'has refused an earlier batch, and read no further', {
      maybe: false
    })
  }

  /** @throws AttemptFailed while the secret of the cluster is not known */
  #sign(head: Head, type: string, body: Buffer): Request {
    const request = this.#signer.sign(head, type, body)
    if (request !== undefined) return request
    const sentence = 'The secret of the cluster is not known yet: Redis has not been reached.'
    const { address } = this.peer
    throw new AttemptFailed(new MetroplexError('EREGISTRY', sentence, { address, maybe: false }), 'later')
  }

  /** The deadline of one attempt. A large batch may need all the time that is left to be transferred once. */
  #attemptDeadline({ deadline, body }: BatchProgress): number {
    return body.length > LARGE ? deadline : Math.min(deadline, now() + Math.max(this.timeout / MOST_ATTEMPTS, 1))
  }

  #failed(thrown: unknown, { maybe }: BatchProgress): AttemptFailed {
    if (thrown instanceof AttemptFailed) {
      const { error } = thrown
      if (error.maybe === maybe) return thrown
      const { code, message, status, cause } = error
      const { address } = this.peer
      return new AttemptFailed(new MetroplexError(code, message, { address, maybe, status, cause }), thrown.again)
    }
    throw thrown
  }

  #failure(code: ErrorCode, sentence: string, maybe: boolean, again: Retry): AttemptFailed {
    return new AttemptFailed(peerError(code, this.peer.address, sentence, { maybe }), again)
  }
}

const NOTHING = Buffer.alloc(0)
const EMPTY = digest(NOTHING)
