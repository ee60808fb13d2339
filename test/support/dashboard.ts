import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import { dashboard, type Dashboard, type DashboardOptions } from '../../lib/dashboard'
import { using } from './dispose'

/** A page that is served. */
export interface ServedPage {
  readonly page: Dashboard
  readonly port: number
  /** Where browsers find it, with a slash at its end. */
  readonly url: string
  /** Ask its API. Rejects with the sentence of an answer that is no 200. */
  readonly ask: <T>(what: string, body?: object) => Promise<T>
}

/** An answer, read to its end. */
export interface HttpReply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** The sentence of a refusal. */
  readonly error: string
}

/** Serve the page of a cluster until the end of the test. @param serve how, if not by node:http alone */
export async function servePage(
  redisUrl: string,
  options: Omit<DashboardOptions, 'redis'>,
  serve: (page: Dashboard) => RequestListener = page => page
): Promise<ServedPage> {
  const redis = new Redis(redisUrl, { lazyConnect: true })
  redis.on('error', () => undefined)
  const page = dashboard({ redis, ...options })
  const server = createServer(serve(page))
  using(async () => {
    server.close()
    server.closeAllConnections()
    await page.close()
    redis.disconnect()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}${options.path ?? ''}/`
  return {
    page,
    port,
    url,
    ask: async <T>(what: string, body?: object) => {
      const {
        status,
        body: answer,
        error
      } = await httpAsk(`${url}api/${what}`, {
        ...(body !== undefined && { method: 'POST', headers: JSON_BODY, body: JSON.stringify(body) })
      })
      if (status !== 200) throw new Error(`${status}: ${error}`)
      return JSON.parse(answer) as T
    }
  }
}

export const JSON_BODY = { 'content-type': 'application/json' }

/** Ask by HTTP with any headers, those included that `fetch` does not let through. */
export async function httpAsk(
  url: string,
  asked: { method?: string; headers?: Record<string, string>; body?: string } = {}
): Promise<HttpReply> {
  const { method = 'GET', headers = {}, body } = asked
  const req = request(url, { method, headers, agent: false })
  // A refusal may come before the whole body was taken.
  req.on('error', () => undefined)
  req.end(body)
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  const answer = await text(res)
  const refused = (res.headers['content-type'] ?? '').includes('json') ? (JSON.parse(answer) as { error?: string }) : {}
  return { status: res.statusCode ?? 0, headers: res.headers, body: answer, error: refused.error ?? '' }
}
