import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { killAtExit } from '../../test/support/orphans'
import { deadline, eventually } from '../../test/support/wait'
import type { Drained } from 'metroplex'
import { TASK, type Order, type Outcome, type Report, type Task } from './task'

/** How long a server may take to register, to drain, or to end, in ms. */
const PATIENCE = 30_000

/** What was seen of a drain. */
export type Departure = Extract<Report, { drained: Drained }>

/** What a server says of sparks. */
export type Survey = Extract<Report, { here: readonly string[] }>

/** A server process, as whoever restarts it sees it: it is told things by IPC, and to leave by SIGTERM, as by any supervisor. */
export class Member {
  /** Where other servers reach it; `''` until it is registered. */
  address = ''
  readonly pid: number
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  #departure: Departure | undefined
  #survey: Survey | undefined

  /** @param outcome is told what has become of each message that it sent */
  constructor(readonly task: Task, private readonly outcome: (n: string, outcome: Outcome) => void) {
    const child = this.#child = fork(join(__dirname, 'server.js'), {
      env: { ...process.env, [TASK]: JSON.stringify(task), METROPLEX_NAME: task.name },
      // Ctrl-C goes to the whole group of the terminal: it is our business to end it.
      detached: true
    })
    this.pid = child.pid ?? 0
    killAtExit(child)
    child.on('error', () => undefined)
    child.on('message', (report: Report) => { this.#hear(report) })
    this.#exit = new Promise(resolve => { child.once('exit', resolve) })
  }

  /** Resolves when it is registered. */
  async ready(): Promise<void> {
    await eventually(() => this.address, { within: PATIENCE, what: `the registration of ${this.task.name}` })
  }

  /** Have it do something. */
  tell(order: Order): void {
    if (this.#child.connected) this.#child.send(order, () => undefined)
  }

  /** Ask it which sparks it has, and where some are. */
  async survey(ids: readonly string[]): Promise<Survey> {
    this.#survey = undefined
    this.tell({ find: ids })
    return eventually(() => this.#survey, { within: PATIENCE, what: `the survey of ${this.task.name}` })
  }

  /** Have it leave as any supervisor would. Resolves when its process has ended by itself. */
  async leave(): Promise<Departure> {
    this.#child.kill('SIGTERM')
    const code = await deadline(this.#exit, PATIENCE, `the end of ${this.task.name}`)
    if (this.#departure === undefined) throw new Error(`${this.task.name} has ended (${String(code)}) before its drain was over.`)
    return this.#departure
  }

  /** No goodbye to anybody. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await deadline(this.#exit, PATIENCE, `the end of ${this.task.name}`)
  }

  #hear(report: Report): void {
    if ('registered' in report) this.address = report.registered
    else if ('drained' in report) this.#departure = report
    else if ('here' in report) this.#survey = report
    else for (const [n, outcome] of report.outcomes) this.outcome(n, outcome)
  }
}
