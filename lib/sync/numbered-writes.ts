import { ignore } from '../common/callback'
import type { CommitOutcome, LifeId } from '../registry/records'

/** Keeps entries that a full Redis did not take. */
export interface Postponing<T> {
  postpone(unwritten: readonly T[]): void
}

/** Sends the writes of one life, one at a time, each with the next number: Redis refuses a late one. */
export class NumberedWrites {
  #me: LifeId | undefined
  #seq = 0
  #acknowledged = 0
  #last: Promise<unknown> = Promise.resolve()

  /** @param postponed called when a full Redis did not take entries that need memory */
  constructor(private readonly postponed: () => void) {}

  /** The life that writes; `undefined` while it must not. */
  get me(): LifeId | undefined {
    return this.#me
  }

  /** The number of the last write that was sent. */
  get seq(): number {
    return this.#seq
  }

  /** The number of the last write that Redis accepted. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Write for this life from now on. */
  open(me: LifeId): void {
    if (this.#me?.life !== me.life) this.#seq = this.#acknowledged = 0
    this.#me = me
  }

  /** Write nothing until `open`. */
  close(): void {
    this.#me = undefined
  }

  /** Run a task while no write is in flight. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(ignore)
    return turn
  }

  /** Send one write. Call it in `exclusive`. @param pending keeps the entries for which Redis has no memory */
  async write<T>(
    send: (me: LifeId, seq: number) => Promise<CommitOutcome<T>>,
    pending: Postponing<T>
  ): Promise<CommitOutcome<T>> {
    if (this.#me === undefined) return { as: 'refused' }
    const seq = ++this.#seq
    const written = await send(this.#me, seq)
    // The registry does not store the number of a refused write.
    if (written.as !== 'ok') return written
    this.#acknowledged = Math.max(this.#acknowledged, seq)
    if (written.unwritten.length > 0) {
      pending.postpone(written.unwritten)
      this.postponed()
    }
    return written
  }
}
