import type { IncomingMessage, ServerResponse } from 'node:http'
import { asError } from '../common/errors'
import { rethrow } from '../common/callback'
import { handled, type HandledRequest, type HandledResponse } from '../common/exposition/handler'
import { Body, type BodyRead } from '../http/body'
import { announcesMore, pathOf } from '../http/request-facts'
import { respond, respondAndClose, type HttpAnswer } from '../http/response'
import { ClusterWatch } from './watch/cluster-watch'
import { dashboardSettings, type DashboardOptions, type DashboardSettings } from './options'
import type { ApiRequest, ApiRoute } from './api/api-request'
import { PageActions } from './api/page-actions'
import { pageFiles, type PageFile } from './files/page-files'
import { PageLooks } from './api/page-looks'
import { PageRefusal, pageRefusalOf } from './refusal'
import { RequestGuard } from './guard/request-guard'

/** The largest body, in bytes, and how long it may take to arrive, in ms. */
const BODY = { maxBody: 262_144, timeout: 10_000 }

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY'
}

/** A page with a cluster: a listener of requests for node:http, Express and Fastify. */
export interface Dashboard {
  /**
   * Answer a request.
   *
   * @param next is called for a request outside of `path`; without it that is answered with 404
   */
  (req: HandledRequest, res: HandledResponse, next?: (error?: unknown) => void): void
  /** Close its connections. Requests that come later are answered with 503. Idempotent. */
  close(): Promise<void>
}

/**
 * Make the page with which people see and operate a cluster.
 *
 * It has connections of its own to Redis and to the servers, which it opens with the first request, and closes when
 * none has come for a minute. So it works while a server of the same process drains. It is never a server of the
 * cluster. Access to this page is access to the cluster: without `token` and `authorize` it answers requests from its
 * own machine only.
 *
 * @throws TypeError or RangeError for wrong options
 *
 * @example
 * const page = dashboard({ redis: new Redis(), namespace: 'chat' })
 * http.createServer(page).listen(8090, '127.0.0.1')
 */
export function dashboard(options: DashboardOptions): Dashboard {
  const handler = new PageHandler(dashboardSettings(options))
  return Object.assign(
    (req: HandledRequest, res: HandledResponse, next?: (error?: unknown) => void) => {
      const { request, response } = handled(req, res)
      handler.handle(request, response, next).catch(rethrow)
    },
    { close: () => handler.close() }
  )
}

class PageHandler {
  readonly #watch: ClusterWatch
  readonly #guard: RequestGuard
  readonly #files: ReadonlyMap<string, PageFile>
  readonly #looks: Readonly<Record<string, ApiRoute>>
  readonly #actions: Readonly<Record<string, ApiRoute>>

  constructor(private readonly settings: DashboardSettings) {
    const { redis, survey } = settings
    this.#watch = new ClusterWatch(redis, survey)
    this.#guard = new RequestGuard(settings)
    this.#files = pageFiles()
    this.#looks = new PageLooks(this.#watch, settings).routes
    this.#actions = new PageActions(this.#watch).routes
  }

  close(): Promise<void> {
    return this.#watch.close()
  }

  async handle(req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void): Promise<void> {
    const path = this.#pathOf(req)
    if (path === undefined && next !== undefined) {
      next()
      return
    }
    try {
      respond(res, await this.#answer(req, path))
    } catch (error) {
      const { status, message, headers } = pageRefusalOf(error)
      const answer = answerOf(status, JSON.stringify({ error: message }), 'application/json', headers)
      // The rest of a body that is not wanted is not read.
      if (req.method === 'POST' && !req.complete) respondAndClose(req, res, answer)
      else respond(res, answer)
    }
  }

  async #answer(req: IncomingMessage, path: string | undefined): Promise<HttpAnswer> {
    const method = req.method === 'HEAD' ? 'GET' : (req.method ?? '')
    this.#guard.checkOrigin(req, method === 'GET' && path === '')
    if (path === undefined) throw new PageRefusal(404, 'Nothing is here: the page is under another path.')
    if (method === 'GET' && path === '' && !startsInFolder(req)) return redirect(req)
    const file = method === 'GET' ? this.#files.get(path) : undefined
    // Without their answers the page says nothing, so only those are kept from strangers.
    if (file !== undefined && this.settings.authorize === undefined && this.settings.token !== undefined)
      return answerOf(200, file.body, file.type)
    await this.#guard.checkAccess(req)
    if (file !== undefined) return answerOf(200, file.body, file.type)
    return answerOf(200, JSON.stringify(await this.#api(req, method, path)), 'application/json')
  }

  async #api(req: IncomingMessage, method: string, path: string): Promise<unknown> {
    const name = `${method} ${path.replace(/^api\//, '')}`
    const [look, action] = path.startsWith('api/') ? [this.#looks[name], this.#actions[name]] : []
    const query = new URLSearchParams(/\?([^#]*)/.exec(req.url ?? '')?.[1] ?? '')
    if (look !== undefined) return look({ query, body: {} })
    if (action === undefined) throw new PageRefusal(404, `Nothing answers ${method} ${path} here.`)
    if (this.settings.readOnly) throw new PageRefusal(403, 'This page only shows: it was started read-only.')
    return action({ query, body: await readBody(req) })
  }

  /** The path behind that of the page, without a slash at its beginning; `undefined` for one elsewhere. */
  #pathOf(req: IncomingMessage): string | undefined {
    const path = pathOf(req.url ?? '/')
    const { path: base } = this.settings
    if (path === base) return ''
    return path.startsWith(`${base}/`) ? path.slice(base.length + 1) : undefined
  }
}

/** Express keeps the whole URL under another name, and gives its listeners the rest. */
function wholePath(req: IncomingMessage): string {
  return pathOf((req as { originalUrl?: string }).originalUrl ?? req.url ?? '/')
}

function startsInFolder(req: IncomingMessage): boolean {
  return wholePath(req).endsWith('/')
}

/** To the same path with a slash, so that the names of scripts lead into it. */
function redirect(req: IncomingMessage): HttpAnswer {
  const folder = wholePath(req).slice(wholePath(req).lastIndexOf('/') + 1)
  return answerOf(308, '', 'text/plain', { location: `./${folder}/` })
}

function answerOf(
  status: number,
  text: string,
  type: string,
  headers: Readonly<Record<string, string>> = {}
): HttpAnswer {
  return {
    status,
    headers: { ...HEADERS, 'content-type': `${type}; charset=utf-8`, ...headers },
    body: Buffer.from(text)
  }
}

/** The body of a request, read as JSON. @throws PageRefusal 400, 413 */
async function readBody(req: IncomingMessage): Promise<ApiRequest['body']> {
  if (!/^application\/json\b/i.test(req.headers['content-type'] ?? ''))
    throw new PageRefusal(400, 'The body must be JSON, with the content-type application/json.')
  // A parser of the application may have read it already.
  const { body: parsed } = req as { body?: unknown }
  const value = parsed === undefined || req.readable ? await jsonBody(req) : parsed
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as ApiRequest['body']
  throw new PageRefusal(400, 'The body must be a JSON object.')
}

async function jsonBody(req: IncomingMessage): Promise<unknown> {
  const { maxBody } = BODY
  const tooLarge = new PageRefusal(413, `The body must have at most ${maxBody} bytes.`)
  if (announcesMore(req, maxBody)) throw tooLarge
  const read = await new Promise<BodyRead>(resolve => new Body(req, BODY, resolve))
  if (read === 'too large') throw tooLarge
  if (typeof read === 'string') throw new PageRefusal(400, 'The body has not arrived in time, or in part.')
  try {
    return JSON.parse(read.toString()) as unknown
  } catch (error) {
    throw new PageRefusal(400, `The body is not JSON: ${asError(error).message}.`)
  }
}
