import { MetroplexError } from '../common/errors'
import type { WorkerProcess, End } from './process/worker-process'
import { WorkerSlot, type EmitWorkerEvent } from './worker-slot'
import type { SupervisorTerms, TypeTerms } from './options'
import type { Ended, WorkerInfo } from './types'
import { WorkerWatch } from './watch/worker-watch'

/** All workers of one type, in slots named `type-1` to `type-n`. */
export class WorkerGroup {
  /** In the order of their numbers. */
  readonly #slots: WorkerSlot[] = []
  #count: number
  /** Whether workers are to run: started and not drained. */
  #open = false
  /** Workers that are still to be replaced by the current recycle. */
  readonly #toReplace = new Set<WorkerProcess>()
  #recycling: Promise<void> | undefined
  #recycleTimer: NodeJS.Timeout | undefined
  readonly #watch: WorkerWatch

  constructor(
    private readonly terms: TypeTerms,
    private readonly all: SupervisorTerms,
    private readonly emit: EmitWorkerEvent
  ) {
    this.#count = terms.count
    this.#watch = new WorkerWatch(terms, () => this.#slots.flatMap(slot => slot.processes), {
      replace: (worker, reason) => {
        emit('memory', { ...worker.identity, reason })
        this.replace(worker).catch((error: unknown) => {
          if (this.#open) emit('error', error as Error)
        })
      },
      report: (worker, reason) => {
        emit('memory', { ...worker.identity, reason })
      }
    })
  }

  /** Whether the type has been started and not drained. */
  get open(): boolean {
    return this.#open
  }

  /** How many workers are wanted. */
  get count(): number {
    return this.#count
  }

  /** The workers of this type, with their states. */
  get workers(): WorkerInfo[] {
    return this.#slots.flatMap(slot => slot.workers)
  }

  /** The current workers of all slots. */
  get current(): WorkerProcess[] {
    return this.#slots.flatMap(({ current }) => current ?? [])
  }

  /** The current worker of the slot with this name. */
  find(name: string): WorkerProcess | undefined {
    return this.#slots.find(slot => slot.name === name)?.current
  }

  /**
   * Starts all workers, also after a drain. Resolves when they are ready; rejects when one is flapping, or they are
   * drained meanwhile.
   */
  async start(): Promise<void> {
    if (!this.#open) {
      this.#open = true
      this.#scheduleRecycle()
      this.#watch.start()
    }
    await this.#startAll()
  }

  /**
   * Changes the number of workers. Those with the highest numbers end. Resolves when the new ones are ready and the
   * others have exited.
   */
  async scale(count: number): Promise<void> {
    this.#count = count
    const surplus = this.#slots.slice(count).map(slot => slot.drain(this.terms.grace))
    await Promise.all([this.#open ? this.#startAll() : undefined, ...surplus])
  }

  /** Ends all workers. Resolves when the last one has exited. */
  async drain(grace = this.terms.grace): Promise<Ended> {
    this.#open = false
    clearTimeout(this.#recycleTimer)
    this.#watch.stop()
    const ends = await Promise.all(this.#slots.map(async slot => ({ name: slot.name, ends: await slot.drain(grace) })))
    const killed = ({ ends }: { ends: readonly End[] }): boolean => ends.some(({ reason }) => reason !== undefined)
    return { killed: ends.filter(killed).map(({ name }) => name) }
  }

  /**
   * Replaces all current workers one after the other, each when its successor is ready. A call during a recycle
   * extends it to the workers that have started meanwhile.
   *
   * @throws MetroplexError `EWORKER` when a successor does not become ready: the remaining workers stay
   */
  async recycle(): Promise<void> {
    await this.#recycle(this.#slots.flatMap(slot => slot.processes))
  }

  /** Replaces one worker when its successor is ready, and no other worker is being replaced. @throws as `recycle` */
  async replace(worker: WorkerProcess): Promise<void> {
    await this.#recycle([worker])
  }

  async #recycle(workers: readonly WorkerProcess[]): Promise<void> {
    if (!this.#open)
      throw new MetroplexError(
        'ECLOSED',
        `No workers of the type ${this.terms.type} can be replaced: they have not been ` +
          'started, or have been drained.'
      )
    for (const worker of workers) this.#toReplace.add(worker)
    await (this.#recycling ??= this.#replaceAll())
  }

  async #replaceAll(): Promise<void> {
    try {
      for (;;) {
        const slot = this.#slots.find(({ current }) => current !== undefined && this.#toReplace.has(current))
        if (slot?.current === undefined) return
        this.#toReplace.delete(slot.current)
        try {
          await slot.recycle()
        } catch (error) {
          // The number of workers was lowered meanwhile: this one needs no successor.
          if (this.#open && this.#slots.indexOf(slot) >= this.#count) continue
          if (!(error instanceof MetroplexError) || error.code !== 'EWORKER') throw error
          throw new MetroplexError('EWORKER', `${error.message} The workers that were still to be replaced stay.`, {
            cause: error
          })
        }
      }
    } finally {
      this.#toReplace.clear()
      this.#recycling = undefined
    }
  }

  async #startAll(): Promise<void> {
    while (this.#slots.length < this.#count) {
      this.#slots.push(new WorkerSlot(`${this.terms.type}-${this.#slots.length + 1}`, this.terms, this.all, this.emit))
    }
    const wanted = this.#slots.slice(0, this.#count)
    for (const slot of wanted) slot.start()
    await Promise.all(wanted.map(slot => slot.ready()))
  }

  /** Schedules the next recycle. */
  #scheduleRecycle(): void {
    clearTimeout(this.#recycleTimer)
    const { recycle } = this.terms
    if (recycle === 0) return
    this.#recycleTimer = setTimeout(() => {
      this.recycle()
        .catch((error: unknown) => {
          if (this.#open) this.emit('error', error as Error)
        })
        .finally(() => {
          if (this.#open) this.#scheduleRecycle()
        })
    }, recycle).unref()
  }
}

/** What ended several groups of workers. */
export function mergeEnds(all: readonly Ended[]): Ended {
  return { killed: all.flatMap(({ killed }) => killed) }
}
