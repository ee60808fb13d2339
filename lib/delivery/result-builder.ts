import { now } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Failure, Result } from '../common/types'

/** The address in `failed` that stands for the registry. */
export const REGISTRY = ''

/** Collects the results of one message. */
export class ResultBuilder {
  readonly #missing = new Set<string>()
  readonly #failed: Failure[] = []

  /** By `performance.now()`. */
  readonly deadline: number

  constructor(
    timeout: number,
    public send: number,
    public local = false
  ) {
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
      ...(known && error.status !== undefined && { status: error.status }),
      ...(sparks && { sparks })
    })
  }

  /** @param strict whether missing ids make `ok` false */
  result(strict: boolean): Result {
    const failed = this.#failed
    const missing = [...this.#missing]
    return {
      ok: failed.length === 0 && (!strict || missing.length === 0),
      send: this.send,
      ...(this.local && { local: true }),
      ...(missing.length > 0 && { missing }),
      ...(failed.length > 0 && { failed })
    }
  }
}
