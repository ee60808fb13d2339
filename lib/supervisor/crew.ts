import { MetroplexError } from '../errors'
import type { Child, End } from './child'
import { Seat, type Tell } from './seat'
import type { Terms, TypeTerms } from './terms'
import type { Ended, WorkerInfo } from './types'

/** All workers of one type: as many as are wanted, in places named `type-1` to `type-n`. */
export class Crew {
  /** By their numbers, in ascending order. */
  readonly #seats: Seat[] = []
  #count: number
  /** Whether there are to be any: it has been started, and not drained. */
  #open = false
  /** Those that have to go because others take over from them. */
  readonly #stale = new Set<Child>()
  #rolling: Promise<void> | undefined
  #due: NodeJS.Timeout | undefined

  constructor(private readonly terms: TypeTerms, private readonly all: Terms, private readonly tell: Tell) {
    this.#count = terms.count
  }

  /** Whether it has been started, and not drained. */
  get open(): boolean {
    return this.#open
  }

  /** Those that are here, and how they stand. */
  get workers(): WorkerInfo[] {
    return this.#seats.flatMap(seat => seat.workers)
  }

  /** Whoever has the place of this name. */
  find(name: string): Child | undefined {
    return this.#seats.find(seat => seat.name === name)?.current
  }

  /** Have all of them here, after a drain again. Resolves when they are ready; rejects when one of them flaps, or when they are drained meanwhile. */
  async start(): Promise<void> {
    if (!this.#open) {
      this.#open = true
      this.#arm()
    }
    await this.#fill()
  }

  /** Have another number of them. Those with the highest numbers go. Resolves when the new ones are ready, and the others have gone. */
  async scale(count: number): Promise<void> {
    this.#count = count
    const gone = this.#seats.slice(count).map(seat => seat.drain(this.terms.grace))
    await Promise.all([this.#open ? this.#fill() : undefined, ...gone])
  }

  /** Have nobody here. Resolves when the last one has gone. */
  async drain(grace = this.terms.grace): Promise<Ended> {
    this.#open = false
    clearTimeout(this.#due)
    const ends = await Promise.all(this.#seats.map(async seat => ({ name: seat.name, ends: await seat.drain(grace) })))
    const killed = ({ ends }: { ends: readonly End[] }): boolean => ends.some(({ reason }) => reason !== undefined)
    return { killed: ends.filter(killed).map(({ name }) => name) }
  }

  /**
   * Replace all that are here now, one after the other, each when its successor is ready. Who asks while that goes on has those replaced, too, that have been started
   * meanwhile.
   *
   * @throws MetroplexError `EWORKER` when a successor did not become ready: then the others are left as they are
   */
  async recycle(): Promise<void> {
    if (!this.#open) throw new MetroplexError('ECLOSED', `There are no workers of the type ${this.terms.type} to be replaced: they have not been started, or have been drained.`)
    for (const { here } of this.#seats) for (const child of here) this.#stale.add(child)
    await (this.#rolling ??= this.#roll())
  }

  async #roll(): Promise<void> {
    try {
      for (;;) {
        const seat = this.#seats.find(({ current }) => current !== undefined && this.#stale.has(current))
        if (seat?.current === undefined) return
        this.#stale.delete(seat.current)
        try {
          await seat.recycle()
        } catch (error) {
          // Whoever is one too many meanwhile needs no successor.
          if (this.#open && this.#seats.indexOf(seat) >= this.#count) continue
          if (!(error instanceof MetroplexError) || error.code !== 'EWORKER') throw error
          throw new MetroplexError('EWORKER', `${error.message} Those that were still to be replaced go on.`, { cause: error })
        }
      }
    } finally {
      this.#stale.clear()
      this.#rolling = undefined
    }
  }

  async #fill(): Promise<void> {
    while (this.#seats.length < this.#count) {
      this.#seats.push(new Seat(`${this.terms.type}-${this.#seats.length + 1}`, this.terms, this.all, this.tell))
    }
    const wanted = this.#seats.slice(0, this.#count)
    for (const seat of wanted) seat.start()
    await Promise.all(wanted.map(seat => seat.ready()))
  }

  /** Replace them when their time has come. */
  #arm(): void {
    clearTimeout(this.#due)
    const { recycle } = this.terms
    if (recycle === 0) return
    this.#due = setTimeout(() => {
      this.recycle()
        .catch((error: unknown) => { if (this.#open) this.tell('error', error as Error) })
        .finally(() => { if (this.#open) this.#arm() })
    }, recycle).unref()
  }
}
