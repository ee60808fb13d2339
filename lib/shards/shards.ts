import { allSettled } from '../common/async'
import { ignore } from '../common/callback'
import { FailureReports } from '../reporting/failure-reports'
import type { Stats } from '../reporting/stats'
import type { State } from '../reporting/types'
import { SharedConfig } from '../membership/shared-config'
import type { PresenceStore } from '../registry/stores/presence-store'
import { Admissions } from './admissions'
import { Loads } from './loads'
import { Locator } from './locator'
import { OwnLives } from './own-lives'
import { OwnSparks } from './own-sparks'
import { Peers } from './peers'
import { Registries } from './registries'
import { MembershipMerger } from './membership-merger'
import { period, Shard, type ShardsEvents, type ShardsSettings } from './shard'
import { BEAT, MEMORY } from '../membership/readiness'
import { Groups } from './groups'
import { Users } from './users'

/** The name under which failures of connections are reported. */
const CONNECTIONS = 'connections'

/**
 * All shards of a cluster behind one interface: one by default, more for a cluster that is too large for one Redis.
 *
 * Each shard is complete, with its own list of servers, lives, leases and sweeps. A spark lies in the shard of its id.
 * Every server registers in all shards. It has joined when it is in all of them, and left when it is in none.
 */
export class Shards {
  readonly #registries: Registries
  readonly #shards: readonly Shard[]
  readonly #agreement: SharedConfig
  readonly #failures: FailureReports
  /** The state that was reported last. */
  #state: State = 'connecting'
  /** Our own lives. */
  readonly lives: OwnLives
  /** Our own sparks. */
  readonly sparks: OwnSparks
  /** The live peers. */
  readonly peers: Peers
  /** How the sparks of the cluster are spread. */
  readonly loads: Loads
  /** Finds the servers of sparks. */
  readonly locator: Locator
  /** The users of sparks. */
  readonly users: Users
  /** The groups that sparks are in. */
  readonly groups: Groups
  /** Decides whether users have too many sparks. */
  readonly admissions: Admissions

  constructor(
    settings: ShardsSettings,
    stats: Stats,
    private readonly events: ShardsEvents
  ) {
    const { shards, timeout, lease, interval } = settings
    const report = (error: Error): void => {
      events.failed(error)
    }
    const failures = (this.#failures = new FailureReports(report))
    const quorum = new MembershipMerger(shards, {
      ...events,
      joined: (address, life) => {
        stats.count('joins')
        events.joined(address, life)
      },
      left: (address, why, life, replaced) => {
        stats.count('leaves')
        if (!replaced) this.locator.forget(address)
        events.left(address, why, life, replaced)
      }
    })
    const lives = (this.lives = new OwnLives(() => this.#shards, quorum))
    const { base, all } = (this.#registries = new Registries(settings, {
      ready: registries => {
        failures.worked(CONNECTIONS, registries.join())
        lives.connected(registries)
      },
      lost: (registries, error, again) => {
        lives.disconnected(registries)
        if (!again) failures.failed(CONNECTIONS, registries.join(), error)
      },
      endangered: report
    }))
    const agreement = (this.#agreement = new SharedConfig({ secret: all[0] ?? base, layout: base }, shards, {
      lease,
      period: period(settings)
    }))
    const timed = (counter: 'beats' | 'commits', latency: 'beat' | 'commit', ms: number): void => {
      stats.count(counter)
      stats.took(latency, ms)
    }
    const part = {
      ...settings,
      agreement,
      nthLife: (nth: number) => lives.nth(nth),
      places: (ids: readonly string[]) => this.locator.registered(ids)
    }
    // Two servers that compete for an address could win some shards each: the first shard decides for all.
    this.#shards = all.map(
      (registry, at) =>
        new Shard(
          registry,
          { ...part, yields: () => at > 0 && lives.awaited !== '' },
          {
            registered: address => {
              lives.renewed(at, 0)
              quorum.enter(at, address)
            },
            unregistered: () => {
              quorum.depart(at)
            },
            healed: (sparks, ms) => {
              stats.count('heals')
              stats.count('healed', sparks)
              stats.took('heal', ms)
              events.healed(sparks)
            },
            beaten: ms => {
              timed('beats', 'beat', ms)
              lives.renewed(at, ms)
            },
            committed: ms => {
              timed('commits', 'commit', ms)
            },
            buried: () => {
              stats.count('buried')
              events.buried()
            },
            ...failures.of(`registry ${at}`, BEAT, MEMORY),
            changed: () => {
              this.#evaluate()
            },
            join: (address, life) => {
              quorum.join(address, life)
            },
            leave: (address, why, life, replaced) => {
              quorum.leave(address, why, life, replaced)
            },
            replaced: (address, life) => {
              quorum.replaced(address, life)
            },
            settled: () => {
              events.settled()
            },
            taken: error => {
              if (at === 0) report(error)
            },
            waiting: () => {
              quorum.lose(at)
              if (at === 0) lives.yield()
            },
            reap: (address, sparks) => {
              stats.count('reaped', sparks.length)
              events.reap(address, sparks)
            },
            disowned: id => {
              this.users.disowned(id)
              this.groups.disowned(id)
            },
            owned: id => {
              this.users.owned(id)
              this.groups.owned(id)
            }
          }
        )
    )
    this.peers = new Peers(this.#shards, timeout)
    this.loads = new Loads(this.#shards, lives, this.peers, timeout)
    this.locator = new Locator(
      this.#shards,
      () => lives.address,
      { timeout, young: interval, tag: settings.server?.tag },
      stats
    )
    this.users = new Users(this.#shards, this.locator, () => lives.address, timeout)
    this.groups = new Groups(this.#shards, () => lives.address, timeout)
    this.admissions = new Admissions(this.#shards, () => lives.address)
    this.sparks = new OwnSparks(this.#shards, [this.users, this.groups], stats)
  }

  /** The secret that the servers have agreed upon; `''` until then. */
  get secret(): string {
    return this.#agreement.secret
  }

  /** The presence of all registries. */
  get presences(): readonly PresenceStore[] {
    return this.#shards.map(({ registry }) => registry.presence)
  }

  /** Whether at least one shard is reachable now. */
  get reachable(): boolean {
    return this.#shards.some(({ registry }) => registry.reachable)
  }

  /** The state of this server: the worst of all shards. */
  get state(): State {
    return this.#state
  }

  /** Remove another server from the registry. */
  async remove(address: string): Promise<void> {
    await this.lives.remove(address)
    this.events.unregistered(address)
  }

  /** Leave for good and close the connections, within the deadline even when Redis is unreachable. */
  async close(): Promise<void> {
    await this.lives.close()
    this.#registries.close()
  }

  /** Update the live sets in the background, after a hint that a server has joined or left. */
  look(): void {
    // After a failure, the next beat repeats it.
    this.catchUp().catch(ignore)
  }

  /** Update the live sets. */
  async catchUp(): Promise<void> {
    await this.#all(({ members }) => members.verify())
  }

  /** Adopt the secret that the servers have agreed upon. */
  agree(): Promise<void> {
    return this.#agreement.enter()
  }

  /** Whether a server of 1.x was started at the address of a life of 2.x. Asks Redis. */
  superseded(address: string): Promise<boolean> {
    return this.#first.registry.superseded(address)
  }

  /** Whether a server holds its lease. Asks Redis. */
  async alive(address: string): Promise<boolean> {
    return (await this.#first.registry.resident(address)).lease !== ''
  }

  /** How settings of Redis endanger the registries, in sentences. */
  dangers(): Promise<string[]> {
    return this.#registries.dangers()
  }

  get #first(): Shard {
    const [first] = this.#shards
    if (first === undefined) throw new Error('A cluster has at least one registry.')
    return first
  }

  /** Run a task in all registries. Settles when all have settled; rejects with the first failure in their order. */
  #all<T>(task: (shard: Shard) => Promise<T>): Promise<T[]> {
    return allSettled(this.#shards.map(task))
  }

  /** Report the state when it has changed. */
  #evaluate(): void {
    const { state } = this.lives
    if (state === 'ready') this.#failures.well(CONNECTIONS)
    if (state === this.#state) return
    this.#state = state
    this.events.changed(state)
  }
}
