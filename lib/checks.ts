import { LONGEST } from './deadline'
import { shown } from './errors'

/** @throws TypeError or RangeError for what is no whole number of milliseconds that a timer can wait */
export function milliseconds(what: string, given: unknown, standard: number, least: number): number {
  return whole(what, given, standard, least, 'milliseconds', LONGEST)
}

/** @throws TypeError or RangeError for what is no whole number of that range */
export function whole(what: string, given: unknown, standard: number, least: number, unit: string, most = Number.MAX_SAFE_INTEGER): number {
  if (given === undefined) return Math.floor(standard)
  const allowed = `metroplex: \`${what}\` must be a whole number of ${unit}, from ${least} to ${most}; given: ${shown(given)}.`
  if (typeof given !== 'number') throw new TypeError(allowed)
  if (!Number.isInteger(given) || given < least || given > most) throw new RangeError(allowed)
  return given
}

/** @throws TypeError for an option that is not among those that are known, with the one that was probably meant */
export function refuseUnknown(prefix: string, key: string, known: readonly string[]): void {
  if (known.includes(key)) return
  const nearest = known.map(one => ({ one, off: distance(one.toLowerCase(), key.toLowerCase()) })).sort((a, b) => a.off - b.off)[0]
  const hint = nearest !== undefined && nearest.off <= 3 ? ` Did you mean \`${nearest.one}\`?` : ` Known are: ${known.join(', ')}.`
  throw new TypeError(`metroplex: the option \`${prefix}${key}\` is not known.${hint}`)
}

/** Levenshtein's distance: how many letters must be changed, added or left out. */
function distance(a: string, b: string): number {
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
