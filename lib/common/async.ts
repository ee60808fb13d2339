import { ignore } from './callback'
import { asError } from './errors'

/** The longest delay that a timer can have, in ms. */
export const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Bounds a promise by time.
 *
 * Rejects with `late()` when `promise` has not settled within `ms` milliseconds, or with the reason of `signal` when
 * that is aborted.
 * A later result of `promise` is ignored. The timer is cleared as soon as the outcome is known, and does not keep the
 * process alive.
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  ms: number,
  late: () => Error,
  signal?: AbortSignal
): Promise<T> {
  const end = deferred<never>()
  const timer = setTimeout(() => {
    end.reject(late())
  }, ms).unref()
  const dropped = (): void => {
    end.reject(asError(signal?.reason))
  }
  const unheed = onAbort(signal, dropped)
  if (signal?.aborted === true) dropped()
  try {
    return await Promise.race([promise, end.promise])
  } finally {
    clearTimeout(timer)
    unheed()
  }
}

/** For each signal, the tasks to run when it is aborted, and the one listener that runs them. */
const heeded = new WeakMap<AbortSignal, { readonly tasks: Set<() => void>; readonly listener: () => void }>()

/**
 * Runs a task when a signal is aborted. All tasks of a signal share one listener, because Node.js warns of a leak
 * above ten.
 *
 * @returns a function that removes the task
 */
export function onAbort(signal: AbortSignal | undefined, task: () => void): () => void {
  if (signal === undefined) return ignore
  let entry = heeded.get(signal)
  if (entry === undefined) {
    const tasks = new Set<() => void>()
    entry = {
      tasks,
      listener: () => {
        for (const one of [...tasks]) one()
      }
    }
    heeded.set(signal, entry)
    signal.addEventListener('abort', entry.listener, { once: true })
  }
  const { tasks, listener } = entry
  tasks.add(task)
  return () => {
    tasks.delete(task)
    if (tasks.size > 0 || heeded.get(signal)?.listener !== listener) return
    heeded.delete(signal)
    signal.removeEventListener('abort', listener)
  }
}

/** Milliseconds of a monotonic clock. Only for durations on this machine. */
export function now(): number {
  return performance.now()
}

/** Waits for `ms` milliseconds, or until `signal` is aborted. The timer does not keep the process alive. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms).unref()
    signal?.addEventListener('abort', done, { once: true })
  })
}

/** A promise with its `resolve` and `reject`. A rejection that is not awaited is never an unhandled rejection. */
export function deferred<T>(): { promise: Promise<T>; resolve(value: T): void; reject(error: Error): void } {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(ignore)
  return { promise, resolve, reject }
}

/** Waits until all promises have settled; rejects with the first failure in their order. */
export async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map(one => {
    if (one.status === 'rejected') throw one.reason
    return one.value
  })
}

/**
 * Coalesces concurrent calls: calls made during a run share one further run, which starts when the current one ends.
 */
export function singleFlight(task: () => Promise<void>): () => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  return () => {
    next ??= last = last.catch(ignore).then(() => {
      next = undefined
      return task()
    })
    return next
  }
}

/** How soon the result of a message is needed. Read when the message leaves. */
export interface Urgency {
  /** Whether a caller waits for the result. */
  urgent: boolean
}

/**
 * A promise that notes in an `Urgency` when a caller waits for its value: by `await`, `then`, `finally`, or as a part
 * of `Promise.all` and the like. A handler for rejections alone, as in `catch`, waits for nothing.
 */
export class ObservedPromise<T> extends Promise<T> {
  /** What `then` returns is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly #urgency: Urgency

  constructor(source: Promise<T>, urgency: Urgency) {
    super((resolve, reject) => {
      source.then(resolve, reject)
    })
    this.#urgency = urgency
  }

  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    if (typeof fulfilled === 'function') this.#urgency.urgent = true
    return super.then(fulfilled, rejected)
  }
}
