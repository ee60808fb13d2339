import { inspectValue } from '../../common/errors'

const UNITS: Readonly<Record<string, number>> = { b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30, tb: 2 ** 40 }

/** Bounds of a limit: a process of Node.js alone takes more than the least; more than the most is a typing error. */
const [LEAST, MOST] = [32 * 2 ** 20, 64 * 2 ** 40]

/**
 * The bytes of a limit: a number of bytes, or a number and a unit, such as `'512mb'` and `'1.5gb'`. Units are powers of
 * 1024.
 *
 * @throws TypeError or RangeError that names the value and what is allowed
 */
export function memoryOf(what: string, given: unknown): number {
  const allowed =
    `metroplex: \`${what}\` must be a size from 32mb to 64tb, such as '512mb', '1.5gb', or a number of bytes; ` +
    `given: ${inspectValue(given)}.`
  const bytes = typeof given === 'string' ? parse(given) : given
  if (typeof bytes !== 'number') throw new TypeError(allowed)
  if (!(bytes >= LEAST && bytes <= MOST)) throw new RangeError(allowed)
  return Math.round(bytes)
}

/** A size for a sentence or a column: `512 MB`, `1.5 GB`. */
export function sizeText(bytes: number): string {
  const [unit, divisor] = bytes < 2 ** 30 ? (['MB', 2 ** 20] as const) : (['GB', 2 ** 30] as const)
  const size = bytes / divisor
  return `${size < 10 ? Number(size.toFixed(1)) : Math.round(size)} ${unit}`
}

function parse(given: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgt]?b)$/i.exec(given) ?? []
  return number === '' ? undefined : Number(number) * (UNITS[unit.toLowerCase()] ?? NaN)
}
