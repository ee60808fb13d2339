/** What Redis is given, as its scripts take it. */

/** Strings as one argument, in JSON: many arguments cost us and Redis more than all the rest of a write. */
export function list(strings: readonly string[]): string {
  const json = JSON.stringify(strings)
  // What is no Unicode becomes a replacement character in UTF-8, as it does in every other argument.
  return LONE.test(json) ? JSON.stringify(strings.map(text => Buffer.from(text).toString())) : json
}

/** How JSON has half a pair of surrogates. */
const LONE = /\\ud[89a-f]/

/** Strings of a list, each once; `at` is the place of each, counted from 1, as in Lua, and 0 for `undefined`. */
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
