import { now, type Urgency } from '../common/async'
import { ignore } from '../common/callback'
import { asError, inspectValue, MetroplexError } from '../common/errors'
import { groupsOf } from '../common/names'
import { Message } from '../common/encoded-message'
import { idOf, idsOf } from '../common/names'
import { pushTo } from '../common/multimap'
import type { Parser } from '../common/parser'
import type { Delivered, PeerSender } from '../common/peer-sender'
import type { GroupOptions, Result } from '../common/types'
import type { Here } from './local'
import { REGISTRY, ResultBuilder } from './result-builder'
import { KeyedSequencer } from './sequencer'

/** What forwarding to groups uses of the cluster. */
export interface GroupLocator {
  /** The own address; `''` while there is none. */
  readonly self: string
  /** A message has been forwarded, within `ms`. */
  forwarded(result: Result, ms: number): void
  /**
   * The addresses of all live peers; the last known ones when Redis does not answer within `ms`. Rejects when none were
   * ever known.
   */
  peers(ms: number): Promise<string[]>
  /** The owned sparks of this server that are in a group. */
  sparksIn(group: string): readonly string[]
  /** Whether the registries of these groups can be reached now. */
  reaches(groups: readonly string[]): boolean
  /** For each of these groups the addresses of the live peers that have sparks in it. @param ms how long it may take */
  serversOf(groups: readonly string[], ms: number): Promise<(readonly string[])[]>
}

/** How a forwarder to groups works. */
export interface GroupForwarderTerms {
  /** The limit for lookup, send and correction together, in ms. */
  readonly timeout: number
  /** The parser that clients and servers share. */
  readonly parser: Pick<Parser, 'message'>
}

/** Writes to the sparks of this process that are in groups. */
export class GroupDelivery {
  constructor(
    private readonly local: Pick<Here, 'some'>,
    /** The owned sparks of this server that are in a group. */
    private readonly sparksIn: (group: string) => readonly string[]
  ) {}

  /** Write to each spark once, however many of the groups it is in. `missing`: the groups that no spark here is in. */
  groups(groups: readonly string[], message: Message, except: ReadonlySet<string>): Delivered {
    const ids = new Set<string>()
    const missing = groups.filter(group => {
      const sparks = this.sparksIn(group)
      for (const id of sparks) if (!except.has(id)) ids.add(id)
      return sparks.length === 0
    })
    return { send: ids.size === 0 ? 0 : this.local.some([...ids], message).send, missing }
  }
}

/** A message to groups, on its way. */
interface Errand {
  readonly message: Message
  readonly groups: readonly string[]
  readonly except: readonly string[]
  readonly outcome: ResultBuilder
  /** The servers that have been asked, by group. */
  readonly asked: Map<string, Set<string>>
  /** Groups that had sparks somewhere. */
  readonly occupied: Set<string>
  /** Groups that a server was asked to deliver to and failed, so that they may have had sparks there. */
  readonly uncertain: Set<string>
}

/**
 * Delivers messages to groups of sparks, on all servers.
 *
 * Local sparks are written to at once. The registry says which servers have sparks in the groups, and is read for every
 * call: of a list that was kept, nothing would ever say that a server is missing from it. Each of these servers gets
 * one message, and knows which of its sparks are in the groups. Where none is any more, the group is read once again,
 * and servers that were not asked get the message.
 */
export class GroupForwarder {
  readonly #delivery: GroupDelivery
  /** Orders messages to groups until they have been handed to the servers. */
  readonly #turns = new KeyedSequencer()
  /** The latest message that was handed to servers, by group, while it is under way. */
  readonly #latest = new Map<string, Errand>()

  constructor(
    local: Here,
    private readonly sender: PeerSender,
    private readonly where: GroupLocator,
    private readonly terms: GroupForwarderTerms
  ) {
    this.#delivery = new GroupDelivery(local, group => where.sparksIn(group))
  }

  /** To all sparks in one of these groups. @param urgency whether a caller waits for the result; absent: one does */
  async group(names: unknown, msg: unknown, options: unknown, urgency?: Urgency): Promise<Result> {
    const [groups, except] = [groupsOf(names), exceptOf(options)]
    const message = this.terms.parser.message(msg)
    if (urgency !== undefined) message.urgency = urgency
    return this.#send(groups, message, except)
  }

  /** End all sparks that are in a group, or in one of several. */
  async end(names: unknown, reconnect: boolean): Promise<Result> {
    return this.#send(groupsOf(names), Message.ending(reconnect), [])
  }

  async #send(groups: readonly string[], message: Message, except: readonly string[]): Promise<Result> {
    const began = now()
    const outcome = new ResultBuilder(this.terms.timeout, 0)
    const errand = { message, groups, except, outcome, asked: new Map(), occupied: new Set(), uncertain: new Set() }
    const result = await this.#deliver(errand as Errand)
    this.where.forwarded(result, now() - began)
    return result
  }

  async #deliver(errand: Errand): Promise<Result> {
    const { groups, outcome, occupied, uncertain } = errand
    this.#writeHere(errand)
    // The registry may answer a later message sooner. That one must not overtake this one.
    const turn = this.#turns.enter(groups)
    let servers: Map<string, string[]> = new Map()
    let failure: Error | undefined
    try {
      servers = await this.#locate(errand)
    } catch (error) {
      failure = asError(error)
    }
    await turn.before
    for (const group of groups) this.#latest.set(group, errand)
    outcome.local = failure === undefined && servers.size === 0
    const sending = this.#toServers(errand, servers)
    turn.leave()
    const stale = await sending
    if (stale.size > 0) await this.#correct(errand, [...stale])
    for (const group of groups) if (this.#latest.get(group) === errand) this.#latest.delete(group)
    if (failure !== undefined) {
      if (occupied.size === 0) throw failure
      outcome.fail(REGISTRY, failure)
    }
    const known = failure === undefined
    outcome.miss(known ? groups.filter(group => !occupied.has(group) && !uncertain.has(group)) : [])
    return outcome.result(true)
  }

  /** Write to local sparks. An error of the application is one failure, and other sparks still get the message. */
  #writeHere({ groups, message, except, outcome, occupied }: Errand): void {
    try {
      const { send, missing = [] } = this.#delivery.groups(groups, message, new Set(except))
      outcome.send += send
      const absent = new Set(missing)
      for (const group of groups) if (!absent.has(group)) occupied.add(group)
    } catch (error) {
      for (const group of groups) if (this.where.sparksIn(group).length > 0) occupied.add(group)
      const address = this.where.self
      const sentence = `A spark of this server could not be written to: ${asError(error).message}`
      outcome.fail(address, new MetroplexError('EREMOTE', sentence, { address, maybe: true, cause: error }))
    }
  }

  /** The servers to ask, and for which groups; all known peers when Redis does not answer. */
  async #locate({ groups }: Errand): Promise<Map<string, string[]>> {
    const known = async (): Promise<Map<string, string[]>> =>
      new Map((await this.where.peers(0)).map(address => [address, [...groups]]))
    // Without a peer that is known, there is nothing to do but wait for Redis.
    const soon = this.where.reaches(groups) ? undefined : await known().catch(ignore)
    if (soon !== undefined) return soon
    try {
      // Half of the deadline is left for the message itself.
      const found = await this.where.serversOf(groups, this.terms.timeout / 2)
      const servers = new Map<string, string[]>()
      groups.forEach((group, i) => {
        for (const address of found[i] ?? []) pushTo(servers, address, group)
      })
      return servers
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.code !== 'EREGISTRY') throw error
      return known()
    }
  }

  /** Send to servers. @returns the groups that one of them has no sparks in */
  async #toServers(errand: Errand, servers: ReadonlyMap<string, readonly string[]>): Promise<Set<string>> {
    const { message, except, outcome, asked, occupied, uncertain } = errand
    const stale = new Set<string>()
    const sending = [...servers].map(async ([address, groups]) => {
      for (const group of groups) asked.set(group, (asked.get(group) ?? new Set()).add(address))
      try {
        const { send, missing = [] } = await this.sender.send(address, message, { groups, except }, outcome.deadline)
        outcome.send += send
        const absent = new Set(missing)
        for (const group of groups) (absent.has(group) ? stale : occupied).add(group)
      } catch (error) {
        for (const group of groups) uncertain.add(group)
        outcome.fail(address, error)
      }
    })
    await Promise.all(sending)
    return stale
  }

  /**
   * Read groups again of which a server had no sparks any more, and send to servers that were not asked.
   *
   * A group that a later message was sent to is left alone, because this one would arrive after it.
   */
  async #correct(errand: Errand, stale: readonly string[]): Promise<void> {
    const current = (): string[] => stale.filter(group => this.#latest.get(group) === errand)
    const servers = new Map<string, string[]>()
    const groups = current()
    const left = errand.outcome.deadline - now()
    if (groups.length === 0 || left <= 0 || !this.where.reaches(groups)) return
    try {
      const found = await this.where.serversOf(groups, left)
      const still = new Set(current())
      groups.forEach((group, i) => {
        if (!still.has(group)) return
        const others = (found[i] ?? []).filter(address => errand.asked.get(group)?.has(address) !== true)
        for (const address of others) pushTo(servers, address, group)
      })
    } catch (error) {
      for (const group of groups) errand.uncertain.add(group)
      errand.outcome.fail(REGISTRY, error)
      return
    }
    await this.#toServers(errand, servers)
  }
}

/** The ids that a message to groups leaves out. @throws TypeError for wrong options */
function exceptOf(options: unknown): string[] {
  const { except = [], ...more } = (options ?? {}) as GroupOptions
  if ((typeof options !== 'object' && options !== undefined) || Array.isArray(options) || Object.keys(more).length > 0)
    throw new TypeError(
      `metroplex: the options of \`forward.group\` must be { except: ids }; given: ${inspectValue(options)}.`
    )
  return Array.isArray(except) ? idsOf(except) : [idOf(except)]
}
