import { EventEmitter } from 'node:events'
import type { WorkerEvent } from 'metroplex/supervisor'
import { deadline } from '../../test/support/wait'
import type { Order, Orders, Report } from './prompter'

/** How long a server may take to answer, in ms. */
const PATIENCE = 10_000

/**
 * A server, as `npm start` sees it: one worker, from its start to its end. Whoever takes its place is another one, of the same name.
 *
 * Emits what `primus.metroplex` emits there.
 */
export class Actor extends EventEmitter {
  readonly name: string
  readonly pid: number
  /** Where other servers reach it; `''` until it has registered. */
  address = ''
  /** The addresses of the others, as it has been told. */
  readonly peers = new Set<string>()

  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #orders = 0
  #ended = false

  constructor({ name, pid }: WorkerEvent, private readonly send: (order: Order) => Promise<void>) {
    super()
    this.name = name
    this.pid = pid
  }

  /** Whether it has registered, and has not ended. */
  get plays(): boolean {
    return !this.#ended && this.address !== ''
  }

  /** Have it do something. */
  async ask<Name extends keyof Orders>(name: Name, ...args: Parameters<Orders[Name]>): Promise<Awaited<ReturnType<Orders[Name]>>> {
    if (this.#ended) throw new Error(`${this.name} has ended`)
    const id = ++this.#orders
    const answer = new Promise<unknown>((resolve, reject) => { this.#pending.set(id, { resolve, reject }) })
    this.send({ id, name, args }).catch((error: unknown) => { this.#pending.get(id)?.reject(error as Error) })
    try {
      return await deadline(answer, PATIENCE, `the answer of ${this.name} to '${name}'`) as Awaited<ReturnType<Orders[Name]>>
    } finally {
      this.#pending.delete(id)
    }
  }

  /** No goodbye to anybody. */
  kill(): void {
    process.kill(this.pid, 'SIGKILL')
  }

  /** It tells something. */
  hear(report: Report): void {
    if ('event' in report) {
      const { event, args } = report
      if (event === 'register') this.address = String(args[0])
      else if (event === 'join') this.peers.add(String(args[0]))
      else if (event === 'leave') this.peers.delete(String(args[0]))
      // Nobody has to listen to 'error'; Node's emitter thinks otherwise.
      this.emit(event === 'error' ? 'trouble' : event, ...args)
      return
    }
    const order = this.#pending.get(report.id)
    if (report.error === undefined) order?.resolve(report.value)
    else order?.reject(new Error(report.error))
  }

  /** It has ended. */
  end(): void {
    this.#ended = true
    for (const order of this.#pending.values()) order.reject(new Error(`${this.name} has ended`))
    this.#pending.clear()
  }
}
