import { now, within } from '../deadline'
import { MetroplexError, asError, shown } from '../errors'
import { encoded, file, idOf, idsOf } from '../message'
import type { Outgoing, Transport } from '../transport/transport'
import type { Failure, Result } from '../types'
import type { Local } from './local'

/** What forwarding asks of the cluster. */
export interface Whereabouts {
  /** Our own address; `''` while we have none. */
  readonly self: string
  /** Whether a spark is connected here. */
  owns(id: string): boolean
  /**
   * Where sparks are, in their order; only on servers that live. Where the registry cannot be asked: where they were last known to be, or
   * `undefined`; with `fresh`, the registry alone is asked. Rejects when nothing is known of any of them.
   */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
  /** A message has been forwarded; how long it took, in ms. */
  forwarded(result: Result, ms: number): void
  /** The addresses of all peers that live; the last known ones when the registry cannot be asked. Rejects when none were ever known. */
  peers(): Promise<string[]>
  /** Whether a peer knows what 1.x does not: to leave some sparks out. */
  knowsExcept(address: string): boolean
  /** The ids registered under an address. */
  sparksOn(address: string): AsyncIterable<string>
}

/** The most ids that travel with one copy of a message. */
const IDS_PER_REQUEST = 10_000

/** What stands in `failed` for the registry, which has no address of a server. */
const REGISTRY = ''

/**
 * Delivers messages to sparks wherever they are.
 *
 * Sparks of our own are written to at once, whatever becomes of the others. A peer that fails is named in the result, and
 * delays nobody else. A spark that was not where the registry said is looked up and tried once more, else it is `missing`.
 */
export class Forwarder {
  #said = ''
  #warned = false

  constructor(
    private readonly local: Local,
    private readonly transport: Transport,
    private readonly where: Whereabouts,
    /** How long an operation may take in all: looking up, sending, and trying once more; in ms. */
    private readonly timeout: number
  ) {}

  /** To all sparks of the cluster. */
  async broadcast(msg: unknown): Promise<Result> {
    return this.#counted(this.#everybody(msg, []))
  }

  /** To all sparks of the cluster but these. */
  async except(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(this.#everybody(msg, idsOf(ids)))
  }

  /** To these sparks; ids that nobody has do not count against `ok`. */
  async sparks(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(this.#those(idsOf(ids), msg, false))
  }

  /** To this spark. */
  async spark(id: unknown, msg: unknown): Promise<Result> {
    return this.#counted(this.#those([idOf(id)], msg, true))
  }

  /**
   * To sparks of these servers, as omega-supreme has it: to local ones first, then to the servers named.
   *
   * @param sparks an id, or ids; `undefined`, `null` and `''`: to all
   */
  async servers(servers: unknown, msg: unknown, sparks?: unknown): Promise<Result> {
    return this.#counted(this.#named(servers, msg, sparks))
  }

  /** Close the connections to peers. */
  async close(): Promise<void> {
    await this.transport.close()
  }

  async #counted(operation: Promise<Result>): Promise<Result> {
    const began = now()
    const result = await operation
    this.where.forwarded(result, now() - began)
    return result
  }

  async #those(ids: readonly string[], msg: unknown, strict: boolean): Promise<Result> {
    const text = encoded(msg)
    const { send, missing } = this.local.some(ids, msg)
    const sum = new Sum(this.timeout, send, missing.length === 0)
    await this.#seek(missing, msg, text, sum)
    return sum.result(strict)
  }

  async #named(servers: unknown, msg: unknown, sparks: unknown): Promise<Result> {
    const addresses = addressesOf(servers)
    const everybody = sparks === undefined || sparks === null || sparks === ''
    const ids = everybody ? [] : Array.isArray(sparks) ? idsOf(sparks) : [idOf(sparks)]
    const text = encoded(msg)
    if (everybody) this.#noticeLoop(text)
    const { send, missing } = everybody ? this.local.all(msg) : this.local.some(ids, msg)
    const done = everybody ? addresses.length === 0 : missing.length === 0
    const sum = new Sum(this.timeout, send, done)
    if (done) return sum.result(true)
    const others = addresses.filter(address => address !== this.where.self)
    if (addresses.length === 0) return { ...sum.result(false), ok: false, local: false, missing }
    if (everybody) {
      await Promise.all(others.map(address => this.#send(address, { text }, sum)))
    } else {
      const absent = await Promise.all(others.map(async address => new Set(await this.#some(address, missing, text, sum))))
      sum.miss(missing.filter(id => absent.every(ids => ids.has(id))))
    }
    return sum.result(true)
  }

  async #everybody(msg: unknown, except: readonly string[]): Promise<Result> {
    const text = encoded(msg)
    const { send } = this.local.all(msg, new Set(except))
    const sum = new Sum(this.timeout, send)
    let peers: string[] = []
    try {
      peers = await this.where.peers()
      sum.local = peers.length === 0
    } catch (error) {
      sum.fail(REGISTRY, error)
    }
    await Promise.all(peers.map(address => this.#all(address, text, except, sum)))
    return sum.result(true)
  }

  /** To sparks that are not here, wherever the registry says they are. */
  async #seek(ids: readonly string[], msg: unknown, text: string, sum: Sum): Promise<void> {
    const seen = new Map<string, string>()
    let sought: readonly string[] = ids
    // A second time for those that moved meanwhile.
    for (let round = 0; round < 2 && sought.length > 0; round++) {
      let places: (string | null | undefined)[]
      try {
        places = await within(this.where.places(sought, round > 0), Math.max(0, sum.deadline - now()), () => new MetroplexError(
          'EREGISTRY', `The registry did not say within ${this.timeout} ms where the sparks are.`
        ))
      } catch (error) {
        // Only while nothing has been tried yet is there no result.
        if (sum.send === 0 && round === 0) throw error
        sum.fail(REGISTRY, error, sought)
        return
      }
      const groups = new Map<string, string[]>()
      const absent: string[] = []
      const unknown: string[] = []
      sought.forEach((id, i) => {
        const place = places[i]
        if (place === undefined) unknown.push(id)
        else if (place === null || place === seen.get(id)) absent.push(id)
        else {
          seen.set(id, place)
          file(groups, place, id)
        }
      })
      sum.miss(absent)
      if (unknown.length > 0) sum.fail(REGISTRY, unknowable(), unknown)
      const stale = await Promise.all([...groups].map(async ([place, group]) => place === this.where.self
        ? this.#here(group, msg, sum)
        : this.#some(place, group, text, sum)))
      sought = stale.flat()
    }
    sum.miss(sought)
  }

  /** To sparks that have come to us while they were looked up. */
  #here(ids: readonly string[], msg: unknown, sum: Sum): string[] {
    const { send, missing } = this.local.some(ids, msg)
    sum.send += send
    return missing
  }

  /** To these sparks of a peer; those that were not there, as far as it says so. */
  async #some(address: string, ids: readonly string[], text: string, sum: Sum): Promise<string[]> {
    const missing: string[] = []
    for (let first = 0; first < ids.length; first += IDS_PER_REQUEST) {
      const part = ids.slice(first, first + IDS_PER_REQUEST)
      const { send, absent } = await this.#send(address, { text, sparks: part }, sum)
      // A server of 1.x gives the number alone: only when it is none do we know which ones.
      missing.push(...absent ?? (send === 0 ? part : []))
    }
    return missing
  }

  /** To all sparks of a peer, but for some. */
  async #all(address: string, text: string, except: readonly string[], sum: Sum): Promise<void> {
    if (except.length === 0) {
      await this.#send(address, { text }, sum)
    } else if (this.where.knowsExcept(address)) {
      await this.#send(address, { text, except }, sum)
    } else {
      const left = new Set(except)
      const ids: string[] = []
      try {
        for await (const id of this.where.sparksOn(address)) if (!left.has(id)) ids.push(id)
      } catch (error) {
        sum.fail(address, error); return;
      }
      await this.#some(address, ids, text, sum)
    }
  }

  async #send(address: string, message: Outgoing, sum: Sum): Promise<{ send: number | undefined; absent?: readonly string[] }> {
    try {
      const { send, missing } = await this.transport.send(address, message, sum.deadline)
      sum.send += send
      return { send, ...missing ? { absent: missing } : message.sparks && send === message.sparks.length ? { absent: [] } : {} }
    } catch (error) {
      sum.fail(address, error, message.sparks)
      return { send: undefined }
    }
  }

  /** `servers(true, list => list.forEach(s => forward(s, msg)))` writes to local sparks once for each server. */
  #noticeLoop(text: string): void {
    if (this.#said === text && !this.#warned) {
      this.#warned = true
      process.emitWarning(
        'primus.forward() was called more than once in a row with one message: each call writes to the local sparks too. Use primus.forward.broadcast(msg).',
        { code: 'METROPLEX_FORWARD_LOOP' }
      )
    }
    this.#said = text
    queueMicrotask(() => { this.#said = '' })
  }
}

/** A result in the making. */
class Sum {
  readonly #missing = new Set<string>()
  readonly #failed: Failure[] = []

  /** Until when, by `performance.now()`. */
  readonly deadline: number

  constructor(timeout: number, public send: number, public local = false) {
    this.deadline = now() + timeout
  }

  miss(ids: readonly string[]): void {
    for (const id of ids) this.#missing.add(id)
  }

  fail(address: string, thrown: unknown, sparks?: readonly string[]): void {
    const error = asError(thrown)
    const known = error instanceof MetroplexError
    this.#failed.push({
      address,
      code: known ? error.code : 'EPROTOCOL',
      message: error.message,
      maybe: known && error.maybe === true,
      ...sparks && { sparks }
    })
  }

  /** @param strict whether ids that nobody has count against `ok` */
  result(strict: boolean): Result {
    const failed = this.#failed
    const missing = [...this.#missing]
    return {
      ok: failed.length === 0 && (!strict || missing.length === 0),
      send: this.send,
      ...this.local && { local: true },
      ...missing.length > 0 && { missing },
      ...failed.length > 0 && { failed }
    }
  }
}

function unknowable(): MetroplexError {
  return new MetroplexError('EREGISTRY', 'Redis cannot be asked where these sparks are, and we have not known it lately.')
}

function addressesOf(servers: unknown): string[] {
  const list: unknown[] = Array.isArray(servers) ? servers : [servers]
  const addresses = list.filter(server => server !== undefined && server !== null && server !== '')
  for (const address of addresses) {
    if (typeof address !== 'string' || !/^https?:\/\/[^/]/.test(address)) {
      throw new TypeError(`metroplex: a server must be an address such as 'http://10.0.0.5:8080'; given: ${shown(address)}.`)
    }
  }
  return [...new Set(addresses as string[])]
}
