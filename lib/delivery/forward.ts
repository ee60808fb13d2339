import { absent, type Courier, type Delivered, type Whom } from '../courier'
import { now } from '../deadline'
import { asError, MetroplexError, shown } from '../errors'
import { idOf, idsOf, Message, usersOf } from '../message'
import type { Result, UserPlace } from '../types'
import { IDS_PER_REQUEST, Lanes, type Places, type Room } from './lanes'
import type { Here } from './local'
import { REGISTRY, Sum } from './sum'
import { Turns } from './turns'

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
  /** Ids of our own sparks that a user is behind. */
  ownOf(user: string): readonly string[]
  /** Where the sparks of users are, on servers that live. */
  sparksOf(users: readonly string[]): Promise<readonly UserPlace[]>
}

/** The line of broadcasts. */
const ALL = ['']

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
  /** Broadcasts, until they have been handed to all peers. */
  readonly #broadcasts = new Turns()
  /** What is for users, until it is known where those are. */
  readonly #users = new Turns()
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
    return this.#counted(() => this.#everybody(this.#message(msg), []))
  }

  /** To all sparks of the cluster but these. */
  except(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#everybody(this.#message(msg), idsOf(ids)))
  }

  /** To these sparks; ids that nobody has do not count against `ok`. */
  sparks(ids: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#those(idsOf(ids), this.#message(msg), false))
  }

  /** To this spark. */
  spark(id: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#those([idOf(id)], this.#message(msg), true))
  }

  /** To all sparks of a user, or of several. */
  user(users: unknown, msg: unknown): Promise<Result> {
    return this.#counted(() => this.#theirs(usersOf(users), this.#message(msg)))
  }

  /** End these sparks, an id or ids, after all that was sent there before. */
  end(ids: unknown, reconnect: boolean): Promise<Result> {
    return this.#counted(() => this.#those(Array.isArray(ids) ? idsOf(ids) : [idOf(ids)], Message.ending(reconnect), true))
  }

  /** End all sparks of a user, or of several. */
  endUser(users: unknown, reconnect: boolean): Promise<Result> {
    return this.#counted(() => this.#theirs(usersOf(users), Message.ending(reconnect)))
  }

  /**
   * To sparks of these servers, as omega-supreme has it: to local ones first, then to the servers named.
   *
   * @param sparks an id, or ids; `undefined`, `null` and `''`: to all
   */
  servers(servers: unknown, msg: unknown, sparks?: unknown): Promise<Result> {
    return this.#counted(() => this.#named(servers, msg, sparks))
  }

  #message(msg: unknown): Message {
    return Message.of(msg, this.terms.binary)
  }

  async #counted(operation: () => Result | Promise<Result>): Promise<Result> {
    const began = now()
    const result = await operation()
    this.where.forwarded(result, now() - began)
    return result
  }

  #those(ids: readonly string[], message: Message, strict: boolean): Result | Promise<Result> {
    const { sum, others } = this.#ours(ids, message)
    if (others.length === 0) return sum.result(strict)
    return this.#lanes.bring(message, others, sum).then(() => sum.result(strict))
  }

  /** To those of these that are here; who the others are. */
  #ours(ids: readonly string[], message: Message): { sum: Sum, others: string[] } {
    // To whom something is under way, it has to follow; perhaps the spark has come to us only since.
    const following = this.#lanes.idle ? [] : ids.filter(id => this.#lanes.busy(id))
    const free = following.length === 0 ? ids : ids.filter(id => !this.#lanes.busy(id))
    const { send, missing } = this.local.some(free, message)
    const others = following.length === 0 ? missing : [...missing, ...following]
    return { sum: new Sum(this.terms.timeout, send, others.length === 0), others }
  }

  /** To all sparks of these users: to our own at once, to others where the registry says that they are. */
  async #theirs(users: readonly string[], message: Message): Promise<Result> {
    const behind = new Map(users.map(user => [user, new Set(this.where.ownOf(user))]))
    const own = new Set([...behind.values()].flatMap(ids => [...ids]))
    const { sum, others } = this.#ours([...own], message)
    const turn = this.#users.enter(users)
    let failure: Error | undefined
    try {
      for (const { user, spark, address } of await this.where.sparksOf(users)) {
        // Who has come to us meanwhile may have got a later message already.
        if (address !== this.where.self) behind.get(user)?.add(spark)
      }
    } catch (error) {
      failure = asError(error)
      sum.fail(REGISTRY, error)
    }
    await turn.before
    const elsewhere = [...new Set([...behind.values()].flatMap(ids => [...ids]))].filter(id => !own.has(id))
    const beyond = [...others, ...elsewhere]
    sum.local = failure === undefined && beyond.length === 0
    const bringing = beyond.length === 0 ? undefined : this.#lanes.bring(message, beyond, sum)
    turn.leave()
    await bringing
    if (failure !== undefined && own.size === 0) throw failure
    const { missing: gone = [], ...result } = sum.result(false)
    const lacking = new Set(gone)
    // Of whom nothing is known because Redis cannot be asked, nobody can say that he is not there.
    const missing = users.filter(user => {
      const ids = [...behind.get(user) ?? []]
      return (failure === undefined || ids.length > 0) && ids.every(id => lacking.has(id))
    })
    return { ...result, ok: result.ok && missing.length === 0, ...missing.length > 0 && { missing } }
  }

  async #named(servers: unknown, msg: unknown, sparks: unknown): Promise<Result> {
    const addresses = addressesOf(servers)
    const everybody = sparks === undefined || sparks === null || sparks === ''
    const ids = everybody ? [] : Array.isArray(sparks) ? idsOf(sparks) : [idOf(sparks)]
    const message = this.#message(msg)
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

  async #everybody(message: Message, except: readonly string[]): Promise<Result> {
    const sum = new Sum(this.terms.timeout, 0)
    this.#here(message, new Set(except), sum)
    // Who there is may be known sooner for a later one, which must not overtake this one.
    const turn = this.#broadcasts.enter(ALL)
    let peers: string[] = []
    try {
      peers = await this.where.peers()
      sum.local = peers.length === 0
    } catch (error) {
      sum.fail(REGISTRY, error)
    }
    await turn.before
    const sending = peers.map(address => this.#all(address, message, except, sum))
    turn.leave()
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
