import { now, delay } from '../common/async'
import type { Healer } from '../sync/healer'
import type { LifeId } from '../registry/records'
import type { Cleanup } from '../registry/cleanup'

/** What an auditor reports. */
export interface AuditorEvents {
  /** The audit has corrected this many entries of this server, in this many ms. */
  healed(sparks: number, ms: number): void
  /** The audit has removed these spark ids, which were registered under the address of no server. */
  reap(address: string, sparks: string[]): void
}

/** Pause between two slices, in ms, so that an audit does not slow other work. */
const REST = 50

/**
 * Looks every few minutes for entries that are wrong although their number is right, which no beat can see.
 *
 * Each server compares its own sparks with the registry. One server for the whole cluster also pages through all
 * entries and looks for those that their owner does not list, because the owner would never remove them.
 */
export class Auditor {
  /** When the next audit of this server's own entries, and of all entries, is due; by `performance.now()`. */
  #ownDue: number
  #allDue: number
  #renewed = 0
  #running: Promise<void> | undefined

  constructor(
    private readonly healer: Pick<Healer, 'audit'>,
    private readonly remains: Pick<Cleanup, 'turn' | 'hold' | 'entries' | 'lacking' | 'astray'>,
    /** From one audit to the next, in ms. */
    private readonly interval: number,
    private readonly events: AuditorEvents
  ) {
    this.#ownDue = this.#nextDue()
    this.#allDue = this.#nextDue()
  }

  /**
   * Run the audits that are due. Calls made while one runs share it.
   *
   * @throws MetroplexError `EREGISTRY` when Redis fails; the next audit covers the rest
   */
  runDue(me: LifeId, goOn: () => boolean): Promise<void> {
    return (this.#running ??= this.#runDue(me, goOn).finally(() => {
      this.#running = undefined
    }))
  }

  async #runDue(me: LifeId, goOn: () => boolean): Promise<void> {
    const rest = async (): Promise<boolean> => {
      await delay(REST)
      return goOn()
    }
    if (now() >= this.#ownDue) {
      this.#ownDue = this.#nextDue()
      const began = now()
      const wrong = await this.healer.audit(me, rest)
      if (wrong > 0) this.events.healed(wrong, now() - began)
    }
    if (now() >= this.#allDue && goOn()) {
      this.#allDue = this.#nextDue()
      // The first server that asks audits for the whole cluster, and holds the turn while it does.
      const hold = Math.floor(this.interval / 2)
      if (await this.remains.turn(me.life, hold)) await this.#auditAll(() => this.#holdsTurn(me, hold, rest))
    }
  }

  /** Rest, then check whether the turn is still ours; renew it three times in `hold`. */
  async #holdsTurn({ life }: LifeId, hold: number, rest: () => Promise<boolean>): Promise<boolean> {
    if (!(await rest())) return false
    if (now() - this.#renewed < hold / 3) return true
    this.#renewed = now()
    return this.remains.hold('audit', life, hold)
  }

  async #auditAll(goOn: () => Promise<boolean>): Promise<void> {
    this.#renewed = now()
    let cursor = '0'
    do {
      const page = await this.remains.entries(cursor)
      for (const [owner, ids] of await this.remains.lacking(page.owners)) {
        const { removed } = await this.remains.astray(owner, ids)
        if (removed.length > 0) this.events.reap(owner, removed)
      }
      cursor = page.cursor
    } while (cursor !== '0' && (await goOn()))
  }

  /** A random moment about one interval from now, so that servers that start together do not audit together. */
  #nextDue(): number {
    return now() + this.interval * (0.5 + Math.random())
  }
}
