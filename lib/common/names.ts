import { inspectValue } from './errors'

/** The longest name of a user or a group, in bytes of UTF-8. */
const LONGEST = 1024

/** Turns a spark id into a string. @throws TypeError for anything but a number or a non-empty string */
export function idOf(id: unknown): string {
  if (typeof id === 'string' && id !== '') return id
  if (typeof id === 'number') return String(id)
  throw new TypeError(`metroplex: a spark id must be a string that is not empty; given: ${inspectValue(id)}.`)
}

/** Turns spark ids into strings, without duplicates. @throws TypeError */
export function idsOf(ids: unknown): string[] {
  if (!Array.isArray(ids))
    throw new TypeError(`metroplex: spark ids must be an array of strings; given: ${inspectValue(ids)}.`)
  return [...new Set(Array.from(ids, idOf))]
}

/** An id of Primus as a string, to compare it with ours. An application's `idGenerator` may make numbers. */
export function plain(id: unknown): unknown {
  return typeof id === 'number' ? String(id) : id
}

/**
 * Turns the name of a user into a string. @throws TypeError for anything but a number or a non-empty string;
 * RangeError for one that is too long
 */
export function userOf(user: unknown): string {
  if ((typeof user !== 'string' || user === '') && typeof user !== 'number')
    throw new TypeError(
      `metroplex: a user must be a string of 1 to ${LONGEST} bytes of UTF-8; given: ${inspectValue(user)}.`
    )
  return asStored('user', String(user))
}

/** Turns one user or several into strings, without duplicates. @throws TypeError, RangeError */
export function usersOf(users: unknown): string[] {
  return [...new Set(Array.from(Array.isArray(users) ? (users as unknown[]) : [users], userOf))]
}

/** Checks the name of a group. @throws TypeError for a value that is no name; RangeError for one that is too long */
export function groupOf(group: unknown): string {
  if (typeof group !== 'string' || group === '') {
    throw new TypeError(
      `metroplex: a group must be a string of 1 to ${LONGEST} bytes of UTF-8; given: ${inspectValue(group)}.`
    )
  }
  return asStored('group', group)
}

/** The names of one group or several, without duplicates. @throws TypeError, RangeError */
export function groupsOf(groups: unknown): string[] {
  return [...new Set(Array.from(Array.isArray(groups) ? (groups as unknown[]) : [groups], groupOf))]
}

/** The name as Redis returns it: a lone surrogate becomes the replacement character. @throws RangeError if too long */
function asStored(what: 'user' | 'group', name: string): string {
  const bytes = Buffer.from(name)
  if (bytes.length > LONGEST) {
    throw new RangeError(
      `metroplex: a ${what} must have at most ${LONGEST} bytes of UTF-8; given: ${bytes.length}, ${inspectValue(name)}.`
    )
  }
  return bytes.toString()
}
