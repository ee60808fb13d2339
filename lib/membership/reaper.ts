import { ignore } from '../callback'
import { now } from '../deadline'
import type { Identity, LifeRecord, Sweeper } from '../registry/records'
import type { Registry } from '../registry/registry'

/** What a reaper reports. */
export interface ReaperEvents {
  /** A life was declared dead. */
  buried(address: string, life: string): void
  /** Spark ids of a dead server, about to be removed. */
  reap(address: string, sparks: string[]): void
}

/** How patient a reaper is, in ms. */
export interface ReaperTerms {
  /** How long it holds the sweep without renewing it. */
  readonly hold: number
  /** How long our own lease lives. */
  readonly lease: number
  /** For how long the alive key of a server of 1.x must be missing. */
  readonly interval: number
}

/**
 * Removes servers that died, with all that they held. One server sweeps at a time for the whole cluster.
 *
 * A life without a lease is declared dead, in one script with the check; from then on nobody finds it. Its sparks are
 * removed in slices, each told before it is forgotten, so that a reaper that dies half-way leaves none unreported.
 * A server of 1.x, which has no life, is dead when its alive key has been missing for a whole `interval` of ours.
 */
export class Reaper {
  /** Since when the alive key of a server of 1.x has been missing. */
  readonly #missing = new Map<string, number>()
  #sweeping: Promise<void> | undefined
  #renewed = 0
  #stopped = false

  constructor(
    private readonly registry: Pick<Registry, 'census' | 'vitals' | 'bury' | 'doomed' | 'reap' | 'bid' | 'leftovers' | 'clear' | 'forget' | 'hold'>,
    private readonly terms: ReaperTerms,
    private readonly events: ReaperEvents
  ) {}

  /** Look after everybody once, on the sweep's turn. Calls that come while one runs share it. */
  sweep(sweeper: Sweeper): Promise<void> {
    return this.#sweeping ??= this.#sweep(sweeper).finally(() => { this.#sweeping = undefined })
  }

  /** Remove what is left of a life that has ended. `told`: whether its ids are reported. */
  async clean(dead: Identity, told: boolean, aside: readonly string[] = [], goOn: () => Promise<boolean> = yes): Promise<void> {
    for (const name of aside) await this.clear(dead.address, name, told, goOn)
    let next = this.registry.doomed(dead, '0')
    let removed = Promise.resolve(true)
    while (!this.#stopped && await goOn()) {
      const slice = await next
      if (slice === null) return
      const last = slice.cursor === '0'
      // Redis reads the next slice while we tell of this one, and it removes this one while we hear of the next.
      if (!last) next = this.registry.doomed(dead, slice.cursor)
      next.catch(ignore)
      if (told && slice.ids.length > 0) this.events.reap(dead.address, slice.ids)
      const before = removed
      removed = this.registry.reap(dead, slice.ids)
      removed.catch(ignore)
      if (!await before) return
      if (!last) continue
      if (await removed) await this.registry.bid(dead)
      return
    }
  }

  /**
   * Remove what a former life left behind at an address, sparing the sparks that are back.
   *
   * @param back whether a spark is back, although the registry may not know it yet
   */
  async clear(
    address: string, aside: string, told: boolean, goOn: () => Promise<boolean> = yes, back: (id: string) => boolean = no
  ): Promise<void> {
    let cursor = '0'
    while (!this.#stopped && await goOn()) {
      const slice = await this.registry.leftovers(address, aside, cursor)
      const stale = slice.ids.filter(id => !back(id))
      if (told && stale.length > 0) this.events.reap(address, stale)
      if (stale.length > 0) await this.registry.clear(address, stale)
      cursor = slice.cursor
      if (cursor !== '0') continue
      await this.registry.forget(address, aside)
      return
    }
  }

  /** Begin no further slice; resolves when none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#sweeping?.catch(() => undefined)
  }

  async #sweep(sweeper: Sweeper): Promise<void> {
    const { me } = sweeper
    this.#renewed = now()
    const { servers, lives, kept } = await this.registry.census([])
    const others = [...new Set([...servers, ...kept])].filter(address => address !== me.address)
    const vitals = await this.registry.vitals(others)
    for (const address of this.#missing.keys()) if (!servers.has(address)) this.#missing.delete(address)
    for (const address of others) {
      const { leased, alive } = vitals.get(address) ?? { leased: false, alive: false }
      const record = lives.get(address)
      const over = record === undefined || !kept.has(address)
      if (leased || (over && !this.#expired(address, servers.has(address) && !alive))) continue
      if (!await this.#bury(sweeper, address, over ? undefined : record)) return
      if (!await this.#goOn(me)) return
    }
  }

  /** Bury a server, and reap what it held; `false` when the sweep has to wait for our next beat. */
  async #bury(sweeper: Sweeper, address: string, record: LifeRecord | undefined): Promise<boolean> {
    const dead = { address, life: record?.life ?? '' }
    // A life that left cleans up after itself, and has been told as such.
    const told = record?.state !== 'left'
    if (record?.state !== 'dead') {
      const verdict = await this.registry.bury(dead, sweeper, this.terms)
      if (verdict !== 'dead') return verdict !== 'late'
    }
    this.#missing.delete(address)
    if (told) this.events.buried(address, dead.life)
    await this.clean(dead, told, record?.aside, () => this.#goOn(sweeper.me))
    return true
  }

  /** Whether a server of 1.x has been without its alive key for long enough. */
  #expired(address: string, missing: boolean): boolean {
    if (!missing) {
      this.#missing.delete(address)
      return false
    }
    const since = this.#missing.get(address)
    if (since === undefined) this.#missing.set(address, now())
    return since !== undefined && now() - since >= this.terms.interval
  }

  /** Whether the sweep is still ours; renewed now and then. */
  async #goOn({ life }: Identity): Promise<boolean> {
    if (this.#stopped) return false
    if (now() - this.#renewed < this.terms.hold / 3) return true
    this.#renewed = now()
    return this.registry.hold('sweep', life, this.terms.hold)
  }
}

function yes(): Promise<boolean> {
  return Promise.resolve(true)
}

function no(): boolean {
  return false
}
