import { plain } from '../message'
import type { Primus, Spark } from '../types'

/** What a write to sparks of our own came to. */
export interface Written {
  readonly send: number
  /** Ids that are not connected here. */
  readonly missing: string[]
}

/**
 * Writes to the sparks of this process, at once and in the order of the calls.
 */
export class Local {
  constructor(
    private readonly primus: Pick<Primus, 'spark' | 'forEach' | 'Spark'>,
    /** Whether an id is ours to write to, and not another server's by now. */
    private readonly owns: (id: string) => boolean
  ) {}

  /** Write to these. */
  some(ids: readonly string[], msg: unknown): Written {
    const missing: string[] = []
    let send = 0
    for (const id of ids) {
      const spark = this.owns(id) ? this.primus.spark(id) : undefined
      if (spark !== undefined && this.#write(spark, msg)) send++
      else missing.push(id)
    }
    return { send, missing }
  }

  /** Write to all, but for `except`. */
  all(msg: unknown, except: ReadonlySet<unknown> = new Set()): Written {
    let send = 0
    // A block: what the callback returns would stop the loop if it were false.
    this.primus.forEach(spark => {
      if (!except.has(plain(spark.id)) && this.#write(spark, msg)) send++
    })
    return { send, missing: [] }
  }

  #write(spark: Spark, msg: unknown): boolean {
    return spark.readyState !== this.primus.Spark.CLOSED && spark.write(msg)
  }
}
