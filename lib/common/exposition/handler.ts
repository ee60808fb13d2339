import type { IncomingMessage, ServerResponse } from 'node:http'
import { asError } from '../errors'

/** A request of node:http or Express, or the one that Fastify gives. */
export type HandledRequest = IncomingMessage | { readonly raw: IncomingMessage }

/** A response of node:http or Express, or the one that Fastify gives. */
export type HandledResponse = ServerResponse | { readonly raw: ServerResponse; hijack(): unknown }

/** Answers requests in node:http, Express and Fastify. */
export type HttpHandler = (req: HandledRequest, res: HandledResponse) => void

/** What a handler answers. */
export interface HandlerAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/**
 * Answers GET and HEAD with what a function returns, and other methods with 405. A failure of the function is answered
 * with 500 and its message.
 */
export function answering(answer: (request: IncomingMessage) => HandlerAnswer | Promise<HandlerAnswer>): HttpHandler {
  return (req, res) => {
    const { request, response } = handled(req, res)
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      send(response, refusal(405, 'Only GET and HEAD are answered here.'))
      return
    }
    Promise.resolve(request)
      .then(answer)
      .catch((error: unknown) => refusal(500, asError(error).message))
      .then(found => {
        send(response, found)
      })
      .catch((error: unknown) => {
        response.destroy(asError(error))
      })
  }
}

/** The request and response of node:http. From Fastify the answer is taken over. */
export function handled(
  req: HandledRequest,
  res: HandledResponse
): { readonly request: IncomingMessage; readonly response: ServerResponse } {
  const request = 'raw' in req ? req.raw : req
  if (!('raw' in res)) return { request, response: res }
  // Otherwise Fastify would send an answer of its own.
  res.hijack()
  return { request, response: res.raw }
}

/** An answer that is a sentence. */
export function refusal(status: number, sentence: string): HandlerAnswer {
  return { status, type: 'text/plain; charset=utf-8', body: `${sentence}\n` }
}

function send(response: ServerResponse, { status, type, body }: HandlerAnswer): void {
  response.statusCode = status
  response.setHeader('Content-Type', type)
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('Content-Length', Buffer.byteLength(body))
  // Node.js sends no body in answer to HEAD.
  response.end(body)
}
