import type { Outcome } from './task'

/** What has become of all messages, by who sent them and by who was to get them. */
export interface Sums {
  sent: number
  /** Handed to a spark, and it came to its client. */
  arrived: number
  /** The sender was told that nobody has the spark any more. */
  missing: number
  /** The sender was told that it did not get there, or may not have got there. */
  failed: number
  /** The sender was told that it got there, and it did not. */
  lost: number
  /** Came more than once, or although the sender was told that it did not get there. */
  wrong: number
}

/** Compares what senders were told with what clients heard. */
export class Ledger {
  readonly #outcomes = new Map<string, Outcome>()

  /** A sender was told what has become of a message. */
  note(n: string, outcome: Outcome): void {
    this.#outcomes.set(n, outcome)
  }

  /** @param heard how often each message came, by its number */
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
