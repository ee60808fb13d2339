import { milliseconds, rateOf } from '../common/validate'
import { deferred, LONGEST_TIMER, now } from '../common/async'
import { asError, inspectValue } from '../common/errors'
import type { Drained, DrainOptions, Spark } from '../common/types'
import { RateLimiter } from './rate-limiter'

/** The checked options of a drain. */
export type DrainTerms = Readonly<Required<DrainOptions>>

/** What a drain uses of its server. */
export interface DrainEvents {
  /** All local sparks. */
  sparks(): Iterable<Spark>
  /** The drain has begun: accept no new sparks. */
  began(): void
  /** No spark is left: leave the registry. */
  emptied(): Promise<unknown>
  /** The drain is over: accept new sparks again. */
  lifted(): void
  /** An error, after which the drain continues. */
  failed(error: Error): void
}

/** Ends no spark, and waits until the last one has disconnected by itself. */
export const PATIENT: DrainTerms = { timeout: Infinity, rate: 0 }

/** One run of a drain, which all callers of that time share. */
interface Run {
  readonly end: ReturnType<typeof deferred<Drained>>
  deadline: NodeJS.Timeout | undefined
  /** No spark is left, and the server is leaving the registry. */
  leaving: boolean
}

/**
 * Ends the sparks of a server at a limited rate, and asks their clients to reconnect, which leads them to other
 * servers.
 *
 * A drain lasts until it is lifted, and consists of runs. A run ends when no spark is left, or at its deadline; the
 * remaining sparks stay until the next run. A call during a run shares it, and changes its terms.
 */
export class Drain {
  readonly #limiter = new RateLimiter()
  /** The sparks that are still connected; `undefined` without a drain. */
  #left: Set<Spark> | undefined
  #moved = 0
  #run: Run | undefined
  #next: NodeJS.Timeout | undefined

  constructor(private readonly events: DrainEvents) {}

  /** Whether a drain has begun and is not lifted, with or without sparks left. */
  get active(): boolean {
    return this.#left !== undefined
  }

  /** Begin or continue the drain. Resolves with the numbers since it began. */
  run({ timeout, rate }: DrainTerms): Promise<Drained> {
    if (this.#left === undefined) {
      this.#left = new Set(this.events.sparks())
      this.#moved = 0
      this.events.began()
    }
    const run = (this.#run ??= { end: deferred<Drained>(), deadline: undefined, leaving: false })
    this.#clearTimers(run)
    if (this.#left.size === 0) {
      this.#leave(run)
      return run.end.promise
    }
    if (rate === 0) return run.end.promise
    run.deadline = setTimeout(() => {
      this.#settle()
    }, timeout).unref()
    this.#limiter.begin(rate, now())
    if (timeout > 0) this.#wait(this.#limiter.wait(now()))
    return run.end.promise
  }

  /** A spark has disconnected. */
  disconnected(spark: Spark): void {
    if (this.#left?.delete(spark) !== true) return
    this.#moved++
    if (this.#left.size === 0 && this.#run !== undefined) this.#leave(this.#run)
  }

  /** End the drain. */
  lift(): void {
    if (this.#left === undefined) return
    this.close()
    this.#left = undefined
    this.events.lifted()
  }

  /** End no more sparks, and resolve the current run. */
  close(): void {
    this.#settle()
    this.#left?.clear()
  }

  #wait(ms: number): void {
    clearTimeout(this.#next)
    this.#next = setTimeout(
      () => {
        this.#endDue()
      },
      Math.min(Math.ceil(ms), LONGEST_TIMER)
    ).unref()
  }

  /** End the sparks that the rate allows now. */
  #endDue(): void {
    for (const spark of this.#left ?? []) {
      const ms = this.#limiter.wait(now())
      if (ms > 0) {
        this.#wait(ms)
        return
      }
      this.#end(spark)
    }
  }

  #end(spark: Spark): void {
    try {
      spark.end(undefined, { reconnect: true })
    } catch (error) {
      this.events.failed(asError(error))
    }
    this.#limiter.record(now())
    this.disconnected(spark)
  }

  #leave(run: Run): void {
    this.#clearTimers(run)
    if (run.leaving) return
    run.leaving = true
    const left = (error?: unknown): void => {
      // The run has ended meanwhile, at its deadline or because the drain was lifted.
      if (this.#run !== run) return
      if (error !== undefined) this.events.failed(asError(error))
      this.#settle()
    }
    this.events.emptied().then(() => {
      left()
    }, left)
  }

  #settle(): void {
    const run = this.#run
    if (run === undefined) return
    this.#run = undefined
    this.#clearTimers(run)
    run.end.resolve({ moved: this.#moved, left: this.#left?.size ?? 0 })
  }

  /** End no spark until the next run. */
  #clearTimers(run: Run): void {
    clearTimeout(this.#next)
    clearTimeout(run.deadline)
  }
}

/**
 * The checked options, with defaults.
 *
 * @throws TypeError or RangeError that names the value and the allowed ones
 */
export function drainTerms(given: unknown): DrainTerms {
  const known = ['timeout', 'rate']
  const object = given ?? {}
  if (typeof object !== 'object' || Array.isArray(object) || Object.keys(object).some(key => !known.includes(key))) {
    throw new TypeError(
      'metroplex: the options of `drain` must be an object such as { timeout: 60000, rate: 100 }; ' +
        `given: ${inspectValue(given)}.`
    )
  }
  const { timeout, rate } = object as { timeout?: unknown; rate?: unknown }
  return { rate: rateOf('rate', rate, 100), timeout: milliseconds('timeout', timeout, 60_000, 0) }
}
