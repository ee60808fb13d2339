import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'

/** How long is waited for what comes at once, in ms. */
const patience = 5000

/**
 * A wait of seconds only ends what hangs. What takes a moment on an idle machine takes much longer on a busy one, so a
 * deadline of so many ms and more is multiplied by this.
 */
const [LONG, STRETCH] = [5000, 3]

/** How long is really waited. */
function stretched(ms: number): number {
  return ms >= LONG ? ms * STRETCH : ms
}

/** What remains of `T` once it is known to be truthy. */
export type Truthy<T> = Exclude<T, false | 0 | '' | 0n | null | undefined>

/** How `eventually` waits. */
export interface Polling {
  /** Milliseconds until the wait is given up; 5000 and more count three times. @default 5000 */
  within?: number | undefined
  /** Milliseconds between two checks. @default 10 */
  every?: number | undefined
  /** What is waited for, as the subject of the error's sentence. @default 'the condition' */
  what?: string | undefined
}

/** How `once` waits. */
export interface Listening {
  /** Milliseconds until the wait is given up. @default 5000 */
  within?: number | undefined
  /** Passes over the emissions for which it returns something falsy. @default every emission counts */
  filter?: ((...args: unknown[]) => unknown) | undefined
}

/** What `once` needs of an emitter: Node's, eventemitter3's, Primus's and ioredis's all have it. */
export interface Emitter {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  removeListener(event: string, listener: (...args: unknown[]) => void): unknown
}

/**
 * Repeats a check until it returns something truthy, and resolves with that.
 *
 * The first check runs at once. A check that throws or rejects counts as "not yet",
 * so assertions can be polled too, when the check returns `true` after them. A check
 * that takes too long ends with the wait.
 *
 * @throws An error which names `what` and the last value or error, at the deadline.
 *
 * @example
 * await eventually(() => primus.connected === 2, { what: 'two connections' })
 */
export async function eventually<T>(check: () => T | Promise<T>, options: Polling = {}): Promise<Truthy<T>> {
  const { every = 10, what = 'the condition' } = options
  const within = stretched(options.within ?? patience)
  const end = performance.now() + within
  let last: unknown
  for (;;) {
    try {
      const answer = check()
      // A synchronous check needs no timer, so the leak detector may count timers in one.
      const value = answer instanceof Promise ? await expiry(answer, end - performance.now(), 'an answer') : answer
      if (value) return value as Truthy<T>
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() >= end) {
      const found = last instanceof Error ? last.message : inspect(last, { depth: 3, breakLength: Infinity })
      throw new Error(`${what} did not come about within ${within} ms, last seen: ${found}`, { cause: last })
    }
    await sleep(Math.min(every, Math.max(1, end - performance.now())))
  }
}

/**
 * Resolves with the arguments of the next emission of an event.
 *
 * It listens from the moment of the call: call it before the action that triggers the event.
 *
 * @throws An error which names the event, at the deadline, or what `filter` threw.
 *
 * @example
 * const joined = once(primus.metroplex, 'join', { filter: address => address === other })
 */
export async function once(emitter: Emitter, event: string, options: Listening = {}): Promise<unknown[]> {
  const { within = patience, filter = () => true } = options
  let listener: ((...args: unknown[]) => void) | undefined
  const emission = new Promise<unknown[]>((resolve, reject) => {
    listener = (...args) => {
      try {
        if (filter(...args)) resolve(args)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    emitter.on(event, listener)
  })
  try {
    return await deadline(emission, within, `the event '${event}'`)
  } finally {
    if (listener) emitter.removeListener(event, listener)
  }
}

/**
 * Gives a promise at most `ms` milliseconds; 5000 and more count three times.
 *
 * The promise itself goes on; a rejection that comes after the deadline is ignored.
 *
 * @throws An error which names `what`, at the deadline.
 */
export async function deadline<T>(promise: PromiseLike<T>, ms: number, what: string): Promise<T> {
  return expiry(promise, stretched(ms), what)
}

async function expiry<T>(promise: PromiseLike<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${Math.round(ms)} ms`)), Math.max(0, ms))
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Runs `fn` and tells how many milliseconds it took, until its promise settled if it returned one. */
export async function elapsed<T>(fn: () => T | Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now()
  const value = await fn()
  return { ms: performance.now() - start, value }
}
