import type { Socket } from 'node:net'
import { ignore } from '../../common/callback'
import type { Answer, Back, Request } from '../../common/transport-contract'
import { asError, peerError } from '../../common/errors'
import { LINGER } from '../../http/response'
import { DEFERRABLE_BATCH } from '../envelope'
import { answerLine, readAnswerLine, readRequestLine, requestLine } from '../head-line'
import { isRefusal, type AdmittedHead, type ReceivedAnswer, type Reception } from '../receiving/reception-contract'
import { DeferredAnswers } from './deferred-answers'
import { PendingAnswers } from './pending-answers'
import { BadFrame, FrameReader, writeFrame } from './frames'
import { StreamTimer } from './stream-timer'
import {
  failedAnswer,
  answerSafely,
  malformedAnswer,
  tooLargeAnswer,
  tooSlowAnswer
} from '../receiving/transport-refusals'

/** How long a stream may be idle before the peer that opened it closes it, in ms. */
export const STREAM_IDLE = 60_000

/** How soon after the hello an authenticated request must arrive on a stream, in ms. */
const AUTHENTICATION_TIMEOUT = 1000

/** In place of a line that is none: the receiver refuses it, and says what it has to be. */
const NO_REQUEST: readonly [head: string, type: string] = ['', '']

/** Options of a stream. */
export interface StreamTerms {
  /** The address of the other end, for errors. */
  readonly address: string
  /** The largest body that is accepted, in bytes. */
  readonly maxBody: number
  /** The duration of one operation in ms, for error messages. */
  readonly timeout: number
  /** How long it may be idle, in ms. */
  readonly idle: number
  /** Answers the requests of the other end. */
  readonly receiver: Reception
}

/**
 * One end of a stream. Both ends send requests, and answer those of the other end in order. Answers that may be
 * deferred are written together. When a request is refused that others may have been sent behind, the stream ends.
 *
 * It ends when it was idle, an answer is late, a request is not authenticated, a frame is invalid, too large or too
 * slow, or the connection breaks. A pending request then fails at once. No request is read while the last answer cannot
 * be written. Only a pending answer keeps the process alive.
 *
 * The end that a peer opened also ends when no authenticated request arrives within a second. It is the return path.
 */
export class Stream implements Back {
  readonly #reader: FrameReader
  readonly #pendingAnswers: PendingAnswers
  readonly #deferredAnswers = new DeferredAnswers(() => {
    this.#answer()
  })
  readonly #back: Back | undefined
  /** The line of a request that waits until answers can be written again. */
  #heldLine: string | undefined
  /** The current frame while its body arrives: the line of an answer, or the head of an admitted request. */
  #current: Omit<Answer, 'body'> | AdmittedHead | undefined
  readonly #timer: StreamTimer
  /** Whether the hello was answered, so that the other end may send requests. */
  #welcomed: boolean
  /** Whether the other end is authenticated. The end that opened the stream chose its peer. */
  #authenticated: boolean
  #used = false
  #blocked = false
  #ending = false
  /** Whether it ended unexpectedly. */
  #broke = false
  /** Called when it has ended. @param broke whether that was unexpected */
  onEnd: (broke: boolean) => void = ignore

  /** @param welcome our answer to the hello of the peer that opened it; `undefined` if this process opened it */
  constructor(
    private readonly socket: Socket,
    private readonly terms: StreamTerms,
    welcome?: Answer
  ) {
    this.#reader = new FrameReader(terms.maxBody)
    // A late answer would be taken for that of the next request.
    this.#pendingAnswers = new PendingAnswers(socket, () => {
      this.#break('EDEADLINE', `did not answer within the deadline of ${terms.timeout} ms`)
    })
    const { timeout } = terms.receiver
    this.#timer = new StreamTimer(timeout, () => {
      this.#reject(tooSlowAnswer(timeout), `a frame took longer than ${timeout} ms`)
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, STREAM_IDLE)
    socket.setTimeout(terms.idle, () => {
      if (!this.#pendingAnswers.waits) this.end()
    })
    socket.on('error', ignore)
    socket.on('data', (chunk: Buffer) => {
      this.#received(chunk)
    })
    socket.on('drain', () => {
      this.#drained()
    })
    socket.on('end', () => {
      this.#break('EUNREACHABLE', 'did not answer completely: the connection was closed')
    })
    socket.on('close', () => {
      this.#break('EUNREACHABLE', 'did not answer completely: the connection broke')
      this.#timer.stop()
      this.onEnd(this.#broke)
    })
    socket.unref()
    this.#authenticated = welcome === undefined
    this.#welcomed = !this.#authenticated
    if (welcome === undefined) return
    this.#back = this
    this.#timer.start(AUTHENTICATION_TIMEOUT, () => {
      this.end()
    })
    writeFrame(this.socket, answerLine(welcome), welcome.body)
  }

  /** The address of the other end. */
  get address(): string {
    return this.terms.address
  }

  /** Whether a request was sent on it. */
  get used(): boolean {
    return this.#used
  }

  /** Whether it can be used. */
  get open(): boolean {
    return !this.#ending
  }

  /**
   * Send a request and wait for its answer.
   *
   * @param deadline by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or the error that `end` was called with
   */
  ask({ head, type, body }: Request, deadline: number): Promise<Answer> {
    this.#used = true
    return this.#wait(deadline, type === DEFERRABLE_BATCH, () => {
      writeFrame(this.socket, requestLine(head, type), body)
    })
  }

  /**
   * Wait for the answer to the hello in the upgrade.
   *
   * @param early bytes that arrived with the upgrade
   */
  welcome(early: Buffer, deadline: number): Promise<Answer> {
    return this.#wait(deadline, false, () => {
      this.#received(early)
    })
  }

  /** Close it at once. A pending request may have been applied, and fails with this error. */
  end(
    error = peerError('EUNREACHABLE', this.address, 'did not answer completely: the connection was given up', {
      maybe: true
    })
  ): void {
    this.#timer.stop()
    // The requests were applied: their answers leave, if they still can.
    if (!this.#ending && this.socket.writable) this.#answer()
    this.#ending = true
    this.#deferredAnswers.take()
    this.#reader.clear()
    this.socket.destroy()
    this.#pendingAnswers.fail(error)
  }

  /** Close it unexpectedly. */
  #break(code: 'EUNREACHABLE' | 'EDEADLINE' | 'EPROTOCOL', sentence: string): void {
    this.#broke ||= !this.#ending
    this.end(peerError(code, this.address, sentence, { maybe: true }))
  }

  #wait(deadline: number, deferrable: boolean, begin: () => void): Promise<Answer> {
    if (this.#ending || this.#pendingAnswers.blocked) {
      const why = this.#ending ? 'could not be reached: the connection was closed' : 'has not answered the last request'
      return Promise.reject(peerError('EUNREACHABLE', this.address, why, { maybe: false }))
    }
    const answer = this.#pendingAnswers.wait(deadline, deferrable)
    begin()
    return answer
  }

  #received(chunk: Buffer): void {
    // Input after a refusal is discarded.
    if (this.#ending) return
    this.#reader.push(chunk)
    this.#readFrames()
  }

  #drained(): void {
    if (!this.#blocked) return
    this.#blocked = false
    if (this.#heldLine === undefined) return
    this.socket.resume()
    this.#readFrames()
  }

  /** Handle the frames that have arrived. */
  #readFrames(): void {
    try {
      while (this.open && this.#readFrame());
    } catch (error) {
      this.#rejectFrame(error)
    }
    if (this.open && this.#authenticated) this.#timer.watchFrame(this.#reader.partial && this.#heldLine === undefined)
  }

  /** @returns whether more may be available */
  #readFrame(): boolean {
    if (this.#current === undefined) {
      const line = this.#heldLine ?? this.#reader.line()
      if (line === undefined) return false
      this.#current = this.#readLine(line)
      if (this.#current === undefined) return this.#heldLine === undefined
    }
    const body = this.#reader.body()
    if (body === undefined) return false
    const coming = this.#current
    this.#current = undefined
    this.#timer.frameEnded()
    if ('status' in coming) {
      this.#welcomed = true
      this.#pendingAnswers.answered({ ...coming, body })
      return true
    }
    const answer: ReceivedAnswer = answerSafely(() => this.terms.receiver.receive(coming, body, this.#back))
    if (answer.status === 401 || (answer.status !== 200 && coming.deferrable === true)) this.#refuse(answer)
    else if (answer.deferrable === true) this.#deferredAnswers.add(answer)
    else this.#answer(answer)
    return true
  }

  /** Read a line. @returns what it says if its body is wanted */
  #readLine(line: string): Omit<Answer, 'body'> | AdmittedHead | undefined {
    const answer = readAnswerLine(line)
    if (answer !== undefined) {
      if (!this.#pendingAnswers.waits) throw new BadFrame(false, 'no answer was expected')
      return answer
    }
    if (!this.#welcomed) throw new BadFrame(false, 'the answer to the hello was expected')
    this.#heldLine = this.#blocked ? line : undefined
    if (this.#blocked) {
      // Only a peer that does not read its answers sends requests before they were written.
      this.socket.pause()
      return undefined
    }
    const request = readRequestLine(line) ?? NO_REQUEST
    const admitted = answerSafely(() => this.terms.receiver.admit(...request))
    if (!isRefusal(admitted)) {
      this.#authenticated = true
      return admitted
    }
    if (admitted.status === 401 || !this.#authenticated || request[1] === DEFERRABLE_BATCH) {
      this.#refuse(admitted)
    } else {
      this.#reader.skip()
      this.#answer(admitted)
    }
    return undefined
  }

  #rejectFrame(error: unknown): void {
    const refusal =
      error instanceof BadFrame
        ? error.tooLarge
          ? tooLargeAnswer(this.terms.maxBody)
          : malformedAnswer()
        : failedAnswer()
    this.#reject(refusal, asError(error).message.replace(/\.$/, ''))
  }

  /** Refuse invalid input. While an answer is pending, the peer would take the refusal for another answer: so close. */
  #reject(refusal: Answer, why: string): void {
    if (this.#pendingAnswers.waits)
      this.#break('EPROTOCOL', `sent an invalid frame: ${why}. See which software listens there`)
    else this.#refuse(refusal)
  }

  /** Write an answer behind the deferred ones, or these alone. */
  #answer(...answer: [] | [Answer]): void {
    const answers = [...this.#deferredAnswers.take(), ...answer]
    if (answers.length > 1) this.socket.cork()
    for (const answer of answers) this.#blocked = !writeFrame(this.socket, answerLine(answer), answer.body)
    if (answers.length > 1) this.socket.uncork()
  }

  /** Write a refusal, then close. */
  #refuse(answer: Answer): void {
    if (this.#ending) return
    this.#answer(answer)
    this.#ending = this.#broke = true
    this.#reader.clear()
    this.#pendingAnswers.fail(
      peerError('EUNREACHABLE', this.address, 'did not answer completely: its request was refused', { maybe: true })
    )
    this.socket.end()
    this.socket.resume()
    this.#timer.start(LINGER, () => {
      this.end()
    })
  }
}
