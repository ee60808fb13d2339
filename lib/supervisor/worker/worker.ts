import cluster from 'node:cluster'
import { rethrow, ignore } from '../../common/callback'
import { now, delay } from '../../common/async'
import { asError } from '../../common/errors'
import { flush } from '../output-flush'
import { METRICS, MetricSources } from './metric-sources'
import { endWithAnswer, leavePorts, watchPorts } from './port-closer'
import { schedule } from './shutdown-schedule'
import {
  ENVIRONMENT,
  sendToParent,
  listenForQuestions,
  orderOf,
  wrap,
  type Badge,
  type WorkerQuestion,
  type Report
} from './ipc'
import { readVitals, VITALS } from './vitals'

/** Signals of a terminal or a process group also reach the supervisor, which decides what happens. */
const IGNORED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGHUP', 'SIGUSR2']

/** What a worker does when it is told to end. It has `grace` ms. */
export type DrainHandler = (terms: { readonly grace: number }) => unknown

/**
 * This process, as a worker of a supervisor.
 *
 * It ends when its supervisor or SIGTERM tells it to: it runs its `onDrain` handlers, leaves its ports, and exits
 * when open requests are answered, or after nine tenths of its grace period. It ends in the same way when its
 * supervisor has died. SIGINT, SIGHUP and SIGUSR2 are ignored: they reach the supervisor too, which decides what
 * happens.
 */
export class SupervisedWorker {
  /** The name of its slot, `web-1`, which its predecessors had and its successors will have. */
  readonly name: string
  readonly type: string
  /** What this worker exports when its supervisor asks. @internal */
  readonly metrics = new MetricSources()
  readonly #grace: number
  readonly #handlers = new Set<DrainHandler>()
  /** What answers the questions of the supervisor, by the names of the questions. */
  readonly #answers = new Map<string, () => unknown>([
    [VITALS, readVitals],
    [METRICS, () => this.metrics.families]
  ])
  /** How many parts of this process are not ready yet. */
  #holds = 0
  #partReady = false
  /** The handlers that are running, once this worker is ending. */
  #handling: Promise<unknown>[] | undefined
  /** How long it may take to end, in ms, once it is ending. */
  #endsWithin = 0
  /** When it stops waiting for its output to be flushed, by `now()`. */
  #flushEnd = 0

  /** @internal */
  constructor({ name, type, grace }: Badge) {
    this.name = name
    this.type = type
    this.#grace = grace
    process.on('message', message => {
      const order = orderOf(message)
      if (order !== undefined) this.#endWithin(order.grace)
    })
    process.on('SIGTERM', () => {
      this.#report({ is: 'leaving' })
      this.#endWithin(grace)
    })
    for (const signal of IGNORED) process.on(signal, ignore)
    cluster.worker?.on('disconnect', () => {
      this.#disconnected()
    })
    // With `output: 'event'` the pipes break when the supervisor dies. This worker must still end in good order.
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error
      })
    }
    listenForQuestions(question => {
      this.#reply(question).catch(rethrow)
    })
    watchPorts()
    this.#report({ is: 'here' })
  }

  /** Reports that this worker can do its work. Only the first call counts. */
  ready(): void {
    this.#report({ is: 'ready' })
  }

  /**
   * Adds a handler that runs when this worker is told to end. All handlers run at once. The process exits when their
   * promises have settled, and is killed `grace` ms after the order. A handler that throws causes a warning.
   *
   * @returns a function that removes the handler
   */
  onDrain(handler: DrainHandler): () => void {
    if (typeof handler !== 'function') throw new TypeError('metroplex: `onDrain` must be given a function.')
    if (this.#handling === undefined) this.#handlers.add(handler)
    else this.#handling.push(this.#runHandler(handler))
    return () => {
      this.#handlers.delete(handler)
    }
  }

  /**
   * Sends a message to the supervisor, which emits it as `message`. @param message what `process.send` takes: a JSON
   * value
   */
  send(message: unknown): void {
    // The event 'disconnect' reports a supervisor that has died.
    sendToParent(message)
  }

  /**
   * Sends operational data, such as numbers, to the supervisor, which emits it as `ops` and not as `message`. @param
   * message a JSON value
   */
  ops(message: unknown): void {
    this.#report({ is: 'ops', message })
  }

  /**
   * Delays the ready report until the returned function is called. Its argument says whether this part works. After
   * the last call the worker is ready if any part works. @internal
   */
  hold(): (able: boolean) => void {
    this.#holds++
    let held = true
    return able => {
      if (!held) return
      held = false
      this.#partReady ||= able
      if (--this.#holds === 0 && this.#partReady) this.ready()
    }
  }

  /**
   * From now on answers the questions of the supervisor with this name. The last function for a name counts.
   *
   * @param answer returns a JSON value, or a promise of one
   * @returns a function that removes it
   * @internal
   */
  answer(what: string, answer: () => unknown): () => void {
    this.#answers.set(what, answer)
    return () => {
      if (this.#answers.get(what) === answer) this.#answers.delete(what)
    }
  }

  async #reply({ id, what }: WorkerQuestion): Promise<void> {
    const answer = this.#answers.get(what)
    try {
      if (answer === undefined) throw new Error(`it knows no ${what}`)
      this.#report({ is: 'answer', id, value: await answer() })
    } catch (error) {
      this.#report({ is: 'answer', id, error: asError(error).message })
    }
  }

  #report(report: Report): void {
    this.send(wrap(report))
  }

  #endWithin(grace: number): void {
    if (this.#handling !== undefined) return
    const { closeIdle, closeAll, flushOutput } = schedule(grace)
    const start = now()
    this.#endsWithin = grace
    this.#flushEnd = start + flushOutput
    this.#handling = []
    endWithAnswer()
    for (const handler of this.#handlers) this.#handling.push(this.#runHandler(handler))
    this.#exit(this.#handling, start + closeIdle, start + closeAll).catch(rethrow)
  }

  async #runHandler(handler: DrainHandler): Promise<void> {
    try {
      await handler({ grace: this.#endsWithin })
    } catch (error) {
      process.emitWarning(`An \`onDrain\` handler of ${this.name} failed: ${asError(error).message}`, {
        code: 'METROPLEX_DRAIN'
      })
    }
  }

  async #exit(handling: readonly Promise<unknown>[], idle: number, all: number): Promise<void> {
    for (let done = 0; done < handling.length; done++) await handling[done]
    this.#report({ is: 'done' })
    if (process.connected) await leavePorts(Math.max(0, idle - now()), Math.max(0, all - now()))
    // `disconnect` closes the other listeners and waits for their connections. Then it emits the same event as
    // each other end of the channel.
    if (process.connected) cluster.worker?.disconnect()
    else await this.#flushAndExit()
  }

  /**
   * `process.exit` drops output that the system has not taken yet. So the output is flushed first, within the grace
   * period.
   */
  async #flushAndExit(): Promise<void> {
    const left = Math.max(0, this.#flushEnd - now())
    await Promise.race([flush(left), delay(left)])
    process.exit(0)
  }

  /** The channel to the supervisor has closed: this worker has disconnected, or the supervisor has died. */
  #disconnected(): void {
    const { worker } = cluster
    if (worker === undefined) return
    if (worker.exitedAfterDisconnect) {
      if (this.#handling !== undefined) this.#flushAndExit().catch(rethrow)
      return
    }
    // Without this Node.js would exit at once.
    worker.exitedAfterDisconnect = true
    // No supervisor is left to kill this process.
    setTimeout(() => {
      process.kill(process.pid, 'SIGKILL')
    }, this.#grace).unref()
    this.#endWithin(this.#grace)
  }
}

let current: SupervisedWorker | null | undefined

/**
 * This process as a worker of a supervisor; `null` when it is none. Every call returns the same object.
 *
 * The worker reports ready with `ready()`, and is told to end with `onDrain`. Where metroplex is loaded, it does both
 * for its server.
 *
 * @example
 * const me = worker()
 * server.listen(8080, () => me?.ready())
 * me?.onDrain(() => jobs.finish())
 */
export function worker(): SupervisedWorker | null {
  if (current === undefined) {
    const badge = read(process.env[ENVIRONMENT])
    current = badge === undefined ? null : new SupervisedWorker(badge)
  }
  return current
}

/** The variable, if it is meant for this process: children of a worker inherit it too. */
function read(given: string | undefined): Badge | undefined {
  if (given === undefined || !cluster.isWorker) return undefined
  const badge = JSON.parse(given) as Badge
  return badge.primary === process.ppid ? badge : undefined
}
