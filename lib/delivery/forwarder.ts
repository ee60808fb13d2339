import { absentIds, type PeerSender, type Delivered, type Recipients } from '../common/peer-sender'
import { now, type Urgency } from '../common/async'
import { asError, MetroplexError, inspectValue } from '../common/errors'
import { Message } from '../common/encoded-message'
import { idOf, idsOf, usersOf } from '../common/names'
import type { Parser } from '../common/parser'
import type { Result, UserPlace } from '../common/types'
import { IDS_PER_REQUEST, Lanes, type RecentLocations, type Room } from './lanes'
import type { Here } from './local'
import { REGISTRY, ResultBuilder } from './result-builder'
import { KeyedSequencer } from './sequencer'

/** What forwarding uses of the cluster. */
export interface UserLocator extends RecentLocations {
  /** A message has been forwarded, within `ms`. */
  forwarded(result: Result, ms: number): void
  /** The addresses of all live peers; the last known ones without Redis. Rejects when none were ever known. */
  peers(): Promise<string[]>
  /** Whether a peer supports `except`, which 1.x does not. */
  knowsExcept(address: string): boolean
  /** The ids registered under an address. */
  sparksOn(address: string): AsyncIterable<string>
  /** The local sparks of a user. */
  ownOf(user: string): readonly string[]
  /** The sparks of users, with the live servers that hold them. */
  sparksOf(users: readonly string[]): Promise<readonly UserPlace[]>
}

/** The key of all broadcasts in their sequencer. */
const BROADCAST = ['']

/** How a forwarder works. */
export interface ForwarderTerms {
  /** The limit for lookup, send and retry together, in ms. */
  readonly timeout: number
  /** The limits for waiting messages. */
  readonly room: Room
  /** The parser that clients and servers share. */
  readonly parser: Pick<Parser, 'message'>
}

/**
 * Delivers messages to sparks on all servers.
 *
 * Local sparks are written to at once. A peer that fails is named in the result, and delays no other. A spark that was
 * not at its registered server is looked up and tried once more; then it is `missing`.
 *
 * The parameter `urgency` says whether a caller waits for the result; absent: one does.
 */
export class Forwarder {
  readonly #lanes: Lanes
  /** Orders broadcasts until they have been handed to all peers. */
  readonly #broadcasts = new KeyedSequencer()
  /** Orders messages to users until their sparks are looked up. */
  readonly #users = new KeyedSequencer()
  #previous: Message | undefined
  #warned = false

  constructor(
    private readonly local: Here,
    private readonly sender: PeerSender,
    private readonly where: UserLocator,
    private readonly terms: ForwarderTerms
  ) {
    this.#lanes = new Lanes(local, sender, where, terms.room)
  }

  /** To all sparks of the cluster. */
  broadcast(msg: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toAll(this.#message(msg, urgency), []))
  }

  /** To all sparks of the cluster except these. */
  except(ids: unknown, msg: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toAll(this.#message(msg, urgency), idsOf(ids)))
  }

  /** To these sparks; unknown ids leave `ok` true. */
  sparks(ids: unknown, msg: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toSparks(idsOf(ids), this.#message(msg, urgency), false))
  }

  /** To this spark. */
  spark(id: unknown, msg: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toSparks([idOf(id)], this.#message(msg, urgency), true))
  }

  /** To all sparks of a user, or of several. */
  user(users: unknown, msg: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toUsers(usersOf(users), this.#message(msg, urgency)))
  }

  /** End these sparks, an id or ids, after all messages that were sent to them before. */
  end(ids: unknown, reconnect: boolean): Promise<Result> {
    return this.#counted(() =>
      this.#toSparks(Array.isArray(ids) ? idsOf(ids) : [idOf(ids)], Message.ending(reconnect), true)
    )
  }

  /** End all sparks of a user, or of several. */
  endUser(users: unknown, reconnect: boolean): Promise<Result> {
    return this.#counted(() => this.#toUsers(usersOf(users), Message.ending(reconnect)))
  }

  /**
   * To sparks of these servers, as in omega-supreme: to local sparks first, then to the named servers.
   *
   * @param sparks an id, or ids; `undefined`, `null` and `''`: to all
   */
  servers(servers: unknown, msg: unknown, sparks?: unknown, urgency?: Urgency): Promise<Result> {
    return this.#counted(() => this.#toServers(servers, msg, sparks, urgency))
  }

  #message(msg: unknown, urgency: Urgency | undefined): Message {
    const message = this.terms.parser.message(msg)
    if (urgency !== undefined) message.urgency = urgency
    return message
  }

  async #counted(operation: () => Result | Promise<Result>): Promise<Result> {
    const began = now()
    const result = await operation()
    this.where.forwarded(result, now() - began)
    return result
  }

  #toSparks(ids: readonly string[], message: Message, strict: boolean): Result | Promise<Result> {
    const { outcome, others } = this.#writeLocal(ids, message)
    if (others.length === 0) return outcome.result(strict)
    return this.#lanes.send(message, others, outcome).then(() => outcome.result(strict))
  }

  /** Write to those of the sparks that are local. @returns the result, and the ids of the other sparks */
  #writeLocal(ids: readonly string[], message: Message): { outcome: ResultBuilder; others: string[] } {
    // A message must follow earlier ones in the spark's lane, even if the spark has moved to this server meanwhile.
    const following = this.#lanes.idle ? [] : ids.filter(id => this.#lanes.busy(id))
    const free = following.length === 0 ? ids : ids.filter(id => !this.#lanes.busy(id))
    const { send, missing } = this.local.some(free, message)
    const others = following.length === 0 ? missing : [...missing, ...following]
    return { outcome: new ResultBuilder(this.terms.timeout, send, others.length === 0), others }
  }

  /** To all sparks of these users: to local ones at once, to the others after a lookup. */
  async #toUsers(users: readonly string[], message: Message): Promise<Result> {
    const behind = new Map(users.map(user => [user, new Set(this.where.ownOf(user))]))
    const own = new Set([...behind.values()].flatMap(ids => [...ids]))
    const { outcome, others } = this.#writeLocal([...own], message)
    const turn = this.#users.enter(users)
    let failure: Error | undefined
    try {
      for (const { user, spark, address } of await this.where.sparksOf(users)) {
        // A spark that has moved to this server meanwhile may have got a later message already.
        if (address !== this.where.self) behind.get(user)?.add(spark)
      }
    } catch (error) {
      failure = asError(error)
      outcome.fail(REGISTRY, error)
    }
    await turn.before
    const elsewhere = [...new Set([...behind.values()].flatMap(ids => [...ids]))].filter(id => !own.has(id))
    const beyond = [...others, ...elsewhere]
    outcome.local = failure === undefined && beyond.length === 0
    const sending = beyond.length === 0 ? undefined : this.#lanes.send(message, beyond, outcome)
    turn.leave()
    await sending
    if (failure !== undefined && own.size === 0) throw failure
    const { missing: absent = [], ...result } = outcome.result(false)
    const missingSparks = new Set(absent)
    // When Redis cannot be asked, a user without known sparks is unknown rather than missing.
    const missing = users.filter(user => {
      const ids = [...(behind.get(user) ?? [])]
      return (failure === undefined || ids.length > 0) && ids.every(id => missingSparks.has(id))
    })
    return { ...result, ok: result.ok && missing.length === 0, ...(missing.length > 0 && { missing }) }
  }

  async #toServers(servers: unknown, msg: unknown, sparks: unknown, urgency: Urgency | undefined): Promise<Result> {
    const addresses = addressesOf(servers)
    const toAll = sparks === undefined || sparks === null || sparks === ''
    const ids = toAll ? [] : Array.isArray(sparks) ? idsOf(sparks) : [idOf(sparks)]
    const message = this.#message(msg, urgency)
    if (toAll) this.#noticeLoop(message)
    const others = addresses.filter(address => address !== this.where.self)
    if (toAll) {
      const outcome = new ResultBuilder(this.terms.timeout, 0, addresses.length === 0)
      this.#writeToAll(message, new Set(), outcome)
      await Promise.all(others.map(address => this.#send(address, message, {}, outcome)))
      return outcome.result(true)
    }
    const { send, missing } = this.local.some(ids, message)
    const outcome = new ResultBuilder(this.terms.timeout, send, missing.length === 0)
    if (addresses.length === 0 && missing.length > 0)
      return { ...outcome.result(false), ok: false, local: false, missing }
    if (missing.length > 0) {
      const absent = await Promise.all(
        others.map(async address => new Set(await this.#some(address, missing, message, outcome)))
      )
      outcome.miss(missing.filter(id => absent.every(ids => ids.has(id))))
    }
    return outcome.result(true)
  }

  async #toAll(message: Message, except: readonly string[]): Promise<Result> {
    const outcome = new ResultBuilder(this.terms.timeout, 0)
    this.#writeToAll(message, new Set(except), outcome)
    // The lookup of the peers may end sooner for a later broadcast, which must not overtake this one.
    const turn = this.#broadcasts.enter(BROADCAST)
    let peers: string[] = []
    try {
      peers = await this.where.peers()
      outcome.local = peers.length === 0
    } catch (error) {
      outcome.fail(REGISTRY, error)
    }
    await turn.before
    const sending = peers.map(address => this.#all(address, message, except, outcome))
    turn.leave()
    await Promise.all(sending)
    return outcome.result(true)
  }

  /** Write to all local sparks. An error of the application is one failure, and other sparks still get the message. */
  #writeToAll(message: Message, except: ReadonlySet<string>, outcome: ResultBuilder): void {
    try {
      outcome.send += this.local.all(message, except).send
    } catch (error) {
      const address = this.where.self
      outcome.fail(
        address,
        new MetroplexError('EREMOTE', `A spark of this server could not be written to: ${asError(error).message}`, {
          address,
          maybe: true,
          cause: error
        })
      )
    }
  }

  /** To these sparks of a peer. @returns those that were not there, as far as the peer says so */
  async #some(address: string, ids: readonly string[], message: Message, outcome: ResultBuilder): Promise<string[]> {
    const missing: string[] = []
    for (let first = 0; first < ids.length; first += IDS_PER_REQUEST) {
      const part = ids.slice(first, first + IDS_PER_REQUEST)
      const delivered = await this.#send(address, message, { sparks: part }, outcome)
      if (delivered !== undefined) missing.push(...(absentIds(part, delivered) ?? []))
    }
    return missing
  }

  /** To all sparks of a peer, except some. */
  async #all(address: string, message: Message, except: readonly string[], outcome: ResultBuilder): Promise<void> {
    if (except.length === 0) {
      await this.#send(address, message, {}, outcome)
    } else if (this.where.knowsExcept(address)) {
      await this.#send(address, message, { except }, outcome)
    } else {
      const excluded = new Set(except)
      const ids: string[] = []
      try {
        for await (const id of this.where.sparksOn(address)) if (!excluded.has(id)) ids.push(id)
      } catch (error) {
        outcome.fail(address, error)
        return
      }
      await this.#some(address, ids, message, outcome)
    }
  }

  async #send(
    address: string,
    message: Message,
    recipients: Recipients,
    outcome: ResultBuilder
  ): Promise<Delivered | undefined> {
    try {
      const delivered = await this.sender.send(address, message, recipients, outcome.deadline)
      outcome.send += delivered.send
      return delivered
    } catch (error) {
      outcome.fail(address, error, recipients.sparks)
      return undefined
    }
  }

  /** `servers(true, list => list.forEach(s => forward(s, msg)))` writes to local sparks once for each server. */
  #noticeLoop(message: Message): void {
    if (this.#previous?.equals(message) === true && !this.#warned) {
      this.#warned = true
      process.emitWarning(
        'primus.forward() was called more than once in a row with one message: each call writes to the local sparks ' +
          'too. Use primus.forward.broadcast(msg).',
        { code: 'METROPLEX_FORWARD_LOOP' }
      )
    }
    this.#previous = message
    queueMicrotask(() => {
      this.#previous = undefined
    })
  }
}

function addressesOf(servers: unknown): string[] {
  const list: unknown[] = Array.isArray(servers) ? servers : [servers]
  const addresses = list.filter(server => server !== undefined && server !== null && server !== '')
  for (const address of addresses) {
    if (typeof address !== 'string' || !/^https?:\/\/[^/]/.test(address)) {
      throw new TypeError(
        `metroplex: a server must be an address such as 'http://10.0.0.5:8080'; given: ${inspectValue(address)}.`
      )
    }
  }
  return [...new Set(addresses as string[])]
}
