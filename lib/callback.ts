import { shown } from './errors'

/** A Node.js callback: an error or a value. */
export type Callback<T> = (error: Error | null, value?: T) => void

/**
 * Hand out the result of an asynchronous method in the style it was called in.
 *
 * With a callback: calls it, and returns `self` for chaining. Without one: returns the promise,
 * which never becomes an unhandled rejection when nobody awaits it.
 *
 * The callback runs outside of our promises, so that what it throws is thrown as an
 * uncaught exception, as with any callback, and never swallowed.
 */
export function settle<T, Self>(promise: Promise<T>, callback: Callback<T>, self: Self): Self
export function settle<T, Self>(promise: Promise<T>, callback: Callback<T> | undefined, self: Self): Self | Promise<T>
export function settle<T, Self>(promise: Promise<T>, callback: Callback<T> | undefined, self: Self): Self | Promise<T> {
  promise.catch(ignore)
  if (!isCallback(callback)) return promise
  promise.then(
    value => process.nextTick(callback, null, value),
    (error: unknown) => process.nextTick(callback, error)
  )
  return self
}

/**
 * Start something that calls back, and hand out what comes of it in the style it was asked for: as `settle` does, for what is done
 * so often that promises would cost more than the work.
 *
 * @param start is given what to call, once, and outside of promises
 */
export function called<T, Self>(start: (done: (error: Error | null, value?: T) => void) => void, callback: Callback<T> | undefined, self: Self): Self | Promise<T> {
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

/** Do it with all, one after the other, outside of promises: what one of them throws is thrown as an uncaught exception, and keeps the others from nothing. */
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

/** A fault of ours is not to be swallowed. */
export function crash(error: unknown): void {
  process.nextTick(() => { throw error })
}

/**
 * Whether there is a callback; `undefined` and `null` are none.
 *
 * @throws TypeError for what can be no callback: at once, where the call is, rather than when it would be called
 */
export function isCallback<F>(given: F): given is NonNullable<F> {
  if (given === undefined || given === null) return false
  if (typeof given === 'function') return true
  throw new TypeError(`metroplex: a callback must be a function; given: ${shown(given)}.`)
}

/** Options and a callback, of which either may be missing. */
export function parted<Options, F>([options, fn]: [options?: Options | F, fn?: F]): [options: Options | undefined, fn: F | undefined] {
  return typeof options === 'function' ? [undefined, options as F] : [options as Options | undefined, fn]
}

/** For what may fail without anybody having to know. */
export function ignore(): void {
  // Nothing to do, on purpose.
}
