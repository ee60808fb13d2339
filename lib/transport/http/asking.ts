import type { Socket } from 'node:net'
import { ignore } from '../../callback'
import type { Answer, Request } from '../../contract'
import { now } from '../../deadline'
import { asError, MetroplexError } from '../../errors'
import { frame, FrameReader } from './frames'
import { readAnswer, requestLine } from './wire'

/** For how long a stream may lie idle before whoever opened it closes it, in ms. */
export const IDLE = 60_000

/** How a stream is used. */
export interface AskingTerms {
  readonly address: string
  /** The largest answer that is taken, in bytes. */
  readonly maxBody: number
  /** Of one operation, in ms; for its sentence alone. */
  readonly timeout: number
  /** In ms. @default 60000 */
  readonly idle?: number | undefined
}

/** An answer that is waited for. */
interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: MetroplexError) => void
  readonly timer: NodeJS.Timeout
}

/**
 * The end of a stream that asks: one request at a time, each answered before the next.
 *
 * It keeps the process alive while an answer is waited for, and never else. It ends when it was idle for a while, when an answer comes too late or
 * is none, and when the connection breaks: then whoever waits is told at once.
 */
export class AskingStream {
  readonly #reader: FrameReader
  #line: Omit<Answer, 'body'> | undefined
  #waiting: Waiting | undefined
  #ended = false

  constructor(private readonly socket: Socket, private readonly terms: AskingTerms) {
    this.#reader = new FrameReader(terms.maxBody)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, IDLE)
    socket.setTimeout(terms.idle ?? IDLE, () => { if (this.#waiting === undefined) this.end('it was idle') })
    socket.on('error', ignore)
    socket.on('data', (chunk: Buffer) => { this.#read(chunk) })
    socket.on('end', () => { this.end('the connection was closed') })
    socket.on('close', () => { this.end('the connection broke') })
    socket.unref()
  }

  /** Whether it can be used. */
  get open(): boolean {
    return !this.#ended
  }

  /**
   * Send a request, and wait for its answer.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or whatever it is ended with
   */
  ask({ head, type, body }: Request, deadline: number): Promise<Answer> {
    const pieces = frame(requestLine(head, type), body)
    return this.#wait(deadline, () => {
      const { socket } = this
      if (pieces.length > 1) socket.cork()
      for (const piece of pieces) socket.write(piece)
      if (pieces.length > 1) socket.uncork()
    })
  }

  /**
   * Wait for the answer to the hello, which comes without being asked for.
   *
   * @param early what has come together with the answer to the upgrade
   */
  welcome(early: Buffer, deadline: number): Promise<Answer> {
    return this.#wait(deadline, () => { this.#read(early) })
  }

  /** End it. What is waited for may have been carried out, and fails with this error. */
  end(why: string, error?: MetroplexError): void {
    if (this.#ended) return
    this.#ended = true
    this.#reader.clear()
    this.socket.destroy()
    this.#take()?.reject(error ?? this.#error('EUNREACHABLE', `could not be heard to the end: ${why}`, true))
  }

  #wait(deadline: number, write: () => void): Promise<Answer> {
    if (this.#ended) return Promise.reject(this.#error('EUNREACHABLE', 'could not be reached: the connection was closed', false))
    if (this.#waiting !== undefined) return Promise.reject(this.#error('EUNREACHABLE', 'is still asked something else', false))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // An answer that comes now would be taken for the next one's.
        this.end('late', this.#error('EDEADLINE', `did not answer within the deadline of ${this.terms.timeout} ms`, true))
      }, Math.max(0, deadline - now())).unref()
      this.#waiting = { resolve, reject, timer }
      this.socket.ref()
      write()
    })
  }

  #read(chunk: Buffer): void {
    try {
      const reader = this.#reader
      reader.push(chunk)
      while (!this.#ended) {
        if (this.#line === undefined) {
          const line = reader.line()
          if (line === undefined) return
          this.#line = readAnswer(line)
          if (this.#line === undefined) throw new Error('it is no answer')
        }
        const body = reader.body()
        if (body === undefined) return
        const answer = { ...this.#line, body }
        this.#line = undefined
        const waiting = this.#take()
        if (waiting === undefined) throw new Error('nothing was asked')
        waiting.resolve(answer)
      }
    } catch (error) {
      this.end('', this.#error('EPROTOCOL', `sent what we do not understand: ${asError(error).message.replace(/\.$/, '')}. See which software listens there`, true))
    }
  }

  /** Nobody waits any longer. */
  #take(): Waiting | undefined {
    const waiting = this.#waiting
    if (waiting === undefined) return undefined
    this.#waiting = undefined
    clearTimeout(waiting.timer)
    this.socket.unref()
    return waiting
  }

  #error(code: 'EUNREACHABLE' | 'EDEADLINE' | 'EPROTOCOL', sentence: string, maybe: boolean): MetroplexError {
    const { address } = this.terms
    return new MetroplexError(code, `${address} ${sentence}.`, { address, maybe })
  }
}
