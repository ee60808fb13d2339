import { inspectValue } from '../common/errors'
import { groupsOf } from '../common/names'
import { misused } from './misuse'

/**
 * Checks the names of rooms, which are groups.
 *
 * @param wildcard whether `*` is refused, which is a pattern to primus-rooms
 * @throws TypeError or RangeError for a value that is no name, or that would be a pattern
 */
export function roomsOf(rooms: unknown, wildcard: boolean): string[] {
  const names = groupsOf(rooms)
  const pattern = wildcard ? names.find(name => name.includes('*')) : undefined
  if (pattern === undefined) return names
  throw misused(
    'wildcard',
    `metroplex: a room must not contain \`*\`, because groups have no patterns; given: ${inspectValue(pattern)}. ` +
      "Let sparks join one room more for each pattern: `spark.join(['user', 'user:ann'])`. " +
      'Where `*` is a letter like any other, pass `new RoomsAdapter({ wildcard: false })`.'
  )
}
