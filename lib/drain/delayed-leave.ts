import { ignore } from '../common/callback'

/**
 * Leaves the registry when peers have heard of a drain: after that they do not know this server any more. A drain that
 * is lifted before keeps the server there.
 */
export class DelayedLeave {
  /** Leaves now, if that is still to come. */
  #due: (() => Promise<unknown>) | undefined

  constructor(private readonly leave: () => Promise<unknown>) {}

  /** Leave after a wait, which never rejects. Resolves when the server has left, or stays. */
  async after(wait: Promise<unknown>): Promise<unknown> {
    let left: Promise<unknown> | undefined
    const due = (this.#due = () => (left ??= this.leave()))
    await wait
    if (this.#due !== due) return left
    this.#due = undefined
    return due()
  }

  /** Leave now, if that is still to come: another registration follows. */
  now(): void {
    const due = this.#due
    this.#due = undefined
    // `after` resolves or rejects with the same promise.
    due?.().catch(ignore)
  }

  /** Stay. */
  cancel(): void {
    this.#due = undefined
  }
}
