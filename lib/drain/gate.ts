import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { pathOf } from '../http/request-facts'
import { refuseRequest, refuseUpgrade } from '../transport/http/answers'
import { refusalAnswer } from '../transport/receiving/transport-refusals'
import type { Middleware, Primus, Spark } from '../common/types'

/** Clients may retry after this many seconds; the balancer leads them to another server by then. */
const RETRY_AFTER = { 'retry-after': '1' }

/** Requests of SockJS that belong to a session, as /server/session/transport; the first one begins it. */
const SOCKJS = /^[^/]*\/[^/.]+\/([^/.]+)\/(?:xhr|xhr_streaming|eventsource|htmlfile|jsonp)\/?$/

/** What decides whether a request would begin a spark. */
export interface GatedRequest {
  readonly method: string
  /** Below the path of Primus. */
  readonly path: string
  readonly query: URLSearchParams
  readonly upgrade: boolean
}

/**
 * Whether a request would begin a spark, by the transformer's name. With an unknown transformer, every upgrade does.
 *
 * @param known whether a SockJS session exists: its first request looks like all others
 */
export function begins(
  transformer: string,
  { method, path, query, upgrade }: GatedRequest,
  known: (session: string) => boolean
): boolean {
  if (transformer === 'engine.io') return query.has('transport') && !query.get('sid')
  if (transformer === 'browserchannel')
    return path === '/test' || (path === '/bind' && method === 'POST' && !query.get('SID'))
  if (transformer !== 'sockjs' || upgrade) return upgrade
  // A SockJS client requests this before its first session.
  if (/^[^/]*\/info\/?$/.test(path)) return true
  const session = sessionOf(path)
  return session !== undefined && !known(session)
}

/** The SockJS session of a request; `undefined` when it has none. */
function sessionOf(path: string): string | undefined {
  return SOCKJS.exec(path)?.[1]
}

/**
 * Keeps new sparks out of a draining server. A request that would begin one is answered 503. Requests of existing
 * sparks and all other requests pass.
 */
export class Gate {
  /** Has three parameters, because Primus counts them. For an upgrade the second one is the socket. */
  readonly middleware: Middleware
  /** The SockJS sessions that existed when the gate was shut; `undefined` while it is open. */
  #sessions: ReadonlySet<string> | undefined

  constructor(private readonly primus: Partial<Pick<Primus, 'pathname' | 'spec'>>) {
    const refuse = (req: IncomingMessage, upgrade: boolean): boolean => this.#refuses(req, upgrade)
    this.middleware = function drain(req, res: ServerResponse | Socket, next): void {
      const upgrade = !('writeHead' in res)
      if (!refuse(req, upgrade)) return next()
      const answer = refusalAnswer(
        503,
        'EDRAINING',
        'This server takes no new sparks: it is draining. Connect again, to get another one.'
      )
      if (upgrade) refuseUpgrade(res, answer, RETRY_AFTER)
      else refuseRequest(req, res, answer, RETRY_AFTER)
    }
  }

  /** Refuse new sparks; the given ones stay. */
  shut(sparks: Iterable<Spark>): void {
    const sessions = new Set<string>()
    for (const { socket } of sparks) {
      const { url } = (socket ?? {}) as { url?: unknown }
      const session = typeof url === 'string' ? sessionOf(this.#below(url)) : undefined
      if (session !== undefined) sessions.add(session)
    }
    this.#sessions = sessions
  }

  /** Accept new sparks. */
  open(): void {
    this.#sessions = undefined
  }

  #refuses(req: IncomingMessage, upgrade: boolean): boolean {
    const sessions = this.#sessions
    if (sessions === undefined) return false
    const { method = '', url = '' } = req
    const path = this.#below(url)
    const query = new URLSearchParams(url.slice(pathOf(url).length))
    return begins(this.primus.spec?.transformer ?? '', { method, path, query, upgrade }, session =>
      sessions.has(session)
    )
  }

  #below(url: string): string {
    return pathOf(url).slice(this.primus.pathname?.length ?? 0)
  }
}
