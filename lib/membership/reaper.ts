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
 * removed in slices, each told before it is forgotten, so that a reaper that dies half-way leaves none unreported. Then come the users behind them.
 * A server of 1.x, which has no life, is dead when its alive key has been missing for a whole `interval` of ours.
 */
export class Reaper {
  /** Since when the alive key of a server of 1.x has been missing. */
  readonly #missing = new Map<string, number>()
  #sweeping: Promise<void> | undefined
  #renewed = 0
  #stopped = false

  constructor(
    private readonly registry: Pick<Registry, 'census' | 'vitals' | 'remains' | 'users'>,
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
    const { registry, events } = this
    const { address } = dead
    const reaped = await this.#through(cursor => registry.remains.doomed(dead, cursor), ({ ids }) => {
      if (told && ids.length > 0) events.reap(address, ids)
      return registry.remains.reap(dead, ids)
    }, goOn)
    if (!reaped) return
    const { users } = registry
    const unnamed = await this.#through(cursor => users.page(address, cursor), ({ named }) => users.unname(dead, named), goOn)
    if (unnamed) await registry.remains.bid(dead)
  }

  /** Read all slices, and remove each; `false` when that was given up, or is no longer right. */
  async #through<S extends { readonly cursor: string }>(
    read: (cursor: string) => Promise<S | null>, remove: (slice: S) => Promise<boolean>, goOn: () => Promise<boolean>
  ): Promise<boolean> {
    let next = read('0')
    let removed = Promise.resolve(true)
    while (!this.#stopped && await goOn()) {
      const slice = await next
      if (slice === null) return false
      const last = slice.cursor === '0'
      // Redis reads the next slice while we tell of this one, and it removes this one while we hear of the next.
      if (!last) next = read(slice.cursor)
      next.catch(ignore)
      const before = removed
      removed = remove(slice)
      removed.catch(ignore)
      if (!await before) return false
      if (last) return removed
    }
    return false
  }

  /**
   * Remove what a former life left behind at an address, sparing the sparks that are back.
   *
   * @param back whether a spark is back, although the registry may not know it yet
   */
  async clear(
    address: string, aside: string, told: boolean, goOn: () => Promise<boolean> = yes, back: (id: string) => boolean = no
  ): Promise<void> {
    const { registry, events } = this
    const { users } = registry
    const cleared = await this.#through(cursor => registry.remains.leftovers(address, aside, cursor), async ({ ids }) => {
      const stale = ids.filter(id => !back(id))
      if (told && stale.length > 0) events.reap(address, stale)
      if (stale.length > 0) await registry.remains.clear(address, stale)
      return true
    }, goOn)
    if (!cleared) return
    const unnamed = await this.#through(cursor => users.page(address, cursor, aside), async ({ named }) => {
      await users.clear(address, named)
      return true
    }, goOn)
    if (unnamed) await registry.remains.forget(address, aside)
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
    // A life that left cleans up after itself, and has been told as such; also one that has left since it was looked at.
    let told = record?.state !== 'left'
    if (record?.state !== 'dead') {
      const verdict = await this.registry.remains.bury(dead, sweeper, this.terms)
      if (verdict === 'replaced') await this.clear(address, dead.life, false)
      if (verdict === 'left') told = false
      else if (verdict !== 'dead') return verdict !== 'late'
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
    return this.registry.remains.hold('sweep', life, this.terms.hold)
  }
}

function yes(): Promise<boolean> {
  return Promise.resolve(true)
}

function no(): boolean {
  return false
}
