import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../../common/callback'
import type { Answer } from '../../common/transport-contract'
import { LINGER, respond, respondAndClose, type HttpAnswer } from '../../http/response'
import { soleAnswer } from '../../http/sole-answer'
import { headerOf } from '../head-line'
import { METROPLEX } from './protocol'

/** Answer a request whose body was read to its end. */
export function answerRequest(res: ServerResponse, answer: Answer): void {
  respond(res, httpAnswer(answer))
}

/** Answer a request whose body is not wanted, and close the connection. */
export function refuseRequest(
  req: IncomingMessage,
  res: ServerResponse,
  answer: Answer,
  headers: Record<string, string> = {}
): void {
  respondAndClose(req, res, httpAnswer(answer, headers))
}

/**
 * Answer a GET that has lost its upgrade to a proxy, or reached a server without upgrades. The answer has no header of
 * ours, so the peer recognizes the case.
 */
export function answerLostUpgrade(req: IncomingMessage, res: ServerResponse): void {
  const reason = 'The upgrade was lost on its way.\n'
  soleAnswer(res, 426, {
    'content-type': 'text/plain',
    'content-length': reason.length,
    ...(req.httpVersionMajor === 1 && { connection: 'close' })
  })?.end(reason)
}

/** Refuse an upgrade with an answer, and close the connection. */
export function refuseUpgrade(socket: Socket, answer: Answer, headers: Record<string, string> = {}): void {
  const { status, headers: all, body } = httpAnswer(answer, headers)
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'connection: close',
    `content-length: ${body.length}`,
    ...Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  ]
  // Another 'upgrade' listener may have ended it already.
  socket.on('error', ignore)
  socket.end(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]))
  const timer = setTimeout(() => {
    socket.destroy()
  }, LINGER).unref()
  socket.once('close', () => {
    clearTimeout(timer)
  })
  socket.on('end', () => {
    socket.destroy()
  })
  socket.resume()
}

function httpAnswer({ status, head, type, body }: Answer, more: Record<string, string> = {}): HttpAnswer {
  return { status, headers: { [METROPLEX]: headerOf(head), 'content-type': type, ...more }, body }
}
