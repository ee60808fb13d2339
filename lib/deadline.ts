import { ignore } from './callback'
import { asError } from './errors'

/** The longest that a timer can be set to, in ms. */
export const LONGEST = 2 ** 31 - 1

/**
 * Bound a promise by time.
 *
 * Rejects with `late()` when `promise` has not settled within `ms` milliseconds, or with its reason when `signal` is aborted;
 * what it does later is ignored. The timer is cleared as soon as either is known, and keeps no process alive.
 */
export async function within<T>(promise: Promise<T>, ms: number, late: () => Error, signal?: AbortSignal): Promise<T> {
  const end = deferred<never>()
  const timer = setTimeout(() => { end.reject(late()) }, ms).unref()
  const dropped = (): void => { end.reject(asError(signal?.reason)) }
  const unheed = heed(signal, dropped)
  if (signal?.aborted === true) dropped()
  try {
    return await Promise.race([promise, end.promise])
  } finally {
    clearTimeout(timer)
    unheed()
  }
}

/** What is to be done when a signal is aborted. */
const heeded = new WeakMap<AbortSignal, { readonly tasks: Set<() => void>; readonly listener: () => void }>()

/**
 * Do something when a signal is aborted. However many do for one signal, it has one listener: Node.js takes many for a leak.
 *
 * @returns what ends that
 */
export function heed(signal: AbortSignal | undefined, task: () => void): () => void {
  if (signal === undefined) return ignore
  let entry = heeded.get(signal)
  if (entry === undefined) {
    const tasks = new Set<() => void>()
    entry = { tasks, listener: () => { for (const one of [...tasks]) one() } }
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
