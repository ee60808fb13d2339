import { ignore } from '../common/callback'
import { plainInfo } from '../common/validate'
import type { ConnectedSpark, Spark } from '../common/types'
import { SparkOptionReports } from '../reporting/spark-option-reports'

/**
 * Asks the application what each spark is that connects: the option `info`, which may return a promise.
 */
export class InfoReader {
  readonly #reports: SparkOptionReports

  constructor(
    /** A function, or the value for all sparks. */
    private readonly info: unknown,
    failed: (error: Error) => void,
    /** After how many ms an answer that has not come is reported. */
    private readonly timeout: number
  ) {
    this.#reports = new SparkOptionReports('info', 'EINFO', 'which has no info because of it', failed)
  }

  /** Ask for the info of a spark that has connected. @param keep called with each answer that is no failure */
  ask(id: string, spark: Spark, keep: (info: unknown) => void): void {
    const { info } = this
    if (typeof info === 'function')
      this.#resolve(info as (spark: ConnectedSpark) => unknown, id, spark, keep).catch(ignore)
    else if (info !== null) keep(info)
  }

  async #resolve(
    option: (spark: ConnectedSpark) => unknown,
    id: string,
    spark: Spark,
    keep: (info: unknown) => void
  ): Promise<void> {
    let info: unknown
    try {
      info = await this.#reports.awaited(id, option(spark as ConnectedSpark), this.timeout)
    } catch (error) {
      this.#reports.thrown(id, error)
      return
    }
    try {
      keep(plainInfo(info))
    } catch (error) {
      this.#reports.refused(id, 'no info', error)
    }
  }
}
