import type { Dispatcher } from 'undici'
import { deferred, now } from '../common/async'
import { asError, MetroplexError, peerError, type ErrorCode } from '../common/errors'
import { BodyBuffer } from './body-buffer'
import { describeNoHttp, FOREIGN_BODY_TIMEOUT, isNoHttp, type AnswerHeaders } from './foreign-answer'

/** An idle connection is closed after this time, in ms: before a Node.js server closes it after 5 s. */
const KEEP_ALIVE = 4000

/**
 * Options of undici for one kept connection, on which requests go one after the other: a second connection could
 * overtake the first. `SingleRequest` has the deadlines.
 */
export const ONE_AFTER_THE_OTHER = {
  pipelining: 1,
  keepAliveTimeout: KEEP_ALIVE,
  keepAliveMaxTimeout: KEEP_ALIVE,
  headersTimeout: 0,
  bodyTimeout: 0
} as const

/** What is sent. */
export interface SingleRequestContent {
  readonly path: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

/** Where a request goes, and limits of its answer. */
export interface SingleRequestTerms {
  readonly address: string
  /** By `performance.now()`. */
  readonly deadline: number
  /** The duration of one operation in ms, for error messages. */
  readonly timeout: number
  /** The largest answer that is accepted, in bytes. */
  readonly largest: number
  /** Whether an answer with these headers comes from the software that is asked. */
  genuine(headers: AnswerHeaders): boolean
}

/** An answer. Of one that is not genuine, the end of the body may be missing. */
export interface SingleAnswer {
  readonly status: number
  readonly headers: AnswerHeaders
  readonly body: Buffer
}

/**
 * One request to a peer, which begins when it is made.
 *
 * An answer that is not genuine comes from other software, such as a proxy. Its body only describes it and may never
 * end, so it is not waited for.
 */
export class SingleRequest {
  readonly #answer = deferred<SingleAnswer>()
  readonly #body: BodyBuffer
  #timer: NodeJS.Timeout
  #controller: Dispatcher.DispatchController | undefined
  /** Whether it has begun to leave. */
  #sent = false
  #settled = false
  #status = 0
  #headers: AnswerHeaders = {}

  constructor(
    dispatcher: Dispatcher,
    content: SingleRequestContent,
    private readonly terms: SingleRequestTerms
  ) {
    const { address, deadline, timeout, largest } = terms
    this.#body = new BodyBuffer(largest)
    this.#timer = setTimeout(
      () => {
        this.#fail('EDEADLINE', `did not answer within the deadline of ${timeout} ms`)
      },
      Math.max(0, deadline - now())
    ).unref()
    dispatcher.dispatch(
      { origin: address, ...content },
      {
        onRequestStart: controller => {
          this.#controller = controller
          // Nothing was written yet: a request that has failed need not be sent.
          if (this.#settled) controller.abort(new Error('given up'))
          else this.#sent = true
        },
        onResponseStart: (_controller, status, headers) => {
          // The answer itself follows an informational one.
          if (status < 200) return
          this.#status = status
          this.#headers = headers
          if (this.#genuine) return
          clearTimeout(this.#timer)
          this.#timer = setTimeout(() => {
            this.#succeed()
          }, FOREIGN_BODY_TIMEOUT).unref()
        },
        onResponseData: (_controller, chunk) => {
          this.#received(chunk)
        },
        onResponseEnd: () => {
          this.#controller = undefined
          this.#succeed()
        },
        onResponseError: (_controller, error) => {
          this.#broken(error)
        }
      }
    )
  }

  /**
   * The answer, before the deadline.
   *
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or the error that `fail` was called with; `maybe`
   * says whether it may have arrived
   */
  get answer(): Promise<SingleAnswer> {
    return this.#answer.promise
  }

  /** Give it up. @param message a whole sentence */
  fail(code: ErrorCode, message: string, cause?: unknown): void {
    this.#reject(new MetroplexError(code, message, { address: this.terms.address, maybe: this.#sent, cause }))
  }

  get #genuine(): boolean {
    return this.#status !== 0 && this.terms.genuine(this.#headers)
  }

  #received(chunk: Buffer): void {
    if (this.#body.add(chunk)) return
    const { largest } = this.terms
    if (this.#genuine)
      this.#fail('EPROTOCOL', `answered with more than ${largest} bytes: give all servers the same \`maxBody\``)
    else this.#succeed()
  }

  #broken(error: Error): void {
    if (isNoHttp(error)) this.#fail('EPROTOCOL', describeNoHttp(error), error)
    else if (this.#status !== 0 && !this.#genuine) this.#succeed()
    else {
      const what = this.#sent ? 'did not answer completely' : 'could not be reached'
      this.#fail('EUNREACHABLE', `${what}: ${asError(error).message}`, error)
    }
  }

  #succeed(): void {
    const { bytes } = this.#body
    if (this.#settle()) this.#answer.resolve({ status: this.#status, headers: this.#headers, body: bytes })
  }

  #fail(code: ErrorCode, sentence: string, cause?: Error): void {
    this.#reject(peerError(code, this.terms.address, sentence, { maybe: this.#sent, cause }))
  }

  #reject(error: MetroplexError): void {
    if (this.#settle()) this.#answer.reject(error)
  }

  /** @returns whether it was still open. An answer that has not ended is aborted, so that it is not read any more. */
  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    clearTimeout(this.#timer)
    this.#controller?.abort(new Error('given up'))
    return true
  }
}
