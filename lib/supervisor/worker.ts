import cluster from 'node:cluster'
import { ignore } from '../callback'
import { now } from '../deadline'
import { asError } from '../errors'
import { endWithAnswer, leavePorts, watchPorts } from './port'
import { ENVIRONMENT, orderOf, wrap, type Badge, type Report } from './wire'

/** By what part of its grace a worker that ends closes connections that are idle, and by what part all others. */
const [CLOSES_IDLE, CLOSES] = [0.8, 0.9]

/** What a terminal, or whoever signals a whole group, sends to the supervisor as well, which says what is to be done, or dies of it. */
const TO_ALL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGHUP', 'SIGUSR2']

/** What a worker does when it is told to end; it has `grace` ms from then on. */
export type DrainHandler = (terms: { readonly grace: number }) => unknown

/**
 * This process, as one of the workers of a supervisor.
 *
 * It ends when it is told to, by its supervisor or by SIGTERM: it lets go of its work, which is what its `onDrain` handlers do, then of the ports it listens on, and exits
 * when what it was doing for others there is done, or nine tenths of its time are over. It ends in the same way when its supervisor has died. SIGINT, SIGHUP and SIGUSR2
 * mean nothing to it: they come to all, and its supervisor says what is to be done, or has died of one.
 */
export class SupervisedWorker {
  /** `web-1`: that of its place, which its predecessors had, and its successors will. */
  readonly name: string
  readonly type: string
  readonly #grace: number
  readonly #handlers = new Set<DrainHandler>()
  /** Those who have yet to say that they are ready. */
  #holds = 0
  #able = false
  /** What is being done to end, and since when it may take how long. */
  #left: Promise<unknown>[] | undefined
  #terms = { grace: 0 }

  /** @internal */
  constructor({ name, type, grace }: Badge) {
    this.name = name
    this.type = type
    this.#grace = grace
    process.on('message', message => {
      const order = orderOf(message)
      if (order !== undefined) this.#leave(order.grace)
    })
    process.on('SIGTERM', () => {
      this.#tell({ is: 'leaving' })
      this.#leave(grace)
    })
    for (const signal of TO_ALL) process.on(signal, ignore)
    cluster.worker?.on('disconnect', () => { this.#orphaned() })
    // With `output: 'event'` nobody reads what we write once the supervisor has died; what is to be done then is done all the same.
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => { if (error.code !== 'EPIPE') throw error })
    }
    watchPorts()
    this.#tell({ is: 'here' })
  }

  /** Say that this worker can do its work. Only the first time counts. */
  ready(): void {
    this.#tell({ is: 'ready' })
  }

  /**
   * Have something done when this worker is told to end: let go of what it does, finish what it has begun. All handlers run at once; the process exits when what they
   * return has settled, and is killed `grace` ms after it was told to end. One that throws is reported as a warning.
   *
   * @returns what takes it back
   */
  onDrain(handler: DrainHandler): () => void {
    if (typeof handler !== 'function') throw new TypeError('metroplex: `onDrain` must be given a function.')
    if (this.#left === undefined) this.#handlers.add(handler)
    else this.#left.push(this.#run(handler))
    return () => { this.#handlers.delete(handler) }
  }

  /** Send a message to the supervisor, which emits it as `message`. @param message what `process.send` takes: a JSON value */
  send(message: unknown): void {
    // A supervisor that dies meanwhile is noticed otherwise.
    if (process.connected) process.send?.(message, undefined, undefined, ignore)
  }

  /** Tell the supervisor something of the operation of this worker, such as figures, apart from what it has to say: it emits that as `ops`. @param message a JSON value */
  ops(message: unknown): void {
    this.#tell({ is: 'ops', message })
  }

  /** Not ready before this is called back, with whether it can do its part, or has none any more; when the last one is, and any of them can, the worker is ready. @internal */
  hold(): (able: boolean) => void {
    this.#holds++
    let held = true
    return able => {
      if (!held) return
      held = false
      this.#able ||= able
      if (--this.#holds === 0 && this.#able) this.ready()
    }
  }

  #tell(report: Report): void {
    this.send(wrap(report))
  }

  #leave(grace: number): void {
    if (this.#left !== undefined) return
    this.#terms = { grace }
    this.#left = []
    endWithAnswer()
    for (const handler of this.#handlers) this.#left.push(this.#run(handler))
    this.#exit(this.#left, now() + grace * CLOSES_IDLE, now() + grace * CLOSES).catch(ignore)
  }

  async #run(handler: DrainHandler): Promise<void> {
    try {
      await handler(this.#terms)
    } catch (error) {
      process.emitWarning(`What was to be done before ${this.name} ends has failed: ${asError(error).message}`, { code: 'METROPLEX_DRAIN' })
    }
  }

  async #exit(left: readonly Promise<unknown>[], idle: number, all: number): Promise<void> {
    for (let done = 0; done < left.length; done++) await left[done]
    this.#tell({ is: 'done' })
    if (process.connected) await leavePorts(Math.max(0, idle - now()), Math.max(0, all - now()))
    // It closes what else we listen on, and waits for what goes on there. Then it is told as every other end of our way to the supervisor.
    if (process.connected) cluster.worker?.disconnect()
    else process.exit(0)
  }

  /** Nobody tells us anything any more: we have let go of the supervisor, or it has died. */
  #orphaned(): void {
    const { worker } = cluster
    if (worker === undefined) return
    if (worker.exitedAfterDisconnect) {
      if (this.#left !== undefined) process.exit(0)
      return
    }
    // Without this Node.js would exit at once.
    worker.exitedAfterDisconnect = true
    // Nobody else would end us.
    setTimeout(() => { process.kill(process.pid, 'SIGKILL') }, this.#grace).unref()
    this.#leave(this.#grace)
  }
}

let ours: SupervisedWorker | null | undefined

/**
 * This process as a worker of a supervisor; `null` when it is none. Always the same.
 *
 * It reports ready by `ready()`, and learns by `onDrain` that it has to end. Where metroplex is loaded, it does both for its server.
 *
 * @example
 * const me = worker()
 * server.listen(8080, () => me?.ready())
 * me?.onDrain(() => jobs.finish())
 */
export function worker(): SupervisedWorker | null {
  if (ours === undefined) {
    const badge = read(process.env[ENVIRONMENT])
    ours = badge === undefined ? null : new SupervisedWorker(badge)
  }
  return ours
}

/** What is there of ours, if it is meant for us: an environment is handed on to processes that nobody supervises. */
function read(given: string | undefined): Badge | undefined {
  if (given === undefined || !cluster.isWorker) return undefined
  const badge = JSON.parse(given) as Badge
  return badge.primary === process.ppid ? badge : undefined
}
