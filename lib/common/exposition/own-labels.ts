import { inspectValue } from '../errors'
import type { Labels } from './family'

/** The labels that metroplex sets by itself. */
const OURS = [
  'address',
  'code',
  'le',
  'method',
  'name',
  'node',
  'outcome',
  'part',
  'role',
  'state',
  'transport',
  'type',
  'version',
  'worker'
]

/** The labels that an application adds to each sample. @throws TypeError that names the value and what is allowed */
export function labelsOf(given: unknown, what = 'labels'): Labels {
  if (given === undefined) return {}
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new TypeError(
      `metroplex: \`${what}\` must be an object such as { cluster: 'chat' }; given: ${inspectValue(given)}.`
    )
  for (const [label, value] of Object.entries(given)) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) || label.startsWith('__'))
      throw new TypeError(
        'metroplex: the name of a label must have letters, digits and _ only, and begin neither with a digit nor ' +
          `with __; given: ${inspectValue(label)}.`
      )
    if (OURS.includes(label))
      throw new TypeError(`metroplex: \`${what}.${label}\` is a label of metroplex's own: give it another name.`)
    if (typeof value !== 'string')
      throw new TypeError(`metroplex: \`${what}.${label}\` must be a string; given: ${inspectValue(value)}.`)
  }
  return { ...(given as Labels) }
}
