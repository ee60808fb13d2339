import { asError } from '../errors'
import { ignore } from '../callback'
import type { Beat, Identity, Written } from './records'
import { SLICE, type Registry } from './registry'
import type { Table } from './table'

/** What is to be written of one id: whether it is here, and whether the registry has it. */
interface Pending {
  here: boolean
  readonly known: boolean
}

/** What a writer reports. */
export interface WriterEvents {
  /** A commit failed or was refused: it is unknown what the registry has seen. Only a heal can tell. */
  doubt(error: Error): void
}

/**
 * Writes our sparks into the registry, many in one go.
 *
 * What gathers while a commit is in flight goes into the next one. A connect that is followed by its
 * disconnect before either was written is not written at all; a disconnect followed by a connect is a connect.
 * After a failure nothing more is written until a heal has found out what the registry says:
 * the table of what is connected is the truth, so that what waits meanwhile is never more than that.
 */
export class Writer {
  #me: Identity | undefined
  #seq = 0
  #acknowledged = 0
  #pending = new Map<string, Pending>()
  #doubt = false
  #scheduled = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly registry: Pick<Registry, 'commit' | 'claim' | 'wrest' | 'moved'>,
    private readonly table: Table,
    private readonly events: WriterEvents
  ) {}

  /** Whether the registry may say something else than we think. */
  get inDoubt(): boolean {
    return this.#doubt
  }

  /** The number of the last write that has been sent, for a life that joins again. */
  get seq(): number {
    return this.#seq
  }

  /** An id is here. */
  connect(id: string): void {
    const before = this.#pending.get(id)
    this.#pending.set(id, { here: true, known: before?.known ?? false })
    this.#schedule()
  }

  /** An id has gone. */
  disconnect(id: string): void {
    const before = this.#pending.get(id)
    if (before?.known === false) {
      this.#pending.delete(id)
      return
    }
    this.#pending.set(id, { here: false, known: true })
    this.#schedule()
  }

  /**
   * Write for this identity from now on.
   *
   * @param fresh write all that is connected, as if it had connected now; otherwise a heal has to follow
   */
  open(me: Identity, fresh: boolean): void {
    if (this.#me?.life !== me.life) this.#seq = this.#acknowledged = 0
    this.#me = me
    this.#doubt = !fresh
    if (fresh) this.#pending = new Map([...this.table.ids()].map(id => [id, { here: true, known: false }]))
    this.#schedule()
  }

  /** Write nothing any more until `open`. */
  close(): void {
    this.#me = undefined
  }

  /** A heal is through: the registry says what we think. */
  trust(): void {
    this.#doubt = false
    this.#schedule()
  }

  /** Do something while no write of ours is in flight. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(ignore)
    return turn
  }

  /** Whether a beat, taken while no write was in flight, found what we have written. */
  agrees(beat: Extract<Beat, { as: 'ok' }>): boolean {
    let waiting = 0
    for (const { here, known } of this.#pending.values()) {
      if (here && !known) waiting++
      else if (!here) waiting--
    }
    const expected = this.table.size - this.table.disowned.size - waiting
    return beat.whole && beat.seq === this.#acknowledged && beat.sparks === expected
  }

  /** Add those of these ids that the registry lacks, as far as they are (still) connected and not about to be written anyway. */
  async claim(ids: readonly string[]): Promise<Written> {
    return this.exclusive(async () => {
      const due = ids.filter(id => this.table.holds(id) && !this.#pending.has(id))
      return this.#numbered((me, seq) => this.registry.claim(me, seq, due))
    })
  }

  /** Take ids from a dead owner; `null` when it is alive. */
  async wrest(owner: string, ids: readonly string[]): Promise<number | null> {
    return this.exclusive(async () => {
      const due = ids.filter(id => this.table.holds(id) && !this.#pending.has(id))
      const me = this.#me
      if (me === undefined || due.length === 0) return 0
      const seq = ++this.#seq
      const taken = await this.registry.wrest(me, seq, owner, due)
      this.#acknowledged = seq
      return taken
    })
  }

  /** Remove those of these ids that are not ours (any more); how many that were. */
  async release(ids: readonly string[]): Promise<number> {
    return this.exclusive(async () => {
      const due = ids.filter(id => !this.table.owns(id) && !this.#pending.has(id))
      if (due.length > 0) await this.#numbered((me, seq) => this.registry.commit(me, seq, [], due))
      return due.length
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#doubt || this.#me === undefined || this.#pending.size === 0) return
    this.#scheduled = true
    // One turn of the event loop gathers what its sockets bring.
    setImmediate(() => {
      this.exclusive(() => this.#commit()).catch((error: unknown) => {
        this.#doubt = true
        this.events.doubt(asError(error))
      })
    })
  }

  async #commit(): Promise<void> {
    this.#scheduled = false
    if (this.#me === undefined || this.#doubt) return
    const connects: string[] = []
    const disconnects: string[] = []
    for (const [id, { here }] of this.#pending) {
      (here ? connects : disconnects).push(id)
      this.#pending.delete(id)
      if (connects.length + disconnects.length === SLICE) break
    }
    if (connects.length + disconnects.length === 0) return
    const { as, others } = await this.#numbered((me, seq) => this.registry.commit(me, seq, connects, disconnects))
      .then(written => written.as === 'ok' ? written : { as: written.as, others: new Map<string, string[]>() })
    if (as !== 'ok') throw new Error(`The registry has ${as} our commit.`)
    for (const [owner, ids] of others) this.registry.moved(owner, ids).catch(ignore)
    this.#schedule()
  }

  async #numbered(write: (me: Identity, seq: number) => Promise<Written>): Promise<Written> {
    if (this.#me === undefined) return { as: 'refused' }
    const seq = ++this.#seq
    const written = await write(this.#me, seq)
    // What was refused is not in the registry, and its number neither.
    if (written.as === 'ok') this.#acknowledged = seq
    return written
  }
}
