import { ignore } from './callback'
import { asError, MetroplexError } from './errors'
import type { Spark } from './types'

/**
 * Asks the application who is behind sparks that come: the option `user`, which may take its time.
 *
 * What is said of a spark otherwise meanwhile was said later, and stands.
 */
export class Naming {
  /** Of whom it has not been said yet, by id. */
  readonly #asked = new Map<string, Spark>()

  constructor(
    private readonly user: ((spark: Spark) => unknown) | undefined,
    private readonly identify: (id: string, name: unknown) => Promise<void>,
    private readonly failed: (error: Error) => void
  ) {}

  /** A spark has come. */
  ask(id: string, spark: Spark): void {
    const { user } = this
    if (user === undefined) return
    this.#asked.set(id, spark)
    const named = async (): Promise<void> => {
      const name = await user(spark)
      // It may have gone, and another one have come under its id.
      if (name !== undefined && this.#asked.get(id) === spark) await this.identify(id, name)
    }
    named().catch((error: unknown) => {
      // Whoever has gone needs no name, and what Redis has not been told it is told with all the rest.
      const known = error instanceof MetroplexError && (error.code === 'ENOSPARK' || error.code === 'EREGISTRY')
      if (!known) this.failed(asError(error))
    }).finally(() => { this.gone(id, spark) }).catch(ignore)
  }

  /** It has been said who is behind a spark. */
  told(id: string): void {
    this.#asked.delete(id)
  }

  /** A spark has gone. */
  gone(id: string, spark: Spark): void {
    if (this.#asked.get(id) === spark) this.#asked.delete(id)
  }
}
