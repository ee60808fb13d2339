import { besides, ThrottledReports } from '../reporting/throttled-reports'
import { MetroplexError } from '../common/errors'
import type { PresenceStore } from '../registry/stores/presence-store'
import { Teller } from './teller'
import { Watchers } from './watchers'

/** The handlers of this process, and what tells the announcements of all registries to them. */
export class PresenceHub {
  readonly #watchers = new Watchers()
  readonly #tellers: readonly Teller[]

  /** @param failed is given failures of handlers, at most one a minute */
  constructor(
    private readonly stores: readonly PresenceStore[],
    failed: (error: Error) => void
  ) {
    const reports = new ThrottledReports(failed)
    const events = {
      failed: (error: Error): void => {
        reports.complain('handler', withheld =>
          withheld === 0
            ? error
            : new MetroplexError('EWATCH', `${error.message}${besides(withheld)}`, { cause: error.cause })
        )
      }
    }
    this.#tellers = stores.map(store => new Teller(store, this.#watchers, events))
  }

  /** Call these handlers from now on. @returns a function that ends it @throws TypeError for wrong handlers */
  watch(handlers: unknown): () => void {
    if (!this.stores.every(({ telling }) => telling)) {
      throw new TypeError(
        'metroplex: `watch` needs the option `metroplex.grace`, the same on all servers, such as { grace: 10000 }; ' +
          'given: no `grace`.'
      )
    }
    const stop = this.#watchers.add(handlers)
    for (const teller of this.#tellers) teller.start()
    return stop
  }

  /** Tell nothing more. */
  close(): void {
    for (const teller of this.#tellers) teller.close()
  }
}
