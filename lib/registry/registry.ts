import type { RedisClient } from '../common/types'
import { AdaptiveBatchSize } from './batch-size'
import { Cleanup, half } from './cleanup'
import { Connection, type ConnectionEvents, type ConnectionOptions } from './connection'
import { asBeat, asChanged, asJoined, asLives, asText, LIFE, words } from './decoding'
import { NOT_SHARED, stored } from './encoding'
import { GroupStore } from './stores/group-store'
import type { DependentStore } from './stores/index-store'
import { Inspection } from './inspection/inspection'
import { Keys } from './keys'
import { LimitStore } from './stores/limit-store'
import { PresenceStore, type PresenceTerms } from './stores/presence-store'
import type { Agreed, Beat, Census, Description, LifeId, Joined, LeaseTerms } from './records'
import type { LifeRecord, Resident, SharedValues, Vital } from './records'
import { CommandRunner } from './command-runner'
import { SCRIPTS } from './scripts/all'
import { SparkStore } from './stores/spark-store'
import { UserStore } from './stores/user-store'

type RegistryTerms = ConnectionOptions & PresenceTerms

/**
 * One registry in Redis: which servers there are, their sparks, their users and their groups.
 *
 * A method is one round trip, unless it says otherwise. It rejects with `EREGISTRY` when Redis does not answer within
 * the deadline. A method and its script have the same name.
 */
export class Registry {
  readonly sparks: SparkStore
  readonly users: UserStore
  readonly groups: GroupStore
  /** Whether users have more sparks than they may. */
  readonly limits: LimitStore
  /** Which users and groups have begun and ended. */
  readonly presence: PresenceStore
  /** The indexes whose entries go with the sparks that they belong to. */
  readonly dependents: readonly DependentStore<unknown>[]
  /** What dead and former servers left behind. */
  readonly remains: Cleanup
  /** What operators see. */
  readonly inspection: Inspection
  readonly #connection: Connection
  readonly #redis: CommandRunner
  readonly #keys: Keys

  private constructor(
    connection: Connection,
    namespace: string,
    private readonly terms: PresenceTerms
  ) {
    const keys = new Keys(namespace)
    const batchSize = new AdaptiveBatchSize()
    const redis = new CommandRunner(connection, batchSize)
    this.#keys = keys
    this.#connection = connection
    this.#redis = redis
    this.sparks = new SparkStore(keys, redis)
    const presence = (this.presence = new PresenceStore(keys, redis, terms))
    this.users = new UserStore(keys, batchSize, redis, presence)
    this.groups = new GroupStore(keys, batchSize, redis, presence)
    this.limits = new LimitStore(keys, redis)
    this.dependents = [this.users, this.groups]
    this.remains = new Cleanup(keys, batchSize, redis)
    this.inspection = new Inspection(keys, redis)
  }

  /** The registry of a namespace, on a connection of its own, which the first command opens. */
  static open(redis: RedisClient, namespace: string, options: RegistryTerms, events: ConnectionEvents): Registry {
    return new Registry(new Connection(redis, SCRIPTS, options, events), namespace, options)
  }

  /** The registry of another namespace, on the same connection. */
  beside(namespace: string): Registry {
    return new Registry(this.#connection, namespace, this.terms)
  }

  /** The namespace and its colon. */
  get prefix(): string {
    return this.#keys.prefix
  }

  /** Whether a command would be sent at once. */
  get reachable(): boolean {
    return this.#connection.ready
  }

  /** Why Redis cannot be reached now, in a sentence; `undefined` while it can. */
  get trouble(): string | undefined {
    return this.#connection.trouble
  }

  /** How the settings of Redis endanger the registry, in a sentence; `undefined` when they do not, or are unknown. */
  danger(): Promise<string | undefined> {
    return this.#connection.danger()
  }

  /** Close the connection. Commands in flight fail with `ECLOSED`. */
  close(): void {
    this.#connection.close()
  }

  /** The life at an address, and its lease. */
  async resident(address: string): Promise<Resident> {
    const keys = this.#keys
    const [fields, lease, left] = await this.#redis.pipeline([
      ['HMGET', keys.life(address), 'id', 'pathname'],
      ['GET', keys.lease(address)],
      ['PTTL', keys.lease(address)]
    ])
    const [life, pathname] = fields as (string | null)[]
    return { life: asText(life), lease: asText(lease), left: Math.max(0, Number(left)), pathname: asText(pathname) }
  }

  /** Whether a server of 1.x has replaced one of 2.x at an address: the alive key is not the one of the life there. */
  async superseded(address: string): Promise<boolean> {
    const [stamp, alive] = await this.#redis.pipeline([
      ['HGET', this.#keys.life(address), 'stamp'],
      ['GET', this.#keys.alive(address)]
    ])
    return asText(alive) !== '' && asText(alive) !== asText(stamp)
  }

  /**
   * Register a life at an address.
   *
   * @param expected the life that the caller found there
   * @param replace take the address over, provisionally, although that life holds a lease
   */
  async join(
    me: LifeId,
    seq: number,
    terms: LeaseTerms,
    description: Description,
    expected: string,
    replace: boolean
  ): Promise<Joined> {
    const { address, life } = me
    const aside = expected === '' ? life : expected
    const keys = this.#keys
    return asJoined(
      await this.#redis.list('join', [
        keys.servers,
        keys.lives,
        keys.members,
        ...keys.personal(address),
        keys.sparksOf(address),
        keys.aside(address, aside),
        keys.changes,
        keys.usersOf(address),
        keys.usersAside(address, aside),
        keys.former(address, aside),
        keys.former(address, life),
        ...keys.groupLists(address, aside),
        address,
        life,
        expected,
        replace ? '1' : '0',
        terms.lease,
        terms.interval,
        aside,
        'seq',
        seq,
        ...Object.entries(description).flatMap(([field, value]: [string, string]) => [field, value])
      ])
    )
  }

  /**
   * Take an address back from a life that replaced ours while our lease still ran.
   *
   * @returns the names of all sets put aside; `null` when another life has the address, or our lease has ended
   */
  async reclaim({ address, life }: LifeId, holder: string, terms: LeaseTerms): Promise<readonly string[] | null> {
    const keys = this.#keys
    const [as, aside] = await this.#redis.list('reclaim', [
      keys.servers,
      keys.lives,
      keys.members,
      ...keys.personal(address),
      keys.sparksOf(address),
      keys.changes,
      keys.usersOf(address),
      keys.aside(address, life),
      keys.usersAside(address, life),
      keys.aside(address, holder),
      keys.usersAside(address, holder),
      keys.former(address, life),
      keys.former(address, holder),
      ...keys.groupLists(address, life, holder),
      address,
      life,
      holder,
      terms.lease,
      terms.interval
    ])
    return as === 'reclaimed' ? words(aside) : null
  }

  /**
   * Renew the lease, the alive key and the layout, and compare the registry with what this server knows.
   *
   * @param sweep how long to hold the sweep if it is free, in ms; 0: do not take it
   * @param shared the shared configuration that this registry has to keep
   */
  async beat(me: LifeId, terms: LeaseTerms, sweep: number, shared: SharedValues = NOT_SHARED): Promise<Beat> {
    return asBeat(
      await this.#redis.list('beat', [
        ...this.#keys.ofBeat(me.address, me.life),
        me.life,
        terms.lease,
        terms.interval,
        me.address,
        sweep,
        half(terms),
        stored(shared.secret),
        stored(shared.layout)
      ])
    )
  }

  /** Remove a server from the list; `false` when another life is there. What it held remains to be cleaned up. */
  async leave({ address, life }: LifeId): Promise<boolean> {
    const keys = this.#keys
    const left = await this.#redis.run('leave', [
      keys.servers,
      keys.members,
      ...keys.personal(address),
      keys.lives,
      keys.changes,
      keys.former(address, life),
      address,
      life
    ])
    return left === 1
  }

  /** Note in our life whether this server drains. Peers find it there. */
  async drains({ address, life }: LifeId, whether: boolean): Promise<void> {
    await this.#redis.run('drains', [this.#keys.life(address), life, whether ? '1' : ''])
  }

  /** The listed addresses, and the counter of joins and departures: enough to see whether a census is due. */
  async listed(): Promise<{ members: string; servers: ReadonlySet<string> }> {
    const [members, servers] = await this.#redis.pipeline([
      ['GET', this.#keys.members],
      ['SMEMBERS', this.#keys.servers]
    ])
    return { members: asText(members), servers: new Set(servers as string[]) }
  }

  /** All listed servers, all addresses with a life, and what is known about `known`. Two round trips. */
  async census(known: Iterable<string>): Promise<Census> {
    const [members, servers, lives] = await this.#redis.pipeline([
      ['GET', this.#keys.members],
      ['SMEMBERS', this.#keys.servers],
      ['SMEMBERS', this.#keys.lives]
    ])
    const listed = new Set(servers as string[])
    const kept = new Set(lives as string[])
    const addresses = [...new Set([...listed, ...kept, ...known])]
    return {
      members: asText(members),
      size: listed.size,
      addresses,
      servers: listed,
      kept,
      lives: await this.lives(addresses)
    }
  }

  /**
   * A census of the servers that joined or left since the counter was at `since`. Two round trips.
   *
   * @returns `null` when the log of changes does not reach back that far
   */
  async changes(since: string): Promise<Census | null> {
    const keys = this.#keys
    const [as, members, size, ...changed] = await this.#redis.list('changes', [
      keys.members,
      keys.changes,
      keys.servers,
      keys.lives,
      since
    ])
    if (as !== 'ok') return null
    const found = asChanged(changed)
    return { members: asText(members), size: Number(size), ...found, lives: await this.lives(found.addresses) }
  }

  /** Which of these addresses have a lease, and which have an alive key. */
  async vitals(addresses: readonly string[]): Promise<Map<string, Vital>> {
    if (addresses.length === 0) return new Map()
    const [leases, alives] = (await this.#redis.pipeline([
      ['MGET', ...addresses.map(address => this.#keys.lease(address))],
      ['MGET', ...addresses.map(address => this.#keys.alive(address))]
    ])) as (string | null)[][]
    return new Map(
      addresses.map((address, i) => [
        address,
        { leased: typeof leases?.[i] === 'string', alive: typeof alives?.[i] === 'string' }
      ])
    )
  }

  /**
   * Agree with all servers on the secret, or on the layout: the older value is kept.
   *
   * @param ms for how long the value is remembered unless a server repeats it; 0: for ever
   */
  async keep(what: 'secret' | 'layout', ours: Agreed, ms: number): Promise<Agreed> {
    const [since, value] = await this.#redis.list('keep', [this.#keys[what], ours.since, ours.value, ms])
    return { since: asText(since), value: asText(value) }
  }

  /** The lives and tombstones at these addresses, by address. */
  async lives(addresses: readonly string[]): Promise<Map<string, LifeRecord>> {
    const answers = await this.#redis.pipeline(addresses.map(address => ['HMGET', this.#keys.life(address), ...LIFE]))
    return asLives(addresses, answers)
  }
}
