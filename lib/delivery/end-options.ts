import { inspectValue } from '../common/errors'
import type { EndOptions } from '../common/types'

/** Whether clients of ended sparks are to reconnect. @throws TypeError for wrong options */
export async function reconnectOf(options: unknown): Promise<boolean> {
  const { reconnect = false, ...more } = (options ?? {}) as EndOptions
  if (
    (typeof options !== 'object' && options !== undefined) ||
    typeof reconnect !== 'boolean' ||
    Object.keys(more).length > 0
  ) {
    throw new TypeError(
      'metroplex: the options of `end` must be { reconnect: true } or { reconnect: false }; ' +
        `given: ${inspectValue(options)}.`
    )
  }
  return Promise.resolve(reconnect)
}
