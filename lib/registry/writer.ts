import { ignore } from '../callback'
import { now } from '../deadline'
import { asError } from '../errors'
import { BigMap } from './big-map'
import type { Beat, Identity, Written } from './records'
import { SLICE, type Registry } from './registry'
import type { Table } from './table'

/** What is to be written of one id: it has come, it has gone, or it has gone and come again while the registry had it. */
type Pending = 'new' | 'gone' | 'back'

/** By how many entries the registry's number is short of ours for it. */
const SHORT: Readonly<Record<Pending, number>> = { new: 1, gone: -1, back: 0 }

/** How long after a commit the next one waits when there is little to write, in ms: what comes one by one would cost as many commits. */
const GATHER = 4

/** What a writer reports. */
export interface WriterEvents {
  /** A commit failed or was refused: it is unknown what the registry has seen. Only a heal can tell. */
  doubt(error: Error): void
  /** A commit has been written; how long it took, in ms. */
  committed(ms: number): void
}

/**
 * Writes our sparks into the registry, many in one go.
 *
 * What gathers while a commit is in flight, and for some milliseconds after it left, goes into the next one. A connect that is followed by its
 * disconnect before either was written is not written at all; a disconnect followed by a connect is a connect.
 * After a failure nothing more is written until a heal has found out what the registry says:
 * the table of what is connected is the truth, so that what waits meanwhile is never more than that.
 */
export class Writer {
  #me: Identity | undefined
  #seq = 0
  #acknowledged = 0
  readonly #pending = new BigMap<Pending>()
  /** What `#pending` adds up to, by `SHORT`. */
  #short = 0
  /** What was connected when we joined, as far as it has not been written. */
  #backlog: { readonly ids: Iterator<string, undefined>; left: number } | undefined
  /** Ids that we may have taken from servers which do not know it: the answer that names them was lost. */
  readonly #untold = new Set<string>()
  #doubt = false
  #scheduled: 'not' | 'soon' | 'at once' = 'not'
  #timer: NodeJS.Timeout | undefined
  /** When the last commit left, by `performance.now()`. */
  #left = -Infinity
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

  /** How many ids are waiting to be written. */
  get waiting(): number {
    return this.#pending.size
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

  /**
   * Write for this identity from now on.
   *
   * @param fresh write all that is connected, as if it had connected now; otherwise a heal has to follow
   */
  open(me: Identity, fresh: boolean): void {
    if (this.#me?.life !== me.life) this.#seq = this.#acknowledged = 0
    this.#me = me
    this.#doubt = !fresh
    this.#backlog = undefined
    if (fresh) {
      this.#pending.clear()
      this.#short = 0
      if (this.table.size > 0) this.#backlog = { ids: this.table.ids(), left: this.table.size }
    }
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

  /** Whether servers may have lost ids to us and not know it. */
  get owesWord(): boolean {
    return this.#untold.size > 0
  }

  /** Tell these servers what they may have lost to us; to others it means nothing. */
  async tell(addresses: Iterable<string>): Promise<void> {
    const ids = [...this.#untold]
    for (const address of addresses) {
      if (address === this.#me?.address) continue
      for (let first = 0; first < ids.length; first += SLICE) await this.registry.moved(address, ids.slice(first, first + SLICE))
    }
    for (const id of ids) this.#untold.delete(id)
  }

  /** Do something while no write of ours is in flight. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(ignore)
    return turn
  }

  /** Whether a beat, taken while no write was in flight, found what we have written. */
  agrees(beat: Extract<Beat, { as: 'ok' }>): boolean {
    const expected = this.table.size - this.table.disowned.size - this.#short
    // Until all that was there when we joined has been written, only those writes themselves can tell.
    return beat.whole && beat.seq === this.#acknowledged && (beat.sparks === expected || this.#backlog !== undefined)
  }

  /** Add those of these ids that the registry lacks, as far as they are (still) connected and not about to be written anyway. */
  async claim(ids: readonly string[]): Promise<Written> {
    return this.exclusive(() => this.#numbered((me, seq) => this.registry.claim(me, seq, ids.filter(id => this.#settled(id)))))
  }

  /** Take ids from an owner that is dead, or does not have them among its own. */
  async wrest(owner: string, ids: readonly string[]): Promise<Written> {
    return this.exclusive(() => this.#numbered((me, seq) => this.registry.wrest(me, seq, owner, ids.filter(id => this.#settled(id)))))
  }

  /** Remove those of these ids that are not ours (any more); how many that were. */
  async release(ids: readonly string[]): Promise<number> {
    return this.exclusive(async () => {
      const due = ids.filter(id => !this.table.owns(id) && !this.#pending.has(id))
      if (due.length > 0) await this.#numbered((me, seq) => this.registry.commit(me, seq, [], due))
      return due.length
    })
  }

  /** Whether an id is here, and not about to be written anyway. */
  #settled(id: string): boolean {
    return this.table.holds(id) && !this.#pending.has(id)
  }

  #note(id: string, pending: Pending): void {
    const before = this.#pending.get(id)
    if (before !== undefined) this.#forget(id)
    this.#pending.set(id, pending)
    this.#short += SHORT[pending]
    if (this.#scheduled === 'not' || this.#pending.size === SLICE) this.#schedule()
  }

  #forget(id: string): void {
    const before = this.#pending.get(id)
    if (before === undefined) return
    this.#pending.delete(id)
    this.#short -= SHORT[before]
  }

  #schedule(): void {
    if (this.#doubt || this.#me === undefined) return
    const { size } = this.#pending
    if (size === 0 && this.#backlog === undefined) return
    // What is full leaves at once; what trickles waits until a little has gathered.
    const pause = size >= SLICE || this.#backlog !== undefined ? 0 : this.#left + GATHER - now()
    if (this.#scheduled === 'at once' || (this.#scheduled === 'soon' && pause > 0)) return
    clearTimeout(this.#timer)
    this.#scheduled = pause > 0 ? 'soon' : 'at once'
    const leave = (): void => {
      this.#left = now()
      this.exclusive(() => this.#commit()).catch((error: unknown) => { this.#hesitate(error) })
    }
    // One turn of the event loop gathers what its sockets bring.
    if (pause > 0) this.#timer = setTimeout(leave, pause).unref()
    else setImmediate(leave)
  }

  #hesitate(error: unknown): void {
    this.#doubt = true
    this.#backlog = undefined
    this.events.doubt(asError(error))
  }

  async #commit(): Promise<void> {
    this.#scheduled = 'not'
    if (this.#me === undefined || this.#doubt) return
    const connects: string[] = []
    const disconnects: string[] = []
    for (const [id, pending] of this.#pending) {
      (pending === 'gone' ? disconnects : connects).push(id)
      this.#forget(id)
      if (connects.length + disconnects.length === SLICE) break
    }
    while (this.#backlog !== undefined && connects.length + disconnects.length < SLICE) {
      const next = this.#backlog.ids.next()
      if (next.done === true || --this.#backlog.left === 0) this.#backlog = undefined
      if (next.done !== true && !this.#pending.has(next.value)) connects.push(next.value)
    }
    if (connects.length + disconnects.length === 0) return
    const began = now()
    const written = await this.#numbered((me, seq) => this.registry.commit(me, seq, connects, disconnects)).catch((error: unknown) => {
      for (const id of connects) this.#untold.add(id)
      throw error
    })
    this.events.committed(now() - began)
    if (written.as !== 'ok') throw new Error(`The registry has ${written.as} our commit.`)
    for (const [owner, ids] of written.others) {
      this.registry.moved(owner, ids).catch((error: unknown) => {
        for (const id of ids) this.#untold.add(id)
        this.#hesitate(error)
      })
    }
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
