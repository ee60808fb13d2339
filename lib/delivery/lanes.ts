import { crash } from '../callback'
import { absent, type Courier, type Delivered } from '../courier'
import { now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { file, type Message } from '../message'
import { follows, type Errand, type Lane, type Stop } from './lane'
import type { Here } from './local'
import { Seeker, type Sought } from './seeker'
import { REGISTRY, type Sum } from './sum'

/** What lanes ask of the cluster. */
export interface Places extends Sought {
  /** Our own address; `''` while we have none. */
  readonly self: string
  /** Where a spark was a moment ago; `undefined` where that would have to be asked. */
  recent(id: string): string | undefined
}

/** How much may wait in all lanes. */
export interface Room {
  readonly messages: number
  readonly bytes: number
}

/** The most ids that travel with one copy of a message. */
export const IDS_PER_REQUEST = 10_000

/**
 * Brings messages to sparks of other servers, to each spark in the order of the calls.
 *
 * There is a lane for each spark to which something is under way. A message waits in it while the spark is being looked up, and follows the earlier
 * ones to the same server otherwise. When that server does not have the spark, nothing follows until all has come back; then the spark is
 * looked up once more, and all goes there, in its order. A message that a later one has overtaken meanwhile is missing rather than late.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()
  readonly #seeker: Seeker
  #orders = 0
  #waiting = 0
  #bytes = 0

  constructor(
    private readonly local: Here,
    private readonly courier: Courier,
    private readonly where: Places,
    private readonly room: Room
  ) {
    this.#seeker = new Seeker(where, {
      found: (lanes, places) => { this.#found(lanes, places) },
      lost: (lanes, error, late) => { this.#lost(lanes, error, late) }
    })
  }

  /** Nothing is under way to anybody. */
  get idle(): boolean {
    return this.#lanes.size === 0
  }

  /** Whether something is under way to a spark: what comes now has to follow it. */
  busy(id: string): boolean {
    return this.#lanes.has(id)
  }

  /**
   * Bring a message to sparks, and sum up what has become of it.
   *
   * @throws MetroplexError `EREGISTRY` when it could not be tried for any of them. What fails otherwise is in the sum: `EBUSY` when too much is waiting, too
   */
  async bring(message: Message, ids: readonly string[], sum: Sum): Promise<void> {
    if (this.#waiting >= this.room.messages || this.#bytes + message.size > this.room.bytes) {
      sum.fail(REGISTRY, new MetroplexError('EBUSY', 'More is waiting to be forwarded than allowed: see `maxQueue`.', { maybe: false }), ids)
      return
    }
    this.#bytes += message.size
    const errand: Errand = { order: this.#orders++, message, sum, open: ids.length, unknown: 0, failure: undefined, done: () => undefined }
    const done = new Promise<void>(resolve => { errand.done = resolve })
    const unknown: Lane[] = []
    const follow = new Map<string, Stop[]>()
    for (const id of ids) {
      const stop = { errand, id, again: false }
      const lane = this.#lanes.get(id) ?? this.#begin(id)
      if (follows(lane)) {
        lane.flying++
        file(follow, lane.place, stop)
      } else {
        this.#wait(lane, stop)
        if (lane.flying === 0 && lane.waiting.length === 1) unknown.push(lane)
      }
    }
    for (const [place, stops] of follow) this.#fly(place, errand, stops)
    this.#seeker.seek(unknown)
    await done
    this.#bytes -= message.size
    if (errand.failure !== undefined && errand.unknown === ids.length && sum.send === 0) throw errand.failure
  }

  #begin(id: string): Lane {
    const place = this.where.recent(id)
    const lane = { id, place, since: place === undefined ? 0 : now(), flying: 0, stopped: false, waiting: [], missed: [], delivered: -1 }
    this.#lanes.set(id, lane)
    return lane
  }

  #wait(lane: Lane, stop: Stop): void {
    lane.waiting.push(stop)
    this.#waiting++
  }

  /** Send what waits for its place to be known. */
  #found(lanes: readonly Lane[], places: readonly (string | null | undefined)[]): void {
    const time = now()
    const unknown: Stop[] = []
    const sending = new Map<Errand, Map<string, Stop[]>>()
    lanes.forEach((lane, i) => {
      const place = places[i]
      const stops = this.#take(lane)
      if (place === undefined || place === null) {
        this.#lanes.delete(lane.id)
        for (const stop of stops) {
          if (place === undefined) unknown.push(stop)
          else this.#miss(stop)
        }
        return
      }
      lane.place = place
      lane.since = time
      lane.stopped = false
      // All at once: the first may be back before the second has left.
      lane.flying = stops.length
      for (const stop of stops) {
        const places = sending.get(stop.errand) ?? new Map<string, Stop[]>()
        sending.set(stop.errand, places)
        file(places, place, stop)
      }
    })
    if (unknown.length > 0) this.#unknown(unknown, unknowable())
    const inOrder = sending.size < 2 ? [...sending] : [...sending].sort(([a], [b]) => a.order - b.order)
    for (const [errand, places] of inOrder) for (const [place, stops] of places) this.#fly(place, errand, stops)
  }

  /** The registry did not tell; `late`: not in the time of the message it was asked for. */
  #lost(lanes: readonly Lane[], error: Error, late: boolean): void {
    const time = now()
    const again: Lane[] = []
    const over: Stop[] = []
    for (const lane of lanes) {
      const stops = this.#take(lane)
      for (const stop of stops) {
        // It was asked for the first one. Who came later may have time left, and gets a question of its own, unless it would be answered like this one.
        if (!late || stop.errand === stops[0]?.errand || stop.errand.sum.deadline <= time) over.push(stop)
        else this.#wait(lane, stop)
      }
      if (lane.waiting.length > 0) again.push(lane)
      else this.#lanes.delete(lane.id)
    }
    this.#unknown(over, error)
    this.#seeker.seek(again)
  }

  /** Where these are could not be told. */
  #unknown(stops: readonly Stop[], error: Error): void {
    const errands = new Map<Errand, Stop[]>()
    for (const stop of stops) file(errands, stop.errand, stop)
    for (const [errand, own] of errands) {
      errand.sum.fail(REGISTRY, error, own.map(({ id }) => id))
      errand.unknown += own.filter(({ again }) => !again).length
      errand.failure ??= error
      for (const stop of own) this.#settle(stop)
    }
  }

  #miss(stop: Stop): void {
    stop.errand.sum.miss([stop.id])
    this.#settle(stop)
  }

  #take(lane: Lane): Stop[] {
    const stops = lane.waiting
    lane.waiting = []
    this.#waiting -= stops.length
    return stops
  }

  /** Send a message to some of its sparks, at one server; it counts as flying there already. */
  #fly(place: string, errand: Errand, stops: readonly Stop[]): void {
    const { message, sum } = errand
    if (place === this.where.self) {
      this.#here(place, errand, stops)
      return
    }
    for (let first = 0; first < stops.length; first += IDS_PER_REQUEST) {
      const part = stops.length > IDS_PER_REQUEST ? stops.slice(first, first + IDS_PER_REQUEST) : stops
      const sparks = part.map(({ id }) => id)
      this.courier.send(place, message, { sparks }, sum.deadline).then(
        delivered => { this.#landed(errand, part, delivered) },
        (error: unknown) => {
          sum.fail(place, error, sparks)
          this.#landed(errand, part, undefined)
        }
      ).catch(crash)
    }
  }

  /** Write to sparks that have come to us. What an application throws there is one failure, as it would be at a peer. */
  #here(place: string, errand: Errand, stops: readonly Stop[]): void {
    const ids = stops.map(({ id }) => id)
    let delivered: Delivered | undefined
    try {
      delivered = this.local.some(ids, errand.message)
    } catch (error) {
      const { message } = asError(error)
      errand.sum.fail(place, new MetroplexError('EREMOTE', `${place} could not carry it out: ${message}`, { address: place, maybe: true, cause: error }), ids)
    }
    this.#landed(errand, stops, delivered)
  }

  /** What a server has done with a message; `undefined`: it failed. */
  #landed(errand: Errand, stops: readonly Stop[], delivered: Delivered | undefined): void {
    const gone = delivered && absent(stops.map(({ id }) => id), delivered)
    const missing = gone === undefined || gone.length === 0 ? NOBODY : new Set(gone)
    if (delivered !== undefined) errand.sum.send += delivered.send
    const again: Lane[] = []
    for (const stop of stops) {
      const lane = this.#lanes.get(stop.id)
      if (lane === undefined) {
        this.#settle(stop)
        continue
      }
      lane.flying--
      if (missing.has(stop.id)) {
        lane.stopped = true
        lane.missed.push(stop)
      } else {
        if (delivered === undefined) lane.stopped = true
        else lane.delivered = Math.max(lane.delivered, errand.order)
        this.#settle(stop)
      }
      if (lane.flying === 0) this.#turn(lane, again)
    }
    this.#seeker.seek(again)
  }

  /** Nothing is on its way to a spark any more. */
  #turn(lane: Lane, again: Lane[]): void {
    const { missed } = lane
    lane.missed = []
    const retried: Stop[] = []
    for (const stop of missed) {
      if (stop.again || stop.errand.order < lane.delivered) {
        this.#miss(stop)
      } else {
        stop.again = true
        retried.push(stop)
      }
    }
    // Not spread over arguments: there may be more than a call can have.
    if (retried.length > 0) lane.waiting = [...retried, ...lane.waiting]
    this.#waiting += retried.length
    lane.place = undefined
    if (lane.waiting.length > 0) again.push(lane)
    else this.#lanes.delete(lane.id)
  }

  #settle({ errand }: Stop): void {
    if (--errand.open === 0) errand.done()
  }
}

function unknowable(): MetroplexError {
  return new MetroplexError('EREGISTRY', 'Redis cannot be asked where these sparks are, and we have not known it lately.')
}

const NOBODY: ReadonlySet<string> = new Set()
