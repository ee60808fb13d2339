import { LONGEST_TIMER } from './async'
import { inspectValue } from './errors'
import type { BalanceTerms, MaxQueue } from './types'

/** @throws TypeError or RangeError for anything but a whole number of milliseconds that a timer can wait */
export function milliseconds(what: string, given: unknown, standard: number, least: number): number {
  return whole(what, given, standard, least, 'milliseconds', LONGEST_TIMER)
}

/** @throws TypeError or RangeError for anything but a whole number in the range */
export function whole(
  what: string,
  given: unknown,
  standard: number,
  least: number,
  unit: string,
  most = Number.MAX_SAFE_INTEGER
): number {
  if (given === undefined) return Math.floor(standard)
  const allowed =
    `metroplex: \`${what}\` must be a whole number of ${unit}, from ${least} to ${most}; ` +
    `given: ${inspectValue(given)}.`
  if (typeof given !== 'number') throw new TypeError(allowed)
  if (!Number.isInteger(given) || given < least || given > most) throw new RangeError(allowed)
  return given
}

/**
 * The most sparks that may be ended in a second.
 *
 * @param most the highest rate, if there is one
 * @throws TypeError or RangeError for anything but a number above 0
 */
export function rateOf(what: string, given: unknown, standard: number, most = Infinity): number {
  const rate = given ?? standard
  const bounds = most === Infinity ? 'above 0' : `above 0 and at most ${most}`
  const allowed =
    `metroplex: \`${what}\` must be a number of sparks a second, ${bounds}; ` + `given: ${inspectValue(given)}.`
  if (given === null || typeof rate !== 'number') throw new TypeError(allowed)
  if (!Number.isFinite(rate) || rate <= 0 || rate > most) throw new RangeError(allowed)
  return rate
}

/** The highest rate at which sparks are ended to even them out, per second. */
const FASTEST = 1000

/**
 * The checked options of a balance, with defaults.
 *
 * @param prefix where they lie, as in `metroplex.balance.`
 * @throws TypeError or RangeError that names the value and the allowed ones
 */
export function balanceTerms(given: unknown, prefix = ''): BalanceTerms {
  const object = given ?? {}
  if (typeof object !== 'object' || Array.isArray(object)) {
    throw new TypeError(
      'metroplex: the options of `balance` must be an object such as { tolerance: 0.1, rate: 50 }; ' +
        `given: ${inspectValue(given)}.`
    )
  }
  for (const key of Object.keys(object)) refuseUnknown(prefix, key, ['tolerance', 'rate'])
  const { tolerance = 0.1, rate } = object as { tolerance?: unknown; rate?: unknown }
  const allowed =
    `metroplex: \`${prefix}tolerance\` must be a share of the mean, from 0 to 1; ` +
    `given: ${inspectValue(tolerance)}.`
  if (typeof tolerance !== 'number') throw new TypeError(allowed)
  if (!(tolerance >= 0 && tolerance <= 1)) throw new RangeError(allowed)
  return { tolerance, rate: rateOf(`${prefix}rate`, rate, 50, FASTEST) }
}

/** The option `balance`: how a server evens out its sparks by itself; `undefined`: it does not. @throws as above */
export function balanceOption(given: unknown): BalanceTerms | undefined {
  if (given === undefined || given === false) return undefined
  if (given === true) return balanceTerms({})
  if (typeof given === 'object' && given !== null && !Array.isArray(given))
    return balanceTerms(given, 'metroplex.balance.')
  throw new TypeError(
    'metroplex: `metroplex.balance` must be true, false, or an object such as { tolerance: 0.1, rate: 50 }; ' +
      `given: ${inspectValue(given)}.`
  )
}

/** The limits of what waits for peers. @throws TypeError or RangeError that names the value and the allowed ones */
export function queueOf(given: unknown): MaxQueue {
  const standard = { messages: 100_000, bytes: 67_108_864, total: 268_435_456 }
  if (given === undefined) return standard
  const known = Object.keys(standard)
  if (typeof given !== 'object' || given === null || Object.keys(given).some(key => !known.includes(key))) {
    throw new TypeError(
      'metroplex: `metroplex.maxQueue` must be an object such as { messages: 100000, bytes: ' +
        `67108864, total: 268435456 }; given: ${inspectValue(given)}.`
    )
  }
  const { messages, bytes, total } = given as Partial<Record<string, unknown>>
  return {
    messages: whole('metroplex.maxQueue.messages', messages, standard.messages, 1, 'messages'),
    bytes: whole('metroplex.maxQueue.bytes', bytes, standard.bytes, 1024, 'bytes'),
    total: whole('metroplex.maxQueue.total', total, standard.total, 1024, 'bytes')
  }
}

/** @throws TypeError for an unknown option; its message names the most similar known one */
export function refuseUnknown(prefix: string, key: string, known: readonly string[]): void {
  if (known.includes(key)) return
  const nearest = known
    .map(one => ({ one, off: distance(one.toLowerCase(), key.toLowerCase()) }))
    .sort((a, b) => a.off - b.off)[0]
  const hint =
    nearest !== undefined && nearest.off <= 3 ? ` Did you mean \`${nearest.one}\`?` : ` Known are: ${known.join(', ')}.`
  throw new TypeError(`metroplex: the option \`${prefix}${key}\` is not known.${hint}`)
}

/** The Levenshtein distance: how many letters must be changed, added or removed. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** @throws TypeError for a value that is neither a function nor `undefined` */
export function functionOrNone<F>(option: string, given: F, what: string): F {
  if (given === undefined || typeof given === 'function') return given
  throw new TypeError(
    `metroplex: \`${option}\` must be a function of a spark that returns ${what}; ` + `given: ${inspectValue(given)}.`
  )
}

/** The most bytes of JSON that the info of a spark may have. */
const LONGEST_INFO = 1024

/**
 * The info of a spark as JSON has it; `null` for none.
 *
 * @throws TypeError for a value that JSON cannot express; RangeError for one that is too long
 */
export function plainInfo(info: unknown): unknown {
  if (info === undefined || info === null) return null
  let text: string | undefined
  let cause: unknown
  try {
    text = JSON.stringify(info)
  } catch (error) {
    cause = error
  }
  if (text === undefined)
    throw new TypeError(
      `metroplex: the info of a spark must be a value that JSON can express; given: ${inspectValue(info)}.`,
      { cause }
    )
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST_INFO)
    throw new RangeError(
      `metroplex: the info of a spark must have at most ${LONGEST_INFO} bytes of JSON; given: ${bytes}.`
    )
  return JSON.parse(text)
}

/** How many sparks a user may have at a time, and which of them go when there are more. */
export interface UserLimit {
  readonly sparks: number
  readonly over: 'oldest' | 'refuse'
}

/** The most sparks of a limit: one script of Redis reads them all. */
const HIGHEST_LIMIT = 1000

/** @throws TypeError or RangeError for anything but a limit, or `undefined` */
export function userLimit(given: unknown): UserLimit | undefined {
  if (given === undefined) return undefined
  const { sparks, over = 'oldest', ...more } = (given ?? {}) as Partial<Record<string, unknown>>
  if (
    typeof given !== 'object' ||
    sparks === undefined ||
    (over !== 'oldest' && over !== 'refuse') ||
    Object.keys(more).length > 0
  )
    throw new TypeError(
      "metroplex: `metroplex.limit` must be an object such as { sparks: 5, over: 'oldest' } or " +
        `{ sparks: 5, over: 'refuse' }; given: ${inspectValue(given)}.`
    )
  return { sparks: whole('metroplex.limit.sparks', sparks, 0, 1, 'sparks', HIGHEST_LIMIT), over }
}
