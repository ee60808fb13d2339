import { EventEmitter } from 'node:events'
import type { WorkerEvent } from 'metroplex/supervisor'
import { deadline } from '../../test/support/wait'
import type { Command, Commands, Report } from './commands'

/** How long a server may take to answer, in ms. */
const PATIENCE = 10_000

/**
 * A server process of the demo: one worker from its start to its end. Its successor is another object with the same
 * name.
 *
 * Emits the events of `primus.metroplex` in that process.
 */
export class ServerProcess extends EventEmitter {
  readonly name: string
  readonly pid: number
  /** Where other servers reach it; `''` until it has registered. */
  address = ''
  /** The addresses of its peers, by its join and leave events. */
  readonly peers = new Set<string>()

  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #commands = 0
  #ended = false

  constructor(
    { name, pid }: WorkerEvent,
    private readonly send: (command: Command) => Promise<void>
  ) {
    super()
    this.name = name
    this.pid = pid
  }

  /** Whether it has registered and not ended. */
  get active(): boolean {
    return !this.#ended && this.address !== ''
  }

  /** Has it run a command. */
  async ask<Name extends keyof Commands>(
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>> {
    if (this.#ended) throw new Error(`${this.name} has ended`)
    const id = ++this.#commands
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
    })
    this.send({ id, name, args }).catch((error: unknown) => {
      this.#pending.get(id)?.reject(error as Error)
    })
    try {
      return (await deadline(answer, PATIENCE, `the answer of ${this.name} to '${name}'`)) as Awaited<
        ReturnType<Commands[Name]>
      >
    } finally {
      this.#pending.delete(id)
    }
  }

  /** Kills it without a shutdown. */
  kill(): void {
    process.kill(this.pid, 'SIGKILL')
  }

  /** Handles a report of the process. */
  hear(report: Report): void {
    if ('event' in report) {
      const { event, args } = report
      if (event === 'register') this.address = String(args[0])
      else if (event === 'join') this.peers.add(String(args[0]))
      else if (event === 'leave') this.peers.delete(String(args[0]))
      // Node's EventEmitter would throw an 'error' without a listener.
      this.emit(event === 'error' ? 'trouble' : event, ...args)
      return
    }
    const command = this.#pending.get(report.id)
    if (report.error === undefined) command?.resolve(report.value)
    else command?.reject(new Error(report.error))
  }

  /** Its process has ended. */
  end(): void {
    this.#ended = true
    for (const command of this.#pending.values()) command.reject(new Error(`${this.name} has ended`))
    this.#pending.clear()
  }
}
