import { now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { pushTo } from '../common/multimap'
import type { Result, UserPlace } from '../common/types'
import { REGISTRY, ResultBuilder } from '../delivery/result-builder'
import type { RpcCaller } from '../rpc/caller'
import { CHANGE, NO_ARGUMENTS, type Change, type Changed, type LocalGroups } from './group-questions'

/** What changes of groups use of the cluster. */
export interface GroupCluster {
  /** The own address, also while the server only tries to register it; `''` while there is none. */
  readonly own: string
  owns(id: string): boolean
  /** The addresses of ids; `null`: none, `undefined`: unknown. With `fresh`, the cache is not used. */
  places(ids: readonly string[], fresh: boolean): Promise<(string | null | undefined)[]>
  ownOf(user: string): readonly string[]
  sparksOf(users: readonly string[]): Promise<readonly UserPlace[]>
  /** For each of these groups the addresses of the live peers that have sparks in it. @param ms how long it may take */
  serversOf(groups: readonly string[], ms: number): Promise<(readonly string[])[]>
  /** Whether a peer has groups, which earlier releases have not. */
  knowsGroups(address: string): boolean
}

/** The most ids in one question. */
const IDS_PER_QUESTION = 10_000

/**
 * Lets sparks enter and leave groups, on whichever server they are.
 *
 * Local sparks change at once. The others are looked up, and their servers are asked. A spark that has moved meanwhile
 * is looked up once more.
 */
export class GroupChanges {
  constructor(
    private readonly caller: RpcCaller,
    private readonly local: Pick<LocalGroups, 'change' | 'sparks'>,
    private readonly cluster: GroupCluster,
    /** Deadline of an operation, in ms. */
    private readonly timeout: number
  ) {}

  /** @param groups `undefined`: all groups that each spark is in */
  async sparks(how: Change, ids: readonly string[], groups: readonly string[] | undefined): Promise<Result> {
    const outcome = new ResultBuilder(this.timeout, 0)
    const failures = await this.#change(how, ids, groups, outcome)
    return finished(outcome, failures)
  }

  /** The sparks that users have now. `missing` names users without sparks. */
  async users(how: Change, users: readonly string[], groups: readonly string[] | undefined): Promise<Result> {
    const outcome = new ResultBuilder(this.timeout, 0)
    const sparks = new Map(users.map(user => [user, new Set(this.cluster.ownOf(user))]))
    const own = new Set([...sparks.values()].flatMap(ids => [...ids]))
    const here = this.#change(how, [...own], groups, outcome)
    const failures: Error[] = []
    let others: string[] = []
    try {
      const found = await this.cluster.sparksOf(users)
      for (const { user, spark } of found) sparks.get(user)?.add(spark)
      others = [...new Set(found.map(({ spark }) => spark))].filter(id => !own.has(id))
    } catch (error) {
      failures.push(asError(error))
      outcome.fail(REGISTRY, error)
    }
    const known = failures.length === 0
    failures.push(...(await here), ...(await this.#change(how, others, groups, outcome)))
    const { missing: absent = [], ...result } = finished(outcome, failures)
    const gone = new Set(absent)
    const missing = known ? users.filter(user => [...(sparks.get(user) ?? [])].every(id => gone.has(id))) : []
    return { ...result, ok: result.ok && missing.length === 0, ...(missing.length > 0 && { missing }) }
  }

  /** All sparks leave these groups. `missing` names groups that no spark was in. */
  async disband(groups: readonly string[]): Promise<Result> {
    const outcome = new ResultBuilder(this.timeout, 0)
    const occupied = new Set(groups.filter(group => this.local.sparks(group).length > 0))
    const own = [...new Set(groups.flatMap(group => this.local.sparks(group)))]
    const here = this.#change('exit', own, groups, outcome)
    const failures: Error[] = []
    const servers = new Map<string, string[]>()
    try {
      const found = await this.cluster.serversOf(groups, this.timeout)
      groups.forEach((group, i) => {
        for (const address of found[i] ?? []) {
          occupied.add(group)
          pushTo(servers, address, group)
        }
      })
    } catch (error) {
      failures.push(asError(error))
      outcome.fail(REGISTRY, error)
    }
    const known = failures.length === 0
    await Promise.all([...servers].map(([address, some]) => this.#ask(address, 'exit', null, some, outcome, failures)))
    failures.push(...(await here))
    if (known) outcome.miss(groups.filter(group => !occupied.has(group)))
    return finished(outcome, failures)
  }

  /** @returns what failed */
  async #change(
    how: Change,
    ids: readonly string[],
    groups: readonly string[] | undefined,
    outcome: ResultBuilder
  ): Promise<Error[]> {
    const failures: Error[] = []
    const own = ids.filter(id => this.cluster.owns(id))
    const here = this.#here(how, own, groups, outcome, failures)
    const ours = new Set(own)
    let others = ids.filter(id => !ours.has(id))
    for (const fresh of [false, true]) {
      if (others.length === 0) break
      others = await this.#elsewhere(how, others, groups, fresh, outcome, failures)
    }
    outcome.miss(others)
    await here
    return failures
  }

  async #here(
    how: Change,
    ids: readonly string[],
    groups: readonly string[] | undefined,
    outcome: ResultBuilder,
    failures: Error[]
  ): Promise<readonly string[]> {
    if (ids.length === 0) return []
    const { missing, written } = this.local.change(how, ids, groups)
    try {
      await written
      outcome.send += ids.length - missing.length
    } catch (error) {
      failures.push(asError(error))
      outcome.fail(this.cluster.own, error, ids)
    }
    return missing
  }

  /** @returns the ids that were not where they were looked for */
  async #elsewhere(
    how: Change,
    ids: readonly string[],
    groups: readonly string[] | undefined,
    fresh: boolean,
    outcome: ResultBuilder,
    failures: Error[]
  ): Promise<string[]> {
    const late = (): Error => new MetroplexError('EREGISTRY', 'Redis did not answer within the deadline.')
    const servers = new Map<string, string[]>()
    const absent: string[] = []
    try {
      const left = Math.max(0, outcome.deadline - now())
      const places = await withTimeout(this.cluster.places(ids, fresh), left, late)
      const unknown: string[] = []
      ids.forEach((id, i) => {
        const place = places[i]
        if (place === null) absent.push(id)
        else if (place === undefined) unknown.push(id)
        else pushTo(servers, place, id)
      })
      if (unknown.length > 0)
        throw new MetroplexError('EREGISTRY', 'Redis cannot be asked which servers hold these sparks.')
    } catch (error) {
      failures.push(asError(error))
      outcome.fail(REGISTRY, error, ids)
      return []
    }
    const asking = [...servers].map(([address, some]) =>
      address === this.cluster.own
        ? this.#here(how, some, groups, outcome, failures)
        : this.#ask(address, how, some, groups, outcome, failures)
    )
    return [...absent, ...(await Promise.all(asking)).flat()]
  }

  /** Ask a server. @param ids `null`: all that are in these groups. @returns the ids that it does not hold */
  async #ask(
    address: string,
    how: Change,
    ids: readonly string[] | null,
    groups: readonly string[] | undefined,
    outcome: ResultBuilder,
    failures: Error[]
  ): Promise<string[]> {
    const missing: string[] = []
    const count = ids?.length ?? 1
    for (let first = 0; first < count; first += IDS_PER_QUESTION) {
      const part = ids?.slice(first, first + IDS_PER_QUESTION) ?? null
      try {
        if (!this.cluster.knowsGroups(address)) throw tooOld(address)
        const question = { kind: CHANGE, detail: [how, part, groups ?? null], message: NO_ARGUMENTS }
        const answer = await this.caller.ask(address, question, { deadline: outcome.deadline })
        const [sparks, absent] = answer as Changed
        outcome.send += sparks
        missing.push(...absent)
      } catch (error) {
        failures.push(asError(error))
        outcome.fail(address, error, part ?? undefined)
      }
    }
    return missing
  }
}

/** The error for a server whose release has no groups. */
export function tooOld(address: string): MetroplexError {
  return new MetroplexError(
    'EPROTOCOL',
    `${address} runs an earlier release of metroplex, which has no groups: give all servers the same version.`,
    { address, maybe: false }
  )
}

/** The result. @throws the first failure, when nothing has succeeded and nothing is missing */
function finished(outcome: ResultBuilder, [failure]: readonly Error[]): Result {
  const result = outcome.result(true)
  if (failure !== undefined && result.send === 0 && result.missing === undefined) throw failure
  return result
}
