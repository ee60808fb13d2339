import { file } from '../message'
import { list, numbered } from './encoding'
import type { Keys } from './keys'
import type { Pace } from './pace'
import type { Identity, Named, Renamed, Written } from './records'
import type { Verbs } from './verbs'

/** A part of a long list of sparks with their users, and where the next one begins: `'0'` at the first and after the last. They may repeat. */
export interface Page {
  readonly cursor: string
  readonly named: readonly Named[]
}

/** The verbs of one registry that are about users. A method is one round trip, and rejects with `EREGISTRY` when Redis fails. */
export class Directory {
  constructor(private readonly keys: Keys, private readonly pace: Pace, private readonly redis: Verbs) {}

  /** Write which users our sparks have, as commit `seq`. `others`: whom they were taken from. */
  commit(me: Identity, seq: number, renamed: readonly Renamed[]): Promise<Written<Named>> {
    return this.#identify(me, seq, renamed, false)
  }

  /** As `commit`, but what another server has stays its own. `others`: those that are. */
  claim(me: Identity, seq: number, named: readonly Named[]): Promise<Written<Named>> {
    return this.#identify(me, seq, named.map(([id, to]) => ({ id, from: undefined, to })), true)
  }

  /** Tell a server that others have these by now. */
  async moved(owner: string, named: readonly Named[]): Promise<void> {
    const { users, keys, ids, at } = this.#apart(named)
    await this.redis.run('displaced', [keys.length + 1, this.keys.usersOf(owner), ...keys, owner, list(users), ids, at])
  }

  /** A page of the users behind sparks of a server. @param aside of those that a former life left behind under this name */
  async page(address: string, cursor: string, aside?: string): Promise<Page> {
    const key = aside === undefined ? this.keys.usersOf(address) : this.keys.usersAside(address, aside)
    const [next, pairs] = await this.redis.run('HSCAN', [key, cursor, 'COUNT', this.pace.slice]) as [string, string[]]
    return { cursor: next, named: paired(pairs) }
  }

  /** Remove users behind sparks of a life that has ended; `false` when it is no longer ended. */
  async unname({ address, life }: Identity, named: readonly Named[]): Promise<boolean> {
    if (named.length === 0) return true
    const { keys, ids, at } = this.#apart(named)
    const [as] = await this.redis.timed('unname', [keys.length + 3, ...this.keys.personal(address), ...keys, life, address, ids, at]) as string[]
    return as === 'ok'
  }

  /** Remove users that a former life left behind. */
  async clear(address: string, named: readonly Named[]): Promise<void> {
    if (named.length === 0) return
    const { users, keys, ids, at } = this.#apart(named)
    await this.redis.timed('unnameAside', [keys.length + 1, this.keys.usersOf(address), ...keys, address, list(users), ids, at])
  }

  /** The sparks of these users, in their order, each with the address it is registered under. */
  async sparks(users: readonly string[]): Promise<(readonly [id: string, address: string])[][]> {
    // In capitals, because ioredis makes an object of what it knows otherwise.
    const found = await this.redis.pipeline(users.map(user => ['HGETALL', this.keys.user(user)]))
    return found.map(paired)
  }

  async #identify(me: Identity, seq: number, renamed: readonly Renamed[], shy: boolean): Promise<Written<Named>> {
    const { each, at } = numbered([...renamed.map(({ from }) => from), ...renamed.map(({ to }) => to)])
    const [as, missing, ...rest] = await this.redis.run('identify', [
      each.length + 2, this.keys.life(me.address), this.keys.usersOf(me.address), ...each.map(user => this.keys.user(user)),
      me.life, seq, me.address, shy ? '1' : '0', list(each), list(renamed.map(({ id }) => id)),
      JSON.stringify(at.slice(0, renamed.length)), JSON.stringify(at.slice(renamed.length))
    ]) as unknown[]
    if (as !== 'ok') return { as: as as 'refused' | 'old' }
    const others = new Map<string, Named[]>()
    for (let i = 0; i < rest.length; i += 3) file(others, String(rest[i + 2]), [String(rest[i]), String(rest[i + 1])])
    return { as, missing: Number(missing), others }
  }

  /** As scripts take them. */
  #apart(named: readonly Named[]): { users: string[]; keys: string[]; ids: string; at: string } {
    const { each, at } = numbered(named.map(([, user]) => user))
    return { users: each, keys: each.map(user => this.keys.user(user)), ids: list(named.map(([id]) => id)), at: JSON.stringify(at) }
  }
}

/** A hash as Redis lists it, by its fields. */
function paired(flat: unknown): (readonly [field: string, value: string])[] {
  const texts = flat as string[]
  return Array.from({ length: texts.length / 2 }, (_, i) => [texts[2 * i] ?? '', texts[2 * i + 1] ?? ''] as const)
}
