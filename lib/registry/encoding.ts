import type { Agreed, SharedValues } from './records'

/** Encodes the arguments of scripts. */

/** Strings as one argument, in JSON: many arguments cost more than the rest of a write, here and in Redis. */
export function list(strings: readonly string[]): string {
  const json = JSON.stringify(strings)
  // UTF-8 replaces a lone surrogate by U+FFFD. Every other argument goes through UTF-8, so this one has to as well.
  if (!LONE_SURROGATE.test(json)) return json
  return JSON.stringify(strings.map(text => Buffer.from(text).toString()))
}

/** JSON.stringify escapes only those surrogates that have no partner. */
const LONE_SURROGATE = /\\ud[89a-f]/

/** For a registry that keeps no shared configuration. */
export const NOT_SHARED: SharedValues = { secret: undefined, layout: undefined }

/** A shared value as the script `keep` stores it; `''` for none. */
export function stored(agreed: Agreed | undefined): string {
  return agreed === undefined ? '' : `${agreed.since} ${agreed.value}`
}

/**
 * Numbers strings for a script.
 *
 * @returns `each`: the strings without repetition; `at`: the place of each string in it, counted from 1, as in Lua. 0
 * stands for `undefined`.
 */
export function numbered(strings: readonly (string | undefined)[]): { readonly each: string[]; readonly at: number[] } {
  const places = new Map<string, number>()
  const at = strings.map(text => {
    if (text === undefined) return 0
    const place = places.get(text) ?? places.size + 1
    places.set(text, place)
    return place
  })
  return { each: [...places.keys()], at }
}
