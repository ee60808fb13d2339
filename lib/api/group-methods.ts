import { ClusterMethods } from './cluster-methods'
import { splitCallback, callbackify, type Callback } from '../common/callback'
import { checkAddress } from '../common/address'
import { groupOf, groupsOf } from '../common/names'
import { idOf, idsOf, usersOf } from '../common/names'
import { endUserOptions, reconnectOf } from '../delivery/end-options'
import { deliverResult } from '../delivery/result-callback'
import { callTerms } from '../rpc/call-options'
import type { Change } from '../groups/group-questions'
import type {
  AskOptions,
  EndOptions,
  EndUserOptions,
  GroupPlace,
  GroupSpark,
  Result,
  ResultCallback,
  Spark
} from '../common/types'
import type { UserPresence, WatchHandlers } from '../common/types'

/**
 * The methods for groups and presence that servers and clients of a cluster share.
 *
 * A group is a name that an application gives to some sparks, on whichever servers they are. It begins with its first
 * spark and ends with its last one. A name is a string of 1 to 1024 bytes of UTF-8.
 */
export class GroupMethods extends ClusterMethods {
  /**
   * Let sparks enter a group or several, by an id or ids, whichever servers they are connected to.
   *
   * The server of a spark knows it at once; when this resolves, all servers do. Resolves with a result: `send` is the
   * number of sparks, `missing` lists unknown ids, `failed` the servers that could not be asked.
   *
   * @param sparks an id, or ids; on a server also a spark
   * @throws TypeError or RangeError for a value that is no id or no name, before anything has changed; MetroplexError
   * `EREGISTRY` when Redis cannot be asked: local sparks are in the group all the same, and it is written later
   *
   * @example
   * primus.on('connection', spark => primus.metroplex.join(spark, ['news', `room:${spark.query.room}`]))
   */
  join(sparks: Spark | string | readonly string[], groups: string | readonly string[]): Promise<Result>
  join(sparks: Spark | string | readonly string[], groups: string | readonly string[], fn: ResultCallback): this
  join(
    sparks: Spark | string | readonly string[],
    groups: string | readonly string[],
    fn?: ResultCallback
  ): Promise<Result> | this {
    return deliverResult(this.#changeSparks('enter', sparks, groups), fn, this)
  }

  /** Let sparks leave a group or several; without `groups`, all groups they are in. Otherwise as `join`. */
  leave(sparks: Spark | string | readonly string[], groups?: string | readonly string[]): Promise<Result>
  leave(sparks: Spark | string | readonly string[], fn: ResultCallback): this
  leave(sparks: Spark | string | readonly string[], groups: string | readonly string[], fn: ResultCallback): this
  leave(
    sparks: Spark | string | readonly string[],
    ...rest: [groups?: string | readonly string[] | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const [groups, fn] = splitCallback<string | readonly string[], ResultCallback>(rest)
    return deliverResult(this.#changeSparks('exit', sparks, groups), fn, this)
  }

  /**
   * Let all sparks that a user has now, or several users, enter a group or several. Later sparks of the user do not:
   * see the option `groups`. As `join`; `missing` lists users without sparks.
   */
  joinUser(users: string | readonly string[], groups: string | readonly string[]): Promise<Result>
  joinUser(users: string | readonly string[], groups: string | readonly string[], fn: ResultCallback): this
  joinUser(
    users: string | readonly string[],
    groups: string | readonly string[],
    fn?: ResultCallback
  ): Promise<Result> | this {
    return deliverResult(this.#changeUsers('enter', users, groups), fn, this)
  }

  /** Let all sparks of a user, or of several, leave a group or several; without `groups`, all. As `joinUser`. */
  leaveUser(users: string | readonly string[], groups?: string | readonly string[]): Promise<Result>
  leaveUser(users: string | readonly string[], fn: ResultCallback): this
  leaveUser(users: string | readonly string[], groups: string | readonly string[], fn: ResultCallback): this
  leaveUser(
    users: string | readonly string[],
    ...rest: [groups?: string | readonly string[] | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const [groups, fn] = splitCallback<string | readonly string[], ResultCallback>(rest)
    return deliverResult(this.#changeUsers('exit', users, groups), fn, this)
  }

  /** Let all sparks leave a group, or several. `send` is how many did; `missing` lists groups that none was in. */
  disband(groups: string | readonly string[]): Promise<Result>
  disband(groups: string | readonly string[], fn: ResultCallback): this
  disband(groups: string | readonly string[], fn?: ResultCallback): Promise<Result> | this {
    return deliverResult(this.#disband(groups), fn, this)
  }

  /**
   * End all sparks of users, on any server: as `end`, and `missing` lists users without sparks.
   *
   * With `for` the users are kept out for so many ms, on all servers, also on those that start meanwhile, and over a
   * flush or an outage of Redis: a spark that gets such a user is ended, and its client does not reconnect. `for: 0`
   * lets them in again. `failed` names servers that could not be told; they learn of it within a lease.
   *
   * @throws as `end`, and RangeError for a name that is too long or a time out of bounds; with `for`, MetroplexError
   * `EREGISTRY` when Redis cannot be asked, and then nothing has changed
   *
   * @example
   * await primus.metroplex.endUser('mallory', { for: 3_600_000 })
   */
  endUser(users: string | readonly string[], options?: EndUserOptions): Promise<Result>
  endUser(users: string | readonly string[], fn: ResultCallback): this
  endUser(users: string | readonly string[], options: EndUserOptions, fn: ResultCallback): this
  endUser(
    users: string | readonly string[],
    ...rest: [options?: EndUserOptions | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const [options, fn] = splitCallback<EndUserOptions, ResultCallback>(rest)
    const ended = endUserOptions(options).then(({ reconnect, out }) =>
      out === undefined
        ? this.core.forwarder.endUser(users, reconnect)
        : this.core.userBar.end(usersOf(users), reconnect, out)
    )
    return deliverResult(ended, fn, this)
  }

  /**
   * End all sparks that are in a group, or in several, on any server: as `end`; `missing` lists groups that no spark is
   * in.
   */
  endGroup(groups: string | readonly string[], options?: EndOptions): Promise<Result>
  endGroup(groups: string | readonly string[], fn: ResultCallback): this
  endGroup(groups: string | readonly string[], options: EndOptions, fn: ResultCallback): this
  endGroup(
    groups: string | readonly string[],
    ...rest: [options?: EndOptions | ResultCallback, fn?: ResultCallback]
  ): Promise<Result> | this {
    const [options, fn] = splitCallback<EndOptions, ResultCallback>(rest)
    return deliverResult(
      reconnectOf(options).then(reconnect => this.core.groupForwarder.end(groups, reconnect)),
      fn,
      this
    )
  }

  /**
   * How many sparks are in groups, and on which servers: an entry for each group, in their order, also for one that no
   * spark is in. One read for each registry.
   *
   * @throws TypeError or RangeError for a value that is no name; MetroplexError `EREGISTRY` when Redis cannot be asked
   *
   * @example
   * const [{ sparks, servers }] = await primus.metroplex.groups('news')
   */
  groups(names: string | readonly string[]): Promise<GroupPlace[]>
  groups(names: string | readonly string[], fn: Callback<GroupPlace[]>): this
  groups(names: string | readonly string[], fn?: Callback<GroupPlace[]>): Promise<GroupPlace[]> | this {
    return callbackify(this.#groupsAt(names), fn, this)
  }

  /** The groups of a spark, on whichever server it is; none for an unknown id. A local spark needs no question. */
  groupsOf(id: string): Promise<string[]>
  groupsOf(id: string, fn: Callback<string[]>): this
  groupsOf(id: string, fn?: Callback<string[]>): Promise<string[]> | this {
    return callbackify(this.#groupsOf(id), fn, this)
  }

  /**
   * The sparks that are in a group, with their users, page by page from all servers at the same time. A spark that
   * enters or leaves meanwhile may or may not be among them.
   *
   * @param options `timeout` in ms bounds each page, default the option `timeout`; `signal` ends the list
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EREGISTRY` when Redis cannot be asked; at the
   * end an AggregateError, when servers could not be read: their errors, each with its `address`
   *
   * @example
   * for await (const { spark, user } of primus.metroplex.sparksIn('news')) console.log(spark, user)
   */
  async *sparksIn(
    group: string,
    options?: Pick<AskOptions, 'timeout' | 'signal'>
  ): AsyncGenerator<GroupSpark, void, undefined> {
    const { timeout } = this.core
    const terms = callTerms(options, { timeout, self: true }, ['timeout', 'signal'])
    yield* this.core.groupLists.sparksIn(groupOf(group), terms)
  }

  /**
   * The groups that sparks of a server are in, page by page; none for a server that is not live.
   *
   * @example
   * for await (const group of primus.metroplex.groupsOn(address)) console.log(group)
   */
  async *groupsOn(address: string): AsyncGenerator<string, void, undefined> {
    yield* this.core.groupsOn(checkAddress(address))
  }

  /**
   * Whether users are there: an entry for each user, in their order. One read for each registry.
   *
   * `online`: with sparks on live servers; `leaving`: without, for less than the option `grace`; `offline`: neither.
   *
   * @throws TypeError or RangeError for a value that is no name; MetroplexError `EREGISTRY` when Redis cannot be asked
   *
   * @example
   * const [{ state, sparks }] = await primus.metroplex.present('alice')
   */
  present(users: string | readonly string[]): Promise<UserPresence[]>
  present(users: string | readonly string[], fn: Callback<UserPresence[]>): this
  present(users: string | readonly string[], fn?: Callback<UserPresence[]>): Promise<UserPresence[]> | this {
    return callbackify(this.#present(users), fn, this)
  }

  /**
   * Call functions when users and groups begin and end: with their first spark in the cluster, and when their last one
   * has been gone for the option `grace`, which all servers need. Each event is told on one server that watches, at
   * least once. Give all servers that watch the same handlers.
   *
   * A handler is awaited. One that throws, or has not settled within twice `timeout`, is called again with the same
   * `at`, here or on another server. `at` grows per name: ignore an event whose `at` is not above the last one.
   *
   * @param handlers `online`, `offline`, `occupied`, `vacated`; at least one
   * @returns a function that ends it; handlers that run go on
   * @throws TypeError for other handlers, and without the option `grace`
   *
   * @example
   * const stop = primus.metroplex.watch({
   *   online: (user, { at }) => console.log(user, 'is online', at),
   *   offline: (user, { at, since }) => console.log(user, 'is offline since', new Date(since), at)
   * })
   */
  watch(handlers: WatchHandlers): () => void {
    return this.core.presence.watch(handlers)
  }

  /** The ids of sparks. @internal */
  protected idsIn(sparks: unknown): string[] {
    return Array.isArray(sparks) ? idsOf(sparks) : [idOf(sparks)]
  }

  async #changeSparks(how: Change, sparks: unknown, groups: unknown): Promise<Result> {
    return this.core.groupChanges.sparks(how, this.idsIn(sparks), namesOf(how, groups))
  }

  async #changeUsers(how: Change, users: unknown, groups: unknown): Promise<Result> {
    return this.core.groupChanges.users(how, usersOf(users), namesOf(how, groups))
  }

  async #disband(groups: unknown): Promise<Result> {
    return this.core.groupChanges.disband(groupsOf(groups))
  }

  async #groupsAt(names: unknown): Promise<GroupPlace[]> {
    return this.core.shards.groups.find(groupsOf(names))
  }

  async #present(users: unknown): Promise<UserPresence[]> {
    return this.core.shards.users.present(usersOf(users))
  }

  async #groupsOf(id: unknown): Promise<string[]> {
    return this.core.groupLists.groupsOf(idOf(id))
  }
}

/** The names of groups; without any, to leave all. @throws TypeError, RangeError */
function namesOf(how: Change, groups: unknown): string[] | undefined {
  return how === 'exit' && groups === undefined ? undefined : groupsOf(groups)
}
