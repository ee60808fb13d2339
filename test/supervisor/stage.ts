import cluster, { type Worker } from 'node:cluster'
import { join } from 'node:path'
import type { EventEmitter } from 'eventemitter3'
import { Supervisor, type SupervisorOptions, type WorkerEvent, type WorkerType } from '../../lib/supervisor'
import { adopt, type Scope } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { eventually } from '../support/wait'
import { EVENTS } from './events'

/** What was told, and how many of that type were ready at that moment. */
export interface Told {
  readonly event: string
  readonly worker: WorkerEvent
  readonly rest: readonly unknown[]
  readonly at: number
  readonly ready: number
}

/** A program of ours for workers. */
export function program(name: string): string {
  return join(__dirname, 'programs', `${name}.js`)
}

/** Workers that play a part, see `programs/worker.ts`. */
export function playing(part: string, terms: Omit<WorkerType, 'exec'> & { detail?: string } = {}): WorkerType {
  const { detail, ...others } = terms
  return { exec: program('worker'), args: detail === undefined ? [part] : [part, detail], ...others }
}

/** A supervisor of this very process, and all that it has told. When the test ends, its workers are killed. */
export class Stage {
  readonly supervisor: Supervisor
  /** Oldest first. */
  readonly log: Told[] = []
  readonly #watch = (worker: Worker): void => {
    killAtExit(worker.process)
  }

  constructor(types: Record<string, WorkerType>, options: SupervisorOptions = {}, scope: Scope = 'test') {
    this.supervisor = new Supervisor(types, { signals: false, ...options })
    cluster.on('fork', this.#watch)
    for (const event of EVENTS) {
      ;(this.supervisor as EventEmitter).on(event, (worker: WorkerEvent, ...rest: unknown[]) => {
        this.log.push({
          event,
          worker,
          rest,
          at: performance.now(),
          ready: event === 'error' ? NaN : this.ready(worker.type).length
        })
      })
    }
    adopt(() => this.dispose(), scope)
  }

  /** End all workers at once. */
  async dispose(): Promise<void> {
    await this.supervisor.stop({ grace: 0 })
    cluster.removeListener('fork', this.#watch)
  }

  /** The names of those that are ready, with their processes. */
  ready(type?: string): string[] {
    return this.supervisor
      .workers(type)
      .filter(({ state }) => state === 'ready')
      .map(({ name, pid }) => `${name} ${pid ?? 0}`)
  }

  /** The process of the only worker of that name. */
  pid(name: string): number {
    const found = this.supervisor.workers().filter(worker => worker.name === name)
    if (found.length !== 1 || found[0]?.pid === undefined) throw new Error(`${name} is there ${found.length} times`)
    return found[0].pid
  }

  /** What was told so far of that kind, about that worker. */
  told(event: string, name?: string): Told[] {
    return this.log.filter(told => told.event === event && (name === undefined || told.worker.name === name))
  }

  /** Resolves with the first such event that was told, or will be, and was not passed over. */
  async seen(
    event: string,
    name?: string,
    {
      after = 0,
      within,
      filter = () => true
    }: { after?: number; within?: number; filter?: (told: Told) => boolean } = {}
  ): Promise<Told> {
    return eventually(() => this.told(event, name).slice(after).find(filter), {
      within,
      what: `the event '${event}' of ${name ?? 'a worker'}`
    })
  }
}

/** Have workers, all of them ready. */
export async function staged(
  types: Record<string, WorkerType>,
  options?: SupervisorOptions,
  scope?: Scope
): Promise<Stage> {
  const stage = new Stage(types, options, scope)
  await stage.supervisor.start()
  return stage
}

/**
 * Resolves when each worker that is ready has been so for more than `ms` milliseconds: an end before that is a failure,
 * where they are the least pause.
 */
export async function longer(ms: number): Promise<void> {
  const began = performance.now()
  await eventually(() => performance.now() - began > ms)
}
