import type { IncomingMessage, ServerResponse } from 'node:http'
import { soleAnswer } from './sole-answer'

/** An answer to a request. `content-length` is added to its headers. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** How long the rest of an unwanted body is discarded, so that the refusal can be read, in ms. */
export const LINGER = 1000

/** Answer a request whose body was read to its end, or that has none. */
export function respond(res: ServerResponse, { status, headers, body }: HttpAnswer): void {
  soleAnswer(res, status, { ...headers, 'content-length': body.length })?.end(body)
}

/**
 * Answer a request whose body is not wanted, and close the connection.
 *
 * Node.js would close it as soon as the answer is written, and a client that is still sending might never read the
 * answer. So the rest of the body is discarded for up to a second.
 */
export function respondAndClose(
  req: IncomingMessage,
  res: ServerResponse,
  { status, headers: given, body }: HttpAnswer
): void {
  const headers = { ...given, 'content-length': body.length }
  const multiplexed = req.httpVersionMajor > 1
  const answer = soleAnswer(res, status, multiplexed ? headers : { ...headers, connection: 'close' })
  if (answer === undefined) return
  if (multiplexed) {
    // In HTTP/2 each request has its own stream, which is closed instead.
    answer.end(body, () => {
      ;(req as { stream?: { close(): void } }).stream?.close()
    })
    return
  }
  answer.write(body)
  const end = (): void => {
    clearTimeout(timer)
    answer.end()
  }
  const timer = setTimeout(() => {
    answer.end()
    req.socket.destroySoon()
  }, LINGER).unref()
  // A client that was too slow to send gets no more time to read.
  if (req.complete || status === 408) {
    end()
    return
  }
  req.once('end', end)
  req.once('close', end)
  req.resume()
}
