import type { Outcome } from './task'

/** What became of all messages: the senders' results compared with what clients received. */
export interface Sums {
  sent: number
  /** Reported as sent, and arrived. */
  arrived: number
  /** Reported as missing: no server had the spark. */
  missing: number
  /** Reported as failed, or as possibly failed. */
  failed: number
  /** Reported as sent, and not arrived. */
  lost: number
  /** Arrived more than once, or although it was reported as not sent. */
  wrong: number
}

/** Compares the results of the senders with what the clients received. */
export class Ledger {
  readonly #outcomes = new Map<string, Outcome>()

  /** Records the result of a message. */
  note(n: string, outcome: Outcome): void {
    this.#outcomes.set(n, outcome)
  }

  /** @param heard how often each message arrived, by its number */
  sums(heard: ReadonlyMap<string, number>): Sums {
    const sums: Sums = { sent: this.#outcomes.size, arrived: 0, missing: 0, failed: 0, lost: 0, wrong: 0 }
    for (const [n, outcome] of this.#outcomes) {
      const times = heard.get(n) ?? 0
      if (times > 1 || (times === 1 && (outcome === 'missing' || outcome === 'failed'))) sums.wrong++
      else if (outcome === 'missing') sums.missing++
      else if (outcome !== 'sent') sums.failed++
      else if (times === 1) sums.arrived++
      else sums.lost++
    }
    return sums
  }
}
