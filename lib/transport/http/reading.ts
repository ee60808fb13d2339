import type { IncomingMessage, ServerResponse } from 'node:http'
import { ignore } from '../../callback'
import type { Answer } from '../../contract'
import { Gathered } from './gathered'
import { LINGER } from './stream'
import { headerOf, METROPLEX, tooLarge, tooSlow } from './wire'

/** Bounds of one body. */
export interface BodyBounds {
  /** In bytes. */
  readonly maxBody: number
  /** For how long it may take to come, in ms. */
  readonly timeout: number
}

/** What came of reading a body: the body; what to answer in its place; or nothing, because nobody is there any more. */
export type Read = Buffer | Answer | undefined

/**
 * Reads the body of a request, once, within bounds of size and time.
 */
export class Body {
  readonly #gathered: Gathered
  readonly #timer: NodeJS.Timeout
  #over = false

  constructor(req: IncomingMessage, { maxBody, timeout }: BodyBounds, private readonly done: (read: Read) => void) {
    this.#gathered = new Gathered(maxBody)
    this.#timer = setTimeout(() => { this.end(tooSlow(timeout)) }, timeout).unref()
    req.on('data', (piece: Buffer) => { if (!this.#over && !this.#gathered.add(piece)) this.end(tooLarge(maxBody)) })
    req.once('end', () => { this.end(this.#gathered.bytes) })
    req.once('close', () => { this.end(undefined) })
  }

  /** Read no more, and say this. */
  end(read: Read): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.done(read)
  }
}

/** Answer a request that was read to its end. */
export function say(res: ServerResponse, { status, head, type, body }: Answer): void {
  if (res.headersSent || res.destroyed) return
  res.on('error', ignore)
  res.writeHead(status, { [METROPLEX]: headerOf(head), 'content-type': type, 'content-length': body.length })
  res.end(body)
}

/**
 * Answer a request for the last time on its connection, whatever of it is still to come.
 *
 * Node.js would end the connection as soon as the answer is written, and whoever is still writing might never read it. So what
 * comes is thrown away for a second at most.
 */
export function refuse(req: IncomingMessage, res: ServerResponse, { status, head, type, body }: Answer, headers: Record<string, string> = {}): void {
  if (res.headersSent || res.destroyed) return
  res.on('error', ignore)
  const said = { [METROPLEX]: headerOf(head), 'content-type': type, 'content-length': body.length, ...headers }
  if (req.httpVersionMajor > 1) {
    // There a request has a stream of its own, of which no more is wanted.
    res.writeHead(status, said)
    res.end(body, () => { (req as { stream?: { close(): void } }).stream?.close() })
    return
  }
  res.writeHead(status, { ...said, connection: 'close' })
  res.write(body)
  const end = (): void => {
    clearTimeout(timer)
    res.end()
  }
  const timer = setTimeout(() => {
    res.end()
    req.socket.destroySoon()
  }, LINGER).unref()
  // Who was too slow to send gets no more time to read.
  if (req.complete || status === 408) {
    end()
    return
  }
  req.once('end', end)
  req.once('close', end)
  req.resume()
}
