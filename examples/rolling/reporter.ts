import type { Drained, Result } from 'metroplex'
import type Primus from 'primus'
import { task, type Order, type Outcome, type Report } from './task'

/** How often a message is sent, in ms. */
const OFTEN = 10

/**
 * Sends a message every few milliseconds to a spark of the cluster, wherever it is, and tells what has become of each. Notes when sparks go.
 */
export class Reporter {
  readonly #name = `${task().name}/${process.pid}`
  readonly #traffic: NodeJS.Timeout
  #known: readonly string[] = []
  #sent = 0
  readonly #open = new Set<Promise<void>>()
  #outcomes: [n: string, outcome: Outcome][] = []
  /** When sparks went, by a clock that never jumps. */
  readonly #went: number[] = []

  constructor(private readonly primus: Primus) {
    this.#traffic = setInterval(() => { this.#send() }, OFTEN)
    primus.on('disconnection', () => { this.#went.push(performance.now()) })
    primus.metroplex.on('register', address => { report({ registered: address }) })
    process.on('message', (order: Order) => {
      if ('known' in order) this.#known = order.known
      else this.#find(order.find).catch(console.error)
    })
    // Whoever started us has gone: so do we.
    process.once('disconnect', () => { process.exit() })
  }

  /** Say how the drain went, send no more, and leave nobody waiting for us. */
  async drained(drained: Drained): Promise<void> {
    clearInterval(this.#traffic)
    await Promise.all(this.#open)
    this.#tell()
    report({ drained, most: most(this.#went) })
    process.removeAllListeners('disconnect')
    process.disconnect()
  }

  #send(): void {
    const id = this.#known[this.#sent++ % this.#known.length]
    if (id === undefined) return
    const n = `${this.#name}:${this.#sent}`
    const sending: Promise<void> = this.primus.forward.spark(id, { n })
      .then(outcomeOf, (): Outcome => 'failed')
      .then(outcome => {
        this.#outcomes.push([n, outcome])
        this.#open.delete(sending)
      })
    this.#open.add(sending)
    if (this.#outcomes.length >= 10) this.#tell()
  }

  #tell(): void {
    report({ outcomes: this.#outcomes })
    this.#outcomes = []
  }

  async #find(ids: readonly string[]): Promise<void> {
    const here: string[] = []
    this.primus.forEach(({ id }) => { here.push(id) })
    this.#tell()
    report({ here, places: await this.primus.metroplex.sparks(ids) })
  }
}

function outcomeOf({ ok, missing, failed }: Result): Outcome {
  if (ok) return 'sent'
  if (missing !== undefined) return 'missing'
  return failed?.some(({ maybe }) => maybe) === true ? 'unknown' : 'failed'
}

/** The most in any second. */
function most(times: readonly number[]): number {
  return Math.max(0, ...times.map((time, at) => times.slice(at).filter(other => other - time <= 1000).length))
}

function report(told: Report): void {
  if (process.connected) process.send?.(told, undefined, undefined, () => undefined)
}
