import type { Control } from './control'
import { BEAT, LEASE, TIMEOUT } from './times'

/** The option `limit` of all servers of a run. */
export interface Limit {
  readonly sparks: number
  readonly over: 'oldest' | 'refuse'
}

/** How long what a server goes by may be out of date, in ms: an answer on its way, a spark that is ending. */
const STALE = 1000

/** By how much the moments at which sparks got their users may be off, in ms: a command waits for its connection. */
const INEXACT = TIMEOUT + STALE

/** For how long a dead server counts among those that share the sparks, in ms, and a number of sparks is used. */
const UNNOTICED = LEASE + 3 * BEAT + STALE

/** For how long nothing is said of an order after Redis has lost it, in ms: until all servers have healed. */
const HEALED = LEASE + 2 * BEAT + STALE

/** Since when a spark has its user, and until when it had it, in epoch ms. */
interface Seat {
  readonly server: number
  readonly id: string
  readonly user: string
  readonly since: number
  until: number
}

/** What is known of an order to keep a user out. */
interface Order {
  /** Until when the user may be kept out, in epoch ms. */
  possible: number
  /** Until when it must be, by the answer to the last order. */
  certain: number
  /** The starts of servers that remember it. */
  readonly known: Set<unknown>
  /** Redis may have lost it, so that those alone have it. */
  lost: boolean
}

/** How many sparks each server has that is up, at a time. */
interface Sizes {
  readonly at: number
  readonly each: ReadonlyMap<number, number>
}

/**
 * Judges what servers do to sparks for the sake of others: those of a user with too many, those of a user that is kept
 * out, and those that a balance ends.
 */
export class Rules {
  #seats: Seat[] = []
  readonly #orders = new Map<string, Order>()
  #sizes: Sizes[] = []
  #flushed = -Infinity

  constructor(
    readonly limit: Limit | undefined,
    private readonly control: Pick<Control, 'lost'>,
    private readonly wrong: (what: string) => void
  ) {}

  /** A spark has got a user, or has none any more. */
  named(server: number, id: string, user: string | undefined): void {
    const now = Date.now()
    const current = this.#seat(server, id)
    if (current?.user === user) return
    if (current !== undefined) current.until = now
    if (user !== undefined) this.#seats.push({ server, id, user, since: now, until: Infinity })
    const kept = now - this.#window(UNNOTICED)
    this.#seats = this.#seats.filter(({ until }) => until > kept)
  }

  /** A server has ended, with all that it had. */
  left(server: number, start: unknown): void {
    const now = Date.now()
    for (const seat of this.#seats) if (seat.server === server && seat.until > now) seat.until = now
    for (const order of this.#orders.values()) {
      order.known.delete(start)
      if (order.lost && order.known.size === 0) order.certain = 0
    }
  }

  /** The sparks of servers have changed: so many each server has. */
  counted(each: ReadonlyMap<number, number>): void {
    const now = Date.now()
    this.#sizes.push({ at: now, each })
    const kept = now - this.#window(UNNOTICED)
    const last = this.#sizes.findLastIndex(({ at }) => at <= kept)
    if (last > 0) this.#sizes = this.#sizes.slice(last)
  }

  /** Redis has lost its data. */
  forgotten(): void {
    this.#flushed = Date.now()
    for (const order of this.#orders.values()) {
      order.lost = true
      if (order.known.size === 0) order.certain = 0
    }
  }

  /**
   * An order to keep a user out, or to let it in, was given.
   *
   * @returns a function to call with the starts that have taken it; `undefined`: it failed
   */
  ordered(user: string, ms: number): (known: ReadonlySet<unknown> | undefined, all: boolean) => void {
    const order = this.#orders.get(user) ?? { possible: 0, certain: 0, known: new Set<unknown>(), lost: false }
    this.#orders.set(user, order)
    const begun = Date.now()
    const flushed = this.#flushed
    if (ms === 0) order.certain = 0
    // Nothing is known of an order that is under way, or whose answer was lost.
    else order.possible = Infinity
    return (known, all) => {
      const now = Date.now()
      order.possible = Math.max(now + ms, order.possible === Infinity ? now + ms : order.possible)
      if (known === undefined) return
      if (ms === 0) {
        if (all) order.possible = now + HEALED
        return
      }
      if (begun + ms < order.certain) return
      order.known.clear()
      for (const start of known) order.known.add(start)
      order.lost = flushed !== this.#flushed
      order.certain = order.lost && order.known.size === 0 ? 0 : begun + ms
    }
  }

  /** A spark is ended because of its user, which a server says. */
  refused(server: number, id: string, user: string, why: 'limit' | 'barred'): void {
    if (why === 'barred') this.#judgeOut(server, id, user)
    else this.#judgeLimit(server, id, user)
  }

  /** A spark is ended by an order to keep its user out. */
  out(server: number, id: string): void {
    const user = this.#seat(server, id)?.user
    if (user === undefined) this.wrong(`server ${server} ended ${id}, which has no user`)
    else this.#judgeOut(server, id, user)
  }

  /** A spark is ended by a balance. */
  balanced(server: number, id: string): void {
    const from = Date.now() - this.#window(UNNOTICED)
    const before = this.#sizes.findLastIndex(({ at }) => at <= from)
    const above = this.#sizes.slice(Math.max(0, before)).some(({ each }) => {
      const total = [...each.values()].reduce((sum, size) => sum + size, 0)
      return (each.get(server) ?? 0) > total / each.size
    })
    if (!above) this.wrong(`server ${server} ended ${id} to even out the sparks, but had no more than the mean`)
  }

  /** What is wrong once all is quiet. */
  differences(): string[] {
    const now = Date.now()
    const of = new Map<string, string[]>()
    for (const { user, id, until } of this.#seats) if (until === Infinity) of.set(user, [...(of.get(user) ?? []), id])
    return [...of].flatMap(([user, ids]) => {
      const most = this.limit?.sparks ?? Infinity
      const certain = this.#orders.get(user)?.certain ?? 0
      return [
        ...(ids.length > most ? [`${user} has ${ids.join()}, more than ${most}`] : []),
        ...(certain > now ? [`${user} has ${ids.join()}, and is kept out for ${certain - now} ms more`] : [])
      ]
    })
  }

  #judgeOut(server: number, id: string, user: string): void {
    const possible = this.#orders.get(user)?.possible ?? 0
    const late = Date.now() - possible
    if (late > this.#window(STALE)) this.wrong(`server ${server} ended ${id} of ${user}, which is not kept out`)
  }

  /** As many others as are allowed must be there, or have been there a moment ago; and newer ones, where those stay. */
  #judgeLimit(server: number, id: string, user: string): void {
    const { limit } = this
    if (limit === undefined) return this.wrong(`server ${server} ended ${id} of ${user}, though there is no limit`)
    const now = Date.now()
    const own = this.#seat(server, id)
    const there = this.#seats.filter(
      seat => seat !== own && seat.user === user && seat.until > now - this.#window(STALE)
    )
    const ids = (seats: readonly Seat[]): string => seats.map(seat => `${seat.id} at ${seat.server}`).join() || 'none'
    if (new Set(there.map(seat => seat.id)).size < limit.sparks)
      this.wrong(`server ${server} ended ${id} of ${user} beside ${ids(there)}, fewer than ${limit.sparks}`)
    if (limit.over === 'refuse' || own === undefined || now - this.#flushed < this.#window(HEALED)) return
    const newer = there.filter(({ since }) => since > own.since - this.#window(INEXACT))
    if (new Set(newer.map(seat => seat.id)).size < limit.sparks)
      this.wrong(`server ${server} ended ${id} of ${user}, and as the newer ones has ${ids(newer)}`)
  }

  #seat(server: number, id: string): Seat | undefined {
    return this.#seats.find(seat => seat.server === server && seat.id === id && seat.until === Infinity)
  }

  /** So many ms before now, and those in which the machine kept servers from their work. */
  #window(ms: number): number {
    return ms + this.control.lost(Date.now() - ms)
  }
}
