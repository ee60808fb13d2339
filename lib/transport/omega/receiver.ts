import { createHash, timingSafeEqual } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Delivered } from '../../courier'
import { asError } from '../../errors'
import type { Middleware, OmegaOptions, Primus } from '../../types'
import { pathOf } from '../http/wire'
import { announcedTooLarge, bodyOf, Refusal, reply, tooLarge, type BodyBounds } from './body'
import { credentials, type OmegaWire } from './sender'

/** A message that came in for our sparks. */
export interface Incoming {
  readonly msg: unknown
  readonly sparks?: readonly string[]
  readonly except?: readonly string[]
}

/** Where what comes in goes. */
export type Deliver = (message: Incoming) => Delivered

/**
 * Answers omega-supreme's wire in its place: the same address, credentials and answers, and its `middleware` option,
 * with bounds on size and time and with no message reaching more sparks than it names.
 *
 * The answers: 200 `{ ok: true, send, missing? }`, else `{ ok: false, reason }` with 400 (no such message),
 * 401 (no credentials, or others), 405 (another method), 408 (the body took too long), 413 (it is too large).
 */
export function omegaReceiver(wire: OmegaWire, middleware: () => OmegaOptions['middleware'], bounds: BodyBounds, deliver: Deliver): Middleware {
  const expected = digest(credentials(wire))
  const path = pathOf(wire.url)

  const answer = (res: ServerResponse, raw: string): void => {
    try {
      const { send, missing } = deliver(checked(raw))
      say(res, 200, { ok: true, send, ...missing !== undefined && missing.length > 0 && { missing } })
    } catch (error) {
      const { status, message } = error instanceof Refusal ? error : new Refusal(500, `The message could not be delivered: ${asError(error).message}`)
      say(res, status, { ok: false, reason: message })
    }
  }

  // Three parameters, always: Primus counts them to see how to call a layer.
  const receive: Middleware & { upgrade?: boolean } = function receive(this: Primus, req, res, next): void {
    if (pathOf(req.url ?? '') !== path) return next()
    if (req.method !== wire.method) return refuse(res, new Refusal(405, `This takes ${wire.method} alone.`), { allow: wire.method })
    const given = digest(req.headers.authorization ?? '')
    if (!timingSafeEqual(given, expected)) return refuse(res, new Refusal(401, 'The credentials are missing or not ours.'))
    if (announcedTooLarge(req, bounds)) return refuse(res, tooLarge(bounds))
    // Applications set it after loading, too.
    const own = middleware()
    if (typeof own === 'function') {
      own(this, (_primus, raw, response) => answer(response, raw), req, res, next)
      return
    }
    bodyOf(req, bounds).then(raw => answer(res, raw.toString()), (error: unknown) => refuse(res, error))
  }
  // An upgrade is not for us.
  receive.upgrade = false
  return receive
}

/** The message in a body. Never more recipients than named: only an absent or empty `sparks` means all. */
function checked(raw: string): Incoming {
  let body: unknown
  try {
    body = JSON.parse(raw)
  } catch {
    throw new Refusal(400, 'The body is no JSON.')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body) || !('msg' in body)) {
    throw new Refusal(400, 'The body must be an object with a `msg`.')
  }
  const { msg, sparks, except } = body as { msg: unknown; sparks?: unknown; except?: unknown }
  if (typeof msg === 'string' && msg.startsWith('primus::')) throw new Refusal(400, 'A message must not begin with primus::, which is for Primus alone.')
  const named = ids(sparks, 'sparks')
  const left = ids(except, 'except')
  return { msg, ...named && { sparks: named }, ...left && { except: left } }
}

function ids(given: unknown, what: string): string[] | undefined {
  if (given === undefined || given === '') return undefined
  const list: unknown[] = Array.isArray(given) ? given : [given]
  return list.map(id => {
    if (typeof id === 'number') return String(id)
    if (typeof id === 'string' && id !== '') return id
    throw new Refusal(400, `\`${what}\` must be ids: strings that are not empty.`)
  })
}

function refuse(res: ServerResponse, error: unknown, headers: Record<string, string> = {}): void {
  const { status, message } = error instanceof Refusal ? error : new Refusal(500, 'The request could not be read.')
  // What is still to come of the body is not wanted.
  say(res, status, { ok: false, reason: message }, headers, true)
}

function say(res: ServerResponse, status: number, body: object, headers: Record<string, string> = {}, close = false): void {
  reply(res, status, { 'content-type': 'application/json', ...headers }, JSON.stringify(body), close)
}

/** Of equal length whatever is given, so that a comparison tells nothing of it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
