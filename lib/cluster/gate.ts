import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { refuse } from '../transport/http/reading'
import { refuseUpgrade } from '../transport/http/server'
import { pathOf, refusal } from '../transport/http/wire'
import type { Middleware, Primus, Spark } from '../types'

/** After so many seconds a client may come back: by then it is led to another server. */
const RETRY_AFTER = { 'retry-after': '1' }

/** Requests of SockJS that belong to a session and begin it, when they are its first; after the server's number and the session's. */
const SOCKJS = /^[^/]*\/[^/.]+\/([^/.]+)\/(?:xhr|xhr_streaming|eventsource|htmlfile|jsonp)\/?$/

/** What tells whether a request would begin a spark. */
export interface Asked {
  readonly method: string
  /** Below Primus's. */
  readonly path: string
  readonly query: URLSearchParams
  readonly upgrade: boolean
}

/**
 * Whether a request would begin a spark, by the name of the transformer. Of one that is not known, upgrades are taken to.
 *
 * @param known whether a session of SockJS exists: its first request looks like the others
 */
export function begins(transformer: string, { method, path, query, upgrade }: Asked, known: (session: string) => boolean): boolean {
  if (transformer === 'engine.io') return query.has('transport') && !query.get('sid')
  if (transformer === 'browserchannel') return path === '/test' || (path === '/bind' && method === 'POST' && !query.get('SID'))
  if (transformer !== 'sockjs' || upgrade) return upgrade
  // A client asks this before its first session.
  if (/^[^/]*\/info\/?$/.test(path)) return true
  const session = sessionOf(path)
  return session !== undefined && !known(session)
}

/** The session of SockJS that a request belongs to; `undefined` when it begins none, and goes on with none. */
function sessionOf(path: string): string | undefined {
  return SOCKJS.exec(path)?.[1]
}

/**
 * Keeps new sparks out of a server that is draining. Whoever would begin one is answered 503; whatever belongs to a spark that is there is let through, and
 * so is what has nothing to do with sparks.
 */
export class Gate {
  /** Three parameters, always: Primus counts them. Of an upgrade the second one is its socket. */
  readonly middleware: Middleware
  /** The sessions of SockJS that were there when it was shut; `undefined` while it is open. */
  #sessions: ReadonlySet<string> | undefined

  constructor(private readonly primus: Partial<Pick<Primus, 'pathname' | 'spec'>>) {
    const refuses = (req: IncomingMessage, upgrade: boolean): boolean => this.#refuses(req, upgrade)
    this.middleware = function drain(req, res: ServerResponse | Socket, next): void {
      const upgrade = !('writeHead' in res)
      if (!refuses(req, upgrade)) return next()
      const answer = refusal(503, 'EDRAINING', 'This server takes no new sparks: it is draining. Connect again, to get another one.')
      if (upgrade) refuseUpgrade(res, answer, RETRY_AFTER)
      else refuse(req, res, answer, RETRY_AFTER)
    }
  }

  /** Let none in any more but these. */
  shut(sparks: Iterable<Spark>): void {
    const sessions = new Set<string>()
    for (const { socket } of sparks) {
      const { url } = (socket ?? {}) as { url?: unknown }
      const session = typeof url === 'string' ? sessionOf(this.#below(url)) : undefined
      if (session !== undefined) sessions.add(session)
    }
    this.#sessions = sessions
  }

  /** Let everybody in. */
  open(): void {
    this.#sessions = undefined
  }

  #refuses(req: IncomingMessage, upgrade: boolean): boolean {
    const sessions = this.#sessions
    if (sessions === undefined) return false
    const { method = '', url = '' } = req
    const path = this.#below(url)
    const query = new URLSearchParams(url.slice(pathOf(url).length))
    return begins(this.primus.spec?.transformer ?? '', { method, path, query, upgrade }, session => sessions.has(session))
  }

  #below(url: string): string {
    return pathOf(url).slice(this.primus.pathname?.length ?? 0)
  }
}
