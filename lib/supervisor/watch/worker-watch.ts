import { ignore } from '../../common/callback'
import { now } from '../../common/async'
import type { TypeTerms } from '../options'
import type { WorkerProcess } from '../process/worker-process'
import { VITALS, vitalsOf, type WorkerVitals } from '../worker/vitals'
import { sizeText } from './byte-size'
import { MemoryLimit } from './memory-limit'

/** How often workers are asked for their vitals, in ms: often enough that a stall is noticed soon after `stall`. */
const [SHORTEST, LONGEST] = [100, 1000]

/** How long a question without a limit stays open, in ms. */
const OPEN = 30_000

/** What a watch has found. The reason is a sentence. */
export interface Findings {
  /** A worker takes too much memory, and is to be replaced. */
  replace(worker: WorkerProcess, reason: string): void
  /** A worker takes too much memory, and a replacement would not help. */
  report(worker: WorkerProcess, reason: string): void
}

/**
 * Asks the workers of a type for their vitals, kills one whose event loop answers nothing for `stall` ms, and finds
 * those that take more than `memory`.
 *
 * Silence is counted in checks, not in time: a check after which this process, or the whole machine, was paused counts
 * as one. After a long pause the workers get their whole time anew.
 */
export class WorkerWatch {
  readonly #interval: number
  readonly #limits = new Map<string, MemoryLimit>()
  #timer: NodeJS.Timeout | undefined
  #last = 0
  /** The last vitals of any worker of the type. Workers of other software, or of an earlier release, tell none. */
  #any: WorkerVitals | undefined

  constructor(
    private readonly terms: TypeTerms,
    private readonly workers: () => readonly WorkerProcess[],
    private readonly findings: Findings
  ) {
    this.#interval = terms.stall === 0 ? LONGEST : Math.min(LONGEST, Math.max(SHORTEST, terms.stall / 20))
  }

  start(): void {
    if (this.#timer !== undefined) return
    this.#last = now()
    this.#timer = setInterval(() => {
      this.#checkAll()
    }, this.#interval).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#limits.clear()
  }

  #checkAll(): void {
    const at = now()
    const paused = at - this.#last > this.#interval + this.terms.stall / 2
    this.#last = at
    for (const worker of this.workers()) {
      const { pulse } = worker
      if (paused) pulse.silence = 0
      if (pulse.asking) this.#noteSilence(worker)
      else this.#ask(worker)
    }
  }

  #ask(worker: WorkerProcess): void {
    const { pulse } = worker
    pulse.asking = true
    pulse.silence = 0
    // One question at a time, so that a stalled worker has few to read. It must not end before `stall` does.
    worker
      .ask(VITALS, OPEN + 2 * this.terms.stall)
      .then(answer => {
        const vitals = vitalsOf(answer)
        if (vitals === undefined) return
        this.#any = vitals
        pulse.beat(vitals)
        this.#judgeMemory(worker, vitals)
      })
      // A worker that boots, ends or is of an earlier release cannot be asked.
      .catch(ignore)
      .finally(() => {
        pulse.asking = false
      })
  }

  #noteSilence(worker: WorkerProcess): void {
    const { stall } = this.terms
    const { pulse, name, state } = worker
    // A worker that boots or ends has other limits. One that never tells its vitals is not known to answer at all.
    const { inspected = true } = pulse.vitals ?? this.#any ?? {}
    if (stall === 0 || state !== 'ready' || inspected) return
    pulse.silence += this.#interval
    if (pulse.silence >= stall)
      worker.kill(`${name} answered nothing for ${stall} ms and was killed: its event loop was blocked.`)
  }

  #judgeMemory(worker: WorkerProcess, { rss }: WorkerVitals): void {
    const { memory } = this.terms
    const { name } = worker
    if (memory === 0 || worker.state !== 'ready' || this.#timer === undefined) return
    const limit = this.#limits.get(name) ?? new MemoryLimit(memory)
    this.#limits.set(name, limit)
    const uses = `${name} uses ${sizeText(rss)} of memory, more than its limit of ${sizeText(memory)}`
    const due = limit.judge(worker, rss, now())
    if (due === 'replace') this.findings.replace(worker, `${uses}: it is being replaced.`)
    else if (due === 'always')
      this.findings.report(worker, `${uses}, since it became ready: it stays, because its successor would use as much.`)
    else if (due === 'lately')
      this.findings.report(worker, `${uses}, and its predecessor was replaced for that: it stays for a while.`)
  }
}
