import { kindOf } from '../common/errors'

/**
 * Reports failures of background tasks: each kind of failure once, until the task succeeds again.
 *
 * The kind is the error's code and the first word of Redis's error. The text varies: it names scripts, commands and
 * numbers. Several tasks that fail for one reason, such as a beat and a heal while Redis refuses writes, are one
 * report. A task that goes on failing while others succeed is not reported again either.
 *
 * @example
 * const failures = new FailureReports(error => primus.emit('error', error))
 * failures.failed('shard 0', 'heal', error)
 * failures.worked('shard 0', 'heal')
 */
export class FailureReports {
  /** The kinds that a task has reported since it last succeeded, by part and task. */
  readonly #reported = new Map<string, Set<string>>()
  /** The kinds that a part has reported since it was last known to be healthy. */
  readonly #current = new Map<string, Set<string>>()

  constructor(private readonly report: (error: Error) => void) {}

  /** A task of a part has failed. */
  failed(part: string, task: string, error: Error): void {
    const kind = kindOf(error)
    const reported = at(this.#reported, `${part} ${task}`)
    const known = reported.has(kind) || [...this.#current.values()].some(kinds => kinds.has(kind))
    if (known) return
    reported.add(kind)
    at(this.#current, part).add(kind)
    this.report(error)
  }

  /** A task of a part has succeeded: a later failure of it is a new one. */
  worked(part: string, task: string): void {
    this.#reported.delete(`${part} ${task}`)
  }

  /** A part is healthy: a kind that comes again is a new failure. */
  well(part: string): void {
    this.#current.delete(part)
  }

  /**
   * The reporting functions of one part. A failure without a task is always reported.
   *
   * @param vital the task whose success shows that the part is healthy
   * @param common the task that fails for all parts alike. It counts as a part of its own, healthy when it succeeds
   */
  of(part: string, vital: string, common: string): ReportFailure {
    return {
      failed: (error, task) => {
        if (task === undefined) this.report(error)
        else if (task === common) this.failed(common, part, error)
        else this.failed(part, task, error)
      },
      worked: task => {
        if (task !== common) this.worked(part, task)
        else if (this.#reported.delete(`${common} ${part}`)) this.well(common)
        if (task === vital) this.well(part)
      }
    }
  }
}

/** The reporting functions of one part. */
export interface ReportFailure {
  readonly failed: (error: Error, task?: string) => void
  readonly worked: (task: string) => void
}

function at(sets: Map<string, Set<string>>, key: string): Set<string> {
  const set = sets.get(key) ?? new Set()
  sets.set(key, set)
  return set
}
