import { ignore } from './callback'

/** The longest that a timer can be set to, in ms. */
export const LONGEST = 2 ** 31 - 1

/**
 * Bound a promise by time.
 *
 * Rejects with `late()` when `promise` has not settled within `ms` milliseconds; what it does
 * later is ignored. The timer is cleared as soon as either is known, and keeps no process alive.
 */
export async function within<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), ms).unref()
  })
  try {
    return await Promise.race([promise, expiry])
  } finally {
    clearTimeout(timer)
  }
}

/** Milliseconds of a clock that never jumps, for measuring durations on this machine alone. */
export function now(): number {
  return performance.now()
}

/** Wait for `ms` milliseconds, or less when `signal` is aborted; keeps no process alive. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
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

/** A promise and its ends; that nobody awaits it is no error. */
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

/** A task for many who may ask at once: it begins as soon as whoever asks has ended, and those that ask while it runs share the next run, which begins when that has ended. */
export function shared(task: () => Promise<void>): () => Promise<void> {
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
