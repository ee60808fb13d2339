import { BigMultimap } from './maps/big-multimap'
import { Confirmations } from './confirmations'
import { PendingWrites, type Taken } from './pending-writes'
import type { Beat, Named, Renamed } from '../registry/records'

/** A change of a spark's user that has to be written. */
interface Pending {
  /** The user in the registry. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Whether `from` is known to be right. */
  readonly sure: boolean
}

/**
 * The changes of our sparks' users that wait to be written, of one registry, by the ids of the sparks.
 *
 * Of several changes of one spark only the last user is written; nothing, if the spark has its old user again.
 */
export class PendingUsers extends PendingWrites<Named, readonly Renamed[], Pending> {
  /** The owned sparks of this server that have users, by user. */
  readonly names = new BigMultimap()
  readonly #confirmations = new Confirmations(id => this.#isWritten(id))

  protected get size(): number {
    return this.names.size
  }

  *items(): Generator<Named, undefined> {
    for (const [user, id] of this.names) yield [id, user]
    return undefined
  }

  /** The owned sparks of a user on this server. */
  sparks(user: string): string[] {
    return this.names.get(user)
  }

  /** Whether an owned spark has this user. */
  has(id: string, user: string): boolean {
    return this.names.has(user, id)
  }

  /** Note that the user of a spark has changed. @param sure whether the registry is known to have the former user */
  rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    if (from !== undefined) this.names.delete(from, id)
    if (to !== undefined) this.names.add(to, id)
    if (this.dropPostponed(id)) {
      this.set(id, { from: undefined, to, sure: true })
      return
    }
    const before = this.changeOf(id)
    this.set(id, { from: before === undefined ? from : before.from, to, sure: sure && before?.sure !== false })
  }

  postpone(named: readonly Named[]): void {
    for (const one of named) {
      const [id, user] = one
      const since = this.changeOf(id)
      // A change since then was noted as if the registry had the entry.
      if (since !== undefined) this.set(id, { from: undefined, to: since.to, sure: true })
      else if (this.has(id, user)) this.keepPostponed(id, one)
    }
  }

  override takePostponed(max: number): Named[] {
    const named = super.takePostponed(max)
    this.#confirmations.sent(named.map(([id]) => id))
    return named
  }

  /** Resolves when the registry has the user of an id. */
  written(id: string): Promise<void> {
    return this.#confirmations.written(id)
  }

  override open(fresh: boolean): void {
    if (!fresh) for (const [id, pending] of [...this.changes()]) this.set(id, { ...pending, sure: false })
    super.open(fresh)
  }

  take(max: number): Taken<Named, readonly Renamed[]> | undefined {
    const batch: Renamed[] = []
    this.takeEach(
      max,
      (id, { from, to }) => batch.push({ id, from, to }),
      ([id, to]) => this.changeOf(id) === undefined && batch.push({ id, from: undefined, to }) > 0
    )
    if (batch.length === 0) return undefined
    this.#confirmations.sent(batch.map(({ id }) => id))
    return { batch, added: batch.flatMap(({ id, to }): Named[] => (to === undefined ? [] : [[id, to]])) }
  }

  override confirmSent(): void {
    this.#confirmations.confirm()
  }

  override dropBacklog(): void {
    super.dropBacklog()
    this.#confirmations.allSent()
  }

  agrees({ users }: Extract<Beat, { as: 'ok' }>): boolean {
    return this.countMatches(users)
  }

  settled([id, user]: Named): boolean {
    return this.has(id, user) && this.changeOf(id) === undefined && !this.isPostponed(id)
  }

  /** It also corrects `from` of the pending changes. */
  excess(named: readonly Named[]): { batch: readonly Renamed[]; wrong: number } {
    const batch: Renamed[] = []
    for (const [id, from] of named) {
      const pending = this.changeOf(id)
      if (pending !== undefined) this.set(id, { from, to: pending.to, sure: true })
      else if (!this.has(id, from)) batch.push({ id, from, to: undefined })
    }
    return { batch, wrong: batch.length }
  }

  protected adds({ from, to }: Pending): number {
    return Number(to !== undefined) - Number(from !== undefined)
  }

  protected override set(id: string, pending: Pending): void {
    this.drop(id)
    if (pending.from === pending.to) {
      this.#confirmations.check([id])
      return
    }
    super.set(id, pending)
  }

  protected isSure({ sure }: Pending): boolean {
    return sure
  }

  #isWritten(id: string): boolean {
    return this.changeOf(id) === undefined && !this.isPostponed(id) && !this.hasBacklog
  }
}
