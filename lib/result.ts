import { ignore, isCallback, type Callback } from './callback'
import { MetroplexError } from './errors'
import type { Result, ResultCallback } from './types'

/**
 * Hand out a result in the style it was asked for.
 *
 * With a callback: it gets the first failure *and* the whole result, and `self` is returned for chaining. Without one: a promise of the result, which is
 * never an unhandled rejection.
 */
export function answer<Self>(promise: Promise<Result>, fn: ResultCallback | undefined, self: Self, shape: (result: Result) => Result = same): Self | Promise<Result> {
  promise.catch(ignore)
  if (!isCallback(fn)) return promise
  promise.then(
    result => {
      const shaped = shape(result)
      process.nextTick(fn, failure(shaped), shaped)
    },
    (error: unknown) => process.nextTick(fn as Callback<Result>, error)
  )
  return self
}

/** The first thing that went wrong, as an error. */
function failure({ failed, local }: Result): Error | null {
  const first = failed?.[0]
  if (first !== undefined) return new MetroplexError(first.code, first.message, { address: first.address, maybe: first.maybe })
  // Nobody was left to ask: the sentence is the one that callers of 1.x look for.
  if (local !== false) return null
  return new MetroplexError('ENOSPARK', 'No servers provided')
}

function same(result: Result): Result {
  return result
}
