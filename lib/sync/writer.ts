import { now } from '../common/async'
import { asError } from '../common/errors'
import { SLICE } from '../registry/batch-size'
import type { Beat, LifeId } from '../registry/records'
import type { Registry } from '../registry/registry'
import type { LocalSparks } from './local-sparks'
import { NumberedWrites } from './numbered-writes'
import type { PendingGroups } from './pending-groups'
import type { PendingUsers } from './pending-users'
import type { PresenceMemory } from './presence-memory'
import { IndexSync, type CommitEvents } from './index-sync'
import { SparkIndexSync } from './spark-index-sync'
import { UserIndexSync } from './user-index-sync'

/** The shortest time between two small commits, in ms: otherwise sparks that come one by one cost a commit each. */
const COMMIT_GAP = 4

/** How long the number of sparks in a group may be out of date in the registry, in ms. */
const COUNT_GAP = 1000

/** What a writer reports. */
export interface WriterEvents {
  /** A commit failed or was refused, so it is unknown what the registry has. Only a heal finds out. */
  doubt(error: Error): void
  /** A commit was written; how long it took, in ms. */
  committed(ms: number): void
  /** Redis is full and did not take entries that need memory. They are kept, and written when it has room. */
  postponed(): void
}

/** What this server has in one registry, and how to look up the owners of sparks. */
export interface LocalEntries {
  readonly sparks: LocalSparks
  readonly users: PendingUsers
  readonly groups: PendingGroups
  /** Absent where presence is not told. */
  readonly presence?: PresenceMemory | undefined
  /** The addresses under which sparks are registered, in whichever registry of the cluster. */
  readonly places: (ids: readonly string[]) => Promise<(string | null)[]>
}

/**
 * Writes what this server has into the indexes of the registry, many entries in one commit.
 *
 * Changes that come while a commit is in flight, or within some milliseconds after it was sent, form the next one.
 * Changes to one entry are merged before they are written. The commits of all indexes leave together: one round trip.
 *
 * After a failure the writer is in doubt: it writes nothing until a heal has compared the registry with the local
 * entries. Those are the truth, so the changes that wait are never more than the entries.
 *
 * A full Redis is no such failure: it reports which entries it did not take, and removals go on.
 */
export class Writer {
  readonly sparks: SparkIndexSync
  readonly users: UserIndexSync
  readonly groups: PendingGroups
  /** Absent where presence is not told. */
  readonly presence: PresenceMemory | undefined
  /** All of them, in the order in which a heal compares them. */
  readonly indexes: readonly IndexSync[]
  readonly #writes: NumberedWrites
  #inDoubt = false
  /** Whether the doubt arose after the running heal began. That heal may have missed its cause. */
  #doubtSinceHeal = false
  #scheduled: 'not' | 'soon' | 'at once' = 'not'
  #timer: NodeJS.Timeout | undefined
  #countTimer: NodeJS.Timeout | undefined
  /** When the last commit was sent, by `performance.now()`. */
  #lastCommit = -Infinity
  readonly #commitEvents: CommitEvents = {
    committed: ms => {
      this.events.committed(ms)
    },
    doubt: error => {
      this.#doubt(error)
    }
  }

  constructor(
    registry: Pick<Registry, 'sparks' | 'users' | 'groups'>,
    { sparks, users, groups, presence, places }: LocalEntries,
    private readonly events: WriterEvents
  ) {
    const writes = (this.#writes = new NumberedWrites(() => {
      events.postponed()
    }))
    this.sparks = new SparkIndexSync(sparks, registry.sparks, writes)
    this.users = new UserIndexSync(users, registry.users, writes, places)
    this.groups = groups
    this.presence = presence
    this.indexes = [this.sparks, this.users, new IndexSync(groups, registry.groups, writes)]
  }

  /** Whether the registry may differ from the local tables. */
  get inDoubt(): boolean {
    return this.#inDoubt
  }

  /** The number of the last write that was sent, for a life that joins again. */
  get seq(): number {
    return this.#writes.seq
  }

  /** How many entries wait to be written. */
  get waiting(): number {
    return this.#due + this.postponed
  }

  /** How many of those wait because Redis is full. */
  get postponed(): number {
    return this.#sum(({ pending }) => pending.postponed)
  }

  /** Write that an id has connected. */
  connect(id: string): void {
    this.sparks.pending.connect(id)
    this.#scheduleIfIdle()
  }

  /** Write that an id has disconnected. */
  disconnect(id: string): void {
    this.sparks.pending.disconnect(id)
    this.#scheduleIfIdle()
  }

  /** Write that the user of an id has changed. @param sure whether the registry is known to have the former user */
  rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    this.users.pending.rename(id, from, to, sure && !this.#inDoubt)
    this.#scheduleIfIdle()
  }

  /** Write that a spark has entered a group. */
  enter(id: string, group: string, sure: boolean): void {
    this.groups.enter(id, group, sure && !this.#inDoubt)
    this.#scheduleIfIdle()
  }

  /** Write that a spark has left a group. @param sure whether the registry is known to list this server for it */
  exit(id: string, group: string, sure: boolean): void {
    this.groups.exit(id, group, sure && !this.#inDoubt)
    this.#scheduleIfIdle()
  }

  /** Write, after a while, the numbers of sparks in groups that have changed. */
  writeCountsLater(): void {
    this.#countTimer ??= setTimeout(() => {
      this.#countTimer = undefined
      if (this.groups.writeCounts()) this.#scheduleIfIdle()
    }, COUNT_GAP).unref()
  }

  /**
   * Write for this life from now on.
   *
   * @param fresh write everything that is connected; without it, a heal has to follow
   * @param lost whether the registry has lost its data
   */
  open(me: LifeId, fresh: boolean, lost = false): void {
    this.#writes.open(me)
    this.presence?.open(me.life, lost)
    this.#inDoubt = this.#doubtSinceHeal = !fresh
    for (const { pending } of this.indexes) pending.open(fresh)
    this.#schedule()
  }

  /** Write nothing until `open`. */
  close(): void {
    clearTimeout(this.#countTimer)
    this.#countTimer = undefined
    this.#writes.close()
  }

  /** A heal begins. It finds postponed entries by comparing. */
  beginHeal(): void {
    this.#doubtSinceHeal = false
    for (const { pending } of this.indexes) pending.takePostponed(Infinity)
  }

  /** A heal has compared everything, so the registry is right. A doubt that arose meanwhile needs another heal. */
  trust(): void {
    if (this.#doubtSinceHeal) return
    this.#inDoubt = false
    this.presence?.healed()
    for (const { pending } of this.indexes) pending.confirmSent()
    this.#schedule()
  }

  /** Notify the servers at these addresses of entries that they may have lost to us, if there are any. */
  async sendOwedNotices(addresses: () => Promise<Iterable<string>>): Promise<void> {
    const owing = this.indexes.filter(({ owesNotices }) => owesNotices)
    if (owing.length === 0) return
    const others = [...(await addresses())].filter(address => address !== this.#writes.me?.address)
    for (const index of owing) await index.sendOwedNotices(others)
  }

  /** Refuse writes that are still on their way to Redis: a write of nothing moves the number of the last one on. */
  async fence(): Promise<void> {
    await this.sparks.claim([])
  }

  /** Run a task while no write is in flight. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.#writes.exclusive(task)
  }

  /** Whether a beat, made in `exclusive`, found in the registry what we have written. */
  agrees(beat: Extract<Beat, { as: 'ok' }>): boolean {
    this.presence?.heard()
    const right = beat.whole && beat.seq === this.#writes.acknowledged
    return right && this.indexes.every(({ pending }) => pending.agrees(beat))
  }

  /** How many entries the next commits write. */
  get #due(): number {
    // Not a loop: it is read for each spark that connects.
    return this.sparks.pending.waiting + this.users.pending.waiting + this.groups.waiting
  }

  #sum(of: (index: IndexSync) => number): number {
    let sum = 0
    for (const index of this.indexes) sum += of(index)
    return sum
  }

  #scheduleIfIdle(): void {
    if (this.#scheduled === 'not' || this.#due === SLICE) this.#schedule()
  }

  #schedule(): void {
    if (this.#inDoubt || this.#writes.me === undefined) return
    const backlog = this.indexes.some(({ pending }) => pending.hasBacklog)
    if (this.#due === 0 && !backlog) return
    // A full commit is sent at once. A smaller one waits for more changes.
    const pause = this.#due >= SLICE || backlog ? 0 : this.#lastCommit + COMMIT_GAP - now()
    if (this.#scheduled === 'at once' || (this.#scheduled === 'soon' && pause > 0)) return
    clearTimeout(this.#timer)
    this.#scheduled = pause > 0 ? 'soon' : 'at once'
    const start = (): void => {
      this.#lastCommit = now()
      this.exclusive(() => this.#commit()).catch((error: unknown) => {
        this.#doubt(error)
      })
    }
    if (pause > 0) this.#timer = setTimeout(start, pause).unref()
    // Collects the changes of all sockets that are read in this turn of the event loop.
    else setImmediate(start)
  }

  #doubt(error: unknown): void {
    this.#inDoubt = this.#doubtSinceHeal = true
    for (const { pending } of this.indexes) pending.dropBacklog()
    this.events.doubt(asError(error))
  }

  async #commit(): Promise<void> {
    this.#scheduled = 'not'
    if (this.#writes.me === undefined || this.#inDoubt) return
    // All of them leave in this turn of the event loop. None may be in flight when the next write begins.
    const commits = this.indexes.filter(({ pending }) => pending.due).map(index => index.commit(this.#commitEvents))
    const settled = await Promise.allSettled(commits)
    for (const one of settled) if (one.status === 'rejected') throw one.reason
    this.#schedule()
  }
}
