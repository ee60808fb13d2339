import { deferred } from '../deadline'
import { MetroplexError } from '../errors'
import { Child, type ChildEvents, type End } from './child'
import { Pace } from './pace'
import type { Terms, TypeTerms } from './terms'
import type { SupervisorEvents, WorkerInfo } from './types'

/** What is told of a place. */
export type Tell = <E extends keyof SupervisorEvents>(event: E, ...args: Parameters<SupervisorEvents[E]>) => void

/**
 * The place of one worker, by its name: keeps a worker there as long as one is wanted. While it is replaced, or ends by itself, there are two: the one that works, and
 * the one that takes over from it.
 */
export class Seat {
  /** All that have not gone. */
  readonly #children = new Set<Child>()
  readonly #pace: Pace
  /** Whoever has the place, until it has gone or its successor is ready. */
  #current: Child | undefined
  #next: Child | undefined
  #pause: NodeJS.Timeout | undefined
  #wanted = false
  /** It was drained, and nobody has come since. */
  #resumes = false
  #ready = deferred<undefined>()

  constructor(readonly name: string, private readonly terms: TypeTerms, private readonly all: Terms, private readonly tell: Tell) {
    this.#pace = new Pace(all.backoff, all.flap)
  }

  /** Whoever has the place; `undefined` while nobody has. */
  get current(): Child | undefined {
    return this.#current
  }

  /** Whoever has the place, and whoever is to take over from it. */
  get here(): Child[] {
    return [this.#current, this.#next].filter(child => child !== undefined)
  }

  /** Those that are here, and how they stand. */
  get workers(): WorkerInfo[] {
    const { name, terms: { type } } = this
    const infos = [...this.#children].map(({ info }) => info)
    return this.#pause === undefined ? infos : [...infos, { name, type, state: 'backoff' }]
  }

  /** Have a worker here. */
  start(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#pace.reset()
    // Whoever is still about to go is followed as soon as it has gone.
    if (this.#current === undefined) this.#take()
  }

  /** Resolves when whoever has the place is ready; rejects when nobody is wanted there any more, or it flaps. */
  async ready(): Promise<void> {
    if (this.#current?.state === 'ready') return
    // That is told once, and may have been.
    if (this.#wanted && this.#pace.flapping) throw this.#flapping()
    await this.#ready.promise
  }

  /** Have nobody here. Resolves when all have gone. */
  async drain(grace: number): Promise<End[]> {
    if (this.#wanted) {
      this.#wanted = false
      this.#resumes = true
      this.#settle(this.#closed())
    }
    clearTimeout(this.#pause)
    this.#pause = undefined
    return Promise.all([...this.#children].map(child => this.#dismiss(child, grace)))
  }

  /**
   * Replace whoever has the place: it is told to end when its successor is ready. Resolves when it has gone.
   *
   * @throws MetroplexError `EWORKER` when the successor did not become ready: then all is as it was; `ECLOSED` when nobody is wanted here meanwhile
   */
  async recycle(): Promise<void> {
    const old = this.#current
    if (old === undefined || !this.#wanted) return
    this.tell('recycle', old.who)
    const next = this.#next ??= this.#spawn()
    try {
      await next.ready
    } catch (error) {
      throw this.#isWanted() ? error : this.#closed()
    }
    if (this.#next === next) this.#succeed(next)
    await this.#dismiss(old, this.terms.grace)
  }

  /** Whether somebody is wanted here: it may have changed while something was awaited. */
  #isWanted(): boolean {
    return this.#wanted
  }

  #succeed(child: Child): void {
    this.#current = child
    this.#next = undefined
    if (child.state === 'ready') this.#settle()
  }

  #take(): void {
    const child = this.#current = this.#spawn()
    if (this.#resumes) this.tell('resume', child.who)
    this.#resumes = false
  }

  #spawn(): Child {
    const { tell } = this
    const events: ChildEvents = {
      online: child => { tell('online', child.who) },
      ready: child => {
        tell('ready', child.who)
        // Whoever goes by itself, or has yet to become ready, has the place no longer.
        if (child === this.#next && this.#current?.state !== 'ready') this.#succeed(child)
        else if (child === this.#current) this.#settle()
      },
      leaving: child => {
        tell('drain', child.who)
        // It is replaced in any case: the sooner, the less is missing meanwhile. But one that had hardly come would be followed by others, as fast as they go.
        if (child === this.#current && this.#wanted && !this.#pace.early(child.up)) this.#next ??= this.#spawn()
      },
      gone: (child, end) => { this.#gone(child, end) },
      message: (child, message) => { tell('message', child.who, message) },
      ops: (child, message) => { tell('ops', child.who, message) },
      output: (child, stream, line) => { tell('output', child.who, stream, line) }
    }
    const child = new Child(this.name, this.terms, this.all.output, events)
    this.#children.add(child)
    return child
  }

  #dismiss(child: Child, grace: number): Promise<End> {
    const told = child.going
    const gone = child.drain(grace)
    if (!told && this.#children.has(child)) this.tell('drain', child.who)
    return gone
  }

  #gone(child: Child, end: End): void {
    this.#children.delete(child)
    const { code, signal, reason, asked, up } = end
    const clean = code === 0
    this.tell(asked || clean ? 'ended' : 'death', { ...child.who, code, signal, ...reason !== undefined && { reason } })
    if (child === this.#next) this.#next = undefined
    if (child !== this.#current) return
    this.#current = this.#next
    this.#next = undefined
    if (this.#current !== undefined) {
      if (this.#current.state === 'ready') this.#settle()
      return
    }
    if (!this.#wanted) return
    if (asked) {
      this.#take()
      return
    }
    const { pause, flaps } = this.#pace.ended(up, clean)
    if (flaps) this.#flaps(child)
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#take()
    }, pause).unref()
  }

  #flaps(child: Child): void {
    const error = this.#flapping()
    this.tell('flapping', { ...child.who, reason: error.message })
    this.#settle(error)
  }

  #flapping(): MetroplexError {
    const { crashes, window } = this.all.flap
    return new MetroplexError('EWORKER', `${this.name} has crashed ${crashes} times within ${window} ms of being ready. It is started again all the same, after ever longer pauses, up to ${this.all.backoff.max} ms.`)
  }

  /** Whoever waits for somebody to be ready here waits no longer. */
  #settle(error?: Error): void {
    if (error === undefined) this.#ready.resolve(undefined)
    else this.#ready.reject(error)
    this.#ready = deferred()
  }

  #closed(): MetroplexError {
    return new MetroplexError('ECLOSED', `${this.name} was drained meanwhile.`)
  }
}
