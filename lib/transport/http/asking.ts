import type { Socket } from 'node:net'
import type { Answer } from '../../contract'
import { now } from '../../deadline'
import type { MetroplexError } from '../../errors'

/** An answer that is waited for. */
interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: MetroplexError) => void
  readonly timer: NodeJS.Timeout
}

/**
 * The half of a stream that asks: waits for one answer at a time. It keeps the process alive while it does, and never else.
 */
export class Asking {
  #waiting: Waiting | undefined

  /** @param late called at the deadline of what is waited for */
  constructor(private readonly socket: Pick<Socket, 'ref' | 'unref'>, private readonly late: () => void) {}

  get waits(): boolean {
    return this.#waiting !== undefined
  }

  /** @param deadline until when, by `performance.now()` */
  wait(deadline: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(this.late, Math.max(0, deadline - now())).unref()
      this.#waiting = { resolve, reject, timer }
      this.socket.ref()
    })
  }

  answered(answer: Answer): void {
    this.#take()?.resolve(answer)
  }

  fail(error: MetroplexError): void {
    this.#take()?.reject(error)
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
}
