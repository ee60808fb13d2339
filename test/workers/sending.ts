import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Crowd } from '../../examples/rolling/crowd'
import { Ledger, type Sums } from '../../examples/rolling/ledger'
import type { Outcomes } from '../../examples/rolling/traffic'
import { adopt } from '../support/dispose'
import { killAtExit } from '../support/orphans'
import { deadline, eventually } from '../support/wait'

/** What a sender is told: the sparks to send to from now on, or to stop. */
export type SenderOrder = { readonly known: readonly string[] } | { readonly stop: true }

/** What it tells. */
export type SenderReport = { readonly outcomes: Outcomes } | { readonly error: string }

/** How often it is told which sparks there are, and how often it sends, in ms. */
const [NEWS, OFTEN] = [40, 8]

/** How long it may take to end, in ms. */
const PATIENCE = 15_000

/** Messages to a crowd from a process that is none of the servers, and what has become of them. */
export class Sending {
  readonly errors: string[] = []
  readonly #ledger = new Ledger()
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  readonly #news: NodeJS.Timeout

  /** Begin. Inside a test it ends with that. */
  constructor(
    url: string,
    namespace: string,
    private readonly crowd: Crowd
  ) {
    const child = (this.#child = fork(join(__dirname, 'sender.js'), [url, namespace, String(OFTEN)]))
    killAtExit(child)
    this.#gone = new Promise(resolve => {
      child.once('exit', () => {
        resolve()
      })
    })
    child.on('message', (report: SenderReport) => {
      if ('error' in report) this.errors.push(report.error)
      else for (const [n, outcome] of report.outcomes) this.#ledger.note(n, outcome)
    })
    this.#news = setInterval(() => {
      this.#tell({ known: crowd.ids })
    }, NEWS)
    adopt(async () => {
      clearInterval(this.#news)
      child.kill('SIGKILL')
      await this.#gone
    })
  }

  /** What has become of all messages so far, as far as it has been told. */
  get sums(): Sums {
    return this.#ledger.sums(this.crowd.heard)
  }

  /** Send no more; what has become of all messages, once as many have come as are said to have been handed over. */
  async stop(): Promise<Sums> {
    clearInterval(this.#news)
    this.#tell({ stop: true })
    await deadline(this.#gone, PATIENCE, 'the end of a sender')
    // Those that are still on their way come; those that are lost do not.
    await eventually(() => this.sums.lost === 0, { what: 'the arrival of all messages' }).catch(() => undefined)
    return this.sums
  }

  #tell(order: SenderOrder): void {
    if (this.#child.connected) this.#child.send(order, () => undefined)
  }
}
