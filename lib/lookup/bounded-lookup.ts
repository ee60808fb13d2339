import { withTimeout } from '../common/async'
import { MetroplexError } from '../common/errors'

/** Bound a question of several steps to the registry by one deadline, in ms. @throws MetroplexError `EREGISTRY` */
export function boundedLookup<T>(question: Promise<T>, ms: number): Promise<T> {
  return withTimeout(
    question,
    Math.max(0, ms),
    () => new MetroplexError('EREGISTRY', `Redis did not answer within ${Math.round(ms)} ms.`)
  )
}
