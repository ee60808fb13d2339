import type { Beat, GroupCount } from '../registry/records'
import { BigMultimap } from './maps/big-multimap'
import { Confirmations } from './confirmations'
import { PendingWrites, type Taken } from './pending-writes'

/** A change of a group that has to be written. The number of sparks is read when it is. */
interface Pending {
  /** Whether the registry lists this server for the group. */
  readonly listed: boolean
  /** Whether sparks of this server are in it. */
  readonly occupied: boolean
  /** Whether `listed` is known to be right. */
  readonly sure: boolean
}

/**
 * The groups that our sparks are in, of one registry, and the changes that wait to be written.
 *
 * A group that gets its first spark of this server, or loses its last one, is written at once. Other changes of the
 * number of its sparks are written together after a while: they matter to nothing but that number.
 */
export class PendingGroups extends PendingWrites<GroupCount, readonly GroupCount[], Pending> {
  /** The owned sparks of this server that are in groups, by group. */
  readonly names = new BigMultimap()
  /** Groups whose number of sparks the registry does not have yet. */
  readonly #recounted = new Set<string>()
  readonly #confirmations = new Confirmations(group => this.#isWritten(group))

  /** @param recounted called when the first number of sparks waits to be written; call `writeCounts` after a while */
  constructor(private readonly recounted: () => void = nothing) {
    super()
  }

  protected get size(): number {
    return this.names.keys
  }

  *items(): Generator<GroupCount, undefined> {
    yield* this.names.counts()
    return undefined
  }

  /** A spark has entered a group. @param sure whether the registry is known to list this server if sparks are in it */
  enter(id: string, group: string, sure: boolean): void {
    if (this.names.add(group, id)) this.#changed(group, this.#count(group) - 1, sure)
  }

  /** A spark has left a group. @param sure as for `enter` */
  exit(id: string, group: string, sure: boolean): void {
    if (this.names.delete(group, id)) this.#changed(group, this.#count(group) + 1, sure)
  }

  /** Write the numbers of sparks that have changed. @returns whether there are any */
  writeCounts(): boolean {
    for (const group of this.#recounted) {
      if (this.changeOf(group) === undefined && this.#count(group) > 0 && !this.isPostponed(group))
        this.set(group, { listed: true, occupied: true, sure: true })
    }
    this.#recounted.clear()
    return this.waiting > 0
  }

  /**
   * Resolves when the registry has what is known here of a group.
   *
   * @param doubtful whether the registry may lack it although it was written: then a heal has to confirm it
   */
  written(group: string, doubtful: boolean): Promise<void> {
    if (doubtful) this.#confirmations.sent([group])
    return this.#confirmations.written(group)
  }

  postpone(counts: readonly GroupCount[]): void {
    for (const [group] of counts) {
      // A change since then was noted as if the registry had the entry.
      const since = this.drop(group)
      if (since?.occupied === true) this.set(group, { listed: false, occupied: true, sure: true })
      else if (since === undefined && this.#count(group) > 0) this.keepPostponed(group, [group, 0])
    }
  }

  override takePostponed(max: number): GroupCount[] {
    const groups = super.takePostponed(max).map(([group]): GroupCount => [group, this.#count(group)])
    this.#confirmations.sent(groups.map(([group]) => group))
    return groups
  }

  override open(fresh: boolean): void {
    if (!fresh) for (const [group, pending] of [...this.changes()]) this.set(group, { ...pending, sure: false })
    super.open(fresh)
  }

  take(max: number): Taken<GroupCount, readonly GroupCount[]> | undefined {
    const batch: GroupCount[] = []
    const push = (group: string): boolean => {
      this.#recounted.delete(group)
      return batch.push([group, this.#count(group)]) > 0
    }
    this.takeEach(max, push, ([group]) => this.changeOf(group) === undefined && this.#count(group) > 0 && push(group))
    if (batch.length === 0) return undefined
    this.#confirmations.sent(batch.map(([group]) => group))
    return { batch, added: [] }
  }

  override confirmSent(): void {
    this.#confirmations.confirm()
  }

  override dropBacklog(): void {
    super.dropBacklog()
    this.#confirmations.allSent()
  }

  agrees({ groups }: Extract<Beat, { as: 'ok' }>): boolean {
    return this.countMatches(groups)
  }

  settled([group]: GroupCount): boolean {
    return this.#count(group) > 0 && this.changeOf(group) === undefined && !this.isPostponed(group)
  }

  /** It also corrects `listed` of the pending changes. */
  excess(counts: readonly GroupCount[]): { batch: readonly GroupCount[]; wrong: number } {
    const batch: GroupCount[] = []
    for (const [group] of counts) {
      const pending = this.changeOf(group)
      if (pending !== undefined) this.set(group, { ...pending, listed: true, sure: true })
      else if (this.#count(group) === 0) batch.push([group, 0])
    }
    return { batch, wrong: batch.length }
  }

  protected adds({ listed, occupied }: Pending): number {
    return Number(occupied) - Number(listed)
  }

  protected isSure({ sure }: Pending): boolean {
    return sure
  }

  /** @param before how many sparks of this server were in the group */
  #changed(group: string, before: number, sure: boolean): void {
    const occupied = this.#count(group) > 0
    const pending = this.changeOf(group)
    if (occupied && before > 0) {
      // A change that waits reads the number when it is written.
      if (pending !== undefined || this.isPostponed(group)) return
      this.#recounted.add(group)
      if (this.#recounted.size === 1) this.recounted()
      return
    }
    // A group that a full Redis did not take is not listed.
    const listed = this.dropPostponed(group) ? false : (pending?.listed ?? before > 0)
    const known = sure && pending?.sure !== false
    if (listed || occupied || !known) {
      this.set(group, { listed, occupied, sure: known })
      return
    }
    // It came and went before it was written.
    this.drop(group)
    this.#confirmations.check([group])
  }

  #count(group: string): number {
    return this.names.count(group)
  }

  #isWritten(group: string): boolean {
    return this.changeOf(group) === undefined && !this.isPostponed(group) && !this.hasBacklog
  }
}

function nothing(): void {
  // The numbers of sparks are written with the next change.
}
