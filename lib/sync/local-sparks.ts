import type { Spark } from '../common/types'
import { BigMap } from './maps/big-map'

/** What the table of local sparks reports. */
export interface LocalSparksEvents {
  /** Another live server holds this id, so we no longer answer for it, although it is connected here. */
  disowned(id: string): void
  /** A disowned id is ours again. */
  owned(id: string): void
}

/**
 * The sparks that are connected to this process: the truth that the registry follows.
 *
 * It tells sparks with one id apart, because an application's `idGenerator` may repeat ids. An id is present as long as
 * one spark has it.
 */
export class LocalSparks {
  readonly #sparks = new BigMap<Spark | Spark[]>()
  readonly #disowned = new Set<string>()
  /** How many more sparks than ids there are. */
  #duplicates = 0

  constructor(private readonly events: LocalSparksEvents) {}

  /** How many ids are connected here. */
  get size(): number {
    return this.#sparks.size
  }

  /** How many sparks are connected here. */
  get connected(): number {
    return this.#sparks.size + this.#duplicates
  }

  /** Ids that are connected here, but registered for another live server. We do not answer for them. */
  get disowned(): ReadonlySet<string> {
    return this.#disowned
  }

  /** Add a spark. @returns whether its id is new here, or ours again */
  add(id: string, spark: Spark): boolean {
    const entry = this.#sparks.get(id)
    const returned = this.own(id)
    if (entry === undefined) {
      this.#sparks.set(id, spark)
      return true
    }
    if (Array.isArray(entry)) {
      if (!entry.includes(spark)) {
        entry.push(spark)
        this.#duplicates++
      }
    } else if (entry !== spark) {
      this.#sparks.set(id, [entry, spark])
      this.#duplicates++
    }
    return returned
  }

  /**
   * Remove a spark. An unknown spark of Primus changes nothing. An object that an application made itself, without a
   * `readyState`, is known by its id alone.
   *
   * @returns whether its id is no longer here, and was ours
   */
  remove(id: string, spark: Spark): boolean {
    const entry = this.#sparks.get(id)
    if (entry === undefined) return false
    if (spark.readyState !== undefined) {
      if (Array.isArray(entry)) {
        const rest = entry.filter(other => other !== spark)
        this.#duplicates -= rest.length > 0 ? entry.length - rest.length : entry.length - 1
        if (rest.length > 0) {
          this.#sparks.set(id, rest)
          return false
        }
      } else if (entry !== spark) {
        return false
      }
    }
    if (spark.readyState === undefined && Array.isArray(entry)) this.#duplicates -= entry.length - 1
    this.#sparks.delete(id)
    return !this.#disowned.delete(id)
  }

  /** Whether an id is connected here, disowned or not. */
  holds(id: string): boolean {
    return this.#sparks.has(id)
  }

  /** Whether an id is connected here and ours to answer for. */
  owns(id: string): boolean {
    return this.#sparks.has(id) && (this.#disowned.size === 0 || !this.#disowned.has(id))
  }

  /** Note that another live server holds this id. */
  disown(id: string): void {
    if (!this.owns(id)) return
    this.#disowned.add(id)
    this.events.disowned(id)
  }

  /** Note that the id is ours. @returns whether it was disowned */
  own(id: string): boolean {
    const returned = this.#disowned.size > 0 && this.#disowned.delete(id)
    if (returned) this.events.owned(id)
    return returned
  }

  /** The spark that connected last under an id. @param prototype of sparks: an application may enter other objects */
  spark(id: string, prototype: object): Spark | undefined {
    const entry = this.#sparks.get(id)
    const isSpark = (spark?: Spark): boolean => Object.prototype.isPrototypeOf.call(prototype, spark ?? {})
    return (Array.isArray(entry) ? entry : [entry]).findLast(isSpark)
  }

  /** All sparks that are connected here. Those that come or go meanwhile may or may not be included. */
  *sparks(): Generator<Spark, undefined> {
    for (const [, entry] of this.#sparks) {
      if (Array.isArray(entry)) yield* [...entry]
      else yield entry
    }
    return undefined
  }

  /** All ids that are connected here. */
  ids(): Generator<string, undefined> {
    return this.#sparks.keys()
  }
}
