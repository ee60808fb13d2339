import { pushTo } from '../common/multimap'
import type { Farewell } from '../reporting/types'
import type { Beat, CommitOutcome, Description, Joined, LifeRecord } from './records'

/** Decodes the answers of Redis. */

/** A string; `''` for none. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

/** Words separated by spaces. */
export function words(value: unknown): string[] {
  return asText(value).split(' ').filter(Boolean)
}

/** Groups alternating ids and owners by owner. */
export function byOwner(pairs: readonly unknown[]): Map<string, string[]> {
  const owners = new Map<string, string[]>()
  for (let i = 0; i < pairs.length; i += 2) pushTo(owners, String(pairs[i + 1]), String(pairs[i]))
  return owners
}

/** A write that was accepted. Owner `''` stands for entries that Redis has no memory for. */
export function accepted<T>(missing: number, owners: Map<string, T[]>): Extract<CommitOutcome<T>, { as: 'ok' }> {
  const unwritten = owners.get('') ?? []
  owners.delete('')
  return { as: 'ok', missing, others: owners, unwritten }
}

/** The answer of the script `join`. */
export function asJoined([as, detail, over]: readonly unknown[]): Joined {
  if (as === 'held') return { as, left: Number(detail) }
  if (as === 'joined') return { as, aside: words(detail), over: words(over) }
  return { as: as === 'lost' ? 'lost' : 'changed' }
}

/** The answer of the script `beat`. */
export function asBeat([as, ...rest]: readonly unknown[]): Beat {
  if (as === 'former') return { as, holder: asText(rest[0]) }
  if (as !== 'ok') return { as: as as 'gone' | 'other' | 'ended' }
  const [seq, sparks, whole, members, servers, turn, prompt, breaks, users, room, agreed, groups, back] = rest
  return {
    as,
    seq: Number(seq),
    sparks: Number(sparks),
    whole: whole === 1,
    members: asText(members),
    servers: Number(servers),
    turn: turn === 1,
    prompt: prompt === 1,
    breaks: Number(breaks),
    users: Number(users),
    room: room === 1,
    agreed: agreed === 1,
    groups: Number(groups),
    back: back === 1
  }
}

/** The addresses in an answer of the script `changes`: of each, itself, 1 if it is listed, 1 if it has a life. */
export function asChanged(flat: readonly unknown[]): {
  readonly addresses: string[]
  readonly servers: Set<string>
  readonly kept: Set<string>
} {
  const addresses: string[] = []
  const servers = new Set<string>()
  const kept = new Set<string>()
  for (let i = 0; i < flat.length; i += 3) {
    const address = String(flat[i])
    addresses.push(address)
    if (flat[i + 1] === 1) servers.add(address)
    if (flat[i + 2] === 1) kept.add(address)
  }
  return { addresses, servers, kept }
}

/** The fields of a life that describe its server. */
const DESCRIBED = [
  'name',
  'version',
  'protocol',
  'pathname',
  'transport',
  'word',
  'kinds',
  'network',
  'tag',
  'drains'
] as const satisfies readonly (keyof Description)[]

/** The fields of a life that peers read. */
export const LIFE = ['id', 'state', 'aside', 'over', 'former', 'farewell', ...DESCRIBED] as const

/** The values of those fields; `undefined` where there is no life. */
export function asLife(values: readonly (string | null)[]): LifeRecord | undefined {
  const [life, state, aside, over, former, farewell, ...described] = values
  if (typeof life !== 'string') return undefined
  return {
    life,
    state: state as LifeRecord['state'],
    aside: words(aside),
    over: words(over),
    description: Object.fromEntries(
      DESCRIBED.map((field, i) => [field, asText(described[i])])
    ) as unknown as Description,
    ...(typeof former === 'string' && { former: { life: former, farewell: farewell as Farewell } })
  }
}

/** A hash as Redis lists it: pairs of a field and its value. */
export function paired(flat: unknown): (readonly [field: string, value: string])[] {
  const texts = flat as string[]
  return Array.from({ length: texts.length / 2 }, (_, i) => [texts[2 * i] ?? '', texts[2 * i + 1] ?? ''] as const)
}

/**
 * Decodes bytes that are mostly the same few texts, such as the addresses of servers.
 *
 * A cache returns the string of the last decoding, because making a string for each answer is expensive.
 */
export class Texts {
  /** By their last two bytes: in an address, those belong to its port. */
  readonly #cache: { readonly bytes: Buffer; readonly text: string }[] = []

  of(bytes: Buffer): string {
    const { length } = bytes
    const at = ((bytes[length - 1] ?? 0) * 16 + (bytes[length - 2] ?? 0)) & 0xff
    const cached = this.#cache[at]
    if (cached?.bytes.equals(bytes) === true) return cached.text
    const text = bytes.toString()
    // A copy: the slice itself would keep the whole answer of Redis in memory.
    this.#cache[at] = { bytes: Buffer.from(bytes), text }
    return text
  }
}

/** The lives and tombstones at these addresses, whose fields were read in their order, by address. */
export function asLives(addresses: readonly string[], answers: readonly unknown[]): Map<string, LifeRecord> {
  const lives = new Map<string, LifeRecord>()
  answers.forEach((values, i) => {
    const life = asLife(values as (string | null)[])
    if (life !== undefined) lives.set(addresses[i] ?? '', life)
  })
  return lives
}
