import type { Spark } from '../types'
import { BigMap } from './big-map'

/** What a table tells. */
export interface TableEvents {
  /** Another server has this id: we no longer answer for it, though it is connected here. */
  disowned(id: string): void
  /** That id is ours again. */
  owned(id: string): void
}

/**
 * The sparks that are connected to this process: the truth that the registry has to follow.
 *
 * Keyed by the spark itself, because an application's `idGenerator` may repeat ids: an id is there
 * as long as one spark has it.
 */
export class Table {
  readonly #sparks = new BigMap<Spark | Spark[]>()
  readonly #disowned = new Set<string>()

  constructor(private readonly events: TableEvents) {}

  /** How many ids are connected here. */
  get size(): number {
    return this.#sparks.size
  }

  /** Ids that are connected here and, by the registry, at another server that lives. We do not answer for them. */
  get disowned(): ReadonlySet<string> {
    return this.#disowned
  }

  /** Note a connection; `true` when its id is now here for the first time, or ours again. */
  add(id: string, spark: Spark): boolean {
    const there = this.#sparks.get(id)
    const returned = this.own(id)
    if (there === undefined) {
      this.#sparks.set(id, spark)
      return true
    }
    if (Array.isArray(there)) {
      if (!there.includes(spark)) there.push(spark)
    } else if (there !== spark) {
      this.#sparks.set(id, [there, spark])
    }
    return returned
  }

  /**
   * Forget a connection; `true` when its id is no longer here, and was ours. A spark of Primus that we do not know changes
   * nothing; of what an application makes up itself, the id alone counts.
   */
  remove(id: string, spark: Spark): boolean {
    const there = this.#sparks.get(id)
    if (there === undefined) return false
    if (spark.readyState !== undefined) {
      if (Array.isArray(there)) {
        const rest = there.filter(other => other !== spark)
        if (rest.length > 0) {
          this.#sparks.set(id, rest)
          return false
        }
      } else if (there !== spark) {
        return false
      }
    }
    this.#sparks.delete(id)
    return !this.#disowned.delete(id)
  }

  /** Whether an id is connected here, whoever the registry says has it. */
  holds(id: string): boolean {
    return this.#sparks.has(id)
  }

  /** Whether an id is connected here and ours to answer for. */
  owns(id: string): boolean {
    return this.#sparks.has(id) && (this.#disowned.size === 0 || !this.#disowned.has(id))
  }

  /** Another server that lives has this id. */
  disown(id: string): void {
    if (!this.owns(id)) return
    this.#disowned.add(id)
    this.events.disowned(id)
  }

  /** The id is ours again; whether it was not. */
  own(id: string): boolean {
    const returned = this.#disowned.size > 0 && this.#disowned.delete(id)
    if (returned) this.events.owned(id)
    return returned
  }

  /** All ids that are connected here. */
  ids(): Generator<string, undefined> {
    return this.#sparks.keys()
  }
}
