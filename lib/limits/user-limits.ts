import { deferred, now, withTimeout } from '../common/async'
import { ignore, rethrow } from '../common/callback'
import { inspectValue, isReply, MetroplexError } from '../common/errors'
import type { UserLimit } from '../common/validate'
import type { Named } from '../registry/records'
import type { Admission, Holder, Newcomer } from '../registry/stores/limit-store'
import type { RpcCaller } from '../rpc/caller'
import { BigMap } from '../sync/maps/big-map'
import { vanished, type HolderCluster } from './holder-check'
import { NO_MESSAGE, OVER, type LimitedSparks } from './limit-questions'

/** What limits use of the cluster. */
export interface LimitedCluster extends HolderCluster {
  /** Whether the registry can be asked. */
  readonly open: boolean
  decide(
    limit: UserLimit,
    newcomers: readonly Newcomer[],
    exempt: ReadonlyMap<string, readonly Holder[]>,
    unheard?: readonly string[]
  ): Promise<Admission[]>
  /** The user of an own spark. */
  user(id: string): string | undefined
  /** Redis has refused to decide. Called once, until it can again. */
  failed(error: Error): void
  /** End sparks of a server that does not take questions about limits. */
  endAt(ids: readonly string[]): Promise<unknown>
}

/** A spark that has got a user of which it is not known yet whether it has too many. */
interface Undecided {
  readonly user: string
  readonly stays: ReturnType<typeof deferred<undefined>>
  /** Whether the servers of the other sparks are being asked. */
  asking: boolean
}

/** The most sparks in one decision. */
const AT_ONCE = 200

/** When to decide again what could not be decided, in ms. */
const AGAIN = 1000

/** How often the servers of other sparks are asked about one new spark, because others took the place meanwhile. */
const ROUNDS = 5

const NONE: ReadonlyMap<string, readonly Holder[]> = new Map()

/**
 * Holds users to their number of sparks, over the whole cluster: the option `limit`.
 *
 * A spark that gets a user is entered in the registry first. Then one script decides, by the order in which the sparks
 * of that user came, which of them must go. What cannot be decided, because Redis is away or full, is decided later;
 * the spark stays meanwhile.
 */
export class UserLimits {
  /** When each own spark got its user, by `performance.now()`. */
  readonly #since = new BigMap<number>()
  readonly #undecided = new Map<string, Undecided>()
  /** Users about whom Redis may have decided without an answer: the connection broke, or the answer came too late. */
  readonly #unheard = new Set<string>()
  #running = false
  #failing = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly limit: UserLimit,
    private readonly cluster: LimitedCluster,
    private readonly caller: RpcCaller,
    private readonly local: LimitedSparks,
    /** How long servers have for an answer, in ms. */
    private readonly timeout: number
  ) {}

  /** How many sparks wait for a decision. */
  get waiting(): number {
    return this.#undecided.size
  }

  /**
   * Write the user of an own spark, and wait until it is decided whether the spark stays.
   *
   * @throws MetroplexError `ELIMIT` when it does not; `EREGISTRY` when that is not decided within the deadline: the
   *   spark stays until it is; and what `write` throws
   */
  async named(id: string, user: string | undefined, write: () => Promise<void>): Promise<void> {
    if (this.cluster.user(id) === user) return write()
    this.forget(id)
    if (user === undefined) return write()
    this.#since.set(id, now())
    const undecided = this.#begin(id, user)
    try {
      await write()
    } finally {
      // The spark may not be here, and then there is nothing to decide.
      if (this.cluster.user(id) === undefined) this.forget(id)
      this.#run()
    }
    await withTimeout(undecided.stays.promise, this.timeout, () => {
      const what = `whether the user ${inspectValue(user)} has too many sparks`
      return new MetroplexError(
        'EREGISTRY',
        `Redis did not decide within ${this.timeout} ms ${what}: the spark ${inspectValue(id)} stays until it does.`
      )
    })
  }

  /** A spark has disconnected, or its user changes. */
  forget(id: string): void {
    this.#since.delete(id)
    this.#settle(id)
  }

  /** The registry has been repaired: it may have entries again that are not decided about. */
  repaired(): void {
    for (const id of this.#since.keys()) {
      const user = this.cluster.user(id)
      if (user !== undefined && !this.#undecided.has(id)) this.#begin(id, user)
    }
    this.#run()
  }

  /** Decide nothing more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const id of [...this.#undecided.keys()]) this.#settle(id)
  }

  #begin(id: string, user: string): Undecided {
    const undecided = { user, stays: deferred<undefined>(), asking: false }
    this.#undecided.set(id, undecided)
    return undecided
  }

  /** @param error why the spark must go; absent: it stays, or is gone */
  #settle(id: string, error?: Error): void {
    const undecided = this.#undecided.get(id)
    if (undecided === undefined) return
    this.#undecided.delete(id)
    if (error === undefined) undecided.stays.resolve(undefined)
    else undecided.stays.reject(error)
  }

  #run(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    this.#decideAll()
      .finally(() => {
        this.#running = false
        if (this.#undecided.size + this.#unheard.size > 0 && !this.#closed) this.#later()
      })
      .catch(rethrow)
  }

  #later(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#run()
    }, AGAIN).unref()
  }

  /** Decide about all sparks that wait, some at a time. What fails is left for later. */
  async #decideAll(): Promise<void> {
    const seen = new Set<string>()
    for (;;) {
      const some: Newcomer[] = []
      for (const [id, { user, asking }] of this.#undecided) {
        if (seen.has(id) || asking) continue
        seen.add(id)
        some.push({ id, user, age: this.#age(id) })
        if (some.length === AT_ONCE) break
      }
      const unheard = [...this.#unheard].slice(0, AT_ONCE)
      if (some.length + unheard.length === 0 || !this.cluster.open) return
      try {
        const admissions = await this.cluster.decide(this.limit, some, NONE, unheard)
        this.#failing = false
        for (const user of unheard) this.#unheard.delete(user)
        this.#apply(some, admissions)
      } catch (error) {
        // That Redis is away, the registry reports.
        const refused = error instanceof MetroplexError && isReply(error.cause)
        if (!refused) for (const { user } of some) this.#unheard.add(user)
        if (refused && !this.#failing) this.cluster.failed(error)
        this.#failing = refused
        return
      }
    }
  }

  #apply(newcomers: readonly Newcomer[], admissions: readonly Admission[]): void {
    const open = new Set<string>()
    for (const { absent, refused, over, holders } of admissions) {
      for (const [id] of [...absent, ...refused]) open.add(id)
      this.#endOver(over)
      if (this.limit.over === 'oldest') {
        for (const [user, entries] of holders) {
          const own = newcomers.filter(one => one.user === user)
          for (const { id } of own) open.add(id)
          this.#makeRoom(user, own, entries)
        }
        continue
      }
      for (const [id, user] of refused) this.#check(id, user, holders.get(user) ?? [])
    }
    for (const { id, user } of newcomers) if (!open.has(id) && this.#undecided.get(id)?.user === user) this.#settle(id)
  }

  /** End the sparks that must make room, each on its server. */
  #endOver(over: ReadonlyMap<string, readonly Named[]>): void {
    for (const [address, named] of over) {
      if (address === this.cluster.own) for (const [id, user] of named) this.#end(id, user)
      else this.#endElsewhere(address, named).catch(ignore)
    }
  }

  #endElsewhere(address: string, named: readonly Named[]): Promise<unknown> {
    // If that server is away, its audit enters the sparks again, and they are over the limit again.
    if (!this.cluster.takes(address, OVER)) return this.cluster.endAt(named.map(([id]) => id))
    const deadline = now() + 10 * AGAIN
    return this.caller.ask(address, { kind: OVER, detail: named, message: NO_MESSAGE }, { deadline, signal: undefined })
  }

  /** The oldest sparks of a user must go, once the servers of those that stay have confirmed these. */
  #makeRoom(user: string, newcomers: readonly Newcomer[], holders: readonly Holder[]): void {
    const waiting = newcomers.flatMap(({ id }) => {
      const undecided = this.#undecided.get(id)
      return undecided?.user === user ? [{ id, undecided }] : []
    })
    for (const { undecided } of waiting) {
      undecided.asking = true
      // New sparks stay.
      undecided.stays.resolve(undefined)
    }
    vanished(holders, this.caller, this.cluster, this.local, this.timeout)
      .then(gone => {
        const again = waiting.map(({ id }) => ({ id, user, age: this.#age(id) }))
        return this.cluster.decide(this.limit, again, new Map([[user, gone]]))
      })
      .then(
        admissions => {
          for (const { over } of admissions) this.#endOver(over)
          for (const { id, undecided } of waiting) if (this.#undecided.get(id) === undecided) this.#settle(id)
        },
        () => {
          // Redis is away: it is decided later.
          this.#unheard.add(user)
          for (const { undecided } of waiting) undecided.asking = false
          this.#later()
        }
      )
      .catch(rethrow)
  }

  /** A new spark was refused. Before it goes, the servers of the sparks that took its place confirm these. */
  #check(id: string, user: string, holders: readonly Holder[]): void {
    const undecided = this.#undecided.get(id)
    if (undecided?.user !== user) return
    undecided.asking = true
    this.#confirmed(id, user, holders)
      .then(
        refused => {
          undecided.asking = false
          if (this.#undecided.get(id) !== undecided) return
          if (refused) this.#end(id, user)
          else this.#settle(id)
        },
        () => {
          // Redis is away: it is decided later.
          undecided.asking = false
          this.#later()
        }
      )
      .catch(rethrow)
  }

  /** @returns whether the spark must go */
  async #confirmed(id: string, user: string, first: readonly Holder[]): Promise<boolean> {
    const exempt: Holder[] = []
    let holders = first
    for (let round = 0; round < ROUNDS; round++) {
      const gone = await vanished(holders, this.caller, this.cluster, this.local, this.timeout)
      if (gone.length === 0) return true
      exempt.push(...gone)
      const newcomer = { id, user, age: this.#age(id) }
      const [admission] = await this.cluster.decide(this.limit, [newcomer], new Map([[user, exempt]]))
      if (admission === undefined || admission.refused.length === 0) return false
      holders = admission.holders.get(user) ?? []
    }
    return true
  }

  #end(id: string, user: string): void {
    const { sparks } = this.limit
    const count = `${sparks} ${sparks === 1 ? 'spark' : 'sparks'}`
    const reason =
      `The user ${inspectValue(user)} has ${count} already, as many as \`metroplex.limit\` allows: ` +
      `the spark ${inspectValue(id)} is ended.`
    this.#settle(id, new MetroplexError('ELIMIT', reason))
    this.local.end(id, user)
  }

  /** How long a spark has had its user, in ms. */
  #age(id: string): number {
    return now() - (this.#since.get(id) ?? now())
  }
}
