import { file } from '../message'

/** What Redis answers, as what it means. */

/** A string; `''` for none. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

/** Words separated by spaces. */
export function words(value: unknown): string[] {
  return asText(value).split(' ').filter(Boolean)
}

/** Alternating ids and owners, by owner. */
export function byOwner(pairs: readonly unknown[]): Map<string, string[]> {
  const owners = new Map<string, string[]>()
  for (let i = 0; i < pairs.length; i += 2) file(owners, String(pairs[i + 1]), String(pairs[i]))
  return owners
}
