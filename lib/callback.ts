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
  if (callback === undefined) {
    promise.catch(ignore)
    return promise
  }
  promise.then(
    value => process.nextTick(callback, null, value),
    (error: unknown) => process.nextTick(callback, error)
  )
  return self
}

/** For what may fail without anybody having to know. */
export function ignore(): void {
  // Nothing to do, on purpose.
}
