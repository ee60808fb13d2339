import type { Spark } from '../common/types'

/** The two sides that are compared: the sparks of Primus, and those entered in our tables. */
export interface ReconcilerTerms {
  /** How many sparks Primus has. */
  connected(): number
  /**
   * Our tables: how many sparks are entered, and which. Sparks that come or go during the iteration may be missing
   * from it.
   */
  tables(): readonly { readonly connected: number; sparks(): Iterable<Spark> }[]
  /** Whether a spark has ended. */
  ended(spark: Spark): boolean
  /** Called for a spark whose `connection` event has not reached us. */
  missed(spark: Spark): void
  /** Called for a spark whose `disconnection` event has not reached us. */
  gone(spark: Spark): void
}

/**
 * After how many checks without a difference all sparks are compared: one spark too many and one too few cancel out
 * in the numbers.
 */
const LOOKS = 60
/** How many sparks are compared in one turn of the event loop. */
const SLICE = 500

/**
 * Keeps our tables in step with Primus when its events do not reach us. A listener that throws ends the event for all
 * listeners behind it.
 *
 * A spark is announced when Primus creates it, and awaited until its `connection` reaches us. A spark that is still
 * awaited at the second check is entered: asynchronous listeners before ours get the time between. An entered spark
 * that has ended is removed. A check compares the numbers. All sparks are compared, in slices, when the numbers
 * differ without an explanation, and every 60 checks.
 *
 * @example
 * const reconciler = new SparkReconciler(terms)
 * reconciler.announce(spark)
 * reconciler.arrived(spark)
 * reconciler.look()
 * reconciler.close()
 */
export class SparkReconciler {
  /** The sparks whose `connection` has not reached us, with the number of checks that each has seen. */
  readonly #awaited = new Map<Spark, number>()
  /**
   * The difference that remained after the last comparison of all sparks: an application may enter sparks of its own.
   */
  #explained = 0
  #looks = 0
  #walking = false
  #closed = false

  constructor(private readonly terms: ReconcilerTerms) {}

  /** Primus has created a spark. */
  announce(spark: Spark): void {
    this.#awaited.set(spark, 0)
  }

  /** The `connection` event of a spark has reached us. */
  arrived(spark: Spark): void {
    this.#awaited.delete(spark)
  }

  /** Checks once. Called with each beat. */
  look(): void {
    if (this.#closed) return
    const { terms } = this
    for (const [spark, looks] of this.#awaited) {
      if (!terms.ended(spark) && looks === 0) {
        this.#awaited.set(spark, 1)
        continue
      }
      this.#awaited.delete(spark)
      if (!terms.ended(spark)) terms.missed(spark)
    }
    if (this.#walking || (this.#difference === this.#explained && ++this.#looks < LOOKS)) return
    this.#looks = 0
    this.#walking = true
    this.#walk(this.#entered())
  }

  /** Stops a comparison that goes on, and forgets what is awaited. */
  close(): void {
    this.#closed = true
    this.#awaited.clear()
  }

  get #difference(): number {
    return (
      this.terms.tables().reduce((sum, { connected }) => sum + connected, this.#awaited.size) - this.terms.connected()
    )
  }

  *#entered(): Generator<Spark, undefined> {
    for (const table of this.terms.tables()) yield* table.sparks()
    return undefined
  }

  /** Removes the sparks that have ended, one slice per turn of the event loop. */
  #walk(sparks: Iterator<Spark>): void {
    if (this.#closed) return
    for (let i = 0; i < SLICE; i++) {
      const next = sparks.next()
      if (next.done === true) {
        this.#walking = false
        this.#explained = this.#difference
        return
      }
      if (this.terms.ended(next.value)) this.terms.gone(next.value)
    }
    setImmediate(() => {
      this.#walk(sparks)
    }).unref()
  }
}
