import cluster, { type Worker } from 'node:cluster'
import { ignore } from '../callback'
import { deferred, now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { lines } from './lines'
import type { Terms, TypeTerms } from './terms'
import type { WorkerEvent, WorkerInfo, WorkerState } from './types'
import { ENVIRONMENT, reportOf, wrap, type Badge, type Order } from './wire'

/** How a worker has gone. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Whether it was told to end. */
  readonly asked: boolean
  /** Whether it was killed, and why: a sentence. */
  readonly reason: string | undefined
  /** For how long it was ready, until it began to end, in ms; `undefined` when it never was. */
  readonly up: number | undefined
}

/** What happens to a worker. */
export interface ChildEvents {
  online(child: Child): void
  ready(child: Child): void
  /** It ends by itself, in good order. */
  leaving(child: Child): void
  gone(child: Child, end: End): void
  message(child: Child, message: unknown): void
  ops(child: Child, message: unknown): void
  output(child: Child, stream: 'stdout' | 'stderr', line: string): void
}

/**
 * One worker process, from its start to its end, which comes: it has `boot` ms to become ready, and `grace` ms to end when it is told to, and is killed when they
 * are over. One that lets go of us is about to end, and has as long.
 */
export class Child {
  readonly id: number
  readonly pid: number
  /** `undefined` when it could not even be tried. */
  readonly #worker: Worker | undefined
  readonly #ready = deferred<undefined>()
  readonly #gone = deferred<End>()
  #state: Exclude<WorkerState, 'backoff'> = 'starting'
  /** It hears what we tell it. */
  #here = false
  #asked = false
  #since: number | undefined
  /** When it began to end by itself. */
  #until: number | undefined
  /** When it is killed, and for what reason. */
  #limit: { readonly timer: NodeJS.Timeout; readonly at: number } | undefined
  #reason: string | undefined
  #over = false

  constructor(readonly name: string, private readonly terms: TypeTerms, output: Terms['output'], private readonly events: ChildEvents) {
    const { grace, boot } = terms
    let worker: Worker
    try {
      worker = this.#worker = this.#fork(output)
    } catch (error) {
      // Of some errors Node.js tells later; of those it throws: there is no memory, or the environment is too large.
      this.#worker = undefined
      this.id = this.pid = 0
      process.nextTick(() => { this.#failed(error) })
      return
    }
    this.id = worker.id
    this.pid = worker.process.pid ?? 0
    this.#kill(boot, `${name} did not report ready within ${boot} ms, so that it was killed. It does so by \`worker().ready()\` of 'metroplex/supervisor', or when metroplex has registered in it.`)
    worker.on('online', () => { events.online(this) })
    worker.on('message', (message: unknown) => { this.#hear(message) })
    worker.on('exit', (code, signal) => { this.#end(code, signal as NodeJS.Signals | null) })
    worker.on('disconnect', () => {
      if (this.#over) return
      this.#here = false
      this.#until ??= now()
      this.#stop(grace, `${name} let go of its supervisor, and did not end within ${grace} ms, so that it was killed.`)
      if (this.#state !== 'stopping') this.#state = 'draining'
    })
    worker.on('error', error => {
      // It is told of one that could not be started, and of one that could not be told something; that one ends.
      if (this.pid !== 0) return
      // Of what never was Node.js never hears that it has gone.
      delete cluster.workers?.[worker.id]
      this.#failed(error)
    })
    if (output === 'event') {
      for (const stream of ['stdout', 'stderr'] as const) {
        const from = worker.process[stream]
        if (from !== null) lines(from, line => { events.output(this, stream, line) })
      }
    }
  }

  /** How it stands. */
  get state(): Exclude<WorkerState, 'backoff'> {
    return this.#state
  }

  /** Whether it is about to go: it has been told to end, or does so by itself. */
  get going(): boolean {
    return this.#state === 'draining' || this.#state === 'stopping'
  }

  /** Whether it has been told to end. */
  get asked(): boolean {
    return this.#asked
  }

  /** For how long it has been ready, or was until it began to end by itself, in ms; `undefined` when it never was. */
  get up(): number | undefined {
    return this.#since === undefined ? undefined : (this.#until ?? now()) - this.#since
  }

  /** Resolves when it is ready; rejects when it ends before. */
  get ready(): Promise<unknown> {
    return this.#ready.promise
  }

  /** Resolves when it has gone. */
  get gone(): Promise<End> {
    return this.#gone.promise
  }

  /** Who it is, for an event. */
  get who(): WorkerEvent {
    return { name: this.name, type: this.terms.type, id: this.id, pid: this.pid }
  }

  /** Who it is, and how it stands. */
  get info(): WorkerInfo {
    const { pid, ...who } = this.who
    return { ...who, ...pid !== 0 && { pid }, state: this.#state }
  }

  /** Tell it to end, within `grace` ms; once told, it can only be told to be quicker. Resolves when it has gone. */
  drain(grace: number): Promise<End> {
    const first = !this.#asked
    this.#asked = true
    if (this.#over) return this.gone
    this.#stop(grace, `${this.name} had not ended ${grace} ms after it was told to, so that it was killed.`)
    if (first && this.#state !== 'stopping') {
      this.#state = 'draining'
      // A process that does not hear us is told as every process is: it boots, or has nothing of ours.
      if (this.#here) this.#tell({ is: 'drain', grace })
      else this.#worker?.process.kill('SIGTERM')
    }
    return this.gone
  }

  /** Send it a message. Resolves when it has been handed over. */
  send(message: unknown): Promise<void> {
    const refused = (cause?: Error): MetroplexError => new MetroplexError('EWORKER', `${this.name} could not be sent a message: it is ending.`, { cause })
    return new Promise((resolve, reject) => {
      const worker = this.#worker
      if (this.#over || worker?.isConnected() !== true) return reject(refused())
      worker.send(message as object, (error: Error | null) => {
        if (error) reject(refused(error))
        else resolve()
      })
    })
  }

  #fork(output: Terms['output']): Worker {
    const { name, terms: { type, exec, args, env, grace } } = this
    const badge: Badge = { name, type, grace, primary: process.pid }
    cluster.setupPrimary({ exec, args: [...args], silent: output === 'event' })
    return cluster.fork({ ...env, METROPLEX_NAME: name, [ENVIRONMENT]: JSON.stringify(badge) })
  }

  #failed(error: unknown): void {
    this.#reason = `${this.name} could not be started: ${asError(error).message}.`
    this.#end(null, null)
  }

  #tell(order: Order): void {
    // One that is gone meanwhile needs to be told nothing.
    if (this.#worker?.isConnected() === true) this.#worker.send(wrap(order), ignore)
  }

  #hear(message: unknown): void {
    if (this.#over) return
    const report = reportOf(message)
    // As process managers have it who want to be told.
    if (report?.is === 'ready' || message === 'ready') this.#becomeReady()
    else if (report === undefined) this.events.message(this, message)
    else if (report.is === 'here') this.#here = true
    else if (report.is === 'ops') this.events.ops(this, report.message)
    else if (report.is === 'done') this.#state = 'stopping'
    else this.#leave()
  }

  #becomeReady(): void {
    if (this.#state !== 'starting') return
    this.#state = 'ready'
    this.#since = now()
    clearTimeout(this.#limit?.timer)
    this.#limit = undefined
    this.#ready.resolve(undefined)
    this.events.ready(this)
  }

  #leave(): void {
    if (this.#asked || this.#state === 'draining') return
    const { grace } = this.terms
    this.#until = now()
    this.#stop(grace, `${this.name} had begun to end, and had not done so after ${grace} ms, so that it was killed.`)
    this.#state = 'draining'
    this.events.leaving(this)
  }

  /** It is to be gone by then. What had been set for it before counts no longer, unless that is sooner. */
  #stop(ms: number, reason: string): void {
    if (this.#state === 'starting' || this.#limit === undefined || this.#limit.at > now() + ms) this.#kill(ms, reason)
  }

  #kill(ms: number, reason: string): void {
    clearTimeout(this.#limit?.timer)
    const timer = setTimeout(() => {
      this.#state = 'stopping'
      this.#reason = reason
      this.#worker?.process.kill('SIGKILL')
    }, ms).unref()
    this.#limit = { timer, at: now() + ms }
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#limit?.timer)
    const { up } = this
    const end = { code, signal, asked: this.#asked, reason: this.#reason, up }
    const how = this.#reason ?? `${this.name} ended with ${signal ?? `code ${code}`}.`
    this.#ready.reject(new MetroplexError('EWORKER', up === undefined ? `${how} It had never been ready.` : how))
    this.#gone.resolve(end)
    this.events.gone(this, end)
  }
}
