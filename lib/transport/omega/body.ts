import type { IncomingMessage, ServerResponse } from 'node:http'
import { ignore } from '../../callback'

/** For how long the rest of what was refused is taken and thrown away, so that the refusal can be read; in ms. */
export const LINGER = 1000

/** A request that is answered with no: its status, and the reason. */
export class Refusal extends Error {
  constructor(readonly status: number, reason: string) {
    super(reason)
  }
}

/** Bounds of one request. */
export interface BodyBounds {
  /** Largest body, in bytes. */
  readonly maxBody: number
  /** For how long a body may take, in ms. */
  readonly timeout: number
}

/** Whether a body is said to be too large, before it is read. */
export function announcedTooLarge(req: IncomingMessage, { maxBody }: BodyBounds): boolean {
  return Number(req.headers['content-length'] ?? 0) > maxBody
}

export function tooLarge({ maxBody }: BodyBounds): Refusal {
  return new Refusal(413, `The body is larger than ${maxBody} bytes.`)
}

/** The body of a request. Rejects with a `Refusal`, before more than the bound has been taken. */
export function bodyOf(req: IncomingMessage, bounds: BodyBounds): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const timer = setTimeout(() => reject(new Refusal(408, `The body took longer than ${bounds.timeout} ms.`)), bounds.timeout).unref()
    req.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > bounds.maxBody) reject(tooLarge(bounds))
      else chunks.push(chunk)
    })
    req.once('end', () => {
      clearTimeout(timer)
      resolve(Buffer.concat(chunks))
    })
    req.once('close', () => {
      clearTimeout(timer)
      reject(new Refusal(400, 'The body ended early.'))
    })
  })
}

/** Answer a request; with `close`, its connection ends then. */
export function reply(res: ServerResponse, status: number, headers: Record<string, string>, body: Buffer | string, close = false): void {
  if (res.headersSent || res.destroyed) return
  res.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers, ...close && { connection: 'close' } })
  // Who was too slow to send gets no more time to read.
  if (!close || res.req.complete || status === 408) res.end(body, () => { if (close) res.socket?.destroySoon() })
  else linger(res, body)
}

/**
 * Answer while a body that nobody wants is still coming. A connection that is closed on it is reset, and the answer may be lost with what
 * was still to be read: so the rest is thrown away for a moment, until the other side has read why, and closes.
 */
function linger(res: ServerResponse, body: Buffer | string): void {
  const { req } = res
  const end = (): void => {
    clearTimeout(timer)
    res.end(() => { res.socket?.destroySoon() })
  }
  const timer = setTimeout(end, LINGER).unref()
  req.once('end', end)
  req.once('close', end)
  req.on('error', ignore)
  req.resume()
  res.write(body)
}
