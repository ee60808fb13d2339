import type { Family, Sample } from '../../common/exposition/family'
import type { SupervisorEvents, WorkerEvent, WorkerInfo, WorkerState } from '../types'

const STATES: readonly WorkerState[] = ['starting', 'ready', 'draining', 'stopping', 'backoff']

/** How often the worker of a slot has started, and has died. */
interface Counts {
  readonly type: string
  starts: number
  deaths: number
}

/** Counts what happens to workers, for the metrics. */
export class WorkerCounts {
  /** By the names of the slots. */
  readonly #slots = new Map<string, Counts>()

  /** The supervisor emits an event. */
  noticed(event: keyof SupervisorEvents, subject: unknown): void {
    if (event !== 'online' && event !== 'death') return
    const { name, type } = subject as WorkerEvent
    const counts = this.#slots.get(name) ?? { type, starts: 0, deaths: 0 }
    this.#slots.set(name, counts)
    if (event === 'online') counts.starts++
    else counts.deaths++
  }

  /** All numbers, with those of the workers that run now. @param answers whether each worker that was asked answered */
  families(workers: readonly WorkerInfo[], answers: ReadonlyMap<string, boolean>): Family[] {
    const types = [...new Set([...workers, ...this.#slots.values()].map(({ type }) => type))]
    const slots = [...this.#slots].map(([worker, { type, ...counts }]) => ({ labels: { worker, type }, ...counts }))
    const typeOf = (name: string): string => this.#slots.get(name)?.type ?? ''
    const inState = (type: string, state: WorkerState): Sample => ({
      labels: { type, state },
      value: workers.filter(one => one.type === type && one.state === state).length
    })
    return [
      {
        name: 'metroplex_workers',
        type: 'gauge',
        help: 'Workers of a type that are in this state.',
        samples: types.flatMap(type => STATES.map(state => inState(type, state)))
      },
      {
        name: 'metroplex_worker_up',
        type: 'gauge',
        help: 'Whether the worker of the slot has answered this scrape: 0 when its event loop is blocked.',
        samples: [...answers].map(([worker, up]) => ({ labels: { worker, type: typeOf(worker) }, value: Number(up) }))
      },
      {
        name: 'metroplex_worker_starts_total',
        type: 'counter',
        help: 'How often a worker has started in the slot.',
        samples: slots.map(({ labels, starts }) => ({ labels, value: starts }))
      },
      {
        name: 'metroplex_worker_deaths_total',
        type: 'counter',
        help: 'How often a worker of the slot has crashed or was killed.',
        samples: slots.map(({ labels, deaths }) => ({ labels, value: deaths }))
      }
    ]
  }
}
