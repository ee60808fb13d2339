import cluster, { type Worker } from 'node:cluster'
import { rethrow, ignore } from '../../common/callback'
import { deferred, now } from '../../common/async'
import { asError, MetroplexError } from '../../common/errors'
import { forkWorker } from './fork'
import { KillTimer } from './kill-timer'
import { readToEnd } from './output-end'
import { LastVitals } from './last-vitals'
import { WorkerQuestions } from './questions'
import { lines } from './lines'
import type { SupervisorTerms, TypeTerms } from '../options'
import type { WorkerEvent, WorkerInfo, WorkerState } from '../types'
import { sendToParent, isWatched, reportOf, wrap, wrapQuestion, type Order, type Report } from '../worker/ipc'

/** How a worker process ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Whether the supervisor told it to end. */
  readonly asked: boolean
  /** Why it was killed, in a sentence; `undefined`: it was not killed. */
  readonly reason: string | undefined
  /** How long it was ready until it began to end, in ms; `undefined` when it never was. */
  readonly up: number | undefined
}

/** What happens to a worker process. */
export interface WorkerProcessEvents {
  online(worker: WorkerProcess): void
  ready(worker: WorkerProcess): void
  /** It ends by itself, in good order. */
  leaving(worker: WorkerProcess): void
  exited(worker: WorkerProcess, end: End): void
  message(worker: WorkerProcess, message: unknown): void
  ops(worker: WorkerProcess, message: unknown): void
  output(worker: WorkerProcess, stream: 'stdout' | 'stderr', line: string): void
}

/**
 * One worker process from its start to its exit. It has `boot` ms to become ready and `grace` ms to end after an
 * order; then it is killed. A worker that disconnects from the supervisor is about to end, and has `grace` ms too.
 */
export class WorkerProcess {
  readonly id: number
  readonly pid: number
  /** `undefined` when the process could not be forked. */
  readonly #worker: Worker | undefined
  readonly #ready = deferred<undefined>()
  readonly #exit = deferred<End>()
  /** What the worker last said of itself, and since when it answers nothing. */
  readonly pulse = new LastVitals()
  #state: Exclude<WorkerState, 'backoff'> = 'starting'
  /** When the state began, in Unix time. */
  #since = Date.now()
  readonly #questions: WorkerQuestions
  /** Whether the worker has reported that it reads our messages. */
  #listening = false
  #toldToEnd = false
  #readySince: number | undefined
  /** When it began to end by itself. */
  #endingSince: number | undefined
  readonly #limit = new KillTimer(reason => {
    this.kill(reason)
  })
  #reason: string | undefined
  /** The process has exited. Its last output and messages may still be in its pipes. */
  #exited = false
  /** Functions that report its unfinished last lines. */
  readonly #flushLines: (() => void)[] = []
  #ended = false

  constructor(
    readonly name: string,
    private readonly terms: TypeTerms,
    output: SupervisorTerms['output'],
    private readonly events: WorkerProcessEvents
  ) {
    const { grace, boot } = terms
    this.#questions = new WorkerQuestions(name, question => {
      if (!this.#listening || this.#worker?.isConnected() !== true) return false
      return this.#worker.send(wrapQuestion(question), ignore) || true
    })
    let worker: Worker
    try {
      worker = this.#worker = forkWorker(name, terms, output)
    } catch (error) {
      // Node.js throws some errors and emits others. It throws when memory is short, or the environment is too large.
      this.#worker = undefined
      this.id = this.pid = 0
      process.nextTick(() => {
        this.#startFailed(error)
      })
      return
    }
    this.id = worker.id
    this.pid = worker.process.pid ?? 0
    this.#limit.set(
      boot,
      `${name} did not report ready within ${boot} ms and was killed. ` +
        "Call `worker().ready()` of 'metroplex/supervisor' in it; metroplex does so when it has registered."
    )
    worker.on('online', () => {
      events.online(this)
    })
    worker.on('message', (message: unknown) => {
      this.#receive(message)
    })
    worker.on('exit', (code, signal) => {
      this.#exited = true
      this.#limit.clear()
      this.#questions.close()
      // The last lines and messages of the worker must come before the event of its end.
      readToEnd(worker.process).then(() => {
        this.#end(code, signal as NodeJS.Signals | null)
      }, rethrow)
    })
    worker.on('disconnect', () => {
      if (this.#exited) return
      this.#listening = false
      this.#endingSince ??= now()
      this.#killAfter(grace, `${name} disconnected from its supervisor, did not end within ${grace} ms and was killed.`)
      if (this.#state !== 'stopping') this.#enter('draining')
    })
    worker.on('error', error => {
      // Emitted when the process could not be spawned, or a message could not be sent. In the second case it exits
      // anyway.
      if (this.pid !== 0) return
      // The process was never spawned, so node:cluster emits no 'exit' for it: remove it from cluster.workers here.
      delete cluster.workers?.[worker.id]
      this.#startFailed(error)
    })
    if (output === 'event') {
      for (const stream of ['stdout', 'stderr'] as const) {
        const from = worker.process[stream]
        if (from !== null)
          this.#flushLines.push(
            lines(from, line => {
              events.output(this, stream, line)
            })
          )
      }
    }
  }

  /** The state of the process. */
  get state(): Exclude<WorkerState, 'backoff'> {
    return this.#state
  }

  /** Whether it is ending: it was told to, or does so by itself. */
  get ending(): boolean {
    return this.#state === 'draining' || this.#state === 'stopping'
  }

  /** Whether it has loaded this library, and can be asked. */
  get listening(): boolean {
    return this.#listening
  }

  /** Whether it was told to end. */
  get asked(): boolean {
    return this.#toldToEnd
  }

  /** How long it has been ready, or was until it began to end by itself, in ms; `undefined` when it never was. */
  get up(): number | undefined {
    return this.#readySince === undefined ? undefined : (this.#endingSince ?? now()) - this.#readySince
  }

  /** Resolves when it is ready; rejects when it ends before that. */
  get ready(): Promise<unknown> {
    return this.#ready.promise
  }

  /** Resolves when it has exited, and all of its output and messages have been reported. */
  get exit(): Promise<End> {
    return this.#exit.promise
  }

  /** Its identity, for events. */
  get identity(): WorkerEvent {
    return { name: this.name, type: this.terms.type, id: this.id, pid: this.pid }
  }

  /** Its identity and state. */
  get info(): Omit<WorkerInfo, 'restarts'> {
    const { pid, ...identity } = this.identity
    return { ...identity, ...(pid !== 0 && { pid }), state: this.#state, since: this.#since, ...this.pulse.info }
  }

  /** Tells it to end within `grace` ms; a second call can only shorten this. Resolves when it has exited. */
  drain(grace: number): Promise<End> {
    const first = !this.#toldToEnd
    this.#toldToEnd = true
    if (this.#ended) return this.exit
    this.#killAfter(grace, `${this.name} did not end within ${grace} ms after it was told to and was killed.`)
    if (first && this.#state !== 'stopping') {
      this.#enter('draining')
      // A process that does not read our messages, because it boots or does not load this library, gets a signal.
      if (this.#listening) this.#order({ is: 'drain', grace })
      else this.#worker?.process.kill('SIGTERM')
    }
    return this.exit
  }

  /**
   * Asks it a question, such as for its vitals. @param ms how long the answer may take
   *
   * @throws MetroplexError `EWORKER` when there is no answer
   */
  ask(what: string, ms: number): Promise<unknown> {
    return this.#questions.ask(what, ms)
  }

  /** Kills it at once. @param reason in a sentence */
  kill(reason: string): void {
    if (this.#exited) return
    this.#enter('stopping')
    this.#reason = reason
    this.#worker?.process.kill('SIGKILL')
  }

  /** Sends it a message. Resolves when it has been handed over. */
  send(message: unknown): Promise<void> {
    const refused = (cause?: Error): MetroplexError =>
      new MetroplexError('EWORKER', `A message to ${this.name} could not be sent: the worker is ending.`, { cause })
    return new Promise((resolve, reject) => {
      const worker = this.#worker
      if (this.#ended || worker?.isConnected() !== true) return reject(refused())
      worker.send(message as object, (error: Error | null) => {
        if (error) reject(refused(error))
        else resolve()
      })
    })
  }

  #startFailed(error: unknown): void {
    this.#reason = `${this.name} could not be started: ${asError(error).message}.`
    this.#end(null, null)
  }

  #order(order: Order): void {
    // A disconnected worker is ending already.
    if (this.#worker?.isConnected() === true) this.#worker.send(wrap(order), ignore)
  }

  #receive(message: unknown): void {
    if (this.#ended) return
    const report = reportOf(message)
    // The message with which PM2 and other process managers are told that a process is ready.
    if (report?.is === 'ready' || message === 'ready') this.#becomeReady()
    else if (report === undefined) {
      // The watcher of this process restarts it for changes of its workers' files too.
      if (isWatched(message)) sendToParent(message)
      else this.events.message(this, message)
    } else this.#note(report)
  }

  #note(report: Report): void {
    if (report.is === 'here') this.#listening = true
    else if (report.is === 'answer') this.#questions.answered(report)
    else if (report.is === 'ops') this.events.ops(this, report.message)
    else if (report.is === 'done') this.#enter('stopping')
    else this.#beginToEnd()
  }

  #enter(state: Exclude<WorkerState, 'backoff'>): void {
    if (state !== this.#state) this.#since = Date.now()
    this.#state = state
  }

  #becomeReady(): void {
    if (this.#state !== 'starting') return
    this.#enter('ready')
    this.#readySince = now()
    this.#limit.clear()
    this.#ready.resolve(undefined)
    this.events.ready(this)
  }

  #beginToEnd(): void {
    if (this.#toldToEnd || this.#state === 'draining') return
    const { grace } = this.terms
    this.#endingSince = now()
    this.#killAfter(grace, `${this.name} began to end by itself, did not finish within ${grace} ms and was killed.`)
    this.#enter('draining')
    this.events.leaving(this)
  }

  /** Kills the process after `ms` ms. A limit that ends sooner stays, except that of the boot. */
  #killAfter(ms: number, reason: string): void {
    if (this.#exited) return
    if (this.#state === 'starting') this.#limit.set(ms, reason)
    else this.#limit.shorten(ms, reason)
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#limit.clear()
    this.#questions.close()
    for (const flushLine of this.#flushLines) flushLine()
    const { up } = this
    const end = { code, signal, asked: this.#toldToEnd, reason: this.#reason, up }
    const how = this.#reason ?? `${this.name} ended with ${signal ?? `code ${code}`}.`
    this.#ready.reject(new MetroplexError('EWORKER', up === undefined ? `${how} It was never ready.` : how))
    this.#exit.resolve(end)
    this.events.exited(this, end)
  }
}
