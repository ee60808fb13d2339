import type { Answer } from '../../common/transport-contract'

/** How long an answer is deferred, in ms. */
const LONGEST = 25
/** The most answers that are deferred, and the most bytes of their bodies. */
const [MOST, MOST_BYTES] = [32, 65_536]

/**
 * Answers that no caller of the peer waits for. They are written together: at most 25 ms after the first of them, or
 * before the next answer that is not deferred. The timer does not keep the process alive.
 */
export class DeferredAnswers {
  #answers: Answer[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  /** @param due called when they must be taken and written */
  constructor(private readonly due: () => void) {}

  /** Defer an answer behind the earlier ones. */
  add(answer: Answer): void {
    this.#answers.push(answer)
    this.#bytes += answer.body.length
    if (this.#answers.length >= MOST || this.#bytes >= MOST_BYTES) this.due()
    else this.#timer ??= setTimeout(this.due, LONGEST).unref()
  }

  /** Remove and return all of them, in their order. */
  take(): Answer[] {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#bytes = 0
    return this.#answers.splice(0)
  }
}
