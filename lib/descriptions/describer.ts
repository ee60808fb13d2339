import { now, withTimeout } from '../common/async'
import { asError, MetroplexError, peerError } from '../common/errors'
import { pushTo } from '../common/multimap'
import type { Descriptions, SparkDescription, UserPlace } from '../common/types'
import { REGISTRY, ResultBuilder } from '../delivery/result-builder'
import type { RpcCaller } from '../rpc/caller'
import { DESCRIBE, DESCRIBED, NO_TEXT, readDescribed } from './describe-questions'
import type { DescribedSparks, Describes } from './local-descriptions'

/** What describing uses of the cluster. */
export interface DescribedCluster {
  /** The own address, also while the server only tries to register it; `''` while there is none. */
  readonly own: string
  owns(id: string): boolean
  /** The addresses of ids; `null`: none, `undefined`: unknown. With `fresh`, the cache is not used. */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
  ownOf(user: string): readonly string[]
  sparksOf(users: readonly string[]): Promise<readonly UserPlace[]>
  /** Whether a peer names a word among its kinds. */
  takes(address: string, kind: string): boolean
}

/** How long to wait. */
export interface DescribeTerms {
  /** For all servers together, in ms. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
}

/** A question about sparks, under way. */
class Inquiry {
  readonly outcome: ResultBuilder
  readonly found = new Map<string, SparkDescription>()
  /** Ids that no server holds. */
  readonly missing = new Set<string>()
  /** Whether any server was asked, this one included. */
  asked = false
  /** Why Redis could not say where sparks are. */
  failure: Error | undefined

  constructor(readonly terms: DescribeTerms) {
    this.outcome = new ResultBuilder(terms.timeout, 0)
  }

  /** How much time is left, in ms. */
  get left(): number {
    return Math.max(0, this.outcome.deadline - now())
  }

  /** Note an answer. @returns the ids that the server does not hold */
  answered(address: string, { sparks, missing, server, transport }: DescribedSparks): readonly string[] {
    this.asked = true
    for (const [spark, user, since, age, groups, info] of sparks)
      this.found.set(spark, { spark, user, address, server, since, age, transport, groups, info })
    return missing
  }

  /** Redis could not be asked. */
  unknown(error: unknown, ids?: readonly string[]): void {
    this.failure ??= asError(error)
    this.outcome.fail(REGISTRY, error, ids)
  }

  /** @throws the failure of Redis, when no server could be asked; the reason of the signal */
  result(sparks: SparkDescription[], absent: readonly string[]): Descriptions {
    this.terms.signal?.throwIfAborted()
    if (this.failure !== undefined && !this.asked && absent.length === 0) throw this.failure
    this.outcome.miss(absent)
    const { ok, missing, failed } = this.outcome.result(true)
    return { ok, sparks, ...(missing && { missing }), ...(failed && { failed }) }
  }
}

/**
 * Asks what servers know of sparks: one question to each server that holds some of them. A server that does not answer
 * costs its own answers alone. A spark that has moved meanwhile is looked up once more.
 */
export class Describer {
  constructor(
    private readonly caller: RpcCaller,
    private readonly local: Describes,
    private readonly cluster: DescribedCluster
  ) {}

  /** What is known of these sparks, in their order. */
  async sparks(ids: readonly string[], terms: DescribeTerms): Promise<Descriptions> {
    const inquiry = new Inquiry(terms)
    await this.#gather(inquiry, ids, new Map())
    return inquiry.result(
      ids.map(id => inquiry.found.get(id)).filter(found => found !== undefined),
      [...inquiry.missing]
    )
  }

  /** What is known of the sparks of these users, in the order of the users. `missing` names users without sparks. */
  async users(users: readonly string[], terms: DescribeTerms): Promise<Descriptions> {
    const inquiry = new Inquiry(terms)
    const sparks = new Map(users.map(user => [user, new Set(this.cluster.ownOf(user))]))
    const places = new Map<string, string>()
    try {
      for (const { user, spark, address } of await this.#inTime(inquiry, this.cluster.sparksOf(users))) {
        sparks.get(user)?.add(spark)
        places.set(spark, address)
      }
    } catch (error) {
      inquiry.unknown(error)
    }
    await this.#gather(inquiry, [...new Set([...sparks.values()].flatMap(ids => [...ids]))], places)
    const idsOf = (user: string): string[] => [...(sparks.get(user) ?? [])]
    // The user of a spark may have changed since the registry was read.
    const left = (user: string, id: string): boolean =>
      inquiry.missing.has(id) || (inquiry.found.has(id) && inquiry.found.get(id)?.user !== user)
    return inquiry.result(
      users.flatMap(user =>
        idsOf(user).flatMap(id => {
          const found = inquiry.found.get(id)
          return found?.user === user ? [found] : []
        })
      ),
      inquiry.failure === undefined ? users.filter(user => idsOf(user).every(id => left(user, id))) : []
    )
  }

  /** @param places where sparks were found already */
  async #gather(inquiry: Inquiry, ids: readonly string[], places: ReadonlyMap<string, string>): Promise<void> {
    let wanted = ids
    for (const fresh of [false, true]) {
      if (wanted.length === 0) return
      const servers = await this.#locate(inquiry, wanted, fresh ? new Map() : places, fresh)
      const asking = [...servers].map(async ([address, some]) =>
        address === null
          ? inquiry.answered(this.cluster.own, this.local.describe(some))
          : await this.#ask(inquiry, address, some)
      )
      wanted = (await Promise.all(asking)).flat()
    }
    for (const id of wanted) inquiry.missing.add(id)
  }

  /** The servers of ids; `null`: this one. */
  async #locate(
    inquiry: Inquiry,
    ids: readonly string[],
    known: ReadonlyMap<string, string>,
    fresh: boolean
  ): Promise<Map<string | null, string[]>> {
    const { own } = this.cluster
    const servers = new Map<string | null, string[]>()
    const others: string[] = []
    const unknown: string[] = []
    const put = (id: string, place: string): void => {
      pushTo(servers, place === own ? null : place, id)
    }
    for (const id of ids) {
      const place = known.get(id)
      if (this.cluster.owns(id)) pushTo(servers, null, id)
      else if (place !== undefined) put(id, place)
      else others.push(id)
    }
    if (others.length === 0) return servers
    try {
      const found = await this.#inTime(inquiry, this.cluster.places(others, fresh))
      others.forEach((id, i) => {
        const place = found[i]
        if (place === null) inquiry.missing.add(id)
        else if (place === undefined) unknown.push(id)
        else put(id, place)
      })
    } catch (error) {
      inquiry.unknown(error, others)
    }
    if (unknown.length > 0)
      inquiry.unknown(
        new MetroplexError('EREGISTRY', 'Redis cannot be asked which servers hold these sparks.'),
        unknown
      )
    return servers
  }

  /** Ask a server. @returns the ids that it does not hold */
  async #ask(inquiry: Inquiry, address: string, ids: readonly string[]): Promise<readonly string[]> {
    if (ids.length > DESCRIBED) return this.#halves(inquiry, address, ids)
    const { outcome, terms } = inquiry
    inquiry.asked = true
    try {
      if (!this.cluster.takes(address, DESCRIBE))
        throw peerError('EPROTOCOL', address, 'runs an earlier release of metroplex, which describes no sparks')
      const question = { kind: DESCRIBE, detail: ids, message: NO_TEXT }
      const answer = await this.caller.ask(address, question, { deadline: outcome.deadline, signal: terms.signal })
      return inquiry.answered(address, readDescribed(answer, address))
    } catch (error) {
      const large = error instanceof MetroplexError && error.code === 'ETOOBIG' && ids.length > 1
      if (large) return this.#halves(inquiry, address, ids)
      outcome.fail(address, error, ids)
      return []
    }
  }

  /** Ask a server about so many sparks, or sparks with so much info, that the answer would be too large. */
  async #halves(inquiry: Inquiry, address: string, ids: readonly string[]): Promise<readonly string[]> {
    const middle = Math.min(DESCRIBED, Math.ceil(ids.length / 2))
    const halves = [ids.slice(0, middle), ids.slice(middle)]
    return (await Promise.all(halves.map(half => this.#ask(inquiry, address, half)))).flat()
  }

  #inTime<T>(inquiry: Inquiry, answer: Promise<T>): Promise<T> {
    const late = (): Error => new MetroplexError('EREGISTRY', 'Redis did not answer within the deadline.')
    return withTimeout(answer, inquiry.left, late, inquiry.terms.signal)
  }
}
