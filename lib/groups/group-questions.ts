import { MetroplexError } from '../common/errors'
import { parcel } from '../rpc/question'
import type { RpcResponder, Task } from '../rpc/responder'

// The kinds of questions about groups, as PROTOCOL.md lists them.

/** Lets sparks enter or leave groups. Detail: how, ids, groups; answer: how many sparks, and the absent ids. */
export const CHANGE = 'groups'
/** A page of the sparks in a group. Detail: the group, the id after which the page begins, how many. */
export const LIST = 'in'
/** The groups of a spark. Detail: its id. */
export const GROUPS_OF = 'groupsof'

/** How sparks change groups. */
export type Change = 'enter' | 'exit'

/** The answer to `CHANGE`. */
export type Changed = readonly [sparks: number, absent: readonly string[]]

/** A page of sparks in a group, sorted by id, each with its user. */
export type SparkPage = readonly (readonly [spark: string, user: string | null])[]

/** What answering uses of this server. */
export interface LocalGroups {
  /** The groups of an owned spark; `undefined` when it is not here. */
  of(id: string): readonly string[] | undefined
  /** The owned sparks that are in a group. */
  sparks(group: string): readonly string[]
  user(id: string): string | undefined
  change(
    how: Change,
    ids: readonly string[],
    groups: readonly string[] | undefined
  ): { readonly missing: readonly string[]; readonly written: Promise<void> }
}

/** The message of a question that says everything in its detail. */
export const NO_ARGUMENTS = parcel([])

/** The most sparks in one page. */
export const PAGE = 500

/** Answer questions of other servers, and of this one, about the groups of local sparks. */
export function answerGroupQuestions(responder: RpcResponder, local: LocalGroups): void {
  responder.handle(CHANGE, task => prepareChange(task, local))
  responder.handle(LIST, ({ detail }) => {
    const [group, after, most] = Array.isArray(detail) ? (detail as unknown[]) : []
    if (typeof group !== 'string' || typeof after !== 'string' || !Number.isInteger(most) || (most as number) < 1)
      throw new MetroplexError('EPROTOCOL', 'A page of a group must be named by [group, id, number].')
    return () => page(local, group, after, Math.min(most as number, PAGE))
  })
  responder.handle(GROUPS_OF, ({ detail }) => {
    if (typeof detail !== 'string') throw new MetroplexError('EPROTOCOL', 'A spark must be named by its id.')
    const groups = local.of(detail)
    if (groups === undefined) throw new MetroplexError('ENOSPARK', `This server does not hold the spark ${detail}.`)
    return () => groups
  })
}

/** The next page of the sparks in a group, in the order of their ids, which needs no memory between two pages. */
export function page(
  local: Pick<LocalGroups, 'sparks' | 'user'>,
  group: string,
  after: string,
  most: number
): SparkPage {
  return smallest(local.sparks(group), after, most).map(id => [id, local.user(id) ?? null])
}

/** The smallest `most` strings above `after`, sorted. One pass, because a group may have very many sparks. */
function smallest(ids: Iterable<string>, after: string, most: number): string[] {
  const found: string[] = []
  for (const id of ids) {
    const last = found.length < most ? undefined : found[most - 1]
    if (id <= after || (last !== undefined && id >= last)) continue
    let [low, high] = [0, found.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((found[middle] as string) < id) low = middle + 1
      else high = middle
    }
    found.splice(low, 0, id)
    if (found.length > most) found.pop()
  }
  return found
}

function prepareChange({ detail }: Task, local: LocalGroups): () => Promise<Changed> {
  const [how, ids, groups] = Array.isArray(detail) ? (detail as unknown[]) : []
  const known = how === 'enter' || how === 'exit'
  const whole = ids === null && how === 'exit' && groups !== null
  const all = groups === null && how === 'exit'
  if (!known || !(whole || areNames(ids)) || !(all || areNames(groups)))
    throw new MetroplexError('EPROTOCOL', "A change of groups must be ['enter' or 'exit', ids, groups].")
  return async () => {
    const names = groups === null ? undefined : groups
    const named = ids === null ? [...new Set((names ?? []).flatMap(group => local.sparks(group)))] : ids
    const { missing, written } = local.change(how, named, names)
    await written
    return [named.length - missing.length, missing]
  }
}

function areNames(list: unknown): list is string[] {
  return Array.isArray(list) && (list as unknown[]).every(name => typeof name === 'string' && name !== '')
}
