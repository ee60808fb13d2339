import { inspectValue } from '../common/errors'
import { misused } from './misuse'

const ONCE =
  'metroplex: a transformer of rooms runs once, before the message goes to all servers, and not once for each spark. '

function noSpark(): never {
  throw misused(
    'transformer',
    `${ONCE}So its \`this\` is no spark: write with \`forward.sparks\` what differs between sparks.`
  )
}

/** The `this` of transformers. */
const NO_SPARK: object = new Proxy({}, { get: noSpark, set: noSpark, has: noSpark, ownKeys: noSpark })

/**
 * What a transformer of primus-rooms makes of the arguments of `write` or `send`; `undefined` when it returns `false`,
 * which sends nothing.
 *
 * @throws TypeError for a transformer that calls back later, or uses its spark; and what it throws itself
 */
export function transformed(data: readonly unknown[], transformer: unknown): readonly unknown[] | undefined {
  if (typeof transformer !== 'function') return data
  if (transformer.length > 1)
    throw misused(
      'transformer',
      `${ONCE}So it cannot call back later: give it one parameter; given: ${inspectValue(transformer)}.`
    )
  // As the adapters of primus-rooms do: a change must not reach the application's value.
  const packet = { data: JSON.parse(JSON.stringify(data)) as unknown[] }
  return Reflect.apply(transformer, NO_SPARK, [packet]) === false ? undefined : packet.data
}
