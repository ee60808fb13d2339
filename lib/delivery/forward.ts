import { absent, type Courier, type Delivered, type Whom } from '../courier'
import { deferred, now } from '../deadline'
import { asError, MetroplexError, shown } from '../errors'
import { idOf, idsOf, Message } from '../message'
import type { Result } from '../types'
import { IDS_PER_REQUEST, Lanes, type Places, type Room } from './lanes'
import type { Here } from './local'
import { REGISTRY, Sum } from './sum'

/** What forwarding asks of the cluster. */
export interface Whereabouts extends Places {
  /** A message has been forwarded; how long it took, in ms. */
  forwarded(result: Result, ms: number): void
  /** The addresses of all peers that live; the last known ones when the registry cannot be asked. Rejects when none were ever known. */
  peers(): Promise<string[]>
  /** Whether a peer knows what 1.x does not: to leave some sparks out. */
  knowsExcept(address: string): boolean
  /** The ids registered under an address. */
  sparksOn(address: string): AsyncIterable<string>
}

/** How a forwarder works. */
export interface ForwarderTerms {
  /** How long an operation may take in all: looking up, sending, and trying once more; in ms. */
  readonly timeout: number
  /** How much may wait to be sent. */
  readonly room: Room
  /** Whether the parser that clients and servers speak with each other carries binary. */
  readonly binary: boolean
}

/**
 * Delivers messages to sparks wherever they are.
 *
 * Sparks of our own are written to at once, whatever becomes of the others. A peer that fails is named in the result, and
 * delays nobody else. A spark that was not where the registry said is looked up and tried once more, else it is `missing`.
 */
export class Forwarder {
  readonly #lanes: Lanes
  /** The last broadcast, until it has been handed to all peers. */
  #turn: Promise<void> = Promise.resolve()
  #said: string | undefined
  #warned = false

  constructor(
    private readonly local: Here,
    private readonly courier: Courier,
    private readonly where: Whereabouts,
    private readonly terms: ForwarderTerms
  ) {
    this.#lanes = new Lanes(local, courier, where, terms.room)
  }

  /** To all sparks of the cluster. */
  broadcast(msg: unknown): Promise<Result> {
    return this.#counted(() => this.#everybody(msg, []))
  }

  /** To all sparks of the cluster but these. */
  except(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#everybody(msg, idsOf(ids)))
  }

  /** To these sparks; ids that nobody has do not count against `ok`. */
  sparks(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#those(idsOf(ids), msg, false))
  }

  /** To this spark. */
  spark(id: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#those([idOf(id)], msg, true))
  }

  /**
   * To sparks of these servers, as omega-supreme has it: to local ones first, then to the servers named.
   *
   * @param sparks an id, or ids; `undefined`, `null` and `''`: to all
   */
  servers(servers: unknown, msg: unknown, sparks?: unknown): Promise<Result> {
    return this.#counted(() => this.#named(servers, msg, sparks))
  }

  async #counted(operation: () => Result | Promise<Result>): Promise<Result> {
    const began = now()
    const result = await operation()
    this.where.forwarded(result, now() - began)
    return result
  }

  #those(ids: readonly string[], msg: unknown, strict: boolean): Result | Promise<Result> {
    const message = Message.of(msg, this.terms.binary)
    // To whom something is under way, it has to follow; perhaps the spark has come to us only since.
    const following = this.#lanes.idle ? [] : ids.filter(id => this.#lanes.busy(id))
    const free = following.length === 0 ? ids : ids.filter(id => !this.#lanes.busy(id))
    const { send, missing } = this.local.some(free, message)
    const others = following.length === 0 ? missing : [...missing, ...following]
    const sum = new Sum(this.terms.timeout, send, others.length === 0)
    if (others.length === 0) return sum.result(strict)
    return this.#lanes.bring(message, others, sum).then(() => sum.result(strict))
  }

  async #named(servers: unknown, msg: unknown, sparks: unknown): Promise<Result> {
    const addresses = addressesOf(servers)
    const everybody = sparks === undefined || sparks === null || sparks === ''
    const ids = everybody ? [] : Array.isArray(sparks) ? idsOf(sparks) : [idOf(sparks)]
    const message = Message.of(msg, this.terms.binary)
    if (everybody) this.#noticeLoop(message)
    const others = addresses.filter(address => address !== this.where.self)
    if (everybody) {
      const sum = new Sum(this.terms.timeout, 0, addresses.length === 0)
      this.#here(message, new Set(), sum)
      await Promise.all(others.map(address => this.#send(address, message, {}, sum)))
      return sum.result(true)
    }
    const { send, missing } = this.local.some(ids, message)
    const sum = new Sum(this.terms.timeout, send, missing.length === 0)
    if (addresses.length === 0 && missing.length > 0) return { ...sum.result(false), ok: false, local: false, missing }
    if (missing.length > 0) {
      const absent = await Promise.all(others.map(async address => new Set(await this.#some(address, missing, message, sum))))
      sum.miss(missing.filter(id => absent.every(ids => ids.has(id))))
    }
    return sum.result(true)
  }

  async #everybody(msg: unknown, except: readonly string[]): Promise<Result> {
    const message = Message.of(msg, this.terms.binary)
    const sum = new Sum(this.terms.timeout, 0)
    this.#here(message, new Set(except), sum)
    // Who there is may be known sooner for a later one, which must not overtake this one.
    const turn = this.#turn
    const handed = deferred<undefined>()
    this.#turn = handed.promise
    let peers: string[] = []
    try {
      peers = await this.where.peers()
      sum.local = peers.length === 0
    } catch (error) {
      sum.fail(REGISTRY, error)
    }
    await turn
    const sending = peers.map(address => this.#all(address, message, except, sum))
    handed.resolve(undefined)
    await Promise.all(sending)
    return sum.result(true)
  }

  /** To all sparks of our own. What an application throws there is one failure, and keeps the message from nobody else. */
  #here(message: Message, except: ReadonlySet<string>, sum: Sum): void {
    try {
      sum.send += this.local.all(message, except).send
    } catch (error) {
      const address = this.where.self
      sum.fail(address, new MetroplexError('EREMOTE', `A spark of this server could not be written to: ${asError(error).message}`, { address, maybe: true, cause: error }))
    }
  }

  /** To these sparks of a peer; those that were not there, as far as it says so. */
  async #some(address: string, ids: readonly string[], message: Message, sum: Sum): Promise<string[]> {
    const missing: string[] = []
    for (let first = 0; first < ids.length; first += IDS_PER_REQUEST) {
      const part = ids.slice(first, first + IDS_PER_REQUEST)
      const delivered = await this.#send(address, message, { sparks: part }, sum)
      if (delivered !== undefined) missing.push(...absent(part, delivered) ?? [])
    }
    return missing
  }

  /** To all sparks of a peer, but for some. */
  async #all(address: string, message: Message, except: readonly string[], sum: Sum): Promise<void> {
    if (except.length === 0) {
      await this.#send(address, message, {}, sum)
    } else if (this.where.knowsExcept(address)) {
      await this.#send(address, message, { except }, sum)
    } else {
      const left = new Set(except)
      const ids: string[] = []
      try {
        for await (const id of this.where.sparksOn(address)) if (!left.has(id)) ids.push(id)
      } catch (error) {
        sum.fail(address, error)
        return
      }
      await this.#some(address, ids, message, sum)
    }
  }

  async #send(address: string, message: Message, whom: Whom, sum: Sum): Promise<Delivered | undefined> {
    try {
      const delivered = await this.courier.send(address, message, whom, sum.deadline)
      sum.send += delivered.send
      return delivered
    } catch (error) {
      sum.fail(address, error, whom.sparks)
      return undefined
    }
  }

  /** `servers(true, list => list.forEach(s => forward(s, msg)))` writes to local sparks once for each server. */
  #noticeLoop({ text }: Message): void {
    if (this.#said === text && !this.#warned) {
      this.#warned = true
      process.emitWarning(
        'primus.forward() was called more than once in a row with one message: each call writes to the local sparks too. Use primus.forward.broadcast(msg).',
        { code: 'METROPLEX_FORWARD_LOOP' }
      )
    }
    this.#said = text
    queueMicrotask(() => { this.#said = undefined })
  }
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
