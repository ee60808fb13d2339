import { createHash, timingSafeEqual } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Delivered } from '../../common/peer-sender'
import { ignore } from '../../common/callback'
import { asError } from '../../common/errors'
import type { Middleware, OmegaOptions, Primus } from '../../common/types'
import { Body, type BodyBounds } from '../../http/body'
import { announcesMore, pathOf } from '../../http/request-facts'
import { respond, respondAndClose, type HttpAnswer } from '../../http/response'
import { credentials, UNAUTHORIZED, type OmegaWire } from './sender'

/** A refusal of a request: its status and the reason. */
class OmegaRefusal extends Error {
  constructor(
    readonly status: number,
    reason: string
  ) {
    super(reason)
  }
}

/** A received message for our sparks. */
export interface OmegaMessage {
  readonly msg: unknown
  readonly sparks?: readonly string[]
  readonly except?: readonly string[]
}

/** Writes a message to the sparks. */
export type Deliver = (message: OmegaMessage) => Delivered

/** Its answer to a body that is no message. */
const INVALID = 'invalid data structure'

/**
 * Serves the wire of omega-supreme in its place: same address, credentials, answers and `middleware` option, but with
 * limits of size and time. A message never reaches more sparks than it names.
 *
 * As omega-supreme does, it passes on requests with another method or without credentials; Primus answers most of them
 * with 426. Its answers: 200 `{ ok: true, send, missing? }`, else `{ ok: false, reason }` with 401 (wrong credentials)
 * or 500 (the body is no message). omega-supreme does not have these: 400 (an id or a text that would reach more sparks
 * than it names), 408 (the body took too long), 413 (it is too large).
 */
export function omegaReceiver(
  wire: OmegaWire,
  middleware: () => OmegaOptions['middleware'],
  bounds: BodyBounds,
  deliver: Deliver
): Middleware {
  const expected = digest(credentials(wire))
  const path = pathOf(wire.url)

  const answer = (res: ServerResponse, raw: string): void => {
    try {
      const { send, missing } = deliver(parseMessage(raw))
      const some = missing !== undefined && missing.length > 0
      respond(res, jsonAnswer(200, { ok: true, send, ...(some && { missing }) }))
    } catch (error) {
      const { status, message } =
        error instanceof OmegaRefusal
          ? error
          : new OmegaRefusal(500, `The message could not be delivered: ${asError(error).message}`)
      respond(res, jsonAnswer(status, { ok: false, reason: message }))
    }
  }

  // Primus counts the parameters of a layer, so it must have three.
  const receive: Middleware & { upgrade?: boolean } = function receive(this: Primus, req, res, next): void {
    if (pathOf(req.url ?? '') !== path) return next()
    const { authorization } = req.headers
    if (req.method !== wire.method || authorization === undefined || authorization === '') return next()
    if (!timingSafeEqual(digest(authorization), expected)) return refuse(res, new OmegaRefusal(401, UNAUTHORIZED))
    const tooLarge = new OmegaRefusal(413, `The body is larger than ${bounds.maxBody} bytes.`)
    if (announcesMore(req, bounds.maxBody)) return refuse(res, tooLarge)
    // Applications may set it after loading.
    const own = middleware()
    if (typeof own === 'function') {
      own(this, (_primus, raw, response) => answer(response, raw), req, res, next)
      return
    }
    req.on('error', ignore)
    new Body(req, bounds, read => {
      if (Buffer.isBuffer(read)) answer(res, read.toString())
      else if (read === 'too large') refuse(res, tooLarge)
      else if (read === 'too slow')
        refuse(res, new OmegaRefusal(408, `The body took longer than ${bounds.timeout} ms.`))
    })
  }
  // Upgrades are not for omega-supreme.
  receive.upgrade = false
  return receive
}

/** Parse a body. Only an absent or empty `sparks` means all sparks. */
function parseMessage(raw: string): OmegaMessage {
  let body: unknown
  try {
    body = JSON.parse(raw)
  } catch {
    throw new OmegaRefusal(500, INVALID)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body) || !('msg' in body)) {
    throw new OmegaRefusal(500, INVALID)
  }
  const { msg, sparks, except } = body as { msg: unknown; sparks?: unknown; except?: unknown }
  if (typeof msg === 'string' && msg.startsWith('primus::'))
    throw new OmegaRefusal(400, 'A message must not begin with primus::, which is reserved for Primus.')
  const named = parseIds(sparks, 'sparks')
  const excluded = parseIds(except, 'except')
  return { msg, ...(named && { sparks: named }), ...(excluded && { except: excluded }) }
}

function parseIds(given: unknown, what: string): string[] | undefined {
  if (given === undefined || given === '') return undefined
  const list: unknown[] = Array.isArray(given) ? given : [given]
  return list.map(id => {
    if (typeof id === 'number') return String(id)
    if (typeof id === 'string' && id !== '') return id
    throw new OmegaRefusal(400, `\`${what}\` must be ids: strings that are not empty.`)
  })
}

function refuse(res: ServerResponse, { status, message }: OmegaRefusal): void {
  // The rest of the body is not wanted.
  respondAndClose(res.req, res, jsonAnswer(status, { ok: false, reason: message }))
}

function jsonAnswer(status: number, body: object): HttpAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(body)) }
}

/** A digest has a fixed length, as a comparison in constant time needs. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
