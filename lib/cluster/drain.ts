import { milliseconds } from '../checks'
import { deferred, LONGEST, now } from '../deadline'
import { asError, shown } from '../errors'
import type { Drained, DrainOptions, Spark } from '../types'
import { Ration } from './ration'

/** On what terms sparks are let go. */
export type Terms = Readonly<Required<DrainOptions>>

/** What a drain asks of the server, and tells it. */
export interface DrainEvents {
  /** All that are here. */
  sparks(): Iterable<Spark>
  /** It has begun: let no new ones in. */
  began(): void
  /** None is left: leave the registry. */
  emptied(): Promise<unknown>
  /** It is over: let new ones in again. */
  lifted(): void
  /** Something went wrong, and the drain goes on. */
  failed(error: Error): void
}

/** Those who wait for the end, and what bounds it. */
interface Run {
  readonly end: ReturnType<typeof deferred<Drained>>
  deadline: NodeJS.Timeout | undefined
  /** None is left, and the registry is being left. */
  leaving: boolean
}

/**
 * Lets the sparks of a server go: so many a second, each told to come back, which it does somewhere else.
 *
 * It lasts until it is lifted, and is done in runs. A run is over when none is left, or at its deadline: what is left then stays until the next run, or until it
 * goes by itself. Whoever asks while a run is under way shares it, on the terms that were asked for last.
 */
export class Drain {
  readonly #ration = new Ration()
  /** Those that are still here; `undefined` while nobody has to go. */
  #left: Set<Spark> | undefined
  #moved = 0
  #run: Run | undefined
  #next: NodeJS.Timeout | undefined

  constructor(private readonly events: DrainEvents) {}

  /** Whether our sparks have to go, or have gone. */
  get active(): boolean {
    return this.#left !== undefined
  }

  /** Let them go, or go on with it. Resolves with what has been done since it began. */
  run({ timeout, rate }: Terms): Promise<Drained> {
    if (this.#left === undefined) {
      this.#left = new Set(this.events.sparks())
      this.#moved = 0
      this.events.began()
    }
    const run = this.#run ??= { end: deferred<Drained>(), deadline: undefined, leaving: false }
    this.#rest(run)
    if (this.#left.size === 0) {
      this.#leave(run)
      return run.end.promise
    }
    run.deadline = setTimeout(() => { this.#settle() }, timeout).unref()
    this.#ration.begin(rate, now())
    if (timeout > 0) this.#wait(this.#ration.wait(now()))
    return run.end.promise
  }

  /** A spark has gone. */
  gone(spark: Spark): void {
    if (this.#left?.delete(spark) !== true) return
    this.#moved++
    if (this.#left.size === 0 && this.#run !== undefined) this.#leave(this.#run)
  }

  /** Nobody has to go any more. */
  lift(): void {
    if (this.#left === undefined) return
    this.close()
    this.#left = undefined
    this.events.lifted()
  }

  /** End nobody any more; whoever waits is told what has been done. */
  close(): void {
    this.#settle()
    this.#left?.clear()
  }

  #wait(ms: number): void {
    clearTimeout(this.#next)
    this.#next = setTimeout(() => { this.#turn() }, Math.min(Math.ceil(ms), LONGEST)).unref()
  }

  /** End those whose time has come. */
  #turn(): void {
    for (const spark of this.#left ?? []) {
      const ms = this.#ration.wait(now())
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
    this.#ration.took(now())
    this.gone(spark)
  }

  #leave(run: Run): void {
    this.#rest(run)
    if (run.leaving) return
    run.leaving = true
    const left = (error?: unknown): void => {
      // Whoever ended the run in the meantime knows better.
      if (this.#run !== run) return
      if (error !== undefined) this.events.failed(asError(error))
      this.#settle()
    }
    this.events.emptied().then(() => { left() }, left)
  }

  #settle(): void {
    const run = this.#run
    if (run === undefined) return
    this.#run = undefined
    this.#rest(run)
    run.end.resolve({ moved: this.#moved, left: this.#left?.size ?? 0 })
  }

  /** End nobody for now, and wait for no deadline. */
  #rest(run: Run): void {
    clearTimeout(this.#next)
    clearTimeout(run.deadline)
  }
}

/**
 * What was asked for, checked, and with the defaults.
 *
 * @throws TypeError or RangeError, in one sentence, with what was given and what is allowed
 */
export function termsOf(given: unknown): Terms {
  const known = ['timeout', 'rate']
  const object = given ?? {}
  if (typeof object !== 'object' || Array.isArray(object) || Object.keys(object).some(key => !known.includes(key))) {
    throw new TypeError(`metroplex: what \`drain\` is given must be an object such as { timeout: 60000, rate: 100 }; given: ${shown(given)}.`)
  }
  const { timeout, rate = 100 } = object as { timeout?: unknown; rate?: unknown }
  const allowed = `metroplex: \`rate\` must be a number of sparks a second, above 0; given: ${shown(rate)}.`
  if (typeof rate !== 'number') throw new TypeError(allowed)
  if (!Number.isFinite(rate) || rate <= 0) throw new RangeError(allowed)
  return { timeout: milliseconds('timeout', timeout, 60_000, 0), rate }
}
