import { inspectValue } from '../common/errors'
import type { EndOptions, EndUserOptions } from '../common/types'
import { milliseconds } from '../common/validate'

/** Whether clients of ended sparks are to reconnect. @throws TypeError for wrong options */
export async function reconnectOf(options: unknown): Promise<boolean> {
  const { reconnect = false, ...more } = (options ?? {}) as EndOptions
  if (!isObject(options) || typeof reconnect !== 'boolean' || Object.keys(more).length > 0) {
    throw new TypeError(
      'metroplex: the options of `end` must be { reconnect: true } or { reconnect: false }; ' +
        `given: ${inspectValue(options)}.`
    )
  }
  return Promise.resolve(reconnect)
}

/** How sparks of users are ended. @throws TypeError or RangeError for wrong options */
export async function endUserOptions(options: unknown): Promise<{ reconnect: boolean; out: number | undefined }> {
  const { for: out, reconnect = false, ...more } = (options ?? {}) as EndUserOptions
  if (!isObject(options) || typeof reconnect !== 'boolean' || Object.keys(more).length > 0)
    throw new TypeError(
      'metroplex: the options of `endUser` must be an object such as { reconnect: true } or { for: 60000 }; ' +
        `given: ${inspectValue(options)}.`
    )
  return Promise.resolve({ reconnect, out: out === undefined ? undefined : milliseconds('for', out, 0, 0) })
}

function isObject(options: unknown): boolean {
  return options === undefined || (typeof options === 'object' && !Array.isArray(options))
}
