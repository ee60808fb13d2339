import { withTimeout } from '../common/async'
import { MetroplexError, inspectValue } from '../common/errors'
import { BigMap } from '../sync/maps/big-map'
import { eachOf, shardOf } from '../registry/sharding'
import type { UserPlace, UserPresence } from '../common/types'
import type { Standing } from '../registry/stores/presence-store'
import { boundedLookup } from '../lookup/bounded-lookup'
import type { Locator } from './locator'
import type { Shard } from './shard'

/** Sparks of one user, and the addresses under which they are registered. */
type Sparks = readonly (readonly [id: string, address: string])[]

/**
 * The users of sparks.
 *
 * A user lies in the shard of its own name, and its sparks lie in the shards of their ids. Users of owned sparks are
 * written to the registry. A disowned spark keeps its user in memory, in case it is owned again; lookups omit it.
 */
export class Users {
  /** The users of all sparks that are connected here, by id. */
  readonly #users = new BigMap<string>()

  constructor(
    private readonly shards: readonly Shard[],
    private readonly locator: Pick<Locator, 'note'>,
    /** The address of this server. */
    private readonly self: () => string,
    /** Deadline of an operation, in ms. */
    private readonly timeout: number
  ) {}

  /** How many sparks of this server have a user. */
  get size(): number {
    return this.#users.size
  }

  /** The user of a spark of this server; `undefined` for none. */
  of(id: string): string | undefined {
    return this.#users.get(id)
  }

  /** The ids of the owned sparks of a user on this server. */
  own(user: string): string[] {
    return this.#of(user).pendingUsers.sparks(user)
  }

  /**
   * Set the user of a spark of this server; `undefined` removes it. It is found on this server at once, and on all
   * servers when this resolves.
   *
   * @throws MetroplexError `ENOSPARK` when the spark is not connected here; `EREGISTRY` when Redis did not confirm it
   *   within the deadline; the writer retries then
   */
  async identify(id: string, user: string | undefined): Promise<void> {
    const { table } = this.#of(id)
    if (!table.holds(id))
      throw new MetroplexError(
        'ENOSPARK',
        `The spark ${inspectValue(id)} is not connected to this server: only its own server can set its user.`
      )
    const before = this.#users.get(id)
    if (user === undefined) this.#users.delete(id)
    else this.#users.set(id, user)
    if (table.owns(id)) this.#rename(id, before, user, true)
    const pending = [before, user].filter(one => one !== undefined).map(one => this.#of(one).pendingUsers)
    await withTimeout(Promise.all(pending.map(users => users.written(id))), this.timeout, () => {
      const full = pending.some(({ postponed }) => postponed > 0)
      return new MetroplexError(
        'EREGISTRY',
        `Redis did not confirm the user of the spark ${inspectValue(id)} within ${this.timeout} ms. It is written as ` +
          (full ? 'soon as Redis has room: it is full (OOM). Raise `maxmemory`.' : 'soon as Redis accepts it.')
      )
    })
  }

  /**
   * The sparks of these users, in the order of the users: those of this server and of live peers.
   *
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  async find(users: readonly string[]): Promise<UserPlace[]> {
    const wanted = [...new Set(users)]
    const others = await boundedLookup(
      eachOf(this.shards, wanted, (shard, some) => this.#ask(shard, some)),
      this.timeout
    )
    const self = this.self()
    return wanted.flatMap((user, i) => [
      ...this.own(user).map(spark => ({ user, spark, address: self })),
      ...(others[i] ?? []).map(([spark, address]) => ({ user, spark, address }))
    ])
  }

  /**
   * Whether these users are there, in their order.
   *
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  async present(users: readonly string[]): Promise<UserPresence[]> {
    const found = await boundedLookup(
      eachOf(this.shards, users, (shard, some) => this.#standing(shard, some)),
      this.timeout
    )
    return users.map((user, i) => {
      const { sparks: others = [], leaving = false } = found[i] ?? {}
      const sparks = this.own(user).length + others.length
      return { user, state: sparks > 0 ? 'online' : leaving ? 'leaving' : 'offline', sparks }
    })
  }

  /** A spark has disconnected from this server. */
  forget(id: string): void {
    const user = this.#users.get(id)
    if (user === undefined) return
    this.#users.delete(id)
    if (this.#of(user).pendingUsers.has(id, user)) this.#rename(id, user, undefined, true)
  }

  /** A spark that is connected here has been disowned. */
  disowned(id: string): void {
    // The other server may have overwritten our entry.
    this.#rename(id, this.#users.get(id), undefined, false)
  }

  /** A disowned spark is owned again. */
  owned(id: string): void {
    this.#rename(id, undefined, this.#users.get(id), true)
  }

  #of(key: string): Shard {
    return this.shards[shardOf(key, this.shards.length)] as Shard
  }

  #rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    if (from === to) return
    const together = from !== undefined && to !== undefined && this.#of(from) === this.#of(to)
    if (from !== undefined) this.#of(from).writer?.rename(id, from, together ? to : undefined, sure)
    if (to !== undefined && !together) this.#of(to).writer?.rename(id, undefined, to, sure)
  }

  /** What is known of users on other servers, from one shard. */
  async #standing(shard: Shard, users: readonly string[]): Promise<Standing[]> {
    const { presence } = shard.registry
    const found = await presence.standing(users)
    const others = await this.#others(
      shard,
      found.map(({ sparks }) => sparks)
    )
    return found.map(({ sparks, leaving }, i) => ({
      sparks: others[i] ?? [],
      // Sparks of a dead server count as gone, although it has not been cleaned up yet.
      leaving: leaving || (presence.telling && sparks.length > 0)
    }))
  }

  /** The sparks of users on other servers, from one shard. */
  async #ask(shard: Shard, users: readonly string[]): Promise<Sparks[]> {
    return this.#others(shard, await shard.registry.users.sparks(users))
  }

  /** Those of these sparks that live peers have. */
  async #others({ members }: Shard, registered: readonly Sparks[]): Promise<Sparks[]> {
    const self = this.self()
    // Own entries are left out: the table of this server is more recent.
    const found = registered.map(sparks =>
      sparks.filter(([id, address]) => address !== self && !this.#of(id).table.owns(id))
    )
    // A server may have joined since the last beat.
    if (found.some(sparks => sparks.some(([, address]) => !members.has(address)))) await members.verify()
    return found.map(sparks =>
      sparks.filter(([id, address]) => {
        if (!members.has(address)) return false
        this.locator.note(id, address)
        return true
      })
    )
  }
}
