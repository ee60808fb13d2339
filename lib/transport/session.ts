import type { Answer, Peer, Request, Transport } from '../contract'
import { now, pause } from '../deadline'
import { asError, MetroplexError, type ErrorCode } from '../errors'
import { BATCH, HELLO } from './envelope'
import type { Keyring } from './keyring'
import { wordOf } from './reception'
import { digest, genuine, read, signed, type Head } from './signature'

/** Who we are to those whom we ask. */
export interface Asker {
  /** Random word of this process. */
  readonly word: string
  readonly namespace: string
}

/** What the peer has said of a session. */
interface Agreed {
  readonly word: string
  /** The word of its process. */
  readonly peer: string
  /** The largest body that it takes, in bytes. */
  readonly maxBody: number
}

/** How a batch goes: what is known of it so far. */
interface Progress {
  readonly body: Buffer
  readonly digest: string
  readonly deadline: number
  /** The session in which it has its number; `''` while it has none. */
  session: string
  number: number
  /** An attempt may have reached the peer. */
  maybe: boolean
  /** The secret has been looked up again for it. */
  refreshed: boolean
}

/** The part of an operation's time for which an answer is waited for, before the batch is sent again. */
const ATTEMPTS = 3
/** A batch above this is no longer sent in an instant everywhere, in bytes. */
const LARGE = 1_048_576
/** The first and the longest pause between two attempts, in ms. */
const [SHORTEST, LONGEST] = [10, 500]

/** An attempt that came to nothing, and may be made again. */
class Failed extends Error {
  constructor(readonly error: MetroplexError, readonly again: 'at once' | 'later' | 'never') {
    super(error.message)
  }
}

/**
 * Our half of a session with one peer: sends it batches, one after the other, each of which is carried out once or fails.
 *
 * A batch keeps its number however often it is sent. It is sent again when the connection broke or no answer came, until its deadline, and never in
 * another session once it may have arrived: whoever is at that address then cannot know whether it was carried out.
 */
export class Session {
  #agreed: Agreed | undefined
  /** The word of the session that was agreed upon last, and the number of the last batch in it: they outlive the connection. */
  #former = ''
  #number = 0
  /** What the peer said last of the largest body. */
  #largest = Infinity
  /** Of what is being delivered: whether an attempt of it has begun to leave. */
  #leaving = false

  constructor(
    private readonly transport: Pick<Transport, 'greet' | 'send'>,
    private readonly asker: Asker,
    private readonly keyring: Keyring,
    readonly peer: Peer,
    /** How long an operation may take, in ms. */
    private readonly timeout: number,
    /** A batch is being sent once more. */
    private readonly repeated: () => void,
    /** One that was sent more than once has got through, or has failed. */
    private readonly through: () => void
  ) {}

  /** The largest body that the peer takes, in bytes; unbounded while it has not said so. */
  get maxBody(): number {
    return this.#largest
  }

  /** Whether what is being delivered may have left. */
  get leaving(): boolean {
    return this.#leaving
  }

  /**
   * Have the peer carry out a batch.
   *
   * @param gone aborted when the peer is known to have ended
   * @returns the body of its answer
   * @throws MetroplexError with `maybe`: whether it may have been carried out all the same
   */
  async deliver(body: Buffer, deadline: number, gone: AbortSignal): Promise<string> {
    this.#leaving = false
    const progress: Progress = { body, digest: digest(body), deadline, session: '', number: 0, maybe: false, refreshed: false }
    let attempt = 0
    try {
      for (;;) {
        try {
          return await this.#attempt(progress)
        } catch (failed) {
          await this.#rest(failed, progress, attempt, gone)
        }
        attempt++
        this.repeated()
      }
    } finally {
      if (attempt > 0) this.through()
    }
  }

  /** After an attempt that failed: wait until there may be another one. @throws MetroplexError when there is no use in it */
  async #rest(failed: unknown, progress: Progress, attempt: number, gone: AbortSignal): Promise<void> {
    const { error, again } = this.#failed(failed, progress)
    const over = (): boolean => gone.aborted
    if (again === 'never' || over()) throw error
    const left = progress.deadline - now()
    if (left <= 0) throw error.code === 'EDEADLINE' || error.code === 'EREGISTRY' ? error : this.#error('EDEADLINE', `could not be reached within the deadline of ${this.timeout} ms: ${error.message}`, progress.maybe, error)
    // Who has to begin anew again and again is in no hurry either.
    if (again === 'later' || attempt >= ATTEMPTS) await pause(Math.min(left, SHORTEST * 2 ** Math.min(attempt, 10), LONGEST) * (0.5 + Math.random() / 2), gone)
    if (over()) throw error
  }

  async #attempt(progress: Progress): Promise<string> {
    const greeted = this.#agreed === undefined
    const agreed = this.#agreed ?? await this.#greet(progress)
    if (progress.session === '') {
      progress.session = agreed.word
      progress.number = ++this.#number
    } else if (progress.session !== agreed.word) {
      if (progress.maybe) throw new Failed(this.#error('EUNREACHABLE', 'has been started anew: what it has done with this is not known', true), 'never')
      progress.session = ''
      throw new Failed(this.#error('EUNREACHABLE', 'has been started anew', false), 'at once')
    }
    if (progress.body.length > agreed.maxBody) {
      throw new Failed(this.#error('ETOOBIG', `takes no more than ${agreed.maxBody} bytes at once, and this is ${progress.body.length}: raise \`maxBody\` there`, progress.maybe), 'never')
    }
    const head = { from: this.asker.word, to: agreed.peer, session: agreed.word, number: progress.number, digest: progress.digest }
    const request = this.#signed(head, BATCH, progress.body)
    let answer: Answer
    try {
      this.#leaving = true
      answer = await this.transport.send(this.peer, request, this.#patience(progress))
    } catch (error) {
      this.#agreed = undefined
      const failure = known(error)
      progress.maybe ||= failure.maybe !== false
      this.#leaving = progress.maybe
      // A way that has broken while nobody used it says nothing about the peer.
      throw new Failed(failure, failure.maybe === false && !greeted && failure.code === 'EUNREACHABLE' ? 'at once' : progress.maybe || late(failure) ? 'later' : 'never')
    }
    const genuine = this.#genuine(request, head, answer)
    if (answer.status === 200 && genuine) return answer.body.toString()
    throw await this.#refused(answer, genuine, progress)
  }

  /** Say hello: who answers there, and in which session we go on. */
  async #greet(progress: Progress): Promise<Agreed> {
    const head: Head = { from: this.asker.word, to: this.peer.address, session: wordOf(), number: 0, digest: EMPTY }
    const hello = this.#signed(head, HELLO, NOTHING)
    let answer: Answer
    try {
      answer = await this.transport.greet(this.peer, hello, this.#patience(progress))
    } catch (error) {
      const failure = known(error)
      // Where nobody is, waiting is of no use, unless something is to be cleared up.
      const again = progress.maybe || failure.maybe !== false || late(failure)
      throw new Failed(this.#error(failure.code, failure.message, progress.maybe, failure, true), again ? 'later' : 'never')
    }
    const genuine = this.#genuine(hello, head, answer)
    const said = parsed(answer.body)
    const peer = read(answer.head)?.from
    if (answer.status !== 200 || !genuine || peer === undefined) throw await this.#refused(answer, genuine, progress, true)
    const { session, maxBody, last } = said
    if (typeof session !== 'string' || typeof maxBody !== 'number' || typeof last !== 'number') {
      throw new Failed(this.#error('EPROTOCOL', 'answered a hello with something else', progress.maybe), 'never')
    }
    // It may remember batches that were sent before somebody here forgot them.
    this.#number = session === this.#former ? Math.max(this.#number, last) : last
    this.#former = session
    this.#largest = maxBody
    return this.#agreed = { word: session, peer, maxBody }
  }

  /** What a refusal means, and what can be done about it. */
  async #refused({ status, body }: Answer, genuine: boolean, progress: Progress, hello = false): Promise<Failed> {
    const { code, reason } = parsed(body)
    // Anybody on the way can say no in the peer's name, and let the batch pass all the same.
    if (!genuine && !hello) progress.maybe = true
    const why = typeof reason === 'string' ? reason.replace(/\.$/, '') : `it answered with status ${status}`
    const fail = (as: ErrorCode, sentence: string, again: Failed['again']): Failed => new Failed(this.#error(as, sentence, progress.maybe), again)
    if (status === 401 || (status === 200 && !genuine)) {
      if (!progress.refreshed) {
        progress.refreshed = true
        await this.keyring.refresh().catch(() => undefined)
        return fail('EAUTH', 'does not accept our signature', 'at once')
      }
      return fail('EAUTH', 'does not sign with the secret that we have: give all servers the same `secret`, or none', 'never')
    }
    if (status === 409 && genuine && code === 'ESESSION') {
      this.#agreed = undefined
      if (progress.maybe) return fail('EUNREACHABLE', 'does not know our session any more: what it has done with this is not known', 'never')
      progress.session = ''
      return fail('EUNREACHABLE', 'does not know our session', 'at once')
    }
    if (status === 409 && genuine && code === 'EOLD' && !progress.maybe) {
      // Bytes of ours that were given up have come late. The next hello says how far the peer is.
      this.#agreed = undefined
      progress.session = ''
      return fail('EUNREACHABLE', 'has heard a later batch already', 'at once')
    }
    if (status === 503) {
      this.#agreed = undefined
      return fail('EUNREACHABLE', `takes nothing now: ${why}`, code === 'ECLOSED' ? 'never' : 'later')
    }
    if (status === 413) return fail('ETOOBIG', 'takes nothing of this size: raise `maxBody` there', 'never')
    if (status === 421) return fail('EUNREACHABLE', `is not where this address leads: ${why}`, 'never')
    if (status === 408) return fail('EDEADLINE', `has not got it in time: ${why}`, 'later')
    if (status === 409) progress.maybe = true
    return fail('EPROTOCOL', `did not understand it: ${why}`, 'never')
  }

  #signed(head: Head, type: string, body: Buffer): Request {
    const [secret] = this.keyring.secrets
    if (secret === undefined) {
      throw new Failed(new MetroplexError('EREGISTRY', 'The secret of the cluster is not known yet: Redis has not been reached.', { address: this.peer.address, maybe: false }), 'later')
    }
    return { head: signed(secret, this.asker.namespace, head, type), type, body }
  }

  /** Whether an answer is the peer's, and to this very request. */
  #genuine(request: Request, asked: Head, { status, head, type, body }: Answer): boolean {
    const given = read(head)
    const signature = read(request.head)?.signature ?? ''
    if (given === undefined || given.to !== asked.from || given.number !== asked.number) return false
    if (asked.number > 0 && (given.from !== asked.to || given.session !== asked.session)) return false
    return digest(body) === given.digest && genuine(this.keyring.secrets, this.asker.namespace, given, type, { status, request: signature })
  }

  /** Until when an answer is waited for before the batch is sent again. What is large may need all the time there is to get through once. */
  #patience({ deadline, body }: Progress): number {
    return body.length > LARGE ? deadline : Math.min(deadline, now() + Math.max(this.timeout / ATTEMPTS, 1))
  }

  #failed(thrown: unknown, { maybe }: Progress): Failed {
    if (thrown instanceof Failed) {
      const { error } = thrown
      return error.maybe === maybe ? thrown : new Failed(new MetroplexError(error.code, error.message, { address: this.peer.address, maybe, cause: error.cause }), thrown.again)
    }
    throw thrown
  }

  #error(code: ErrorCode, sentence: string, maybe: boolean, cause?: Error, whole = false): MetroplexError {
    const { address } = this.peer
    return new MetroplexError(code, whole ? sentence : `${address} ${sentence}.`, { address, maybe, ...cause && { cause } })
  }
}

const NOTHING = Buffer.alloc(0)
const EMPTY = digest(NOTHING)

/** Whether more time may help. */
function late({ code }: MetroplexError): boolean {
  return code === 'EDEADLINE'
}

/** What a transport failed with; one that an application brings may throw anything. */
function known(error: unknown): MetroplexError {
  return error instanceof MetroplexError ? error : new MetroplexError('EPROTOCOL', `The transport failed: ${asError(error).message}`, { maybe: true, cause: error })
}

function parsed(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
  } catch {
    return {}
  }
}
