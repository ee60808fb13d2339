import { checkAddress } from '../common/address'
import { splitCallback, type Callback } from '../common/callback'
import { inspectValue } from '../common/errors'
import type { AskOptions } from '../common/types'
import { milliseconds } from '../common/validate'

/** The checked options of a call. */
export interface CallTerms {
  /** In ms. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  /** The servers to ask; `undefined`: all. */
  readonly to: readonly string[] | undefined
  /** Whether `all` includes this server. */
  readonly self: boolean
}

const KNOWN = ['timeout', 'signal', 'to', 'self']

/**
 * Check the options of a call.
 *
 * @param allowed the names of the options that this call has
 * @throws TypeError or RangeError, in one sentence
 */
export function callTerms(
  given: unknown,
  defaults: { readonly timeout: number; readonly self: boolean },
  allowed: readonly string[] = KNOWN
): CallTerms {
  if (given !== undefined && given !== null && (typeof given !== 'object' || Array.isArray(given))) {
    throw new TypeError(
      `metroplex: options must be an object such as { timeout: 1000 }; given: ${inspectValue(given)}.`
    )
  }
  const options = (given ?? {}) as AskOptions
  const unknown = Object.keys(options).find(key => !allowed.includes(key))
  if (unknown !== undefined)
    throw new TypeError(`metroplex: the option \`${unknown}\` is not known here. Known are: ${allowed.join(', ')}.`)
  const { signal, to, self = defaults.self } = options
  const timeout = milliseconds('timeout', options.timeout, defaults.timeout, 1)
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal))
    throw new TypeError(`metroplex: \`signal\` must be an AbortSignal; given: ${inspectValue(signal)}.`)
  if (typeof self !== 'boolean')
    throw new TypeError(`metroplex: \`self\` must be true or false; given: ${inspectValue(self)}.`)
  return {
    timeout,
    signal,
    self,
    to: to === undefined ? undefined : [...new Set((Array.isArray(to) ? (to as unknown[]) : [to]).map(addressOf))]
  }
}

function addressOf(given: unknown): string {
  if (typeof given === 'string' && given !== '') return checkAddress(given)
  throw new TypeError(
    `metroplex: \`to\` must be an address such as 'http://10.0.0.5:8080', or an array of them; ` +
      `given: ${inspectValue(given)}.`
  )
}

/** The name of a method or of a type of events. @throws TypeError */
export function nameOf(what: 'method' | 'type', given: unknown): string {
  if (typeof given === 'string' && given !== '') return given
  const name = what === 'method' ? 'name of a method' : 'type of an event'
  throw new TypeError(`metroplex: the ${name} must be a string that is not empty; given: ${inspectValue(given)}.`)
}

/** @throws TypeError for a value that is not a function */
export function functionOf<F>(what: string, given: F): F {
  if (typeof given === 'function') return given
  throw new TypeError(`metroplex: ${what} must be a function; given: ${inspectValue(given)}.`)
}

/** The parameters after a name. Each may be missing; the callback is the last one present. */
export type Rest<First, Options, T> = [first?: First | Callback<T>, options?: Options | Callback<T>, fn?: Callback<T>]

/** The parameters after a name. A function is the callback, at any position, because no function can be sent. */
export function parameters<First, Options, F>([first, ...rest]: [first?: First | F, options?: Options | F, fn?: F]): {
  first: First | undefined
  options: Options | undefined
  fn: F | undefined
} {
  if (typeof first === 'function') return { first: undefined, options: undefined, fn: first as F }
  const [options, fn] = splitCallback<Options, F>(rest)
  return { first: first as First | undefined, options, fn }
}
