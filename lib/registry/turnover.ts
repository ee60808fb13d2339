import { BigMap } from './big-map'
import type { Table } from './table'

/** What is to be written of one id: it has come, it has gone, or it has gone and come again while the registry had it. */
type Pending = 'new' | 'gone' | 'back'

/** By how many entries the registry's number is short of ours for it. */
const SHORT: Readonly<Record<Pending, number>> = { new: 1, gone: -1, back: 0 }

/** What of our sparks waits to be written: a connect that is followed by its disconnect before either was written is not written at all. */
export class Turnover {
  readonly #pending = new BigMap<Pending>()
  /** What `#pending` adds up to, by `SHORT`. */
  #short = 0
  /** What was connected when we joined, as far as it has not been written. */
  #backlog: { readonly ids: Iterator<string, undefined>; left: number } | undefined

  constructor(private readonly table: Table) {}

  /** How many ids are waiting to be written. */
  get waiting(): number {
    return this.#pending.size
  }

  /** Whether what was connected when we joined has not been written yet. */
  get behind(): boolean {
    return this.#backlog !== undefined
  }

  /** How many entries the registry should have. */
  get expected(): number {
    return this.table.size - this.table.disowned.size - this.#short
  }

  /** Whether an id is about to be written. */
  has(id: string): boolean {
    return this.#pending.has(id)
  }

  /** An id is here. */
  connect(id: string): void {
    const before = this.#pending.get(id)
    if (before !== 'new') this.#note(id, before === undefined ? 'new' : 'back')
  }

  /** An id has gone. */
  disconnect(id: string): void {
    if (this.#pending.get(id) === 'new') this.#forget(id)
    else this.#note(id, 'gone')
  }

  /** Begin again, for a life that has just begun. @param fresh write all that is connected; otherwise a heal has to follow */
  open(fresh: boolean): void {
    this.#backlog = undefined
    if (!fresh) return
    this.#pending.clear()
    this.#short = 0
    if (this.table.size > 0) this.#backlog = { ids: this.table.ids(), left: this.table.size }
  }

  /** What was connected when we joined is left to a heal. */
  drop(): void {
    this.#backlog = undefined
  }

  /** What to write next. */
  take(most: number): { connects: string[]; disconnects: string[] } {
    const connects: string[] = []
    const disconnects: string[] = []
    for (const [id, pending] of this.#pending) {
      (pending === 'gone' ? disconnects : connects).push(id)
      this.#forget(id)
      if (connects.length + disconnects.length === most) break
    }
    while (this.#backlog !== undefined && connects.length + disconnects.length < most) {
      const next = this.#backlog.ids.next()
      if (next.done === true || --this.#backlog.left === 0) this.#backlog = undefined
      if (next.done !== true && !this.#pending.has(next.value)) connects.push(next.value)
    }
    return { connects, disconnects }
  }

  #note(id: string, pending: Pending): void {
    this.#forget(id)
    this.#pending.set(id, pending)
    this.#short += SHORT[pending]
  }

  #forget(id: string): void {
    const before = this.#pending.get(id)
    if (before === undefined) return
    this.#pending.delete(id)
    this.#short -= SHORT[before]
  }
}
