import { pushTo } from '../../common/multimap'
import type { AdaptiveBatchSize } from '../batch-size'
import { accepted, paired } from '../decoding'
import { list, numbered } from '../encoding'
import type { Keys } from '../keys'
import type { DependentStore, IndexStore } from './index-store'
import type { PresenceStore } from './presence-store'
import type { CommitOutcome, LifeId, Named, Page, Renamed } from '../records'
import type { CommandRunner } from '../command-runner'

/** The users of one registry. A method is one round trip, and rejects with `EREGISTRY` when Redis fails. */
export class UserStore implements IndexStore<Named, readonly Renamed[]>, DependentStore<Named> {
  constructor(
    private readonly keys: Keys,
    private readonly batchSize: AdaptiveBatchSize,
    private readonly redis: CommandRunner,
    private readonly presence: PresenceStore
  ) {}

  /** Write the users of our sparks, as commit `seq`. @returns `others`: the servers that the entries were taken from */
  commit(me: LifeId, seq: number, renamed: readonly Renamed[]): Promise<CommitOutcome<Named>> {
    return this.#identify(me, seq, renamed, false)
  }

  /** As `commit`, but entries of other servers are left alone. @returns `others`: the servers that keep them */
  claim(me: LifeId, seq: number, named: readonly Named[]): Promise<CommitOutcome<Named>> {
    return this.#identify(
      me,
      seq,
      named.map(([id, to]) => ({ id, from: undefined, to })),
      true
    )
  }

  async removeMoved(owner: string, named: readonly Named[]): Promise<void> {
    const { users, keys, ids, at } = this.#encoded(named)
    await this.redis.run('unnameMoved', [
      keys.length + 1,
      this.keys.usersOf(owner),
      ...keys,
      owner,
      list(users),
      ids,
      at
    ])
  }

  async page(address: string, cursor: string, aside?: string): Promise<Page<Named>> {
    const key = aside === undefined ? this.keys.usersOf(address) : this.keys.usersAside(address, aside)
    const [next, pairs] = await this.redis.list('HSCAN', [key, cursor, 'COUNT', this.batchSize.slice])
    return { cursor: String(next), items: paired(pairs) }
  }

  async reap({ address, life }: LifeId, named: readonly Named[]): Promise<boolean> {
    if (named.length === 0) return true
    const { presence } = this
    const { users, keys, ids, at } = this.#encoded(named)
    const [as] = await this.redis.timed(presence.script('unname'), [
      keys.length + 3 + presence.keys.length,
      ...this.keys.personal(address),
      ...keys,
      ...presence.keys,
      life,
      address,
      ids,
      at,
      ...(presence.telling ? [list(users)] : []),
      ...presence.args('u', users)
    ])
    return as === 'ok'
  }

  async clear(address: string, named: readonly Named[]): Promise<void> {
    if (named.length === 0) return
    const { presence } = this
    const { users, keys, ids, at } = this.#encoded(named)
    await this.redis.timed(presence.script('unnameAside'), [
      keys.length + 1 + presence.keys.length,
      this.keys.usersOf(address),
      ...keys,
      ...presence.keys,
      address,
      list(users),
      ids,
      at,
      ...presence.args('u', users)
    ])
  }

  /** The sparks of these users, in their order, each with the address under which it is registered. */
  async sparks(users: readonly string[]): Promise<(readonly [id: string, address: string])[][]> {
    // In capitals, because ioredis converts the answer of a command in lower case into an object.
    const found = await this.redis.pipeline(users.map(user => ['HGETALL', this.keys.user(user)]))
    return found.map(paired)
  }

  async #identify(me: LifeId, seq: number, renamed: readonly Renamed[], claim: boolean): Promise<CommitOutcome<Named>> {
    const { each, at } = numbered([...renamed.map(({ from }) => from), ...renamed.map(({ to }) => to)])
    const { presence } = this
    presence.sending('u', each)
    const [as, missing, ...rest] = await this.redis.list(presence.script('identify'), [
      each.length + 2 + presence.keys.length,
      this.keys.life(me.address),
      this.keys.usersOf(me.address),
      ...each.map(user => this.keys.user(user)),
      ...presence.keys,
      me.life,
      seq,
      me.address,
      claim ? '1' : '0',
      list(each),
      list(renamed.map(({ id }) => id)),
      JSON.stringify(at.slice(0, renamed.length)),
      JSON.stringify(at.slice(renamed.length)),
      ...presence.args('u', each)
    ])
    if (as !== 'ok') return { as: as as 'refused' | 'old' }
    if (presence.telling) presence.written('u', each, rest.pop() as string[])
    const others = new Map<string, Named[]>()
    for (let i = 0; i < rest.length; i += 3) pushTo(others, String(rest[i + 2]), [String(rest[i]), String(rest[i + 1])])
    return accepted(Number(missing), others)
  }

  /** Sparks and their users, as scripts take them. */
  #encoded(named: readonly Named[]): { users: string[]; keys: string[]; ids: string; at: string } {
    const { each, at } = numbered(named.map(([, user]) => user))
    return {
      users: each,
      keys: each.map(user => this.keys.user(user)),
      ids: list(named.map(([id]) => id)),
      at: JSON.stringify(at)
    }
  }
}
