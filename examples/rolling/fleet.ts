import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { killAtExit } from '../../test/support/orphans'
import { deadline, eventually } from '../../test/support/wait'
import type { Drained } from 'metroplex'
import { TASK, type Order, type Outcome, type Report, type Task } from './task'

/** How long a server may take to register, to drain, or to end, in ms. */
const PATIENCE = 30_000

/** The result of a drain. */
export type Departure = Extract<Report, { drained: Drained }>

/** A server's list of its sparks, and of the places of others. */
export type Survey = Extract<Report, { here: readonly string[] }>

/** A server process and its control: it gets commands by IPC, and is ended by SIGTERM, as by a supervisor. */
export class Member {
  /** Where other servers reach it; `''` until it is registered. */
  address = ''
  readonly pid: number
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  #departure: Departure | undefined
  #survey: Survey | undefined

  /** @param outcome called with what became of each message that it sent */
  constructor(
    readonly task: Task,
    private readonly outcome: (n: string, outcome: Outcome) => void
  ) {
    const child = (this.#child = fork(join(__dirname, 'server.js'), {
      env: { ...process.env, [TASK]: JSON.stringify(task), METROPLEX_NAME: task.name },
      // Ctrl-C reaches all processes of the terminal's group. We end the server ourselves.
      detached: true
    }))
    this.pid = child.pid ?? 0
    killAtExit(child)
    child.on('error', () => undefined)
    child.on('message', (report: Report) => {
      this.#hear(report)
    })
    this.#exit = new Promise(resolve => {
      child.once('exit', resolve)
    })
  }

  /** Resolves when it is registered. */
  async ready(): Promise<void> {
    await eventually(() => this.address, { within: PATIENCE, what: `the registration of ${this.task.name}` })
  }

  /** Sends it a command. */
  tell(order: Order): void {
    if (this.#child.connected) this.#child.send(order, () => undefined)
  }

  /** Asks it for its sparks, and for the places of the given ones. */
  async survey(ids: readonly string[]): Promise<Survey> {
    this.#survey = undefined
    this.tell({ find: ids })
    return eventually(() => this.#survey, { within: PATIENCE, what: `the survey of ${this.task.name}` })
  }

  /** Ends it with SIGTERM. Resolves when its process has exited by itself. */
  async leave(): Promise<Departure> {
    this.#child.kill('SIGTERM')
    const code = await deadline(this.#exit, PATIENCE, `the end of ${this.task.name}`)
    if (this.#departure === undefined)
      throw new Error(`${this.task.name} has ended (${String(code)}) before its drain was over.`)
    return this.#departure
  }

  /** Kills it without a shutdown. */
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
