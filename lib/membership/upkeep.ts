import { now } from '../common/async'
import { asError } from '../common/errors'
import { LifeReplaced } from '../sync/index-sync'
import type { Beat, LifeId } from '../registry/records'
import type { LifeParts } from './life-types'
import type { Leftovers } from './leftovers'
import type { Readiness } from './readiness'

/** What `Upkeep` needs to know of the life, and reports. */
export interface UpkeepTerms {
  /** Whether this is still the life of this server. */
  current(me: LifeId): boolean
  /** A heal has corrected this many entries, in this many ms. */
  healed(sparks: number, ms: number): void
}

/**
 * Runs the work that keeps the registry right beside the beats: heals, audits, clean-ups and sweeps.
 *
 * No caller waits for it. A failure is reported through `Readiness`, and a later beat repeats the work.
 */
export class Upkeep {
  constructor(
    private readonly parts: LifeParts,
    private readonly readiness: Readiness,
    private readonly leftovers: Leftovers,
    private readonly terms: UpkeepTerms
  ) {}

  /** Start what a successful beat has found due. @param right whether it found the numbers of this server right */
  afterBeat(me: LifeId, beat: Extract<Beat, { as: 'ok' }>, right: boolean): void {
    const { writer, healer, reaper, auditor, agreement } = this.parts
    this.run('agree', agreement.confirm(beat.agreed))
    if (!right || writer.inDoubt) this.heal(me, false)
    else
      this.run(
        'audit',
        auditor.runDue(me, () => this.terms.current(me) && !healer.busy)
      )
    this.readiness.evaluate()
    this.run(
      'reclaim',
      healer.reclaim(me, beat.room).finally(() => {
        this.readiness.full(!beat.room)
      })
    )
    this.clear(me)
    if (beat.back) reaper.clockSetBack()
    if (beat.turn) this.run('sweep', reaper.sweep({ me, breaks: beat.breaks, full: !beat.room }))
  }

  /**
   * Compare the entries of this server with the registry and correct them. Beats go on meanwhile.
   *
   * @param always whether the heal is reported even if it finds nothing wrong
   */
  heal(me: LifeId, always: boolean): void {
    const began = now()
    const healing = this.parts.healer.heal(me)
    this.readiness.evaluate()
    this.run(
      'heal',
      healing
        .finally(() => {
          this.readiness.evaluate()
        })
        .then(sparks => {
          if (sparks > 0 || always) this.terms.healed(sparks, now() - began)
        })
    )
  }

  /** Remove what former lives left at our address. */
  clear(me: LifeId): void {
    this.run(
      'clear',
      this.leftovers.clear(me, () => this.terms.current(me))
    )
  }

  /** Run a task in the background, and report whether it worked. */
  run(task: string, work: Promise<unknown>): void {
    work.then(
      () => {
        this.readiness.worked(task)
      },
      (error: unknown) => {
        if (!(error instanceof LifeReplaced)) this.readiness.report(task, asError(error))
      }
    )
  }
}
