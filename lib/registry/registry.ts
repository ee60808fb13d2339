import { MetroplexError } from '../errors'
import type { RedisClient } from '../types'
import { asLife, asText, byOwner, LIFE, Texts, words } from './answers'
import { Connection, type ConnectionEvents } from './connection'
import { Directory } from './directory'
import { list } from './encoding'
import { Keys } from './keys'
import { Pace, SLICE } from './pace'
import type {
  Agreed, Beat, Census, Description, Identity, Joined, LifeRecord, Slice, Terms, Vital, Written
} from './records'
import { half, Remains } from './remains'
import * as deadScripts from './scripts/dead'
import * as lifeScripts from './scripts/life'
import * as sparkScripts from './scripts/sparks'
import * as userScripts from './scripts/users'
import type { Verbs } from './verbs'

/**
 * The only place that reads and writes our keys: verbs of the domain outside, Redis inside.
 *
 * A method is one round trip, where it does not say otherwise, and rejects with `EREGISTRY` when Redis does not answer within the deadline.
 */
export class Registry {
  /** The verbs that are about users. */
  readonly users: Directory
  /** The verbs that are about what servers have left behind. */
  readonly remains: Remains
  readonly #connection: Connection
  readonly #keys: Keys
  readonly #texts = new Texts()

  private constructor(connection: Connection, namespace: string) {
    this.#keys = new Keys(namespace)
    this.#connection = connection
    const pace = new Pace()
    const run: Verbs['list'] = (name, args) => this.#run(name, args)
    const verbs: Verbs = {
      run: (name, args) => connection.run(name, args),
      list: run,
      timed: (name, args) => pace.timed(run(name, args)),
      pipeline: commands => connection.pipeline(commands)
    }
    this.users = new Directory(this.#keys, pace, verbs)
    this.remains = new Remains(this.#keys, pace, verbs)
  }

  /** The registry of a namespace, on a connection of its own that the first question opens. */
  static open(redis: RedisClient, namespace: string, options: { readonly timeout: number }, events: ConnectionEvents): Registry {
    return new Registry(new Connection(redis, { ...lifeScripts, ...sparkScripts, ...deadScripts, ...userScripts }, options, events), namespace)
  }

  /** The registry of another namespace, on the same connection. */
  beside(namespace: string): Registry {
    return new Registry(this.#connection, namespace)
  }

  /** The namespace and its colon. */
  get prefix(): string {
    return this.#keys.prefix
  }

  /** Whether Redis can be asked at once. */
  get reachable(): boolean {
    return this.#connection.ready
  }

  /** Close the connection. What is under way fails with `ECLOSED`. */
  close(): void {
    this.#connection.close()
  }

  // Who is there

  /** The life at an address, and the one that holds its lease; `''` for none. */
  async resident(address: string): Promise<{ life: string; lease: string }> {
    const [life, lease] = await this.#connection.pipeline([
      ['HGET', this.#keys.life(address), 'id'],
      ['GET', this.#keys.lease(address)]
    ])
    return { life: asText(life), lease: asText(lease) }
  }

  /** Whether a server of 1.x was started where one of ours had been: the alive key is there, and not the one of that life. */
  async superseded(address: string): Promise<boolean> {
    const [stamp, alive] = await this.#connection.pipeline([
      ['HGET', this.#keys.life(address), 'stamp'],
      ['GET', this.#keys.alive(address)]
    ])
    return asText(alive) !== '' && asText(alive) !== asText(stamp)
  }

  /** Make an address ours. `expected` is the life that we found there; with `over` it loses its place although it holds a lease. */
  async join(me: Identity, seq: number, terms: Terms, description: Description, expected: string, over: boolean): Promise<Joined> {
    const { address, life } = me
    const aside = expected === '' ? life : expected
    const keys = this.#keys
    const answer = await this.#run('join', [
      keys.servers, keys.lives, keys.members, ...keys.personal(address), keys.sparksOf(address), keys.aside(address, aside), keys.changes,
      keys.usersOf(address), keys.usersAside(address, aside),
      address, life, expected, over ? '1' : '0', terms.lease, terms.interval, aside,
      'seq', seq, ...Object.entries(description).flatMap(([field, value]: [string, string]) => [field, value])
    ])
    const [as, detail] = answer
    if (as === 'held') return { as, left: Number(detail) }
    if (as === 'joined') return { as, aside: words(detail) }
    return { as: 'changed' }
  }

  /** Renew lease and alive key. `sweep`: for how many ms to hold the sweep if it is free, 0 not to ask. */
  async beat(me: Identity, terms: Terms, sweep: number): Promise<Beat> {
    const keys = this.#keys
    const [as, seq, sparks, whole, members, servers, turn, prompt, breaks, users] = await this.#run('beat', [
      ...keys.personal(me.address), keys.servers, keys.members, keys.sparksOf(me.address), keys.sweep, keys.lives, keys.changes,
      keys.usersOf(me.address), me.life, terms.lease, terms.interval, me.address, sweep, half(terms)
    ])
    if (as !== 'ok') return { as: as as 'gone' | 'other' | 'ended' }
    return {
      as, seq: Number(seq), sparks: Number(sparks), whole: whole === 1,
      members: asText(members), servers: Number(servers), turn: turn === 1, prompt: prompt === 1, breaks: Number(breaks),
      users: Number(users)
    }
  }

  /** Take a server off the list; `false` when another life is there. What it held remains to be cleaned up. */
  async leave({ address, life }: Identity): Promise<boolean> {
    const keys = this.#keys
    return await this.#connection.run('leave', [
      keys.servers, keys.members, ...keys.personal(address), keys.lives, keys.changes, address, life
    ]) === 1
  }

  /** The addresses on the list and the counter of joins and leaves: enough to see whether a census is due. */
  async listed(): Promise<{ members: string; servers: ReadonlySet<string> }> {
    const [members, servers] = await this.#connection.pipeline([['GET', this.#keys.members], ['SMEMBERS', this.#keys.servers]])
    return { members: asText(members), servers: new Set(servers as string[]) }
  }

  /** Everybody on the list, everybody who has a life, and what is known of `known`. Two round trips. */
  async census(known: Iterable<string>): Promise<Census> {
    const [members, servers, lives] = await this.#connection.pipeline([
      ['GET', this.#keys.members], ['SMEMBERS', this.#keys.servers], ['SMEMBERS', this.#keys.lives]
    ])
    const listed = new Set(servers as string[])
    const kept = new Set(lives as string[])
    const addresses = [...new Set([...listed, ...kept, ...known])]
    return { members: asText(members), size: listed.size, addresses, servers: listed, kept, lives: await this.#lives(addresses) }
  }

  /** As a census, of those alone who have joined or left since the counter was at `since`; `null` when that cannot be told. Two round trips. */
  async changes(since: string): Promise<Census | null> {
    const keys = this.#keys
    const [as, members, size, ...named] = await this.#run('changes', [keys.members, keys.changes, keys.servers, keys.lives, since])
    if (as !== 'ok') return null
    const addresses: string[] = []
    const servers = new Set<string>()
    const kept = new Set<string>()
    for (let i = 0; i < named.length; i += 3) {
      const address = String(named[i])
      addresses.push(address)
      if (named[i + 1] === 1) servers.add(address)
      if (named[i + 2] === 1) kept.add(address)
    }
    return { members: asText(members), size: Number(size), addresses, servers, kept, lives: await this.#lives(addresses) }
  }

  /** Who of these holds a lease, and who has an alive key. */
  async vitals(addresses: readonly string[]): Promise<Map<string, Vital>> {
    if (addresses.length === 0) return new Map()
    const [leases, alives] = await this.#connection.pipeline([
      ['MGET', ...addresses.map(address => this.#keys.lease(address))],
      ['MGET', ...addresses.map(address => this.#keys.alive(address))]
    ]) as (string | null)[][]
    return new Map(addresses.map((address, i) =>
      [address, { leased: typeof leases?.[i] === 'string', alive: typeof alives?.[i] === 'string' }]))
  }

  /**
   * Agree with all servers upon the secret, or upon the layout: what was there first stands.
   *
   * @param ms how long it is to be remembered when nobody repeats it; 0: for ever
   */
  async keep(what: 'secret' | 'layout', ours: Agreed, ms: number): Promise<Agreed> {
    const [since, value] = await this.#run('keep', [this.#keys[what], ours.since, ours.value, ms])
    return { since: asText(since), value: asText(value) }
  }

  // Our sparks

  /** Write connects and disconnects as commit `seq`. `others` are the former owners of what moved to us. */
  async commit(me: Identity, seq: number, connects: readonly string[], disconnects: readonly string[]): Promise<Written> {
    const [as, ...moved] = await this.#run('commit', [
      ...this.#ours(me), me.life, seq, me.address, list(connects), list(disconnects)
    ])
    return as === 'ok' ? { as, missing: 0, others: byOwner(moved) } : { as: as as 'refused' | 'old' }
  }

  /** Tell the set of a former owner that these ids have moved. */
  async moved(owner: string, ids: readonly string[]): Promise<void> {
    await this.#connection.run('moved', [this.#keys.sparks, this.#keys.sparksOf(owner), owner, ...ids])
  }

  /** Add of these ids what is missing, as commit `seq`. `others` are the owners of those that are not ours. */
  async claim(me: Identity, seq: number, ids: readonly string[]): Promise<Written> {
    const [as, missing, ...owned] = await this.#run('claim', [...this.#ours(me), me.life, seq, me.address, list(ids)])
    return as === 'ok' ? { as, missing: Number(missing), others: byOwner(owned) } : { as: as as 'refused' | 'old' }
  }

  /** Take ids from an owner that is dead, or does not have them among its own, as commit `seq`. */
  async wrest(me: Identity, seq: number, owner: string, ids: readonly string[]): Promise<Written> {
    const [as, taken, ...stay] = await this.#run('wrest', [
      ...this.#ours(me), ...this.#keys.personal(owner), this.#keys.sparksOf(owner), me.life, seq, me.address, owner, ...ids
    ])
    return as === 'ok' ? { as, missing: Number(taken), others: new Map([[owner, stay as string[]]]) } : { as: as as 'refused' | 'old' }
  }

  // Questions

  /** The addresses these ids are registered under, in their order. */
  async places(ids: readonly string[]): Promise<(string | null)[]> {
    const places = await this.#connection.fields(this.#keys.sparks, ids)
    return places.map(place => place === null ? null : this.#texts.of(place))
  }

  /** A page of the ids registered under an address; the cursor is `'0'` at the first and after the last. Ids may repeat. */
  async page(address: string, cursor: string): Promise<Slice> {
    const [next, ids] = await this.#run('SSCAN', [this.#keys.sparksOf(address), cursor, 'COUNT', SLICE])
    return { cursor: String(next), ids: ids as string[] }
  }

  /** How many sparks are registered under these addresses. */
  async count(addresses: readonly string[]): Promise<number> {
    const counts = await this.#connection.pipeline(addresses.map(address => ['SCARD', this.#keys.sparksOf(address)]))
    return counts.reduce<number>((sum, count) => sum + Number(count), 0)
  }

  /** What is known of the lives at these addresses. */
  async #lives(addresses: readonly string[]): Promise<Map<string, LifeRecord>> {
    const answers = await this.#connection.pipeline(addresses.map(address => ['HMGET', this.#keys.life(address), ...LIFE]))
    const lives = new Map<string, LifeRecord>()
    answers.forEach((values, i) => {
      const life = asLife(values as (string | null)[])
      if (life !== undefined) lives.set(addresses[i] ?? '', life)
    })
    return lives
  }

  /** The keys of whoever writes sparks, in the order all scripts take them. */
  #ours({ address }: Identity): [life: string, sparks: string, own: string] {
    return [this.#keys.life(address), this.#keys.sparks, this.#keys.sparksOf(address)]
  }

  async #run(name: string, args: readonly (string | number)[]): Promise<unknown[]> {
    const answer = await this.#connection.run(name, args)
    if (!Array.isArray(answer)) throw new MetroplexError('EREGISTRY', `Redis answered ${name} with something that is no list.`)
    return answer as unknown[]
  }
}
