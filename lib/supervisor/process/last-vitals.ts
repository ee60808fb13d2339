import type { WorkerInfo } from '../types'
import type { WorkerVitals } from '../worker/vitals'

/** What a worker last said of itself, and for how long it has answered nothing. */
export class LastVitals {
  /** Whether a question for its vitals is on its way. */
  asking = false
  /** For how long that question has not been answered, in ms by the checks of the supervisor. */
  silence = 0
  #vitals: WorkerVitals | undefined
  #utilization: number | undefined
  #heard: number | undefined

  /** Its last vitals; `undefined` before the first ones. */
  get vitals(): WorkerVitals | undefined {
    return this.#vitals
  }

  /** What `workers()` tells of it. */
  get info(): Pick<WorkerInfo, 'rss' | 'eventLoopUtilization' | 'heard'> {
    if (this.#vitals === undefined || this.#heard === undefined) return {}
    return { rss: this.#vitals.rss, eventLoopUtilization: this.#utilization ?? 0, heard: this.#heard }
  }

  /** The worker has answered with its vitals. */
  beat(vitals: WorkerVitals): void {
    const { idle, active } = this.#vitals ?? { idle: 0, active: 0 }
    const [busy, all] = [vitals.active - active, vitals.active - active + vitals.idle - idle]
    if (all > 0) this.#utilization = Math.round((Math.max(0, busy) / all) * 1000) / 1000
    this.#vitals = vitals
    this.#heard = Date.now()
  }
}
