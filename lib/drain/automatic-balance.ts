import { ignore } from '../common/callback'
import type { BalanceTerms } from '../common/types'
import type { Balance } from './balance'

/**
 * Balances again and again, at random moments, so that servers do not act in step. It rests while the clients that were
 * let go last came straight back.
 */
export class AutomaticBalance {
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly balance: Pick<Balance, 'run' | 'active' | 'warning'>,
    private readonly terms: BalanceTerms,
    /** The shortest pause between two runs, in ms; the longest is twice as long. */
    private readonly pause: number,
    private readonly random: () => number = Math.random
  ) {
    this.#wait()
  }

  /** Begin no more runs. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #wait(): void {
    if (this.#closed) return
    this.#timer = setTimeout(
      () => {
        this.#run().catch(ignore)
      },
      this.pause * (1 + this.random())
    ).unref()
  }

  async #run(): Promise<void> {
    const { active, warning } = this.balance
    // A run that goes on keeps the options that it was given.
    if (!active && warning === '') await this.balance.run(this.terms)
    this.#wait()
  }
}
