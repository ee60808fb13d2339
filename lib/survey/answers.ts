import type { Client } from '../api/cluster-client'
import { now } from '../common/async'
import { ignore } from '../common/callback'
import { asError, MetroplexError } from '../common/errors'
import type { ServerStatus } from '../operations/operator-questions'
import type { OperatorSession } from './operator-session'
import { live, type ClusterView, type ServerView } from './cluster-view'

/** What came of asking one server. */
export interface Answered<T> {
  readonly server: ServerView
  /** The answer; `undefined` when there was none. */
  readonly value: T | undefined
  /** How long it took, in ms. */
  readonly took: number
  /** When it came, by the clock of this machine, in ms since 1970. */
  readonly at: number
  /** Why there is no answer. */
  readonly failure: MetroplexError | undefined
}

/** The kind of question that operators ask. */
const OPERATORS = 'operate'

/** Why a server is not asked at all, in a few words; `undefined` for one that can be. */
export function unaskable({ old, description, registered }: ServerView, transport: string): string | undefined {
  if (registered !== 'up') return 'it is not alive'
  if (old || description === undefined) return 'it runs metroplex 1.x, which answers no questions'
  if (description.transport !== transport) return `it uses the transport ${description.transport}`
  return undefined
}

/** Whether a server answers operators, and not only messages. */
export function answersOperators({ description }: ServerView): boolean {
  return description?.kinds.split(' ').includes(OPERATORS) === true
}

/** The transport of most live servers, if the command knows it; `undefined` when none can be asked. */
export function usualTransport(view: ClusterView): 'http' | 'redis' | undefined {
  const of = (name: string): number => live(view).filter(({ description }) => description?.transport === name).length
  const [http, redis] = [of('http'), of('redis')]
  if (http + redis === 0) return undefined
  return redis > http ? 'redis' : 'http'
}

/** A client that can ask the servers; `undefined` when none of them can be asked. */
export async function askingClient(
  session: OperatorSession,
  view: ClusterView
): Promise<{ readonly client: Client; readonly transport: 'http' | 'redis' } | undefined> {
  const transport = usualTransport(view)
  return transport === undefined ? undefined : { client: await session.client(transport), transport }
}

/**
 * Ask servers, all at once. One that does not answer costs its deadline, and no other answer.
 *
 * @param heard is called with each answer as it comes
 * @returns an entry for each server that can be asked
 */
export async function askServers<T>(
  asking: { readonly client: Client; readonly transport: string } | undefined,
  servers: readonly ServerView[],
  ask: (client: Client, server: ServerView) => Promise<T>,
  heard: (answered: Answered<T>) => void = ignore
): Promise<Answered<T>[]> {
  if (asking === undefined) return []
  const { client, transport } = asking
  return Promise.all(
    servers
      .filter(server => unaskable(server, transport) === undefined)
      .map(async server => {
        const answered = await answerOf(client, server, ask)
        heard(answered)
        return answered
      })
  )
}

async function answerOf<T>(
  client: Client,
  server: ServerView,
  ask: (client: Client, server: ServerView) => Promise<T>
): Promise<Answered<T>> {
  const began = now()
  try {
    const value = await ask(client, server)
    return { server, value, took: now() - began, at: Date.now(), failure: undefined }
  } catch (error) {
    return { server, value: undefined, took: now() - began, at: Date.now(), failure: failureOf(error) }
  }
}

/**
 * Ask servers that answer operators for their status: all live ones, or these. By their addresses.
 *
 * @param heard is called with each answer as it comes
 */
export async function askStatus(
  session: OperatorSession,
  view: ClusterView,
  servers: readonly ServerView[] = live(view),
  heard?: (answered: Answered<ServerStatus>) => void
): Promise<ReadonlyMap<string, Answered<ServerStatus>>> {
  const { timeout } = session.terms
  const able = servers.filter(answersOperators)
  if (able.length === 0) return new Map()
  try {
    const asking = await askingClient(session, view)
    const answered = await askServers(
      asking,
      able,
      ({ core }, { address }) => core.operator.status(address, timeout),
      heard
    )
    return new Map(answered.map(answer => [answer.server.address, answer]))
  } catch (error) {
    // A user of Redis that may only read, for instance: what the registry says is shown all the same.
    const none = { value: undefined, took: 0, at: Date.now(), failure: failureOf(error) }
    const unanswered = able.map(server => ({ server, ...none }))
    if (heard !== undefined) unanswered.forEach(heard)
    return new Map(unanswered.map(answer => [answer.server.address, answer]))
  }
}

/** Whether another server has answered, and has refused what is not for it. */
export function isMisdirected({ message }: MetroplexError): boolean {
  return message.includes('is not the server at this address')
}

function failureOf(error: unknown): MetroplexError {
  if (error instanceof MetroplexError) return error
  return new MetroplexError('EUNREACHABLE', asError(error).message, { cause: error })
}
