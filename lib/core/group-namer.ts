import { ignore } from '../common/callback'
import { groupsOf } from '../common/names'
import { SparkOptionReports } from '../reporting/spark-option-reports'
import type { ConnectedSpark, GroupsOption, Spark } from '../common/types'

/** What resolving groups uses of this server. */
export interface ResolvedSparks {
  /** The user of a spark of this server. */
  user(id: string): string | undefined
  /** Let a spark of this server enter groups. Rejects when Redis does not confirm it; the writer retries then. */
  enter(id: string, groups: readonly string[]): Promise<void>
  failed(error: Error): void
}

/**
 * Asks the application for the groups of each spark that connects: the option `groups`, which may return a promise.
 */
export class GroupNamer {
  /** Sparks whose groups the application has not returned yet, by id. */
  readonly #pending = new Map<string, Spark>()
  readonly #reports: SparkOptionReports

  constructor(
    private readonly groups: GroupsOption | undefined,
    private readonly sparks: ResolvedSparks,
    /** After how many ms an answer that has not come is reported. */
    private readonly timeout: number
  ) {
    this.#reports = new SparkOptionReports('groups', 'EGROUP', 'which is in no group because of it', error => {
      sparks.failed(error)
    })
  }

  /** Ask for the groups of a spark that has connected. @param named resolves when its user is known */
  ask(id: string, spark: Spark, named: Promise<void> | undefined): void {
    const { groups } = this
    if (groups === undefined) return
    this.#pending.set(id, spark)
    this.#resolve(groups, id, spark, named)
      .catch(ignore)
      .finally(() => {
        this.gone(id, spark)
      })
      .catch(ignore)
  }

  /** A spark has disconnected: ignore what the option returns. */
  gone(id: string, spark: Spark): void {
    if (this.#pending.get(id) === spark) this.#pending.delete(id)
  }

  async #resolve(option: GroupsOption, id: string, spark: Spark, named: Promise<void> | undefined): Promise<void> {
    const gone = (): boolean => this.#pending.get(id) !== spark
    await named
    if (gone()) return
    let names: unknown
    try {
      names = await this.#reports.awaited(id, option(spark as ConnectedSpark, this.sparks.user(id)), this.timeout)
    } catch (error) {
      this.#reports.thrown(id, error)
      return
    }
    // The spark may have disconnected, and another one may have connected under its id.
    if (names === undefined || names === null || gone()) return
    let groups: string[]
    try {
      groups = groupsOf(names)
    } catch (error) {
      this.#reports.refused(id, 'no names of groups', error)
      return
    }
    // After a failure of Redis, the writer retries.
    if (groups.length > 0) await this.sparks.enter(id, groups)
  }
}
