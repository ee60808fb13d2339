import type { Client } from '../../api/cluster-client'
import { inspectValue } from '../../common/errors'
import { groupOf, idOf, userOf } from '../../common/names'
import type { Result } from '../../common/types'
import { milliseconds } from '../../common/validate'
import { drainTerms } from '../../drain/drain'
import { endSparks, sendTo, type Target } from '../../survey/spark-actions'
import { answersOperators, askingClient, unaskable } from '../../survey/answers'
import type { ClusterView } from '../../survey/cluster-view'
import type { OperatorSession } from '../../survey/operator-session'
import type { ApiRequest, ApiRoute } from './api-request'
import type { ClusterWatch } from '../watch/cluster-watch'
import { PageRefusal, sentenceOfError } from '../refusal'
import type { ActionAnswer, DrainAnswer } from '../wire'

/** What can reach sparks and servers. */
interface Reached {
  readonly session: OperatorSession
  readonly view: ClusterView
  readonly client: Client
  readonly transport: string
}

/** More missing ids and failures are not listed. */
const LISTED = 20

/** Does what the page is told to do. */
export class PageActions {
  readonly routes: Readonly<Record<string, ApiRoute>> = {
    'POST send': request => this.#send(request),
    'POST end': request => this.#end(request),
    'POST drain': request => this.#drain(request)
  }

  constructor(private readonly watch: ClusterWatch) {}

  async #send({ body }: ApiRequest): Promise<ActionAnswer> {
    const target = targetOf(body, ['spark', 'user', 'group', 'all'])
    const { message } = body
    if (message === undefined) throw new PageRefusal(400, 'The request has no message.')
    const { client } = await this.#reach()
    return answerOf(await sendTo(client, target, message))
  }

  async #end({ body }: ApiRequest): Promise<ActionAnswer> {
    const target = targetOf(body, ['spark', 'user', 'group'])
    const { reconnect = false } = body
    if (typeof reconnect !== 'boolean') throw new PageRefusal(400, 'reconnect must be true or false.')
    const ms = body['for'] === undefined ? undefined : milliseconds('for', body['for'], 0, 0)
    if (ms !== undefined && target.kind !== 'user') throw new PageRefusal(400, '`for` keeps users out: give a user.')
    const { client } = await this.#reach()
    return answerOf(await endSparks(client, target, { reconnect, for: ms }))
  }

  async #drain({ body }: ApiRequest): Promise<DrainAnswer> {
    const { address, ...options } = body
    const terms = drainTerms(options)
    const { session, view, client, transport } = await this.#reach()
    const server = view.servers.find(one => one.address === address)
    if (server === undefined)
      throw new PageRefusal(404, `No server is registered as ${inspectValue(address)}: it may have left.`)
    const why = unaskable(server, transport)
    if (why !== undefined) throw new PageRefusal(400, `${server.address} cannot be asked: ${why}.`)
    if (!answersOperators(server)) {
      const remedy = 'let the application call `drain()`'
      throw new PageRefusal(400, `${server.address} runs an earlier release, which cannot be told to drain: ${remedy}.`)
    }
    const { stats } = await client.core.operator.drain(server.address, terms, session.terms.timeout)
    return { sparks: stats.sparks }
  }

  /** @throws PageRefusal 503 while none can be reached */
  async #reach(): Promise<Reached> {
    await this.watch.attend()
    const { session, view } = this.watch.reach()
    const asking = await askingClient(session, view)
    if (asking !== undefined) return { session, view, ...asking }
    throw new PageRefusal(503, 'No server can be reached: none of metroplex 2 is alive.')
  }
}

/** Reads what an action is for. @throws PageRefusal 400, or TypeError and RangeError for a wrong name */
function targetOf({ kind, name }: Readonly<Record<string, unknown>>, kinds: readonly Target['kind'][]): Target {
  const found = kinds.find(one => one === kind)
  if (found === undefined)
    throw new PageRefusal(400, `kind must be one of ${kinds.join(', ')}; given: ${inspectValue(kind)}.`)
  if (found === 'all') return { kind: found, names: [] }
  const read = { spark: idOf, user: userOf, group: groupOf }[found]
  return { kind: found, names: [read(name)] }
}

function answerOf({ send, missing = [], failed = [] }: Result): ActionAnswer {
  return {
    send,
    missing: missing.slice(0, LISTED),
    failed: failed
      .slice(0, LISTED)
      .map(
        failure =>
          `${failure.address || 'Redis'}: ${sentenceOfError(failure)}${failure.maybe ? ' It may have arrived.' : ''}`
      )
  }
}
