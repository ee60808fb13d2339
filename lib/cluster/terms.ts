import { checked } from '../address'
import { LONGEST } from '../deadline'
import { shown } from '../errors'
import type { AskOptions } from '../types'

/** How a question is to be asked, checked. */
export interface Terms {
  /** In ms. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  /** These servers; `undefined`: all. */
  readonly to: readonly string[] | undefined
  /** Whether we are among all. */
  readonly self: boolean
}

const KNOWN = ['timeout', 'signal', 'to', 'self']

/**
 * Check the options of a call.
 *
 * @param allowed those that this one has
 * @throws TypeError or RangeError, in one sentence
 */
export function termsOf(given: unknown, standard: { readonly timeout: number; readonly self: boolean }, allowed: readonly string[] = KNOWN): Terms {
  if (given !== undefined && given !== null && (typeof given !== 'object' || Array.isArray(given))) {
    throw new TypeError(`metroplex: options must be an object such as { timeout: 1000 }; given: ${shown(given)}.`)
  }
  const options = (given ?? {}) as AskOptions
  const stranger = Object.keys(options).find(key => !allowed.includes(key))
  if (stranger !== undefined) throw new TypeError(`metroplex: the option \`${stranger}\` is not known here. Known are: ${allowed.join(', ')}.`)
  const { timeout = standard.timeout, signal, to, self = standard.self } = options
  if (!Number.isInteger(timeout) || timeout < 1 || timeout > LONGEST) {
    throw new RangeError(`metroplex: \`timeout\` must be a whole number of milliseconds, from 1 to ${LONGEST}; given: ${shown(timeout)}.`)
  }
  if (signal !== undefined && !(signal as unknown instanceof AbortSignal)) throw new TypeError(`metroplex: \`signal\` must be an AbortSignal; given: ${shown(signal)}.`)
  if (typeof self !== 'boolean') throw new TypeError(`metroplex: \`self\` must be true or false; given: ${shown(self)}.`)
  return { timeout, signal, self, to: to === undefined ? undefined : [...new Set((Array.isArray(to) ? to as unknown[] : [to]).map(addressOf))] }
}

function addressOf(given: unknown): string {
  if (typeof given === 'string' && given !== '') return checked(given)
  throw new TypeError(`metroplex: \`to\` must be an address such as 'http://10.0.0.5:8080', or an array of them; given: ${shown(given)}.`)
}

/** The name of a method or of a type of events. @throws TypeError */
export function nameOf(what: 'method' | 'type', given: unknown): string {
  if (typeof given === 'string' && given !== '') return given
  throw new TypeError(`metroplex: the ${what === 'method' ? 'name of a method' : 'type of an event'} must be a string that is not empty; given: ${shown(given)}.`)
}

/** @throws TypeError for what cannot be called */
export function functionOf<F>(what: string, given: F): F {
  if (typeof given === 'function') return given
  throw new TypeError(`metroplex: ${what} must be a function; given: ${shown(given)}.`)
}
