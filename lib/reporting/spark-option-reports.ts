import { asError, MetroplexError, type ErrorCode } from '../common/errors'
import { besides, ThrottledReports } from './throttled-reports'

/**
 * Reports what goes wrong with an option that is a function of a spark: `user`, `groups`, `info`.
 *
 * A wrong answer usually comes from a client, so each kind of error is reported at most once a minute.
 */
export class SparkOptionReports {
  readonly #reports: ThrottledReports

  constructor(
    private readonly option: string,
    private readonly code: ErrorCode,
    /** What this means for the spark, behind its id. */
    private readonly consequence: string,
    failed: (error: Error) => void
  ) {
    this.#reports = new ThrottledReports(failed)
  }

  /** The function threw, or its promise rejected. */
  thrown(id: string, thrown: unknown): void {
    this.#report('thrown', 'has thrown', id, thrown)
  }

  /** The answer was refused. @param what what it should have been, as in 'no info' */
  refused(id: string, what: string, error: unknown): void {
    this.#report(error instanceof RangeError ? 'long' : 'odd', `has returned ${what}`, id, error)
  }

  /** Wait for an answer, and report it when it takes longer than `timeout` ms. The wait goes on then. */
  async awaited(id: string, answer: unknown, timeout: number): Promise<unknown> {
    if (!(answer instanceof Promise)) return answer
    const timer = setTimeout(() => {
      this.#report('late', 'is slow', id, new Error(`It has not answered within ${timeout} ms.`))
    }, timeout).unref()
    try {
      return (await answer) as unknown
    } finally {
      clearTimeout(timer)
    }
  }

  #report(kind: string, what: string, id: string, thrown: unknown): void {
    const { option, code, consequence } = this
    const cause = asError(thrown)
    this.#reports.complain(kind, withheld => {
      const sentence = `The option \`${option}\` ${what} for the spark ${id}, ${consequence}: ${cause.message}`
      return new MetroplexError(code, `${sentence}${besides(withheld)}`, { cause })
    })
  }
}
