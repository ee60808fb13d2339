import { deferred } from '../deadline'
import { BigMap } from './big-map'
import { Names } from './names'
import type { Named, Renamed } from './records'

/** What is to be written of one spark. */
interface Pending {
  /** The user that the registry has for it. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Whether we know what the registry has. */
  readonly sure: boolean
}

/**
 * What of the users behind our sparks waits to be written, in one registry.
 *
 * Of a spark that gets one user after the other only the last one is written, and nothing of one that has its old user again.
 */
export class Namer {
  readonly names = new Names()
  readonly #pending = new BigMap<Pending>()
  /** By how many entries the registry's number is short of ours for that. */
  #short = 0
  /** Of how many we do not know what the registry has. */
  #unsure = 0
  /** What there was when we joined, as far as it has not been written. */
  #backlog: Iterator<Named, undefined> | undefined
  /** What has been sent, and is not known to be written: by the end of that write, or of the heal when it fails. */
  readonly #sent = new Set<string>()
  /** Who waits for an id to be written. */
  readonly #awaited = new Map<string, ReturnType<typeof deferred<undefined>>>()

  /** How many ids are waiting to be written. */
  get waiting(): number {
    return this.#pending.size
  }

  /** Whether what there was when we joined has not been written yet. */
  get behind(): boolean {
    return this.#backlog !== undefined
  }

  /** A spark has another user. @param sure whether the registry has the former one, as far as we know */
  rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    if (from !== undefined) this.names.remove(id, from)
    if (to !== undefined) this.names.add(id, to)
    const before = this.#pending.get(id)
    this.#note(id, { from: before === undefined ? from : before.from, to, sure: sure && before?.sure !== false })
  }

  /** Resolves when what an id is to have is in the registry. */
  written(id: string): Promise<void> {
    if (this.#through(id)) return Promise.resolve()
    const awaited = this.#awaited.get(id) ?? deferred<undefined>()
    this.#awaited.set(id, awaited)
    return awaited.promise
  }

  /** Begin again, for a life that has just begun. @param fresh write all that there is; otherwise a heal has to follow */
  open(fresh: boolean): void {
    for (const [id, pending] of [...this.#pending]) {
      if (fresh) this.#forget(id)
      else this.#note(id, { ...pending, sure: false })
    }
    this.drop()
    if (!fresh) return
    if (this.names.size > 0) this.#backlog = this.names[Symbol.iterator]()
    else this.settle()
  }

  /** What to write next. */
  take(most: number): Renamed[] {
    const taken: Renamed[] = []
    for (const [id, { from, to }] of this.#pending) {
      this.#forget(id)
      taken.push({ id, from, to })
      if (taken.length === most) break
    }
    while (this.#backlog !== undefined && taken.length < most) {
      const next = this.#backlog.next()
      if (next.done === true) this.drop()
      else if (!this.#pending.has(next.value[0])) taken.push({ id: next.value[0], from: undefined, to: next.value[1] })
    }
    for (const { id } of taken) this.#sent.add(id)
    return taken
  }

  /** All that was sent has been written, or put right by a heal. */
  settle(): void {
    const sent = [...this.#sent]
    this.#sent.clear()
    this.#tell(sent)
  }

  /** All of the backlog has been sent, or is left to a heal. */
  drop(): void {
    this.#backlog = undefined
    for (const id of this.#awaited.keys()) this.#sent.add(id)
  }

  /** Whether the registry's number is right, as far as can be told. */
  agrees(users: number): boolean {
    return users === this.names.size - this.#short || this.#unsure > 0 || this.#backlog !== undefined
  }

  /** Whether a user is behind a spark of ours, and that is not about to be written anyway. */
  settled([id, user]: Named): boolean {
    return this.names.has(id, user) && !this.#pending.has(id)
  }

  /** What is not ours of what the registry has; and learn from it what it has of those about to be written. */
  excess(named: readonly Named[]): Renamed[] {
    const excess: Renamed[] = []
    for (const [id, from] of named) {
      const pending = this.#pending.get(id)
      if (pending !== undefined) this.#note(id, { from, to: pending.to, sure: true })
      else if (!this.names.has(id, from)) excess.push({ id, from, to: undefined })
    }
    return excess
  }

  #through(id: string): boolean {
    return !this.#pending.has(id) && !this.#sent.has(id) && this.#backlog === undefined
  }

  #note(id: string, pending: Pending): void {
    this.#forget(id)
    if (pending.from === pending.to) {
      this.#tell([id])
      return
    }
    this.#pending.set(id, pending)
    this.#short += shortage(pending)
    if (!pending.sure) this.#unsure++
  }

  #forget(id: string): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    this.#short -= shortage(pending)
    if (!pending.sure) this.#unsure--
  }

  /** Tell who waits for these, as far as they are through. */
  #tell(ids: Iterable<string>): void {
    for (const id of ids) {
      if (!this.#through(id)) continue
      this.#awaited.get(id)?.resolve(undefined)
      this.#awaited.delete(id)
    }
  }
}

function shortage({ from, to }: Pending): number {
  return Number(to !== undefined) - Number(from !== undefined)
}
