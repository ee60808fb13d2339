import { fork, type ChildProcess } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { killAtExit } from '../../test/support/orphans'
import { deadline, once } from '../../test/support/wait'
import { PART, type Part, type Transformer } from './part'
import type { Order, Orders, Report } from './prompter'

/** How long a server may take to register or to answer, in ms. */
const PATIENCE = 10_000

/** How long it may take to leave, in ms; then it is killed. */
const FAREWELL = 5000

/**
 * A server process, as `npm start` sees it.
 *
 * Emits what `primus.metroplex` emits there, and `gone` when the process has ended without being told to leave.
 */
export class Actor extends EventEmitter {
  readonly name: string
  readonly transformer: Transformer
  readonly pid: number
  /** Where clients and other servers reach it; `''` until it has registered. */
  address = ''

  readonly #child: ChildProcess
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  readonly #exit: Promise<void>
  #orders = 0
  #leaving = false

  constructor(part: Part) {
    super()
    this.name = part.name
    this.transformer = part.transformer
    const child = this.#child = fork(join(__dirname, '..', 'server.js'), {
      env: { ...process.env, [PART]: JSON.stringify(part), METROPLEX_NAME: part.name },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // Ctrl-C goes to the whole group of the terminal: we tell it ourselves to leave.
      detached: true
    })
    this.pid = child.pid ?? 0
    killAtExit(child)
    child.on('message', (report: Report) => { this.#hear(report) })
    child.on('error', () => undefined)
    this.#exit = new Promise(resolve => { child.once('exit', () => { resolve() }) })
    child.once('exit', () => {
      for (const order of this.#pending.values()) order.reject(new Error(`${this.name} has ended`))
      this.#pending.clear()
      if (!this.#leaving) this.emit('gone')
    })
  }

  /** Whether the process runs, and has not been told to leave. */
  get plays(): boolean {
    return !this.#leaving && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves when it has registered. */
  async ready(): Promise<void> {
    const gone = new Promise<never>((_resolve, reject) => {
      this.once('gone', () => { reject(new Error(`${this.name} has ended before it registered`)) })
    })
    gone.catch(() => undefined)
    if (this.address === '') await Promise.race([once(this, 'register', { within: PATIENCE }), gone])
  }

  /** Have it do something. */
  async ask<Name extends keyof Orders>(name: Name, ...args: Parameters<Orders[Name]>): Promise<Awaited<ReturnType<Orders[Name]>>> {
    const id = ++this.#orders
    const answer = new Promise<unknown>((resolve, reject) => { this.#pending.set(id, { resolve, reject }) })
    this.#child.send({ id, name, args } satisfies Order, error => {
      if (error) this.#pending.get(id)?.reject(error)
    })
    try {
      return await deadline(answer, PATIENCE, `the answer of ${this.name} to '${name}'`) as Awaited<ReturnType<Orders[Name]>>
    } finally {
      this.#pending.delete(id)
    }
  }

  /** No goodbye to anybody. Resolves when it has gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await deadline(this.#exit, FAREWELL, `the end of ${this.name}`)
  }

  /** Have it send its clients elsewhere, leave the cluster, and end. */
  async leave(): Promise<void> {
    if (!this.plays) return
    this.#leaving = true
    try {
      await deadline(this.ask('leave'), FAREWELL, `the farewell of ${this.name}`)
      await deadline(this.#exit, FAREWELL, `the end of ${this.name}`)
    } catch {
      await this.kill()
    }
  }

  #hear(report: Report): void {
    if ('event' in report) {
      if (report.event === 'register') this.address = String(report.args[0])
      // Nobody has to listen to 'error'; Node's emitter thinks otherwise.
      this.emit(report.event === 'error' ? 'trouble' : report.event, ...report.args)
      return
    }
    const order = this.#pending.get(report.id)
    if (report.error === undefined) order?.resolve(report.value)
    else order?.reject(new Error(report.error))
  }
}
