import { ignore } from '../common/callback'
import { now } from '../common/async'
import type { LifeId, LifeRecord, Survey, Sweeper } from '../registry/records'
import type { Registry } from '../registry/registry'

/** What a reaper reports. */
export interface ReaperEvents {
  /** A life was declared dead. */
  buried(address: string, life: string): void
  /** Spark ids of a dead server, about to be removed. */
  reap(address: string, sparks: string[]): void
}

/** Leases and limits of a reaper, in ms. */
export interface ReaperTerms {
  /** How long it holds the sweep without renewing it. */
  readonly hold: number
  /** The lease of this server. */
  readonly lease: number
  /** How long the alive key of a server of 1.x must be missing before that server counts as dead. */
  readonly interval: number
}

/**
 * Removes servers that died, with all that they held. One server sweeps at a time for the whole cluster.
 *
 * A life without a lease is declared dead, in one script with the check; from then on no lookup returns it. Its sparks
 * are removed in slices. Each slice is reported before it is removed, so that a reaper that dies half-way leaves none
 * unreported. What depends on the sparks, such as their users, follows.
 *
 * A server of 1.x has no life. It is dead when its alive key has been missing for a whole `interval` of this server.
 * While Redis is full that time does not begin, because such a server cannot renew its key then.
 */
export class Reaper {
  /** When the alive key of a server of 1.x was first found missing, by address; by `performance.now()`. */
  readonly #missing = new Map<string, number>()
  /** The addresses that the last sweep found. */
  #known: readonly string[] = []
  /** Whether the last beat had the sweep, so that the next one probably has it, too. */
  #hadTurn = false
  /** The survey that was sent with the last beat. */
  #surveyed: Promise<Survey | undefined> | undefined
  #sweeping: Promise<void> | undefined
  /** Whether the clock of Redis was set back, so that leases may last too long. */
  #clockSetBack = false
  #renewed = 0
  #stopped = false

  constructor(
    private readonly registry: Pick<Registry, 'lives' | 'vitals' | 'remains' | 'dependents' | 'resident' | 'leave'>,
    private readonly terms: ReaperTerms,
    private readonly events: ReaperEvents
  ) {}

  /**
   * Ask what a sweep needs to know first, if this beat will probably have the sweep. To be called when a beat was just
   * sent: with it, the question costs no round trip of its own.
   */
  prepare(): void {
    // A survey that is older than the last beat must not serve a sweep.
    this.#surveyed = undefined
    if (this.#hadTurn && this.#sweeping === undefined)
      this.#surveyed = this.registry.remains.survey(this.#known).catch(() => undefined)
    this.#hadTurn = false
  }

  /** The clock of Redis was set back: the next sweep sees to it that leases end in time. */
  clockSetBack(): void {
    this.#clockSetBack = true
  }

  /** Check all other servers once and clean up after the dead ones. Calls made during a sweep share it. */
  sweep(sweeper: Sweeper): Promise<void> {
    this.#hadTurn = true
    return (this.#sweeping ??= this.#sweep(sweeper).finally(() => {
      this.#sweeping = undefined
    }))
  }

  /** Remove a server from the registry, dead or alive, with its entries, which are not reported. */
  async remove(address: string): Promise<void> {
    const { life } = await this.registry.resident(address)
    const other = { address, life }
    await this.registry.leave(other)
    await this.clean(other, false)
  }

  /** Remove the entries of a life that has ended. @param report whether its spark ids are reported */
  async clean(
    dead: LifeId,
    report: boolean,
    aside: readonly string[] = [],
    goOn: () => Promise<boolean> = yes
  ): Promise<void> {
    const { registry, events } = this
    const { address } = dead
    const reaped = await this.#eachSlice(
      cursor => registry.remains.doomed(dead, cursor),
      ({ ids }) => {
        if (report && ids.length > 0) events.reap(address, ids)
        return registry.remains.reap(dead, ids)
      },
      goOn
    )
    if (!reaped) return
    for (const store of registry.dependents) {
      const removed = await this.#eachSlice(
        cursor => store.page(address, cursor),
        ({ items }) => store.reap(dead, items),
        goOn
      )
      if (!removed) return
    }
    // While a life that it had replaced may be alive, the clean-up is left to the next sweep.
    for (const name of aside) if (!(await this.clear(address, name, true, goOn))) return
    await registry.remains.tombstone(dead)
  }

  /** Read all slices and remove each. `false` when `goOn` stopped it, or the entries belong to another life by now. */
  async #eachSlice<S extends { readonly cursor: string }>(
    read: (cursor: string) => Promise<S | null>,
    remove: (slice: S) => Promise<boolean>,
    goOn: () => Promise<boolean>
  ): Promise<boolean> {
    let next = read('0')
    // It may fail before it is awaited.
    next.catch(ignore)
    let removed = Promise.resolve(true)
    while (!this.#stopped && (await goOn())) {
      const slice = await next
      if (slice === null) return false
      const last = slice.cursor === '0'
      // Redis reads the next slice while this one is reported, and removes this one while the next is received.
      if (!last) next = read(slice.cursor)
      next.catch(ignore)
      const before = removed
      removed = remove(slice)
      removed.catch(ignore)
      if (!(await before)) return false
      if (last) return removed
    }
    return false
  }

  /**
   * Remove the entries that a former life left at an address, except those of sparks that have reconnected.
   *
   * @param report whether the removed spark ids are reported
   * @param back whether a spark has reconnected here, although the registry may not know it yet
   * @returns whether all entries are removed; `false` while that life may be alive
   */
  async clear(
    address: string,
    aside: string,
    report: boolean,
    goOn: () => Promise<boolean> = yes,
    back: (id: string) => boolean = no
  ): Promise<boolean> {
    const { registry, events } = this
    const cleared = await this.#eachSlice(
      cursor => registry.remains.leftovers(address, aside, cursor),
      async ({ ids, ended }) => {
        const stale = ids.filter(id => !back(id))
        if (report && ended && stale.length > 0) events.reap(address, stale)
        if (stale.length > 0) await registry.remains.clear(address, stale)
        return true
      },
      goOn
    )
    if (!cleared) return false
    for (const store of registry.dependents) {
      const removed = await this.#eachSlice(
        cursor => store.page(address, cursor, aside),
        async ({ items }) => {
          await store.clear(address, items)
          return true
        },
        goOn
      )
      if (!removed) return false
    }
    await registry.remains.forget(address, aside)
    return true
  }

  /** Stop the sweep before its next slice; resolves when none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#sweeping?.catch(() => undefined)
  }

  async #sweep(sweeper: Sweeper): Promise<void> {
    const { me, full } = sweeper
    this.#renewed = now()
    const { registry } = this
    const surveyed = this.#surveyed
    this.#surveyed = undefined
    const { servers, kept, leased } = (await surveyed) ?? (await registry.remains.survey(this.#known))
    const others = [...new Set([...servers, ...kept])].filter(address => address !== me.address)
    this.#known = others
    for (const address of this.#missing.keys()) if (full || !servers.has(address)) this.#missing.delete(address)
    if (this.#clockSetBack) {
      await registry.remains.shorten(others)
      this.#clockSetBack = false
    }
    const doubtful = others.filter(address => !leased.has(address))
    if (doubtful.length === 0) return
    const [lives, vitals] = await Promise.all([registry.lives(doubtful), registry.vitals(doubtful)])
    for (const address of doubtful) {
      const { leased, alive } = vitals.get(address) ?? { leased: false, alive: false }
      const record = lives.get(address)
      const over = record === undefined || !kept.has(address)
      if (leased || (over && !this.#expired(address, servers.has(address) && !alive && !full))) continue
      if (!(await this.#bury(sweeper, address, over ? undefined : record))) return
      if (!(await this.#holdsSweep(me))) return
    }
  }

  /** Declare a server dead and remove its entries. `false` when the sweep has to wait for this server's next beat. */
  async #bury(sweeper: Sweeper, address: string, record: LifeRecord | undefined): Promise<boolean> {
    const dead = { address, life: record?.life ?? '' }
    // A life that left has reported that itself. It may also have left since the census.
    let report = record?.state !== 'left'
    if (record?.state !== 'dead') {
      const verdict = await this.registry.remains.bury(dead, record?.over ?? [], sweeper, this.terms)
      if (verdict === 'replaced') {
        for (const name of record?.aside ?? []) await this.clear(address, name, true)
        await this.clear(address, dead.life, false)
      }
      if (verdict === 'left') report = false
      else if (verdict !== 'dead') return verdict !== 'late'
    }
    this.#missing.delete(address)
    if (report) this.events.buried(address, dead.life)
    await this.clean(dead, report, record?.aside, () => this.#holdsSweep(sweeper.me))
    return true
  }

  /** Whether the alive key of a server of 1.x has been missing for a whole `interval`. */
  #expired(address: string, missing: boolean): boolean {
    if (!missing) {
      this.#missing.delete(address)
      return false
    }
    const since = this.#missing.get(address)
    if (since === undefined) this.#missing.set(address, now())
    return since !== undefined && now() - since >= this.terms.interval
  }

  /** Whether this server still holds the sweep; renews it three times in `hold`. */
  async #holdsSweep({ life }: LifeId): Promise<boolean> {
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
