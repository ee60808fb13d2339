import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { BEAT, LEASE } from './times'

/**
 * What a server would do, and nothing goes wrong with: it waits for a beat and asks Redis, past all that is done to the
 * servers.
 *
 * A busy machine makes servers late: the one that does not beat within half of its lease must not bury others until it
 * has beaten for a lease. How late this control is, in the same process and at the same time, is what the machine adds
 * to every bound.
 */
export class Control {
  readonly #lost: { readonly at: number; readonly ms: number }[] = []
  readonly #running: Promise<void>
  #over = false
  #skipped = false

  constructor(private readonly client: Redis) {
    this.#running = this.#run()
  }

  /** How long the machine has kept servers from their work since then, in ms. @param since in epoch ms */
  lost(since: number): number {
    return this.#lost.reduce((sum, { at, ms }) => (at > since ? sum + ms : sum), 0)
  }

  /** Redis itself is kept from answering: what is measured now says nothing about the machine. */
  skip(): void {
    this.#skipped = true
  }

  async stop(): Promise<void> {
    this.#over = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const began = Date.now()
      await sleep(BEAT)
      await this.client.ping()
      const at = Date.now()
      const late = at - began - BEAT
      if (!this.#skipped && late > 0) this.#lost.push({ at, ms: late > LEASE / 2 - BEAT ? late + LEASE : late })
      this.#skipped = false
    }
  }
}
