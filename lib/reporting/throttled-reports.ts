import { now } from '../common/async'

/** Pause between two reports of one kind of failure, in ms. */
export const REPORT_PAUSE = 60_000

/** The reports of one kind of failure. */
interface Kind {
  /** When the last one was reported, by `performance.now()`. */
  reported: number
  /** How many failures were not reported since then. */
  withheld: number
}

/**
 * Reports failures that a client can cause at any rate, such as a bad name in a URL: the first one of each kind at
 * once, then at most one of that kind a minute. The next report gets the number of failures that were withheld.
 *
 * Kinds are named by our code, never by input: otherwise a client could create any number of kinds.
 */
export class ThrottledReports {
  readonly #kinds = new Map<string, Kind>()

  constructor(
    private readonly report: (error: Error) => void,
    private readonly pause = REPORT_PAUSE
  ) {}

  /** Report a failure of a kind. @param error creates it, given how many of this kind were withheld so far */
  complain(name: string, error: (withheld: number) => Error): void {
    const kind = this.#kinds.get(name)
    const time = now()
    if (kind !== undefined && time - kind.reported < this.pause) {
      kind.withheld++
      return
    }
    this.#kinds.set(name, { reported: time, withheld: 0 })
    this.report(error(kind?.withheld ?? 0))
  }
}

/** A sentence that tells how many failures of this kind were withheld; `''` for none. */
export function besides(withheld: number): string {
  return withheld === 0 ? '' : ` ${withheld} more of this kind were not reported.`
}
