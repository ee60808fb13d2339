import type { ServerResponse } from 'node:http'
import { ignore } from '../common/callback'

/** Writes the rest of an answer whose head is written. */
export interface SoleAnswer {
  write(body: Buffer | string): void
  end(body?: Buffer | string, done?: () => void): void
}

/** What another listener may call to answer, too. */
const WAYS_TO_HEAD = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'flushHeaders', 'addTrailers'] as const
const WAYS_TO_ANSWER = [...WAYS_TO_HEAD, 'writeHead', 'writeContinue', 'writeProcessing', 'writeEarlyHints', 'end']

/**
 * Begins to answer a request, unless another listener has answered it already.
 *
 * An application may add 'request' listeners before and behind Primus. They see our requests and may answer them, too.
 * A second answer throws, or emits an 'error' that ends the process. So its calls have no effect after ours.
 *
 * @returns what writes the rest; `undefined` when there is nothing to answer any more
 */
export function soleAnswer(
  res: ServerResponse,
  status: number,
  headers: Record<string, string | number>
): SoleAnswer | undefined {
  res.on('error', ignore)
  if (res.headersSent || res.writableEnded || res.destroyed) return undefined
  res.writeHead(status, headers)
  const write = res.write.bind(res) as (body: Buffer | string) => boolean
  const end = res.end.bind(res) as (done?: () => void) => unknown
  for (const way of WAYS_TO_ANSWER) Reflect.set(res, way, () => res)
  Reflect.set(res, 'write', () => true)
  return {
    write,
    end: (body, done) => {
      // In two steps, because the `end` of HTTP/2 calls `res.write`.
      if (body !== undefined && body.length > 0) write(body)
      end(done)
    }
  }
}
