import type { Socket } from 'node:net'
import { ignore } from '../../callback'
import type { Answer, Back, Receiver, Request } from '../../contract'
import { asError, MetroplexError } from '../../errors'
import { Asking } from './asking'
import { BadFrame, frame, FrameReader } from './frames'
import { answerLine, failed, judged, malformed, readAnswer, readRequest, requestLine, tooLarge, tooSlow } from './wire'

/** For how long a stream may lie idle before whoever opened it closes it, in ms. */
export const IDLE = 60_000

/** How soon after it was opened somebody must have asked on a stream who may ask, in ms. */
const STRANGER = 1000

/** For how long what follows a refusal is thrown away, so that the refusal can be read before the connection ends; in ms. */
export const LINGER = 1000

/** How a stream is used. */
export interface StreamTerms {
  /** Who is at the other end, for sentences and errors. */
  readonly address: string
  /** The largest body that is taken, in bytes. */
  readonly maxBody: number
  /** Of one operation, in ms; for its sentence alone. */
  readonly timeout: number
  /** For how long it may lie idle, in ms. */
  readonly idle: number
  /** Who answers what the other end asks. */
  readonly receiver: Receiver
}

/**
 * One end of a stream. Both may ask: each one thing at a time, and each answers one thing after the other.
 *
 * It ends when it was idle for a while, when an answer comes too late, when somebody asks who may not, when what comes is nothing that may come or too
 * large or takes too long, and when the connection breaks. Whoever waits for an answer is told at once. No request is read while
 * the answer to the last one cannot leave. It keeps the process alive while an answer is waited for, and never else.
 *
 * The end that was opened by a peer ends also when nobody who may ask has asked within a second. To what it receives it is the way back.
 */
export class Stream implements Back {
  readonly #reader: FrameReader
  readonly #asking: Asking
  readonly #back: Back | undefined
  /** A request that is not looked at while answers cannot leave. */
  #held: string | undefined
  /** What a line has said whose body is still to come: of an answer, or of a request that was admitted. */
  #coming: Omit<Answer, 'body'> | readonly [head: string, type: string] | undefined
  /** A stranger's time, or that of the frame that comes. */
  #timer: NodeJS.Timeout | undefined
  #timed = false
  /** The hello is answered, so that the other end may ask. */
  #welcomed: boolean
  /** Somebody has asked here who may ask, or we have chosen whom to ask. */
  #known: boolean
  #blocked = false
  #ending = false
  /** It has ended, or does, though nobody wanted that. */
  #broke = false
  /** Called when it has ended: whether that was nothing that we wanted. */
  gone: (broke: boolean) => void = ignore

  /** @param welcome the answer to the hello with which a peer has opened it; without one it was us who did, and `welcome` waits for theirs */
  constructor(private readonly socket: Socket, private readonly terms: StreamTerms, welcome?: Answer) {
    this.#reader = new FrameReader(terms.maxBody)
    // An answer that comes after its deadline would be taken for the next one's.
    this.#asking = new Asking(socket, () => { this.#break('EDEADLINE', `did not answer within the deadline of ${terms.timeout} ms`) })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, IDLE)
    socket.setTimeout(terms.idle, () => { if (!this.#asking.waits) this.end() })
    socket.on('error', ignore)
    socket.on('data', (chunk: Buffer) => { this.#come(chunk) })
    socket.on('drain', () => { this.#drained() })
    socket.on('end', () => { this.#break('EUNREACHABLE', 'could not be heard to the end: the connection was closed') })
    socket.on('close', () => {
      this.#break('EUNREACHABLE', 'could not be heard to the end: the connection broke')
      clearTimeout(this.#timer)
      this.gone(this.#broke)
    })
    socket.unref()
    this.#known = welcome === undefined
    this.#welcomed = !this.#known
    if (welcome === undefined) return
    this.#back = this
    this.#within(STRANGER, () => { this.end() })
    this.#write(answerLine(welcome), welcome.body)
  }

  /** Who is at the other end. */
  get address(): string {
    return this.terms.address
  }

  /** Whether it can be used. */
  get open(): boolean {
    return !this.#ending
  }

  /**
   * Send a request, and wait for its answer.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or whatever it is ended with
   */
  ask({ head, type, body }: Request, deadline: number): Promise<Answer> {
    return this.#wait(deadline, () => { this.#write(requestLine(head, type), body) })
  }

  /**
   * Wait for the answer to the hello, which comes without being asked for.
   *
   * @param early what has come together with the answer to the upgrade
   */
  welcome(early: Buffer, deadline: number): Promise<Answer> {
    return this.#wait(deadline, () => { this.#come(early) })
  }

  /** End it at once. What is waited for may have been carried out, and fails with this error. */
  end(error = this.#error('EUNREACHABLE', 'could not be heard to the end: the connection was given up', true)): void {
    clearTimeout(this.#timer)
    this.#ending = true
    this.#reader.clear()
    this.socket.destroy()
    this.#asking.fail(error)
  }

  /** It ends, and nobody wanted that. */
  #break(code: 'EUNREACHABLE' | 'EDEADLINE' | 'EPROTOCOL', sentence: string): void {
    this.#broke ||= !this.#ending
    this.end(this.#error(code, sentence, true))
  }

  #wait(deadline: number, begin: () => void): Promise<Answer> {
    if (this.#ending) return Promise.reject(this.#error('EUNREACHABLE', 'could not be reached: the connection was closed', false))
    if (this.#asking.waits) return Promise.reject(this.#error('EUNREACHABLE', 'is still asked something else', false))
    const answer = this.#asking.wait(deadline)
    begin()
    return answer
  }

  #come(chunk: Buffer): void {
    // Whatever follows a refusal is thrown away.
    if (this.#ending) return
    this.#reader.push(chunk)
    this.#work()
  }

  #drained(): void {
    if (!this.#blocked) return
    this.#blocked = false
    if (this.#held === undefined) return
    this.socket.resume()
    this.#work()
  }

  /** Take what is there. */
  #work(): void {
    try {
      while (this.open && this.#step());
    } catch (error) {
      this.#misunderstood(error)
    }
    if (this.open && this.#known) this.#watch()
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    if (this.#coming === undefined) {
      const line = this.#held ?? this.#reader.line()
      if (line === undefined) return false
      this.#coming = this.#begun(line)
      if (this.#coming === undefined) return this.#held === undefined
    }
    const body = this.#reader.body()
    if (body === undefined) return false
    const coming = this.#coming
    this.#coming = undefined
    this.#timed = false
    if ('status' in coming) {
      this.#welcomed = true
      this.#asking.answered({ ...coming, body })
      return true
    }
    const [head, type] = coming
    const answer = judged(() => this.terms.receiver.receive({ head, type, body }, this.#back))
    if (answer.status === 401) this.#refuse(answer)
    else this.#answer(answer)
    return true
  }

  /** What a line says whose body is wanted. */
  #begun(line: string): Omit<Answer, 'body'> | [head: string, type: string] | undefined {
    const answer = readAnswer(line)
    if (answer !== undefined) {
      if (!this.#asking.waits) throw new BadFrame(false, 'nothing was asked')
      return answer
    }
    if (!this.#welcomed) throw new BadFrame(false, 'it is no answer')
    this.#held = this.#blocked ? line : undefined
    if (this.#blocked) {
      // Only who does not read his answers asks on before he has them.
      this.socket.pause()
      return undefined
    }
    const request = readRequest(line)
    const no = judged(() => this.terms.receiver.admit(...request))
    if (no === undefined) {
      this.#known = true
      return request
    }
    if (no.status === 401 || !this.#known) {
      this.#refuse(no)
    } else {
      this.#reader.skip()
      this.#answer(no)
    }
    return undefined
  }

  /** Each frame has its time, from its first byte to its last. */
  #watch(): void {
    const coming = this.#reader.within && this.#held === undefined
    if (coming && this.#timed) return
    clearTimeout(this.#timer)
    this.#timed = coming
    const { timeout } = this.terms.receiver
    if (coming) this.#within(timeout, () => { this.#reject(tooSlow(timeout), `it took longer than ${timeout} ms for what it said`) })
  }

  #misunderstood(error: unknown): void {
    const no = error instanceof BadFrame ? error.tooLarge ? tooLarge(this.terms.maxBody) : malformed() : failed()
    this.#reject(no, asError(error).message.replace(/\.$/, ''))
  }

  /** What comes is nothing that we take. While we wait for an answer it may be meant for one, and the other end would take a refusal for that of something else. */
  #reject(no: Answer, why: string): void {
    if (this.#asking.waits) this.#break('EPROTOCOL', `sent what we do not understand: ${why}. See which software listens there`)
    else this.#refuse(no)
  }

  #answer(answer: Answer): void {
    this.#blocked = !this.#write(answerLine(answer), answer.body)
  }

  /** @returns whether the other end keeps up with us */
  #write(line: string, body: Buffer): boolean {
    const { socket } = this
    const pieces = frame(line, body)
    if (pieces.length > 1) socket.cork()
    let free = true
    for (const piece of pieces) free = socket.write(piece)
    if (pieces.length > 1) socket.uncork()
    return free
  }

  /** Answer for the last time. */
  #refuse(answer: Answer): void {
    if (this.#ending) return
    this.#answer(answer)
    this.#ending = this.#broke = true
    this.#reader.clear()
    this.#asking.fail(this.#error('EUNREACHABLE', 'could not be heard to the end: it asked what was refused', true))
    this.socket.end()
    this.socket.resume()
    this.#within(LINGER, () => { this.end() })
  }

  #within(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms).unref()
  }

  #error(code: 'EUNREACHABLE' | 'EDEADLINE' | 'EPROTOCOL', sentence: string, maybe: boolean): MetroplexError {
    const { address } = this.terms
    return new MetroplexError(code, `${address} ${sentence}.`, { address, maybe })
  }
}
