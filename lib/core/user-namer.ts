import { deferred } from '../common/async'
import { ignore } from '../common/callback'
import { SparkOptionReports } from '../reporting/spark-option-reports'
import { MetroplexError, type ErrorCode } from '../common/errors'
import type { ConnectedSpark, Spark, UserOption } from '../common/types'

/**
 * What may become of a name: its spark has disconnected, or must go, which an event reports; or
 * Redis has failed, and the writer retries.
 */
const EXPECTED: readonly ErrorCode[] = ['ENOSPARK', 'ELIMIT', 'EBARRED', 'EREGISTRY']

/**
 * Asks the application for the user behind each spark that connects: the option `user`, which may return a promise.
 *
 * A name that `identify` sets meanwhile is newer and stays.
 */
export class UserNamer {
  /** Sparks whose user the application has not returned yet, by id. */
  readonly #pending = new Map<string, Spark>()
  readonly #reports: SparkOptionReports

  constructor(
    private readonly user: UserOption | undefined,
    private readonly identify: (id: string, name: unknown) => Promise<void>,
    failed: (error: Error) => void
  ) {
    this.#reports = new SparkOptionReports('user', 'EUSER', 'which stays without a user', failed)
  }

  /** Ask for the user of a spark that has connected. @returns when the answer is known here; at once: `undefined` */
  ask(id: string, spark: Spark): Promise<void> | undefined {
    const { user } = this
    if (user === undefined) return undefined
    this.#pending.set(id, spark)
    const known = deferred<undefined>()
    this.#resolve(user, id, spark, () => {
      known.resolve(undefined)
    })
      .catch(ignore)
      .finally(() => {
        this.gone(id, spark)
        known.resolve(undefined)
      })
      .catch(ignore)
    return known.promise
  }

  /** `identify` has named the user of a spark: ignore what the option returns. */
  told(id: string): void {
    this.#pending.delete(id)
  }

  /** A spark has disconnected: ignore what the option returns. */
  gone(id: string, spark: Spark): void {
    if (this.#pending.get(id) === spark) this.#pending.delete(id)
  }

  /** @param known called when the name is noted, before the registry has it */
  async #resolve(user: UserOption, id: string, spark: Spark, known: () => void): Promise<void> {
    let name: unknown
    try {
      name = await user(spark as ConnectedSpark)
    } catch (error) {
      this.#reports.thrown(id, error)
      return
    }
    // The spark may have disconnected, and another one may have connected under its id.
    if (name === undefined || name === null || this.#pending.get(id) !== spark) return
    try {
      const identified = this.identify(id, name)
      known()
      await identified
    } catch (error) {
      if (!(error instanceof MetroplexError && EXPECTED.includes(error.code)))
        this.#reports.refused(id, 'no name of a user', error)
    }
  }
}
