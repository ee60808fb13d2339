import { now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { Failure, Result } from '../types'

/** What stands in `failed` for the registry, which has no address of a server. */
export const REGISTRY = ''

/** A result in the making. */
export class Sum {
  readonly #missing = new Set<string>()
  readonly #failed: Failure[] = []

  /** Until when, by `performance.now()`. */
  readonly deadline: number

  constructor(timeout: number, public send: number, public local = false) {
    this.deadline = now() + timeout
  }

  miss(ids: readonly string[]): void {
    for (const id of ids) this.#missing.add(id)
  }

  fail(address: string, thrown: unknown, sparks?: readonly string[]): void {
    const error = asError(thrown)
    const known = error instanceof MetroplexError
    this.#failed.push({
      address,
      code: known ? error.code : 'EPROTOCOL',
      message: error.message,
      maybe: known && error.maybe === true,
      ...sparks && { sparks }
    })
  }

  /** @param strict whether ids that nobody has count against `ok` */
  result(strict: boolean): Result {
    const failed = this.#failed
    const missing = [...this.#missing]
    return {
      ok: failed.length === 0 && (!strict || missing.length === 0),
      send: this.send,
      ...this.local && { local: true },
      ...missing.length > 0 && { missing },
      ...failed.length > 0 && { failed }
    }
  }
}
