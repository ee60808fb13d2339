import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { killAtExit } from '../../test/support/orphans'
import { RemoteError, type WireError } from '../../test/support/server-wire'
import { deadline } from '../../test/support/wait'

/** Longer than any row measures. */
const patience = 120_000
const farewell = 5000

/**
 * A function that runs in a child: an export of its module under its own name. Arguments and results survive structured
 * cloning.
 */
export type Errand<A, T> = (args: A) => T | Promise<T>

/** What travels to a child. */
export interface Order {
  id: number
  file: string
  name: string
  args: unknown
}

/** What comes back. */
export type Reply = { id: number; value: unknown } | { id: number; error: WireError }

/**
 * A process of its own, whose CPU is counted apart from all others'.
 *
 * It runs errands, exported functions of any module, and keeps what those modules keep. It does not outlive this
 * process. Options of node itself are handed on to it, `--cpu-prof` for instance.
 *
 * @example
 * const child = new Child('sender')
 * await child.run(__filename, add, { a: 1, b: 2 })
 */
export class Child {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #orders = 0
  #output = ''
  #running = true

  /** @param name What it is called in errors. */
  constructor(private readonly name: string) {
    this.#process = fork(join(__dirname, 'child-process.js'), [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced'
    })
    killAtExit(this.#process)
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-10_000)
      })
    }
    this.#process.on('message', message => this.#hear(message as Reply))
    this.#process.once('exit', (code, signal) => {
      this.#running = false
      const error = this.#ended(`it ended with ${code ?? signal ?? 'nothing'}`)
      for (const { reject } of this.#pending.values()) reject(error)
    })
  }

  /**
   * Runs an exported function of a module in the child, and resolves with what it returns.
   *
   * @param file The module, compiled: `__filename` where the function is.
   * @throws What the function throws there; or an error with what the child printed, when it ends or takes longer than
   *   two minutes.
   */
  async run<A, T>(file: string, errand: Errand<A, T>, args: A): Promise<T> {
    if (!this.#running) throw this.#ended('it has ended')
    const order: Order = { id: ++this.#orders, file, name: errand.name, args }
    const answer = new Promise((resolve, reject) => {
      this.#pending.set(order.id, { resolve, reject })
    })
    // One that cannot be sent any more is rejected by the exit that is the reason.
    this.#process.send(order, () => undefined)
    try {
      return (await deadline(answer, patience, `the answer of the ${this.name} to ${order.name}`)) as T
    } finally {
      this.#pending.delete(order.id)
    }
  }

  /** Ends it, and waits until it has gone. Harmless when called twice. */
  async close(): Promise<void> {
    if (!this.#running) return
    const exit = once(this.#process, 'exit')
    if (this.#process.connected) this.#process.disconnect()
    try {
      await deadline(exit, farewell, `the end of the ${this.name}`)
    } catch {
      await this.kill()
    }
  }

  /** Kills it (SIGKILL), and waits until it has gone. Harmless when called twice. */
  async kill(): Promise<void> {
    if (!this.#running) return
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exit
  }

  #hear(reply: Reply): void {
    const order = this.#pending.get(reply.id)
    if ('error' in reply) order?.reject(new RemoteError(reply.error))
    else order?.resolve(reply.value)
  }

  #ended(how: string): Error {
    return new Error(`The ${this.name} cannot go on: ${how}.\n${this.#output}`)
  }
}
