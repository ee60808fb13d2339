import { deferred } from '../common/async'
import { MetroplexError } from '../common/errors'
import { WorkerProcess, type WorkerProcessEvents, type End } from './process/worker-process'
import { RestartPolicy } from './restart-policy'
import type { SupervisorTerms, TypeTerms } from './options'
import type { SupervisorEvents, WorkerInfo } from './types'

/** Emits an event of the supervisor. */
export type EmitWorkerEvent = <E extends keyof SupervisorEvents>(
  event: E,
  ...args: Parameters<SupervisorEvents[E]>
) => void

/**
 * The slot of one worker: keeps a process running under its name as long as one is wanted. While the worker is
 * replaced, or ends by itself, there are two: the current one and its successor.
 */
export class WorkerSlot {
  /** All processes that have not exited. */
  readonly #processes = new Set<WorkerProcess>()
  readonly #policy: RestartPolicy
  /** The worker of the slot, until it has exited or its successor is ready. */
  #current: WorkerProcess | undefined
  #next: WorkerProcess | undefined
  #pause: NodeJS.Timeout | undefined
  /** When the pause began, in Unix time. */
  #pausedSince = 0
  #restarts = 0
  #wanted = false
  /** The slot was drained and no worker has been started since. */
  #wasDrained = false
  #ready = deferred<undefined>()

  constructor(
    readonly name: string,
    private readonly terms: TypeTerms,
    private readonly all: SupervisorTerms,
    private readonly emit: EmitWorkerEvent
  ) {
    this.#policy = new RestartPolicy(all.backoff, all.flap)
  }

  /** The worker of the slot; `undefined` while there is none. */
  get current(): WorkerProcess | undefined {
    return this.#current
  }

  /** The worker of the slot and its successor. */
  get processes(): WorkerProcess[] {
    return [this.#current, this.#next].filter(worker => worker !== undefined)
  }

  /** All workers of this slot, with their states. */
  get workers(): WorkerInfo[] {
    const { name, terms } = this
    const restarts = this.#restarts
    const infos = [...this.#processes].map(({ info }) => ({ ...info, restarts }))
    if (this.#pause === undefined) return infos
    return [...infos, { name, type: terms.type, state: 'backoff', since: this.#pausedSince, restarts }]
  }

  /** Starts a worker in this slot. */
  start(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#policy.reset()
    // A worker that is still ending is followed when it has exited.
    if (this.#current === undefined) this.#startWorker()
  }

  /** Resolves when the worker of the slot is ready; rejects when the slot is drained, or its workers are flapping. */
  async ready(): Promise<void> {
    if (this.#current?.state === 'ready') return
    // The rejection of `#ready` comes once, and may have come already.
    if (this.#wanted && this.#policy.flapping) throw this.#flappingError()
    await this.#ready.promise
  }

  /** Ends all workers of this slot. Resolves when all have exited. */
  async drain(grace: number): Promise<End[]> {
    if (this.#wanted) {
      this.#wanted = false
      this.#wasDrained = true
      this.#settleReady(this.#drainedError())
    }
    clearTimeout(this.#pause)
    this.#pause = undefined
    return Promise.all([...this.#processes].map(worker => this.#endWorker(worker, grace)))
  }

  /**
   * Replaces the worker: it is told to end when its successor is ready. Resolves when it has exited.
   *
   * @throws MetroplexError `EWORKER` when the successor did not become ready: nothing has changed then; `ECLOSED`
   * when the slot is drained meanwhile
   */
  async recycle(): Promise<void> {
    const old = this.#current
    if (old === undefined || !this.#wanted) return
    this.emit('recycle', old.identity)
    const next = (this.#next ??= this.#spawn())
    try {
      await next.ready
    } catch (error) {
      throw this.#isWanted() ? error : this.#drainedError()
    }
    if (this.#next === next) this.#promote(next)
    await this.#endWorker(old, this.terms.grace)
  }

  /** A function, because the compiler assumes that a field stays the same across an `await`. */
  #isWanted(): boolean {
    return this.#wanted
  }

  #promote(worker: WorkerProcess): void {
    this.#current = worker
    this.#next = undefined
    if (worker.state === 'ready') this.#settleReady()
  }

  #startWorker(): void {
    const worker = (this.#current = this.#spawn())
    if (this.#wasDrained) this.emit('resume', worker.identity)
    this.#wasDrained = false
  }

  #respawn(): WorkerProcess {
    this.#restarts++
    return this.#spawn()
  }

  #spawn(): WorkerProcess {
    const { emit } = this
    const events: WorkerProcessEvents = {
      online: worker => {
        emit('online', worker.identity)
      },
      ready: worker => {
        emit('ready', worker.identity)
        // A worker that ends by itself, or is not ready yet, loses its slot to a successor that is ready.
        if (worker === this.#next && this.#current?.state !== 'ready') this.#promote(worker)
        else if (worker === this.#current) this.#settleReady()
      },
      leaving: worker => {
        emit('drain', worker.identity)
        // Its successor starts now, so that the slot is empty for as short as possible. A worker that ended early is
        // replaced after a pause instead, so that workers that end at once are not forked in a loop.
        if (worker === this.#current && this.#wanted && !this.#policy.early(worker.up)) this.#next ??= this.#respawn()
      },
      exited: (worker, end) => {
        this.#exited(worker, end)
      },
      message: (worker, message) => {
        emit('message', worker.identity, message)
      },
      ops: (worker, message) => {
        emit('ops', worker.identity, message)
      },
      output: (worker, stream, line) => {
        emit('output', worker.identity, stream, line)
      }
    }
    const worker = new WorkerProcess(this.name, this.terms, this.all.output, events)
    this.#processes.add(worker)
    return worker
  }

  #endWorker(worker: WorkerProcess, grace: number): Promise<End> {
    const wasEnding = worker.ending
    const ended = worker.drain(grace)
    if (!wasEnding && this.#processes.has(worker)) this.emit('drain', worker.identity)
    return ended
  }

  #exited(worker: WorkerProcess, end: End): void {
    this.#processes.delete(worker)
    const { code, signal, reason, asked, up } = end
    const clean = code === 0
    this.emit(asked || clean ? 'ended' : 'death', {
      ...worker.identity,
      code,
      signal,
      ...(reason !== undefined && { reason })
    })
    if (worker === this.#next) this.#next = undefined
    if (worker !== this.#current) return
    this.#current = this.#next
    this.#next = undefined
    if (this.#current !== undefined) {
      if (this.#current.state === 'ready') this.#settleReady()
      return
    }
    if (!this.#wanted) return
    if (asked) {
      this.#startWorker()
      return
    }
    const { pause, flaps } = this.#policy.ended(up, clean)
    if (flaps) this.#reportFlapping(worker)
    this.#pausedSince = Date.now()
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#restarts++
      this.#startWorker()
    }, pause).unref()
  }

  #reportFlapping(worker: WorkerProcess): void {
    const error = this.#flappingError()
    this.emit('flapping', { ...worker.identity, reason: error.message })
    this.#settleReady(error)
  }

  #flappingError(): MetroplexError {
    const { crashes, window } = this.all.flap
    return new MetroplexError(
      'EWORKER',
      `${this.name} has crashed ${crashes} times within ${window} ms of being ready. ` +
        `The supervisor keeps restarting it, after pauses that double up to ${this.all.backoff.max} ms.`
    )
  }

  /** Settles the promise of those that wait for a ready worker. */
  #settleReady(error?: Error): void {
    if (error === undefined) this.#ready.resolve(undefined)
    else this.#ready.reject(error)
    this.#ready = deferred()
  }

  #drainedError(): MetroplexError {
    return new MetroplexError('ECLOSED', `${this.name} was drained meanwhile.`)
  }
}
