import cluster from 'node:cluster'
import { EventEmitter } from 'eventemitter3'
import { crash, ignore } from '../callback'
import { LONGEST } from '../deadline'
import { asError, MetroplexError, shown } from '../errors'
import { Crew } from './crew'
import type { Tell } from './seat'
import { obey } from './signals'
import { countOf, graceOf, termsOf, typesOf, type Terms } from './terms'
import type { Ended, SupervisorEvents, SupervisorOptions, WorkerInfo, WorkerType } from './types'

/** Whether one of this process obeys its signals. */
let obeying = false

/**
 * Keeps worker processes running on one machine: as many of each type as are wanted, each with a name of its own that stays the same over restarts, `web-1` to `web-n`.
 *
 * They are workers of node:cluster, and so share the ports that they listen on. One that dies is started again, after a pause that doubles from death to death; its
 * neighbours are left alone. All of them can be replaced, one after the other, without there ever being fewer than wanted. Whoever is told to end has `grace` ms for
 * it. They all end with this process, also when it is killed; but one that is stuck in a loop without end hears nothing of that. It knows nothing of what its workers do: they say when they are ready, see `worker`; metroplex says it for them.
 *
 * Supervisors have node:cluster for themselves: nobody else in their process uses it.
 *
 * @example
 * const supervisor = new Supervisor({ web: { exec: './server.js', count: 4, recycle: 6 * 3600_000 } })
 * supervisor.on('death', ({ name, code, signal, reason }) => console.error(name, 'has died', reason ?? signal ?? code))
 * supervisor.start().catch(error => console.error(error.message)) // one that keeps dying is tried on, and the others work
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly #terms: Terms
  readonly #crews: ReadonlyMap<string, Crew>
  /** While we run: without anybody working there would be nothing to stay for, and somebody may be started again. */
  #running: NodeJS.Timeout | undefined
  #disobey = ignore
  #stopping: Promise<Ended> | undefined
  /** A signal has told us to end, and this process does so. */
  #quitting = false

  /** @throws TypeError or RangeError for wrong types or options, in one sentence; Error in a worker, which can have none of its own */
  constructor(types: Readonly<Record<string, WorkerType>>, options?: SupervisorOptions) {
    super()
    if (!cluster.isPrimary) throw new Error('metroplex: a worker can have no workers of its own: make the Supervisor in the primary process of node:cluster.')
    this.#terms = termsOf(options)
    const tell: Tell = (event, ...args) => {
      try {
        (this as EventEmitter).emit(event, ...args)
      } catch (error) {
        // A listener's fault is its process's, and keeps no worker from being started again, or ended.
        crash(error)
      }
    }
    this.#crews = new Map(typesOf(types).map(terms => [terms.type, new Crew(terms, this.#terms, tell)]))
  }

  /**
   * Start all workers. Resolves when each of them has been ready; harmless when called twice.
   *
   * @throws MetroplexError `EWORKER` when one of them keeps dying: it goes on to be tried; `ECLOSED` when it is stopped or drained meanwhile
   */
  start(): Promise<void> {
    return this.#answer(this.#start())
  }

  async #start(): Promise<void> {
    if (this.#stopping !== undefined) throw new MetroplexError('ECLOSED', 'This supervisor is being stopped: start it when `stop` has resolved.')
    if (this.#running === undefined) {
      if (this.#terms.signals) {
        // Whichever has stopped first would end the process, and with it the workers of the other.
        if (obeying) throw new Error('metroplex: another supervisor of this process obeys its signals already: give that one all types of workers, or one of them `signals: false`.')
        obeying = true
      }
      this.#running = setInterval(ignore, LONGEST)
      if (this.#terms.signals) this.#disobey = obey({ stop: () => { this.#quit() }, recycle: () => { this.recycle().catch((error: unknown) => { this.emit('error', asError(error)) }) } })
    }
    await this.#all(undefined, crew => crew.start())
  }

  /**
   * End all workers, each within its type's `grace` ms, or those of the argument. Resolves when the last one has gone, with the names of those that had to be killed.
   * Called again it can only make it quicker. It can be started again then.
   */
  async stop({ grace }: { readonly grace?: number } = {}): Promise<Ended> {
    const ms = grace === undefined ? undefined : graceOf(grace)
    const drained = this.#all(undefined, crew => crew.drain(ms)).then(together)
    return this.#stopping ??= drained.finally(() => {
      if (this.#running !== undefined && this.#terms.signals) obeying = false
      clearInterval(this.#running)
      this.#running = undefined
      this.#disobey()
      this.#disobey = ignore
      this.#stopping = undefined
    })
  }

  /**
   * Replace all workers, or those of a type: one after the other, each is told to end when its successor is ready. Resolves when the last of them has gone. A type that
   * was drained has none to be replaced, which is no failure as long as it was not asked for by name.
   *
   * @throws MetroplexError `EWORKER` when a successor does not become ready: then those that are left go on; `ECLOSED` when there are none, or they are drained meanwhile
   */
  recycle(type?: string): Promise<void> {
    return this.#answer(this.#recycle(type))
  }

  /** End all workers, or those of a type, and start none. Resolves when the last one has gone, with the names of those that had to be killed. */
  drain(type?: string): Promise<Ended> {
    return this.#answer(this.#all(type, crew => crew.drain()).then(together))
  }

  /** Start those again that were drained. Resolves when they are ready; harmless when nobody was. @throws as `start` */
  resume(type?: string): Promise<void> {
    return this.#answer(this.#resume(type))
  }

  /** Have another number of workers of a type: new ones in the lowest places that are free; those in the highest go. Resolves when it is so. @throws as `start` */
  scale(type: string, count: number): Promise<void> {
    return this.#answer(this.#scale(type, count))
  }

  /** All workers, or those of a type, and how they stand. While one is replaced there are two of its name. */
  workers(type?: string): WorkerInfo[] {
    return this.#of(type).flatMap(crew => crew.workers)
  }

  /**
   * Send a message to a worker: there it comes by `process.on('message', …)`. Resolves when it has been handed over.
   *
   * @param message what `process.send` takes: a JSON value
   * @throws MetroplexError `EWORKER` when there is none of this name, or it is ending
   */
  send(name: string, message: unknown): Promise<void> {
    return this.#answer(this.#send(name, message))
  }

  async #send(name: string, message: unknown): Promise<void> {
    const child = [...this.#crews.values()].map(crew => crew.find(name)).find(found => found !== undefined)
    if (child === undefined) throw new MetroplexError('EWORKER', `There is no worker ${shown(name)} now. There are: ${this.workers().map(worker => worker.name).join(', ') || 'none'}.`)
    await child.send(message)
  }

  async #recycle(type: string | undefined): Promise<void> {
    const crews = this.#of(type)
    // A type that was drained has nobody to be replaced, and keeps the others from nothing.
    const open = crews.filter(crew => crew.open)
    await Promise.all((open.length > 0 ? open : crews).map(crew => crew.recycle()))
  }

  async #resume(type: string | undefined): Promise<void> {
    this.#mustRun()
    await this.#all(type, crew => crew.start())
  }

  async #scale(type: string, count: number): Promise<void> {
    this.#mustRun()
    if (count as unknown === undefined) throw new TypeError('metroplex: `scale` must be given a type and a number of workers; given: no number.')
    const wanted = countOf(count)
    await this.#crew(type).scale(wanted)
  }

  /**
   * Hand out what comes of something that was asked for. That nobody awaits it is no error. When a signal ends this process it fails no more: nobody could do anything
   * about that, and who does not catch it would end before the workers have.
   */
  #answer<T>(asked: Promise<T>): Promise<T> {
    const answer = asked.catch((error: unknown) => {
      if (this.#quitting) return new Promise<never>(ignore)
      throw error
    })
    answer.catch(ignore)
    return answer
  }

  #quit(): void {
    this.#quitting = true
    this.stop().then(({ killed }) => process.exit(killed.length === 0 ? 0 : 1), (error: unknown) => { this.emit('error', asError(error)) })
  }

  #mustRun(): void {
    if (this.#running === undefined || this.#stopping !== undefined) throw new MetroplexError('ECLOSED', 'This supervisor does not run: call `start`.')
  }

  async #all<T>(type: string | undefined, what: (crew: Crew) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#of(type).map(what))
  }

  #of(type: string | undefined): Crew[] {
    return type === undefined ? [...this.#crews.values()] : [this.#crew(type)]
  }

  #crew(type: string): Crew {
    const crew = this.#crews.get(type)
    if (crew === undefined) throw new TypeError(`metroplex: there are no workers of the type ${shown(type)}; there are: ${[...this.#crews.keys()].join(', ')}.`)
    return crew
  }
}

function together(all: readonly Ended[]): Ended {
  return { killed: all.flatMap(({ killed }) => killed) }
}
