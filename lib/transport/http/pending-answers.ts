import type { Socket } from 'node:net'
import type { Answer } from '../../common/transport-contract'
import { now } from '../../common/async'
import type { MetroplexError } from '../../common/errors'

/** A request that waits for its answer. */
interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: MetroplexError) => void
  readonly timer: NodeJS.Timeout
  /** Whether further requests may follow before its answer. */
  readonly deferrable: boolean
}

/**
 * The requesting half of a stream: requests that wait for their answers, which come in the order of the requests. Only
 * meanwhile it keeps the process alive.
 */
export class PendingAnswers {
  /** In the order in which they were sent. */
  readonly #waiting: Waiting[] = []

  /** @param late called at the deadline of one */
  constructor(
    private readonly socket: Pick<Socket, 'ref' | 'unref'>,
    private readonly late: () => void
  ) {}

  get waits(): boolean {
    return this.#waiting.length > 0
  }

  /** Whether no further request may be sent before an answer has come. */
  get blocked(): boolean {
    return this.#waiting.at(-1)?.deferrable === false
  }

  /**
   * @param deadline by `performance.now()`
   * @param deferrable whether further requests may follow before the answer
   */
  wait(deadline: number, deferrable: boolean): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(this.late, Math.max(0, deadline - now())).unref()
      this.#waiting.push({ resolve, reject, timer, deferrable })
      this.socket.ref()
    })
  }

  /** The first request that waits has been answered. */
  answered(answer: Answer): void {
    const first = this.#waiting.shift()
    if (first === undefined) return
    clearTimeout(first.timer)
    if (!this.waits) this.socket.unref()
    first.resolve(answer)
  }

  /** No answer will come any more. */
  fail(error: MetroplexError): void {
    if (!this.waits) return
    this.socket.unref()
    for (const { timer, reject } of this.#waiting.splice(0)) {
      clearTimeout(timer)
      reject(error)
    }
  }
}
