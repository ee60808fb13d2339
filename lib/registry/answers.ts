import { file } from '../message'
import type { Farewell } from '../reports'
import type { Description, LifeRecord } from './records'

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

/** What a server says of itself, as fields of its life. */
const DESCRIBED = ['name', 'version', 'protocol', 'pathname', 'transport', 'word', 'kinds'] as const satisfies readonly (keyof Description)[]

/** The fields of a life that are read of it. */
export const LIFE = ['id', 'state', 'aside', 'former', 'farewell', ...DESCRIBED] as const

/** The values of those fields; `undefined` where there is no life. */
export function asLife(values: readonly (string | null)[]): LifeRecord | undefined {
  const [life, state, aside, former, farewell, ...described] = values
  if (typeof life !== 'string') return undefined
  return {
    life,
    state: state as LifeRecord['state'],
    aside: words(aside),
    description: Object.fromEntries(DESCRIBED.map((field, i) => [field, asText(described[i])])) as unknown as Description,
    ...typeof former === 'string' && { former: { life: former, farewell: farewell as Farewell } }
  }
}

/**
 * Makes texts of bytes that are mostly the same few texts, again and again, such as the addresses of servers: most are known from before, and then not made anew.
 */
export class Texts {
  /** By their last two bytes: in an address, those are of its port. */
  readonly #known: { readonly bytes: Buffer; readonly text: string }[] = []

  of(bytes: Buffer): string {
    const { length } = bytes
    const at = (bytes[length - 1] ?? 0) * 16 + (bytes[length - 2] ?? 0) & 0xff
    const known = this.#known[at]
    if (known?.bytes.equals(bytes) === true) return known.text
    const text = bytes.toString()
    // A copy: what Redis has sent would be kept with it.
    this.#known[at] = { bytes: Buffer.from(bytes), text }
    return text
  }
}
