import { deadline } from './wait'

/** Undoes something. */
export type Disposer = () => unknown

/**
 * How long something a test starts lives.
 *
 * `'test'`: until the test which started it ends. `'suite'`: until its own `stop()` or
 * `close()`, which is then the duty of the suite's `after` hook.
 */
export type Scope = 'test' | 'suite'

const patience = 10_000

let stack: Disposer[] | undefined

/**
 * Calls `fn` after the current test, whether it passed or not, and waits for it.
 *
 * Disposers run one by one, the last registered first. Each has 30 seconds. One that
 * throws or rejects fails the test, but never keeps the others from running.
 *
 * @throws When no test runs: a suite's `before` has an `after` to clean up in.
 */
export function using(fn: Disposer): void {
  if (!stack) throw new Error('using() disposes after a test and none is running: clean up in an after hook instead')
  stack.push(fn)
}

/** As `using`, for helpers which may also be used outside of a test, or for longer than one: then it does nothing. */
export function adopt(fn: Disposer, scope: Scope = 'test'): void {
  if (scope === 'test') stack?.push(fn)
}

/** From now on a test runs, and what it registers belongs to it. The hooks call this. */
export function openScope(): void {
  stack = []
}

/**
 * Disposes of all that was registered since `openScope`, also of what is registered meanwhile.
 *
 * @returns What went wrong, in order; empty when nothing did.
 */
export async function closeScope(): Promise<Error[]> {
  const errors: Error[] = []
  for (let fn = stack?.pop(); fn; fn = stack?.pop()) {
    try {
      await deadline(Promise.resolve(fn()), patience, 'the end of a disposer')
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)))
    }
  }
  stack = undefined
  return errors
}
