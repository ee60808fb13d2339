import { inspectValue, type ClusterError } from './errors'

/** A Node.js callback: it gets an error or a value. */
export type Callback<T> = (error: ClusterError | null, value?: T) => void

/**
 * Returns the result of an asynchronous method in the style of the call.
 *
 * With a callback it calls that and returns `self` for chaining. Without one it returns the promise, which never
 * becomes an unhandled rejection.
 *
 * The callback runs outside our promises. An error that it throws is an uncaught exception, as with any callback.
 */
export function callbackify<T, Self>(promise: Promise<T>, callback: Callback<T>, self: Self): Self
export function callbackify<T, Self>(
  promise: Promise<T>,
  callback: Callback<T> | undefined,
  self: Self
): Self | Promise<T>
export function callbackify<T, Self>(
  promise: Promise<T>,
  callback: Callback<T> | undefined,
  self: Self
): Self | Promise<T> {
  promise.catch(ignore)
  if (!isCallback(callback)) return promise
  promise.then(
    value => process.nextTick(callback, null, value),
    (error: unknown) => process.nextTick(callback, error)
  )
  return self
}

/**
 * As `callbackify`, for a method that is called so often that promises would cost more than its work.
 *
 * @param start gets the callback, which it calls once, outside promises
 */
export function callbackifySync<T, Self>(
  start: (done: (error: ClusterError | null, value?: T) => void) => void,
  callback: Callback<T> | undefined,
  self: Self
): Self | Promise<T> {
  if (isCallback(callback)) {
    start(callback)
    return self
  }
  const promise = new Promise<T>((resolve, reject) => {
    start((error, value) => {
      if (error === null) resolve(value as T)
      else reject(error)
    })
  })
  promise.catch(ignore)
  return promise
}

/**
 * Calls a function with each item, outside promises. An error that it throws is an uncaught exception, and the next
 * items follow all the same.
 */
export function callAll<T>(items: readonly T[], call: (item: T, at: number) => void, first = 0): void {
  let next = first
  try {
    while (next < items.length) {
      const at = next++
      call(items[at] as T, at)
    }
  } finally {
    if (next < items.length) process.nextTick(callAll, items, call, next)
  }
}

/** Throws an error as an uncaught exception: a fault of ours must not be swallowed. */
export function rethrow(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}

/**
 * Whether there is a callback; `undefined` and `null` are none.
 *
 * @throws TypeError for any other value: at once, so that the stack trace shows the caller
 */
export function isCallback<F>(given: F): given is NonNullable<F> {
  if (given === undefined || given === null) return false
  if (typeof given === 'function') return true
  throw new TypeError(`metroplex: a callback must be a function; given: ${inspectValue(given)}.`)
}

/** Splits optional options and an optional callback. */
export function splitCallback<Options, F>([options, fn]: [options?: Options | F, fn?: F]): [
  options: Options | undefined,
  fn: F | undefined
] {
  return typeof options === 'function' ? [undefined, options as F] : [options as Options | undefined, fn]
}

/** A handler for rejections and callbacks that need no reaction. */
export function ignore(): void {
  // Empty on purpose.
}
