import { deferred } from '../../common/async'
import { MetroplexError } from '../../common/errors'
import type { WorkerAnswer, WorkerQuestion } from '../worker/ipc'

interface Asked {
  readonly settle: (outcome: { readonly value: unknown } | { readonly error: MetroplexError }) => void
}

/** The questions to one worker that it has not answered yet. */
export class WorkerQuestions {
  readonly #asked = new Map<number, Asked>()
  #last = 0

  /**
   * @param name the worker, for errors
   * @param send hands a question over; `false`: the worker cannot be asked, because it does not listen yet, or ends
   */
  constructor(
    private readonly name: string,
    private readonly send: (question: WorkerQuestion) => boolean
  ) {}

  /**
   * Resolves with the answer of the worker.
   *
   * @param what a name that the worker has given to `SupervisedWorker.answer`
   * @throws MetroplexError `EWORKER` when it cannot be asked, has no such answer, does not answer within `ms` ms, or
   * ends before that
   */
  ask(what: string, ms: number): Promise<unknown> {
    const answer = deferred<unknown>()
    const id = ++this.#last
    const timer = setTimeout(() => {
      this.#settle(id, { error: this.#error(`did not answer within ${ms} ms`) })
    }, ms).unref()
    this.#asked.set(id, {
      settle: outcome => {
        clearTimeout(timer)
        if ('error' in outcome) answer.reject(outcome.error)
        else answer.resolve(outcome.value)
      }
    })
    if (!this.send({ is: 'ask', id, what })) this.#settle(id, { error: this.#error('cannot be asked now') })
    return answer.promise
  }

  /** The worker has answered. An answer that comes too late is ignored. */
  answered({ id, value, error }: WorkerAnswer): void {
    this.#settle(id, error === undefined ? { value } : { error: this.#error(`could not answer: ${error}`) })
  }

  /** The worker has ended: no answer comes any more. */
  close(): void {
    for (const id of [...this.#asked.keys()]) this.#settle(id, { error: this.#error('ended before it answered') })
  }

  #settle(id: number, outcome: Parameters<Asked['settle']>[0]): void {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    asked?.settle(outcome)
  }

  #error(what: string): MetroplexError {
    return new MetroplexError('EWORKER', `${this.name} ${what}.`)
  }
}
