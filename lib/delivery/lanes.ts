import { rethrow } from '../common/callback'
import { absentIds, type PeerSender, type Delivered } from '../common/peer-sender'
import { now } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { type Message } from '../common/encoded-message'
import { pushTo } from '../common/multimap'
import { follows, openErrand, openLane, type Errand, type Lane, type Stop } from './lane'
import type { Here } from './local'
import { LaneLookup, type LaneLocator } from './lane-lookup'
import { REGISTRY, type ResultBuilder } from './result-builder'

/** What lanes use of the cluster. */
export interface RecentLocations extends LaneLocator {
  /** The own address; `''` while there is none. */
  readonly self: string
  /** The address of a spark by its id or from the cache; `undefined` when the registry would have to be asked. */
  recent(id: string): string | undefined
}

/** The limits for all messages that wait in lanes. */
export interface Room {
  readonly messages: number
  readonly bytes: number
}

/** The most ids that one copy of a message names. */
export const IDS_PER_REQUEST = 10_000

/**
 * Sends messages to sparks of other servers, to each spark in the order of the calls.
 *
 * Each spark with messages under way has a lane. A message waits there while the spark is looked up; afterwards it
 * follows the earlier messages to the same server.
 *
 * When that server does not have the spark, later messages wait until all messages in flight have settled. Then the
 * spark is looked up once more, and all messages are sent in order. A message that a later one has overtaken counts
 * as missing, because delivering it would break the order.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()
  readonly #resolver: LaneLookup
  #nextOrder = 0
  #waiting = 0
  #bytes = 0

  constructor(
    private readonly local: Here,
    private readonly sender: PeerSender,
    private readonly where: RecentLocations,
    private readonly room: Room
  ) {
    this.#resolver = new LaneLookup(where, {
      found: (lanes, places) => {
        this.#found(lanes, places)
      },
      lost: (lanes, error, late) => {
        this.#lost(lanes, error, late)
      }
    })
  }

  /** Whether no message is under way. */
  get idle(): boolean {
    return this.#lanes.size === 0
  }

  /** Whether messages to a spark are under way, which a new message must follow. */
  busy(id: string): boolean {
    return this.#lanes.has(id)
  }

  /**
   * Send a message to sparks, and add the results to `outcome`; `EBUSY` among them when too many messages wait.
   *
   * @throws MetroplexError `EREGISTRY` when the message could not be tried for any of the sparks
   */
  async send(message: Message, ids: readonly string[], outcome: ResultBuilder): Promise<void> {
    if (this.#waiting >= this.room.messages || this.#bytes + message.size > this.room.bytes) {
      outcome.fail(
        REGISTRY,
        new MetroplexError('EBUSY', 'More is waiting to be forwarded than allowed: see `maxQueue`.', { maybe: false }),
        ids
      )
      return
    }
    this.#bytes += message.size
    const { errand, done } = openErrand(this.#nextOrder++, message, outcome, ids.length)
    const unknown: Lane[] = []
    const follow = new Map<string, Stop[]>()
    for (const id of ids) {
      const stop = { errand, id, retried: false }
      const lane = this.#lanes.get(id) ?? this.#open(id)
      if (follows(lane, this.where)) {
        lane.flying++
        pushTo(follow, lane.place, stop)
      } else {
        this.#wait(lane, stop)
        if (lane.flying === 0 && lane.waiting.length === 1) unknown.push(lane)
      }
    }
    for (const [place, stops] of follow) this.#sendTo(place, errand, stops)
    this.#resolver.seek(unknown)
    await done
    this.#bytes -= message.size
    if (errand.failure !== undefined && errand.unknown === ids.length && outcome.send === 0) throw errand.failure
  }

  #open(id: string): Lane {
    const lane = openLane(id, this.where.recent(id))
    this.#lanes.set(id, lane)
    return lane
  }

  #wait(lane: Lane, stop: Stop): void {
    lane.waiting.push(stop)
    this.#waiting++
  }

  /** The sparks of lanes have been looked up: send the waiting messages. */
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
      // Counted before the first send, which may settle before the second one starts.
      lane.flying = stops.length
      for (const stop of stops) {
        const places = sending.get(stop.errand) ?? new Map<string, Stop[]>()
        sending.set(stop.errand, places)
        pushTo(places, place, stop)
      }
    })
    if (unknown.length > 0) this.#unresolved(unknown, unknownPlaces())
    const inOrder = sending.size < 2 ? [...sending] : [...sending].sort(([a], [b]) => a.order - b.order)
    for (const [errand, places] of inOrder) for (const [place, stops] of places) this.#sendTo(place, errand, stops)
  }

  /** The lookup of lanes failed. @param late whether it took longer than the deadline of the message that it was for */
  #lost(lanes: readonly Lane[], error: Error, late: boolean): void {
    const time = now()
    const again: Lane[] = []
    const over: Stop[] = []
    for (const lane of lanes) {
      const stops = this.#take(lane)
      for (const stop of stops) {
        // The lookup had the deadline of the first message. Later messages with time left get a lookup of their own.
        if (!late || stop.errand === stops[0]?.errand || stop.errand.outcome.deadline <= time) over.push(stop)
        else this.#wait(lane, stop)
      }
      if (lane.waiting.length > 0) again.push(lane)
      else this.#lanes.delete(lane.id)
    }
    this.#unresolved(over, error)
    this.#resolver.seek(again)
  }

  /** These sparks could not be looked up. */
  #unresolved(stops: readonly Stop[], error: Error): void {
    const errands = new Map<Errand, Stop[]>()
    for (const stop of stops) pushTo(errands, stop.errand, stop)
    for (const [errand, own] of errands) {
      errand.outcome.fail(
        REGISTRY,
        error,
        own.map(({ id }) => id)
      )
      errand.unknown += own.filter(({ retried }) => !retried).length
      errand.failure ??= error
      for (const stop of own) this.#settle(stop)
    }
  }

  #miss(stop: Stop): void {
    stop.errand.outcome.miss([stop.id])
    this.#settle(stop)
  }

  #take(lane: Lane): Stop[] {
    const stops = lane.waiting
    lane.waiting = []
    this.#waiting -= stops.length
    return stops
  }

  /** Send a message to those of its sparks that are at one server. Their lanes count it as in flight already. */
  #sendTo(place: string, errand: Errand, stops: readonly Stop[]): void {
    const { message, outcome } = errand
    if (place === this.where.self) {
      this.#writeLocally(place, errand, stops)
      return
    }
    for (let first = 0; first < stops.length; first += IDS_PER_REQUEST) {
      const part = stops.length > IDS_PER_REQUEST ? stops.slice(first, first + IDS_PER_REQUEST) : stops
      const sparks = part.map(({ id }) => id)
      this.sender
        .send(place, message, { sparks }, outcome.deadline)
        .then(
          delivered => {
            this.#settled(errand, part, delivered)
          },
          (error: unknown) => {
            outcome.fail(place, error, sparks)
            this.#settled(errand, part, undefined)
          }
        )
        .catch(rethrow)
    }
  }

  /** Write to sparks that have moved to this server. An error of the application is one failure, as it is at a peer. */
  #writeLocally(place: string, errand: Errand, stops: readonly Stop[]): void {
    const ids = stops.map(({ id }) => id)
    let delivered: Delivered | undefined
    try {
      delivered = this.local.some(ids, errand.message)
    } catch (error) {
      const { message } = asError(error)
      errand.outcome.fail(
        place,
        new MetroplexError('EREMOTE', `A spark of this server could not be written to: ${message}`, {
          address: place,
          maybe: true,
          cause: error
        }),
        ids
      )
    }
    this.#settled(errand, stops, delivered)
  }

  /** A server has handled a message. @param delivered `undefined` when the send failed */
  #settled(errand: Errand, stops: readonly Stop[], delivered: Delivered | undefined): void {
    const absent =
      delivered &&
      absentIds(
        stops.map(({ id }) => id),
        delivered
      )
    const missing = absent === undefined || absent.length === 0 ? NONE : new Set(absent)
    if (delivered !== undefined) errand.outcome.send += delivered.send
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
      if (lane.flying === 0) this.#retry(lane, again)
    }
    this.#resolver.seek(again)
  }

  /** No message to a spark is in flight any more: look it up once more if messages missed it or wait for it. */
  #retry(lane: Lane, again: Lane[]): void {
    const { missed } = lane
    lane.missed = []
    const retried: Stop[] = []
    for (const stop of missed) {
      if (stop.retried || stop.errand.order < lane.delivered) {
        this.#miss(stop)
      } else {
        stop.retried = true
        retried.push(stop)
      }
    }
    // Not `unshift(...)`: a call has a limited number of arguments.
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

function unknownPlaces(): MetroplexError {
  return new MetroplexError(
    'EREGISTRY',
    'Redis cannot be asked which servers hold these sparks, and no recent answer is cached.'
  )
}

const NONE: ReadonlySet<string> = new Set()
