import cluster from 'node:cluster'
import { EventEmitter } from 'eventemitter3'
import { rethrow, ignore } from '../common/callback'
import { LONGEST_TIMER } from '../common/async'
import { asError, MetroplexError, inspectValue } from '../common/errors'
import { ControlServer } from './control/control-server'
import { obey } from './control/obey'
import { MetricsPort } from './scrape/metrics-port'
import { mergeEnds as merge, WorkerGroup } from './worker-group'
import { flush } from './output-flush'
import type { WorkerProcess } from './process/worker-process'
import type { EmitWorkerEvent } from './worker-slot'
import { claimSignals, handleSignals, ignoreSignals, releaseSignals } from './signals'
import { countOf, graceOf, supervisorTerms, typesOf, type SupervisorTerms } from './options'
import type { Ended, SupervisorEvents, SupervisorOptions, WorkerInfo, WorkerType } from './types'

/** How long the reader of our output may take nothing before this process exits without it, in ms. */
const FLUSH = 10_000

/** The supervisors of this process that run. The one that handles signals ends it for all of them. */
const running = new Set<Supervisor>()

/**
 * Keeps worker processes running on one machine: as many of each type as are configured, in slots with stable names,
 * `web-1` to `web-n`.
 *
 * Workers are processes of node:cluster and share the ports on which they listen. A worker that dies is replaced
 * after a pause, which doubles with each death. Other workers are not affected. `recycle` replaces all workers one
 * after the other, without ever running fewer of them. A worker that is told to end has `grace` ms; then it is
 * killed.
 *
 * A ready worker whose event loop answers nothing for `stall` ms, because of an endless loop, is killed and replaced.
 * One that takes more than `memory` is replaced when its successor is ready.
 *
 * Workers end with this process, also when it is killed; only a worker whose event loop is blocked just then does not
 * notice that. A supervisor does not know what its workers do: they report ready, see `worker`. metroplex reports it
 * for its server.
 *
 * A supervisor needs node:cluster for itself: no other code of its process may use it.
 *
 * @example
 * const supervisor = new Supervisor({ web: { exec: './server.js', count: 4, recycle: 6 * 3600_000 } })
 * supervisor.on('death', ({ name, code, signal, reason }) => {
 *   console.error(name, 'has died:', reason ?? signal ?? code)
 * })
 * supervisor.start().catch(error => console.error(error.message)) // a flapping worker is restarted; the others work
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly #terms: SupervisorTerms
  readonly #groups: ReadonlyMap<string, WorkerGroup>
  readonly #metrics: MetricsPort | undefined
  /** Keeps this process alive while the supervisor runs, also while no worker does. */
  #running: NodeJS.Timeout | undefined
  #removeSignalHandlers = ignore
  readonly #control: ControlServer | undefined
  #stopping: Promise<Ended> | undefined
  /** A signal has told this process to end. */
  #exiting = false

  /**
   * @throws TypeError or RangeError for wrong types or options; Error in a worker, which can have no workers of its
   * own
   */
  constructor(types: Readonly<Record<string, WorkerType>>, options?: SupervisorOptions) {
    super()
    if (!cluster.isPrimary)
      throw new Error(
        'metroplex: a worker can have no workers of its own: make the Supervisor in the primary ' +
          'process of node:cluster.'
      )
    this.#terms = supervisorTerms(options)
    const emit: EmitWorkerEvent = (event, ...args) => {
      this.#metrics?.noticed(event, args[0])
      try {
        ;(this as EventEmitter).emit(event, ...args)
      } catch (error) {
        // An error of a listener must not keep a worker from being restarted or ended.
        rethrow(error)
      }
    }
    this.#groups = new Map(typesOf(types).map(terms => [terms.type, new WorkerGroup(terms, this.#terms, emit)]))
    const { control, metrics } = this.#terms
    this.#metrics = metrics && new MetricsPort(metrics, this.#groups, emit)
    const [name = ''] = this.#groups.keys()
    const wanted = (): Record<string, number> =>
      Object.fromEntries([...this.#groups].map(([type, { count }]) => [type, count]))
    if (control !== false) this.#control = new ControlServer(control, name, request => obey(this, wanted, request))
  }

  /** The path of the socket on which it is listening to commands; `undefined` while there is none. */
  get control(): string | undefined {
    return this.#control?.path
  }

  /**
   * Starts all workers. Resolves when each of them has been ready. Can be called twice.
   *
   * @throws MetroplexError `EWORKER` when a worker is flapping, which the supervisor keeps restarting; `ECLOSED` when
   * the workers are stopped or drained meanwhile
   */
  start(): Promise<void> {
    return this.#handOut(this.#start())
  }

  async #start(): Promise<void> {
    if (this.#stopping !== undefined)
      throw new MetroplexError('ECLOSED', 'This supervisor is being stopped: start it when `stop` has resolved.')
    if (this.#running === undefined) {
      if (this.#terms.signals) claimSignals()
      this.#running = setInterval(ignore, LONGEST_TIMER)
      running.add(this)
      if (this.#terms.signals)
        this.#removeSignalHandlers = handleSignals({
          stop: () => {
            this.#exitOnSignal()
          },
          recycle: () => {
            this.recycle().catch((error: unknown) => {
              this.emit('error', asError(error))
            })
          }
        })
    }
    await Promise.all([this.#openControl(), this.#metrics?.open(), this.#all(undefined, group => group.start())])
  }

  async #openControl(): Promise<void> {
    if (this.#control?.path !== undefined) return
    await this.#control?.open().catch((error: unknown) => {
      this.emit('error', asError(error))
    })
  }

  /**
   * Ends all workers, each within the `grace` ms of its type or of the argument. Resolves when the last one has
   * exited, with the names of those that were killed. A second call can only shorten the grace period. Afterwards the
   * supervisor can be started again.
   */
  async stop({ grace }: { readonly grace?: number } = {}): Promise<Ended> {
    const ms = grace === undefined ? undefined : graceOf(grace)
    const drained = this.#all(undefined, group => group.drain(ms)).then(merge)
    return (this.#stopping ??= drained.finally(() => {
      if (this.#running !== undefined && this.#terms.signals) releaseSignals()
      clearInterval(this.#running)
      this.#running = undefined
      running.delete(this)
      this.#control?.close()
      this.#removeSignalHandlers()
      this.#removeSignalHandlers = ignore
      this.#stopping = undefined
      return this.#metrics?.close()
    }))
  }

  /** Where Prometheus finds the metrics of all workers; `''` without the option `metrics`, and while it is not open. */
  get metricsUrl(): string {
    return this.#metrics?.url ?? ''
  }

  /**
   * Replaces all workers, or those of a type, one after the other: each is told to end when its successor is ready.
   * Resolves when the last old worker has exited. Drained types are skipped, unless they are named.
   *
   * @throws MetroplexError `EWORKER` when a successor does not become ready: the remaining old workers stay;
   * `ECLOSED` when there are no workers, or they are drained meanwhile
   */
  recycle(type?: string): Promise<void> {
    return this.#handOut(this.#recycle(type))
  }

  /**
   * Replaces one worker: it is told to end when its successor is ready, and no other worker of its type is being
   * replaced. Resolves when it has exited.
   *
   * @throws MetroplexError `EWORKER` when there is no worker of this name, or its successor does not become ready: the
   * worker stays then; `ECLOSED` when the workers are drained meanwhile
   */
  replace(name: string): Promise<void> {
    return this.#handOut(this.#replace(name))
  }

  /**
   * Ends all workers, or those of a type, until `resume`. Resolves when the last one has exited, with the names of
   * those that were killed.
   */
  drain(type?: string): Promise<Ended> {
    return this.#handOut(this.#all(type, group => group.drain()).then(merge))
  }

  /** Starts drained workers again. Resolves when they are ready, at once when none was drained. @throws as `start` */
  resume(type?: string): Promise<void> {
    return this.#handOut(this.#resume(type))
  }

  /**
   * Changes the number of workers of a type: new ones get the lowest free slots, and those with the highest numbers
   * end. Resolves when the new ones are ready and the others have exited. @throws as `start`
   */
  scale(type: string, count: number): Promise<void> {
    return this.#handOut(this.#scale(type, count))
  }

  /**
   * All workers, or those of a type, with their states, and what they last said of themselves: it answers at once, also
   * while a worker is stalled. While a worker is replaced there are two with its name.
   */
  workers(type?: string): WorkerInfo[] {
    return this.#groupsOf(type).flatMap(group => group.workers)
  }

  /**
   * Sends a message to a worker, which gets it with `process.on('message', …)`. Resolves when it has been handed
   * over.
   *
   * @param message what `process.send` takes: a JSON value
   * @throws MetroplexError `EWORKER` when there is no worker of this name, or it is ending
   */
  send(name: string, message: unknown): Promise<void> {
    return this.#handOut(this.#send(name, message))
  }

  async #send(name: string, message: unknown): Promise<void> {
    await this.#find(name).child.send(message)
  }

  async #replace(name: string): Promise<void> {
    const { group, child } = this.#find(name)
    await group.replace(child)
  }

  #find(name: string): { group: WorkerGroup; child: WorkerProcess } {
    for (const group of this.#groups.values()) {
      const child = group.find(name)
      if (child !== undefined) return { group, child }
    }
    const there = this.workers().map(worker => worker.name)
    throw new MetroplexError(
      'EWORKER',
      `There is no worker ${inspectValue(name)} now. There are: ${there.join(', ') || 'none'}.`
    )
  }

  async #recycle(type: string | undefined): Promise<void> {
    const groups = this.#groupsOf(type)
    // A drained type has no workers to replace, and must not fail the others.
    const open = groups.filter(group => group.open)
    await Promise.all((open.length > 0 ? open : groups).map(group => group.recycle()))
  }

  async #resume(type: string | undefined): Promise<void> {
    this.#assertRunning()
    await this.#all(type, group => group.start())
  }

  async #scale(type: string, count: number): Promise<void> {
    this.#assertRunning()
    if ((count as unknown) === undefined)
      throw new TypeError('metroplex: `scale` must be given a type and a number of workers; given: no number.')
    const wanted = countOf(count)
    await this.#group(type).scale(wanted)
  }

  /**
   * Returns the promise of a method, which never becomes an unhandled rejection. It never rejects once a signal ends
   * this process: an uncaught rejection would end the process before its workers.
   */
  #handOut<T>(result: Promise<T>): Promise<T> {
    const promise = result.catch((error: unknown) => {
      if (this.#exiting) return new Promise<never>(ignore)
      throw error
    })
    promise.catch(ignore)
    return promise
  }

  #exitOnSignal(): void {
    if (this.#exiting) return
    for (const supervisor of running) supervisor.#exiting = true
    // A second signal would end this process before its output is flushed.
    ignoreSignals()
    this.#exit().catch((error: unknown) => {
      this.emit('error', asError(error))
    })
  }

  async #exit(): Promise<void> {
    // Workers of another supervisor would lose this process, and with it their last output.
    const { killed } = merge(await Promise.all([...running].map(supervisor => supervisor.stop())))
    await flush(FLUSH)
    process.exit(killed.length === 0 ? 0 : 1)
  }

  #assertRunning(): void {
    if (this.#running === undefined || this.#stopping !== undefined)
      throw new MetroplexError('ECLOSED', 'This supervisor does not run: call `start`.')
  }

  async #all<T>(type: string | undefined, what: (group: WorkerGroup) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#groupsOf(type).map(what))
  }

  #groupsOf(type: string | undefined): WorkerGroup[] {
    return type === undefined ? [...this.#groups.values()] : [this.#group(type)]
  }

  #group(type: string): WorkerGroup {
    const group = this.#groups.get(type)
    if (group === undefined)
      throw new TypeError(
        `metroplex: there are no workers of the type ${inspectValue(type)}; there are: ` +
          `${[...this.#groups.keys()].join(', ')}.`
      )
    return group
  }
}
