import { now, pause } from '../deadline'
import type { Healer } from '../registry/healer'
import type { Identity } from '../registry/records'
import type { Remains } from '../registry/remains'

/** What an auditor reports. */
export interface AuditorEvents {
  /** So many of our own entries were wrong, and are right again; how long it took, in ms. */
  healed(sparks: number, ms: number): void
  /** Spark ids that were registered under an address where nobody is. */
  reap(address: string, sparks: string[]): void
}

/** How long an auditor rests between two slices, in ms: what it does must not be felt. */
const REST = 50

/**
 * Looks, every few minutes and slowly, for what no beat can see: entries that are wrong although their number is right.
 *
 * Each server compares its own sparks with the registry. One server for the whole cluster goes through all entries, and finds those
 * which their owner does not have among its own, so that it would never remove them.
 */
export class Auditor {
  #own: number
  #all: number
  #renewed = 0
  #running: Promise<void> | undefined

  constructor(
    private readonly healer: Pick<Healer, 'audit'>,
    private readonly remains: Pick<Remains, 'turn' | 'hold' | 'entries' | 'lacking' | 'astray'>,
    /** From one audit to the next, in ms. */
    private readonly every: number,
    private readonly events: AuditorEvents
  ) {
    this.#own = this.#soon()
    this.#all = this.#soon()
  }

  /** Begin what is due, if anything. Calls that come while an audit runs share it. Rejects when Redis fails; what was left comes next time. */
  look(me: Identity, goOn: () => boolean): Promise<void> {
    return this.#running ??= this.#look(me, goOn).finally(() => { this.#running = undefined })
  }

  async #look(me: Identity, goOn: () => boolean): Promise<void> {
    const rest = async (): Promise<boolean> => {
      await pause(REST)
      return goOn()
    }
    if (now() >= this.#own) {
      this.#own = this.#soon()
      const began = now()
      const wrong = await this.healer.audit(me, rest)
      if (wrong > 0) this.events.healed(wrong, now() - began)
    }
    if (now() >= this.#all && goOn()) {
      this.#all = this.#soon()
      // Whoever comes first does it for all, and for as long as it does, nobody else.
      const hold = Math.floor(this.every / 2)
      if (await this.remains.turn(me.life, hold)) await this.#stray(() => this.#goOn(me, hold, rest))
    }
  }

  /** Rest, and see whether it is still our turn; renewed now and then. */
  async #goOn({ life }: Identity, hold: number, rest: () => Promise<boolean>): Promise<boolean> {
    if (!await rest()) return false
    if (now() - this.#renewed < hold / 3) return true
    this.#renewed = now()
    return this.remains.hold('audit', life, hold)
  }

  async #stray(goOn: () => Promise<boolean>): Promise<void> {
    this.#renewed = now()
    let cursor = '0'
    do {
      const page = await this.remains.entries(cursor)
      for (const [owner, ids] of await this.remains.lacking(page.owners)) {
        const { removed } = await this.remains.astray(owner, ids)
        if (removed.length > 0) this.events.reap(owner, removed)
      }
      cursor = page.cursor
    } while (cursor !== '0' && await goOn())
  }

  /** A moment about one period from now: a fleet that started at once must not audit at once. */
  #soon(): number {
    return now() + this.every * (0.5 + Math.random())
  }
}
