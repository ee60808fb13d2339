import { ignore } from '../callback'
import { now } from '../deadline'
import { asError } from '../errors'
import type { Namer } from './namer'
import type { Beat, Identity, Named, Written } from './records'
import { SLICE } from './pace'
import type { Registry } from './registry'
import type { Table } from './table'
import { Turnover } from './turnover'
import { Untold } from './untold'

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
 * Writes our sparks and their users into the registry, many in one go.
 *
 * What gathers while a commit is in flight, and for some milliseconds after it left, goes into the next one. A connect that is followed by its
 * disconnect before either was written is not written at all; a disconnect followed by a connect is a connect.
 * After a failure nothing more is written until a heal has found out what the registry says:
 * the tables of what is connected and named are the truth, so that what waits meanwhile is never more than that.
 */
export class Writer {
  #me: Identity | undefined
  #seq = 0
  #acknowledged = 0
  readonly #turnover: Turnover
  readonly #untold: Untold
  #doubt = false
  #scheduled: 'not' | 'soon' | 'at once' = 'not'
  #timer: NodeJS.Timeout | undefined
  /** When the last commit left, by `performance.now()`. */
  #left = -Infinity
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly registry: Pick<Registry, 'commit' | 'claim' | 'wrest' | 'moved' | 'users'>,
    private readonly table: Table,
    private readonly namer: Namer,
    private readonly events: WriterEvents
  ) {
    this.#turnover = new Turnover(table)
    this.#untold = new Untold(registry)
  }

  /** Whether the registry may say something else than we think. */
  get inDoubt(): boolean {
    return this.#doubt
  }

  /** The number of the last write that has been sent, for a life that joins again. */
  get seq(): number {
    return this.#seq
  }

  /** How many ids are waiting to be written, or their users. */
  get waiting(): number {
    return this.#turnover.waiting + this.namer.waiting
  }

  /** An id is here. */
  connect(id: string): void {
    this.#turnover.connect(id)
    this.#noted()
  }

  /** An id has gone. */
  disconnect(id: string): void {
    this.#turnover.disconnect(id)
    this.#noted()
  }

  /** An id has another user. @param sure whether the registry has the former one, as far as we know */
  rename(id: string, from: string | undefined, to: string | undefined, sure: boolean): void {
    this.namer.rename(id, from, to, sure && !this.#doubt)
    this.#noted()
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
    this.#turnover.open(fresh)
    this.namer.open(fresh)
    this.#schedule()
  }

  /** Write nothing any more until `open`. */
  close(): void {
    this.#me = undefined
  }

  /** A heal is through: the registry says what we think. */
  trust(): void {
    this.#doubt = false
    this.namer.settle()
    this.#schedule()
  }

  /** Whether servers may have lost something to us and not know it. */
  get owesWord(): boolean {
    return this.#untold.any
  }

  /** Tell these servers what they may have lost to us. */
  async tell(addresses: Iterable<string>): Promise<void> {
    await this.#untold.tell([...addresses].filter(address => address !== this.#me?.address))
  }

  /** Do something while no write of ours is in flight. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(ignore)
    return turn
  }

  /** Whether a beat, taken while no write was in flight, found what we have written. */
  agrees(beat: Extract<Beat, { as: 'ok' }>): boolean {
    // Until all that was there when we joined has been written, only those writes themselves can tell.
    const sparks = beat.sparks === this.#turnover.expected || this.#turnover.behind
    return beat.whole && beat.seq === this.#acknowledged && sparks && this.namer.agrees(beat.users)
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
      const due = ids.filter(id => !this.table.owns(id) && !this.#turnover.has(id))
      if (due.length > 0) await this.#numbered((me, seq) => this.registry.commit(me, seq, [], due))
      return due.length
    })
  }

  /** Add those of these users that the registry lacks, as far as they are (still) behind our sparks. @param over also take them from whom the registry names */
  async claimUsers(named: readonly Named[], over: boolean): Promise<Written<Named>> {
    return this.exclusive(() => this.#numbered((me, seq) => {
      const settled = named.filter(one => this.namer.settled(one))
      if (!over) return this.registry.users.claim(me, seq, settled)
      return this.registry.users.commit(me, seq, settled.map(([id, to]) => ({ id, from: undefined, to })))
    }))
  }

  /** Remove what a page of the users behind our sparks has too much; how many that were, and where the next page begins. */
  async releaseUsers(me: Identity, cursor: string): Promise<{ cursor: string; wrong: number }> {
    return this.exclusive(async () => {
      const page = await this.registry.users.page(me.address, cursor)
      const excess = this.namer.excess(page.named)
      if (excess.length > 0) await this.#numbered((us, seq) => this.registry.users.commit(us, seq, excess))
      return { cursor: page.cursor, wrong: excess.length }
    })
  }

  /** Whether an id is here, and not about to be written anyway. */
  #settled(id: string): boolean {
    return this.table.holds(id) && !this.#turnover.has(id)
  }

  #noted(): void {
    if (this.#scheduled === 'not' || this.waiting === SLICE) this.#schedule()
  }

  #schedule(): void {
    if (this.#doubt || this.#me === undefined) return
    const behind = this.#turnover.behind || this.namer.behind
    if (this.waiting === 0 && !behind) return
    // What is full leaves at once; what trickles waits until a little has gathered.
    const pause = this.waiting >= SLICE || behind ? 0 : this.#left + GATHER - now()
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
    this.#turnover.drop()
    this.namer.drop()
    this.events.doubt(asError(error))
  }

  async #commit(): Promise<void> {
    this.#scheduled = 'not'
    if (this.#me === undefined || this.#doubt) return
    await this.#commitSparks()
    await this.#commitUsers()
    this.#schedule()
  }

  async #commitSparks(): Promise<void> {
    const { connects, disconnects } = this.#turnover.take(SLICE)
    if (connects.length + disconnects.length === 0) return
    await this.#send((me, seq) => this.registry.commit(me, seq, connects, disconnects), connects, {
      tell: (owner, ids) => this.registry.moved(owner, ids),
      owe: ids => { this.#untold.sparks(ids) }
    })
  }

  async #commitUsers(): Promise<void> {
    if (this.#me === undefined || this.#doubt) return
    const renamed = this.namer.take(SLICE)
    const named = renamed.flatMap(({ id, to }): Named[] => to === undefined ? [] : [[id, to]])
    if (renamed.length > 0) {
      await this.#send((me, seq) => this.registry.users.commit(me, seq, renamed), named, {
        tell: (owner, theirs) => this.registry.users.moved(owner, theirs),
        owe: theirs => { this.#untold.users(theirs) }
      })
    }
    this.namer.settle()
  }

  /** Send a commit, and tell whoever lost something by it. @param ours what it may have taken from others */
  async #send<T>(write: (me: Identity, seq: number) => Promise<Written<T>>, ours: readonly T[], word: Word<T>): Promise<void> {
    const began = now()
    const written = await this.#numbered(write).catch((error: unknown) => {
      word.owe(ours)
      throw error
    })
    this.events.committed(now() - began)
    if (written.as !== 'ok') throw new Error(`The registry has ${written.as} our commit.`)
    for (const [owner, theirs] of written.others) {
      word.tell(owner, theirs).catch((error: unknown) => {
        word.owe(theirs)
        this.#hesitate(error)
      })
    }
  }

  async #numbered<T>(write: (me: Identity, seq: number) => Promise<Written<T>>): Promise<Written<T>> {
    if (this.#me === undefined) return { as: 'refused' }
    const seq = ++this.#seq
    const written = await write(this.#me, seq)
    // What was refused is not in the registry, and its number neither.
    if (written.as === 'ok') this.#acknowledged = seq
    return written
  }
}

/** How others hear of what we have taken from them: at once, or, when that may have been lost, with the next heal. */
interface Word<T> {
  tell(owner: string, theirs: readonly T[]): Promise<void>
  owe(theirs: readonly T[]): void
}
