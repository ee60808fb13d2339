import type { Drained } from 'metroplex'
import type Primus from 'primus'
import { task, type Order, type Report } from './task'
import { Traffic } from './traffic'

/** How often a message is sent, in ms. */
const OFTEN = 10

/** Sends messages to the sparks of the cluster, and reports what became of each. Records when sparks leave. */
export class Reporter {
  readonly #traffic: Traffic
  /** When sparks left, by a monotonic clock. */
  readonly #went: number[] = []

  constructor(private readonly primus: Primus) {
    this.#traffic = new Traffic(primus.forward, `${task().name}/${process.pid}`, OFTEN, outcomes => {
      report({ outcomes })
    })
    primus.on('disconnection', () => {
      this.#went.push(performance.now())
    })
    primus.metroplex.on('register', address => {
      report({ registered: address })
    })
    process.on('message', (order: Order) => {
      if ('known' in order) this.#traffic.known = order.known
      else this.#find(order.find).catch(console.error)
    })
    // The parent process has gone.
    process.once('disconnect', () => {
      process.exit()
    })
  }

  /** Reports the drain, stops sending, and disconnects from the parent. */
  async drained(drained: Drained): Promise<void> {
    await this.#traffic.end()
    report({ drained, most: most(this.#went) })
    process.removeAllListeners('disconnect')
    process.disconnect()
  }

  async #find(ids: readonly string[]): Promise<void> {
    const here: string[] = []
    this.primus.forEach(({ id }) => {
      here.push(id)
    })
    this.#traffic.tell()
    report({ here, places: await this.primus.metroplex.sparks(ids) })
  }
}

/** The most in any second. */
function most(times: readonly number[]): number {
  return Math.max(0, ...times.map((time, at) => times.slice(at).filter(other => other - time <= 1000).length))
}

function report(told: Report): void {
  if (process.connected) process.send?.(told, undefined, undefined, () => undefined)
}
