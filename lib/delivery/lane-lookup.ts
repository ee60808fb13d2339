import { rethrow } from '../common/callback'
import { now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Lane } from './lane'

/** What a lookup of lanes uses of the cluster. */
export interface LaneLocator {
  /**
   * The addresses of sparks, in their order; only of live servers. When Redis cannot be asked: the last known address,
   * or `undefined`. With `fresh`, the cache is not used. Rejects when no address is known.
   */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
}

/** The results of lookups. */
export interface LaneLookupEvents {
  /** The addresses of the sparks of these lanes, in their order. */
  found(lanes: readonly Lane[], places: readonly (string | null | undefined)[]): void
  /** The lookup failed. @param late whether it took longer than the deadline of the message that it was for */
  lost(lanes: readonly Lane[], error: Error, late: boolean): void
}

/** Lookups whose deadlines are at most this far apart are combined, with the earlier deadline; in ms. */
const SAME_DEADLINE = 10

/** Looks up the sparks of lanes, with the deadline of the first message that waits in each lane. */
export class LaneLookup {
  /** The lanes of the next batch. */
  #batch: Lane[] = []

  constructor(
    private readonly where: LaneLocator,
    private readonly events: LaneLookupEvents
  ) {}

  /** Look up sparks, in one batch with all other lookups of this turn of the event loop. */
  seek(lanes: readonly Lane[]): void {
    if (lanes.length === 0) return
    if (this.#batch.length === 0) {
      queueMicrotask(() => {
        const batch = this.#batch
        this.#batch = []
        // A message that missed its spark needs a fresh lookup; a message that only waited can use the cache.
        for (const fresh of [false, true])
          this.#ask(
            batch.filter(lane => fresh === (lane.waiting[0]?.retried === true)),
            fresh
          )
      })
    }
    for (const lane of lanes) this.#batch.push(lane)
  }

  /** Group lanes by deadline, so that no message gets less time because of another one. */
  #ask(lanes: readonly Lane[], fresh: boolean): void {
    const questions = new Map<number, { deadline: number; lanes: Lane[] }>()
    for (const lane of lanes) {
      const deadline = lane.waiting[0]?.errand.outcome.deadline ?? 0
      const at = Math.floor(deadline / SAME_DEADLINE)
      const question = questions.get(at)
      if (question === undefined) questions.set(at, { deadline, lanes: [lane] })
      else {
        question.deadline = Math.min(question.deadline, deadline)
        question.lanes.push(lane)
      }
    }
    for (const { deadline, lanes } of questions.values()) this.#lookUp(lanes, fresh, deadline)
  }

  #lookUp(lanes: readonly Lane[], fresh: boolean, deadline: number): void {
    let late: MetroplexError | undefined
    const timedOut = (): Error =>
      (late = new MetroplexError(
        'EREGISTRY',
        'Redis did not answer within the deadline which servers hold the sparks.'
      ))
    withTimeout(
      this.where.places(
        lanes.map(({ id }) => id),
        fresh
      ),
      Math.max(0, deadline - now()),
      timedOut
    )
      .then(
        places => {
          this.events.found(lanes, places)
        },
        (error: unknown) => {
          this.events.lost(lanes, asError(error), error === late)
        }
      )
      .catch(rethrow)
  }
}
