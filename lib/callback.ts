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
 * Whether there is a callback; `undefined` and `null` are none.
 *
 * @throws TypeError for what can be no callback: at once, where the call is, rather than when it would be called
 */
export function isCallback<F>(given: F): given is NonNullable<F> {
  if (given === undefined || given === null) return false
  if (typeof given === 'function') return true
  throw new TypeError(`metroplex: a callback must be a function; given: ${shown(given)}.`)
}

/** For what may fail without anybody having to know. */
export function ignore(): void {
  // Nothing to do, on purpose.
}
