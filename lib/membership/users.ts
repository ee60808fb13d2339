import { within } from '../deadline'
import { MetroplexError, shown } from '../errors'
import { BigMap } from '../registry/big-map'
import { eachOf, shardOf } from '../registry/sharding'
import type { UserPlace } from '../types'
import { bounded, type Finder } from './finder'
import type { Shard } from './shard'

/**
 * Who is behind which sparks.
 *
 * A user lies in the registry of its own name, and its sparks in those of their ids. Of sparks that are ours to answer for, the users are written
 * there, and found. One that another server has by now keeps its user here, in case it becomes ours again, but nobody finds it.
 */
export class Users {
  /** The users of all sparks that are connected here, by id. */
  readonly #users = new BigMap<string>()

  constructor(
    private readonly shards: readonly Shard[],
    private readonly finder: Pick<Finder, 'note'>,
    /** Our own address. */
    private readonly self: () => string,
    /** Bound of everything that somebody waits for, in ms. */
    private readonly timeout: number
  ) {}

  /** How many sparks here have a user. */
  get size(): number {
    return this.#users.size
  }

  /** The sparks of a user that are connected here, and ours to answer for. */
  own(user: string): string[] {
    return this.#of(user).namer.names.ids(user)
  }

  /**
   * Say which user is behind a spark of ours; `undefined`: none. It is found here at once, and everywhere when this resolves.
   *
   * @throws MetroplexError `ENOSPARK` when it is not connected here; `EREGISTRY` when Redis did not take it within the deadline: it will, later
   */
  async identify(id: string, user: string | undefined): Promise<void> {
    const { table } = this.#of(id)
    if (!table.holds(id)) throw new MetroplexError('ENOSPARK', `The spark ${shown(id)} is not connected to this server: only its own server can say who is behind it.`)
    const before = this.#users.get(id)
    if (user === undefined) this.#users.delete(id)
    else this.#users.set(id, user)
    if (table.owns(id)) this.#rename(id, before, user, true)
    const written = [before, user].filter(one => one !== undefined).map(one => this.#of(one).namer.written(id))
    await within(Promise.all(written), this.timeout, () => new MetroplexError(
      'EREGISTRY', `Redis could not be told within ${this.timeout} ms who is behind the spark ${shown(id)}. It will be, when it can be reached.`
    ))
  }

  /** The sparks of these users, in their order, wherever they are: our own, and those of servers that live. @throws MetroplexError `EREGISTRY` */
  async find(users: readonly string[]): Promise<UserPlace[]> {
    const wanted = [...new Set(users)]
    const others = await bounded(eachOf(this.shards, wanted, (shard, some) => this.#ask(shard, some)), this.timeout)
    const self = this.self()
    return wanted.flatMap((user, i) => [
      ...this.own(user).map(spark => ({ user, spark, address: self })),
      ...(others[i] ?? []).map(([spark, address]) => ({ user, spark, address }))
    ])
  }

  /** A spark is no longer connected here. */
  forget(id: string): void {
    const user = this.#users.get(id)
    if (user === undefined) return
    this.#users.delete(id)
    if (this.#of(user).namer.names.has(id, user)) this.#rename(id, user, undefined, true)
  }

  /** Another server has a spark that is connected here. */
  disowned(id: string): void {
    // It may have taken our entry over.
    this.#rename(id, this.#users.get(id), undefined, false)
  }

  /** That spark is ours again. */
  owned(id: string): void {
    this.#rename(id, undefined, this.#users.get(id), true)
  }

  #of(key: string): Shard {
    return this.shards[shardOf(key, this.shards.length)] as Shard
  }

  #rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    if (from === to) return
    const together = from !== undefined && to !== undefined && this.#of(from) === this.#of(to)
    if (from !== undefined) this.#of(from).writer.rename(id, from, together ? to : undefined, sure)
    if (to !== undefined && !together) this.#of(to).writer.rename(id, undefined, to, sure)
  }

  /** Where the sparks of users are that are not ours, as their registry has it. */
  async #ask({ registry, members }: Shard, users: readonly string[]): Promise<(readonly [id: string, address: string])[][]> {
    const self = this.self()
    // Of what we hold ourselves, we know better.
    const found = (await registry.users.sparks(users)).map(sparks => sparks.filter(([id, address]) => address !== self && !this.#of(id).table.owns(id)))
    // A server that joined since the last beat.
    if (found.some(sparks => sparks.some(([, address]) => !members.has(address)))) await members.verify()
    return found.map(sparks => sparks.filter(([id, address]) => {
      if (!members.has(address)) return false
      this.finder.note(id, address)
      return true
    }))
  }
}
