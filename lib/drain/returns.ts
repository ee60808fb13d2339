import { createHash } from 'node:crypto'
import type { Spark } from '../common/types'

/** How soon a client that was let go connects again, in ms. Primus's own client first waits for up to a second. */
export const STRAIGHT = 5000

/** So many clients, and so many standard deviations above the mean, are no accident. */
const [FEWEST, DEVIATIONS] = [8, 4]

/** After so many clients, all numbers are halved: what happened long ago says little of the balancer of today. */
const MOST = 1000

/** What a connection of a client has in common with its next one; one mark for clients that look alike. */
export type Trace = string

/** In the URLs of transformers, these differ from one connection to the next. */
const PASSING: ReadonlySet<string> = new Set(['_primuscb', 't', 'sid', 'transport', 'EIO', 'b64'])

/** The trace of a spark: its address, browser, cookies and query. */
export function traceOf({ address, headers, query }: Spark): Trace {
  const lasting = Object.entries(query ?? {})
    .filter(([key]) => !PASSING.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = [address?.ip, headers?.['user-agent'], headers?.cookie, lasting]
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}

/**
 * Counts how many of the clients that a server let go come straight back to it, and judges whether a balancer sends
 * them.
 *
 * A balancer that chooses at random leads one in as many clients as there are servers back. One with sticky sessions
 * leads all of them back. A client is recognised by its trace, and each client that was let go counts once.
 * Times are those of a monotonic clock, in ms, given by the caller.
 */
export class Returns {
  /** The clients that were let go within `STRAIGHT` and are not back, oldest first. */
  #away: { readonly trace: Trace; readonly at: number }[] = []
  #gone = 0
  #back = 0

  /** Whether any client that was let go may still come back. */
  get expected(): boolean {
    return this.#away.length > 0
  }

  /** A client was let go. */
  letGo(trace: Trace, now: number): void {
    this.#away.push({ trace, at: now })
    if (++this.#gone <= MOST) return
    this.#gone /= 2
    this.#back /= 2
  }

  /** A client has connected. @returns whether it was let go before, and comes straight back */
  arrived(spark: Spark, now: number): boolean {
    const fresh = this.#away.findIndex(({ at }) => now - at <= STRAIGHT)
    this.#away.splice(0, fresh === -1 ? this.#away.length : fresh)
    if (this.#away.length === 0) return false
    const trace = traceOf(spark)
    const found = this.#away.findIndex(one => one.trace === trace)
    if (found === -1) return false
    this.#away.splice(found, 1)
    this.#back++
    return true
  }

  /** Whether most clients come back, and more than could by chance, of this many servers. */
  sticky(servers: number): boolean {
    const chance = 1 / servers
    const expected = this.#gone * chance
    const limit = expected + DEVIATIONS * Math.sqrt(expected * (1 - chance))
    return this.#gone >= FEWEST && this.#back > this.#gone / 2 && this.#back > limit
  }

  /** Begin to count anew. */
  forget(): void {
    this.#away = []
    this.#gone = this.#back = 0
  }
}
