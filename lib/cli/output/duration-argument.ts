import { InvalidArgumentError } from 'commander'
import { LONGEST_TIMER } from '../../common/async'

/** Milliseconds, by unit. */
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * Parses a duration: `6h`, `90s`, `1.5m`, `500ms`.
 *
 * @returns milliseconds
 * @throws InvalidArgumentError that names what is allowed, and the longest delay of a timer
 */
export function duration(given: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(given) ?? []
  const ms = Math.round(Number(number) * (UNITS[unit] ?? NaN))
  if (number !== '' && ms <= LONGEST_TIMER) return ms
  throw new InvalidArgumentError(
    `It must be a number and a unit, ms, s, m, h or d, such as 90s or 6h, of 24.8 days at the most.`
  )
}
