import cluster, { type Worker } from 'node:cluster'
import { rethrow, ignore } from '../../common/callback'
import { deferred, now } from '../../common/async'
import { asError, MetroplexError } from '../../common/errors'
import { readToEnd } from './output-end'
import { flagsOf, nodeOptionsOf } from './node-flags'
import { lines } from './lines'
import { isDirectory } from '../paths'
import type { SupervisorTerms, TypeTerms } from '../options'
import type { WorkerEvent, WorkerInfo, WorkerState } from '../types'
import { ENVIRONMENT, sendToParent, isWatched, reportOf, wrap, type Badge, type Order } from '../worker/ipc'

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
  #state: Exclude<WorkerState, 'backoff'> = 'starting'
  /** Whether the worker has reported that it reads our messages. */
  #listening = false
  #toldToEnd = false
  #readySince: number | undefined
  /** When it began to end by itself. */
  #endingSince: number | undefined
  /** The timer that kills it, and when. */
  #deadline: { readonly timer: NodeJS.Timeout; readonly at: number } | undefined
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
    let worker: Worker
    try {
      worker = this.#worker = this.#fork(output)
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
    this.#kill(
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
      clearTimeout(this.#deadline?.timer)
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
      if (this.#state !== 'stopping') this.#state = 'draining'
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
  get info(): WorkerInfo {
    const { pid, ...identity } = this.identity
    return { ...identity, ...(pid !== 0 && { pid }), state: this.#state }
  }

  /** Tells it to end within `grace` ms; a second call can only shorten this. Resolves when it has exited. */
  drain(grace: number): Promise<End> {
    const first = !this.#toldToEnd
    this.#toldToEnd = true
    if (this.#ended) return this.exit
    this.#killAfter(grace, `${this.name} did not end within ${grace} ms after it was told to and was killed.`)
    if (first && this.#state !== 'stopping') {
      this.#state = 'draining'
      // A process that does not read our messages, because it boots or does not load this library, gets a signal.
      if (this.#listening) this.#order({ is: 'drain', grace })
      else this.#worker?.process.kill('SIGTERM')
    }
    return this.exit
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

  #fork(output: SupervisorTerms['output']): Worker {
    const {
      name,
      terms: { type, exec, cwd, args, env, grace }
    } = this
    // Without this check, the error of Node.js would blame the executable of Node.js.
    if (!isDirectory(cwd)) throw new Error(`its working directory ${cwd} does not exist`)
    const badge: Badge = { name, type, grace, primary: process.pid }
    const { execArgv = process.execArgv } = cluster.settings
    cluster.setupPrimary({
      exec,
      cwd,
      args: [...args],
      silent: output === 'event',
      execArgv: flagsOf(execArgv, this.terms.home),
      // Ports counted up from that of the supervisor may be taken by workers of another supervisor.
      ...(!('inspectPort' in cluster.settings) && { inspectPort: 0 })
    })
    const { NODE_OPTIONS } = process.env
    return cluster.fork({
      PWD: cwd,
      ...(NODE_OPTIONS !== undefined && { NODE_OPTIONS: nodeOptionsOf(NODE_OPTIONS) }),
      ...env,
      METROPLEX_NAME: name,
      [ENVIRONMENT]: JSON.stringify(badge)
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
    } else if (report.is === 'here') this.#listening = true
    else if (report.is === 'ops') this.events.ops(this, report.message)
    else if (report.is === 'done') this.#state = 'stopping'
    else this.#beginToEnd()
  }

  #becomeReady(): void {
    if (this.#state !== 'starting') return
    this.#state = 'ready'
    this.#readySince = now()
    clearTimeout(this.#deadline?.timer)
    this.#deadline = undefined
    this.#ready.resolve(undefined)
    this.events.ready(this)
  }

  #beginToEnd(): void {
    if (this.#toldToEnd || this.#state === 'draining') return
    const { grace } = this.terms
    this.#endingSince = now()
    this.#killAfter(grace, `${this.name} began to end by itself, did not finish within ${grace} ms and was killed.`)
    this.#state = 'draining'
    this.events.leaving(this)
  }

  /** Kills the process after `ms` ms. A limit that ends sooner stays, except that of the boot. */
  #killAfter(ms: number, reason: string): void {
    if (this.#state === 'starting' || this.#deadline === undefined || this.#deadline.at > now() + ms)
      this.#kill(ms, reason)
  }

  #kill(ms: number, reason: string): void {
    clearTimeout(this.#deadline?.timer)
    if (this.#exited) return
    const timer = setTimeout(() => {
      this.#state = 'stopping'
      this.#reason = reason
      this.#worker?.process.kill('SIGKILL')
    }, ms).unref()
    this.#deadline = { timer, at: now() + ms }
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#deadline?.timer)
    for (const flushLine of this.#flushLines) flushLine()
    const { up } = this
    const end = { code, signal, asked: this.#toldToEnd, reason: this.#reason, up }
    const how = this.#reason ?? `${this.name} ended with ${signal ?? `code ${code}`}.`
    this.#ready.reject(new MetroplexError('EWORKER', up === undefined ? `${how} It was never ready.` : how))
    this.#exit.resolve(end)
    this.events.exited(this, end)
  }
}
