/** Warnings of Node.js that point to a fault of ours. */
const alarming = new Set(['MaxListenersExceededWarning', 'TimeoutOverflowWarning', 'TimeoutNegativeWarning'])

/**
 * Whether a warning of the process is a mistake in the making: listeners that pile up,
 * or a timer that fires at once because its time was nonsense.
 */
export function isAlarming(warning: Error): boolean {
  return alarming.has(warning.name)
}

/**
 * Collects what happens behind the back of a test: unhandled rejections and alarming warnings.
 *
 * @example
 * const accidents = new Accidents()
 * accidents.watch()
 * for (const error of await accidents.take()) fail(error)
 */
export class Accidents {
  readonly #errors: Error[] = []

  /** Start to listen, for the rest of the process; a rejection no longer ends it. */
  watch(): void {
    process.on('unhandledRejection', reason => {
      this.#errors.push(new Error(`unhandled rejection: ${String(reason)}`, { cause: reason }))
    })
    process.on('warning', warning => {
      if (isAlarming(warning)) this.#errors.push(warning)
    })
  }

  /** Hands over what was collected since the last time, the rejections of this very turn included. */
  async take(): Promise<Error[]> {
    await new Promise(resolve => setImmediate(resolve))
    return this.#errors.splice(0)
  }
}
