import { splitCallback, type Callback } from '../common/callback'
import { idOf, idsOf, usersOf } from '../common/names'
import type { AskOptions, Descriptions } from '../common/types'
import { deliverResult } from '../delivery/result-callback'
import { callTerms } from '../rpc/call-options'
import { GroupMethods } from './group-methods'

/** How long to wait for servers. */
type Terms = Pick<AskOptions, 'timeout' | 'signal'>

/** The methods that say what sparks are, which servers and clients of a cluster share. */
export class DescriptionMethods extends GroupMethods {
  /**
   * What sparks are: for each id the user, the groups, the server, how long it has been connected, and what the option
   * `info` says of it. One question to each server that holds some; a local spark needs none. Redis has nothing of it.
   *
   * Resolves with `{ ok, sparks, missing, failed }`: `sparks` in the order of the ids, `missing` ids that no server
   * holds. A server that does not answer is in `failed`, with its ids, and costs no other answer.
   *
   * @param options `timeout` in ms for all servers together, default the option `timeout`; `signal` ends the wait
   * @throws TypeError or RangeError for wrong arguments; MetroplexError `EREGISTRY` when Redis cannot be asked and no
   * server either; the reason of the signal
   *
   * @example
   * const { sparks, failed } = await primus.metroplex.describe([id])
   * for (const { spark, user, age, info } of sparks) console.log(spark, user, age, info)
   */
  describe(ids: string | readonly string[], options?: Terms): Promise<Descriptions>
  describe(ids: string | readonly string[], fn: Callback<Descriptions>): this
  describe(ids: string | readonly string[], options: Terms | undefined, fn: Callback<Descriptions>): this
  describe(
    ids: string | readonly string[],
    ...rest: [options?: Terms | Callback<Descriptions>, fn?: Callback<Descriptions>]
  ): Promise<Descriptions> | this {
    const [options, fn] = splitCallback<Terms, Callback<Descriptions>>(rest)
    return deliverResult(this.#describe(ids, options), fn, this)
  }

  /**
   * The sparks that a user has now, or several users, each as `describe` has it, in the order of the users. `missing`
   * names users without sparks. Otherwise as `describe`.
   *
   * @example
   * const { sparks } = await primus.metroplex.sessions('alice', { timeout: 1000 })
   */
  sessions(users: string | readonly string[], options?: Terms): Promise<Descriptions>
  sessions(users: string | readonly string[], fn: Callback<Descriptions>): this
  sessions(users: string | readonly string[], options: Terms | undefined, fn: Callback<Descriptions>): this
  sessions(
    users: string | readonly string[],
    ...rest: [options?: Terms | Callback<Descriptions>, fn?: Callback<Descriptions>]
  ): Promise<Descriptions> | this {
    const [options, fn] = splitCallback<Terms, Callback<Descriptions>>(rest)
    return deliverResult(this.#sessions(users, options), fn, this)
  }

  async #describe(ids: unknown, options: unknown): Promise<Descriptions> {
    return this.core.describer.sparks(Array.isArray(ids) ? idsOf(ids) : [idOf(ids)], this.#terms(options))
  }

  async #sessions(users: unknown, options: unknown): Promise<Descriptions> {
    return this.core.describer.users(usersOf(users), this.#terms(options))
  }

  #terms(options: unknown): ReturnType<typeof callTerms> {
    return callTerms(options, { timeout: this.core.timeout, self: true }, ['timeout', 'signal'])
  }
}
