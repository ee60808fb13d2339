import { crash } from '../callback'
import { now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { Lane } from './lane'

/** What a seeker asks of the cluster. */
export interface Sought {
  /**
   * Where sparks are, in their order; only on servers that live. Where the registry cannot be asked: where they were last known to be, or
   * `undefined`; with `fresh`, the registry alone is asked. Rejects when nothing is known of any of them.
   */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
}

/** What a seeker reports. */
export interface SeekerEvents {
  /** Where the sparks of these lanes are, in their order. */
  found(lanes: readonly Lane[], places: readonly (string | null | undefined)[]): void
  /** It could not be told; `late`: not in the time of the message that it was asked for. */
  lost(lanes: readonly Lane[], error: Error, late: boolean): void
}

/** Questions whose deadlines are no further apart are asked as one, with the earlier deadline; in ms. */
const ALIKE = 10

/** Finds out where the sparks of lanes are, for the first message that waits in each. */
export class Seeker {
  /** Lanes whose sparks are to be looked up, together. */
  #seeking: Lane[] = []

  constructor(private readonly where: Sought, private readonly events: SeekerEvents) {}

  /** Look up where sparks are; together with whatever else has to be looked up before the event loop goes on. */
  seek(lanes: readonly Lane[]): void {
    if (lanes.length === 0) return
    if (this.#seeking.length === 0) {
      queueMicrotask(() => {
        const seeking = this.#seeking
        this.#seeking = []
        // What was not where it should be has no use for what is remembered; what only waited for its turn has.
        for (const fresh of [false, true]) this.#ask(seeking.filter(lane => fresh === (lane.waiting[0]?.again === true)), fresh)
      })
    }
    for (const lane of lanes) this.#seeking.push(lane)
  }

  /** Nobody's time is cut short by another's, by more than a moment. */
  #ask(lanes: readonly Lane[], fresh: boolean): void {
    const questions = new Map<number, { deadline: number, lanes: Lane[] }>()
    for (const lane of lanes) {
      const deadline = lane.waiting[0]?.errand.sum.deadline ?? 0
      const at = Math.floor(deadline / ALIKE)
      const question = questions.get(at)
      if (question === undefined) questions.set(at, { deadline, lanes: [lane] })
      else {
        question.deadline = Math.min(question.deadline, deadline)
        question.lanes.push(lane)
      }
    }
    for (const { deadline, lanes } of questions.values()) this.#look(lanes, fresh, deadline)
  }

  #look(lanes: readonly Lane[], fresh: boolean, deadline: number): void {
    let late: MetroplexError | undefined
    const lateness = (): Error => late = new MetroplexError('EREGISTRY', 'The registry did not say within the deadline where the sparks are.')
    within(this.where.places(lanes.map(({ id }) => id), fresh), Math.max(0, deadline - now()), lateness).then(
      places => { this.events.found(lanes, places) },
      (error: unknown) => { this.events.lost(lanes, asError(error), error === late) }
    ).catch(crash)
  }
}
