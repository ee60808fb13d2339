import type { Socket } from 'node:net'
import { ignore } from '../../callback'
import type { Answer, Receiver } from '../../contract'
import { IDLE } from './asking'
import { BadFrame, frame, FrameReader } from './frames'
import { answerLine, failed, malformed, readRequest, tooLarge, tooSlow } from './wire'

/** How soon after it was opened somebody must have asked on a stream who may ask, in ms. */
const STRANGER = 1000

/** For how long what follows a refusal is thrown away, so that the refusal can be read before the connection ends; in ms. */
export const LINGER = 1000

/**
 * The end of a stream that answers: one request after the other, and none while the answer to the last one cannot leave.
 *
 * It ends when nobody who may asks within a second, when somebody asks who may not, when what comes is no request or too large or takes too long, and
 * when nothing has come for twice as long as the other end lets it lie idle. It never keeps the process alive.
 */
export class AnsweringStream {
  readonly #reader: FrameReader
  /** A stranger's time, or that of the frame that comes. */
  #timer: NodeJS.Timeout | undefined
  #timed = false
  /** Somebody has asked here who may ask. */
  #known = false
  /** What was admitted, and whose body is still coming. */
  #coming: [head: string, type: string] | undefined
  #blocked = false
  #ending = false

  /**
   * @param welcome the answer to the hello
   * @param gone called when it has ended
   */
  constructor(private readonly socket: Socket, private readonly receiver: Receiver, welcome: Answer, gone: () => void) {
    this.#reader = new FrameReader(receiver.maxBody)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, IDLE)
    socket.setTimeout(2 * IDLE, () => { this.destroy() })
    socket.on('error', ignore)
    socket.on('data', (chunk: Buffer) => { this.#come(chunk) })
    socket.on('drain', () => { this.#drained() })
    socket.on('end', () => { this.destroy() })
    socket.on('close', () => {
      clearTimeout(this.#timer)
      gone()
    })
    socket.unref()
    this.#within(STRANGER, () => { this.destroy() })
    this.#write(welcome)
  }

  /** End it at once. */
  destroy(): void {
    clearTimeout(this.#timer)
    this.#ending = true
    this.#reader.clear()
    this.socket.destroy()
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
    this.#work()
    if (!this.#isBlocked()) this.socket.resume()
  }

  /** Answer what is there, as far as answers leave. */
  #work(): void {
    try {
      while (!this.#ending && !this.#isBlocked() && this.#step());
    } catch (error) {
      this.#refuse(error instanceof BadFrame ? error.tooLarge ? tooLarge(this.receiver.maxBody) : malformed() : failed())
    }
    if (!this.#ending && this.#known) this.#watch()
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    const reader = this.#reader
    if (this.#coming === undefined) {
      const line = reader.line()
      if (line === undefined) return false
      const [head, type] = readRequest(line)
      const no = this.receiver.admit(head, type)
      if (no !== undefined) {
        if (no.status === 401 || !this.#known) {
          this.#refuse(no)
        } else {
          reader.skip()
          this.#write(no)
        }
        return true
      }
      this.#known = true
      this.#coming = [head, type]
    }
    const body = reader.body()
    if (body === undefined) return false
    const [head, type] = this.#coming
    this.#coming = undefined
    this.#timed = false
    const answer = this.receiver.receive({ head, type, body })
    if (answer.status === 401) this.#refuse(answer)
    else this.#write(answer)
    return true
  }

  /** Each frame has its time, from its first byte to its last. */
  #watch(): void {
    const coming = this.#reader.within && !this.#blocked
    if (coming && this.#timed) return
    clearTimeout(this.#timer)
    this.#timed = coming
    if (coming) this.#within(this.receiver.timeout, () => { this.#refuse(tooSlow(this.receiver.timeout)) })
  }

  #write(answer: Answer): void {
    const { socket } = this
    const pieces = frame(answerLine(answer), answer.body)
    if (pieces.length > 1) socket.cork()
    let free = true
    for (const piece of pieces) free = socket.write(piece)
    if (pieces.length > 1) socket.uncork()
    if (free) return
    this.#blocked = true
    socket.pause()
  }

  /** Answer for the last time. */
  #refuse(answer: Answer): void {
    if (this.#ending) return
    this.#write(answer)
    this.#ending = true
    this.#reader.clear()
    this.socket.end()
    this.socket.resume()
    this.#within(LINGER, () => { this.destroy() })
  }

  #within(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms).unref()
  }

  /** Changes while it is asked; TypeScript would not believe it of the field. */
  #isBlocked(): boolean {
    return this.#blocked
  }
}
