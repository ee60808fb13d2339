import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../../callback'
import type { Answer, Receiver } from '../../contract'
import type { Middleware } from '../../types'
import { Body, refuse, say } from './reading'
import { IDLE, LINGER, Stream } from './stream'
import { closing, destroyed, headerOf, headOf, judged, METROPLEX, NOTHING, pathOf, refusal, textOf, tooLarge } from './wire'

/**
 * Takes what peers ask below Primus's path: an upgrade to a stream, or single requests. Whatever else comes is left to others.
 *
 * Whoever asks is judged by the receiver before anything of a body is read.
 */
export class HttpServer {
  /** One function with three parameters, always: Primus counts them. Of an upgrade the second one is its socket. */
  readonly middleware: Middleware
  #receiver: Receiver | undefined
  readonly #streams = new Set<Stream>()
  /** Bodies that are being read. */
  readonly #bodies = new Set<Body>()

  /** @param path where we are asked; it may change */
  constructor(private readonly path: () => string) {
    const take = (req: IncomingMessage, res: ServerResponse | Socket): boolean => this.#take(req, res)
    this.middleware = function metroplex(req, res, next): void {
      if (!take(req, res)) next()
    }
  }

  /** Begin to answer; whoever comes before is told to come later. */
  open(receiver: Receiver): void {
    this.#receiver = receiver
  }

  /** Refuse whatever comes from now on, and what is being read, and end all streams. */
  close(): void {
    this.#receiver = undefined
    for (const body of [...this.#bodies]) body.end(closing())
    for (const stream of [...this.#streams]) stream.end(destroyed(stream.address, true))
  }

  /** @returns whether it is ours */
  #take(req: IncomingMessage, res: ServerResponse | Socket): boolean {
    if (pathOf(req.url ?? '') !== this.path()) return false
    if (!('writeHead' in res)) {
      if (req.method !== 'GET' || req.headers.upgrade?.toLowerCase() !== METROPLEX) return false
      this.#upgrade(req, res)
      return true
    }
    // Registration has a question of its own here.
    if (req.method === 'GET' && req.headers[METROPLEX] === undefined) return false
    req.on('error', ignore)
    this.#request(req, res)
    return true
  }

  /** A peer wants a stream, and says hello. */
  #upgrade(req: IncomingMessage, socket: Socket): void {
    socket.on('error', ignore)
    const receiver = this.#receiver
    const answer = receiver === undefined ? closing() : judged(() => {
      const [head, type] = headed(req)
      return receiver.admit(head, type) ?? receiver.receive({ head, type, body: NOTHING })
    })
    if (receiver === undefined || answer.status !== 200) {
      refuseUpgrade(socket, answer)
      return
    }
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${METROPLEX}\r\n\r\n`)
    const { maxBody, timeout } = receiver
    const stream = new Stream(socket, { address: `${socket.remoteAddress}:${socket.remotePort}`, maxBody, timeout, idle: 2 * IDLE, receiver }, answer)
    this.#streams.add(stream)
    stream.gone = () => {
      this.#streams.delete(stream)
      receiver.closed(stream)
    }
  }

  /** A peer asks one thing. */
  #request(req: IncomingMessage, res: ServerResponse): void {
    if (req.method === 'GET') return upgradeLost(req, res)
    if (req.method !== 'PUT') {
      refuse(req, res, refusal(405, 'EPROTOCOL', 'This takes PUT, and GET with an upgrade to metroplex.'), { allow: 'GET, PUT' })
      return
    }
    const receiver = this.#receiver
    if (receiver === undefined) return refuse(req, res, closing())
    if (Number(req.headers['content-length'] ?? 0) > receiver.maxBody) return refuse(req, res, tooLarge(receiver.maxBody))
    const [head, type] = headed(req)
    const no = judged(() => receiver.admit(head, type))
    if (no !== undefined) return refuse(req, res, no)

    const body: Body = new Body(req, receiver, read => {
      this.#bodies.delete(body)
      if (read === undefined) return
      if (!Buffer.isBuffer(read)) refuse(req, res, read)
      else say(res, judged(() => receiver.receive({ head, type, body: read })))
    })
    this.#bodies.add(body)
  }
}

function headed({ headers }: IncomingMessage): [head: string, type: string] {
  return [headOf(headers[METROPLEX]), textOf(headers['content-type'])]
}

/** Somebody on the way has taken the upgrade out of a request, or this server knows none. Without our header, so that the peer knows it. */
function upgradeLost(req: IncomingMessage, res: ServerResponse): void {
  const reason = 'The upgrade was lost on its way.\n'
  res.on('error', ignore)
  res.writeHead(426, { 'content-type': 'text/plain', 'content-length': reason.length, ...req.httpVersionMajor === 1 && { connection: 'close' } })
  res.end(reason)
}

/** Answer an upgrade like a request, and end the connection. */
export function refuseUpgrade(socket: Socket, { status, head, type, body }: Answer, headers: Record<string, string> = {}): void {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'connection: close',
    `${METROPLEX}: ${headerOf(head)}`,
    `content-type: ${type}`,
    `content-length: ${body.length}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  ]
  socket.end(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]))
  const timer = setTimeout(() => { socket.destroy() }, LINGER).unref()
  socket.once('close', () => { clearTimeout(timer) })
  socket.on('end', () => { socket.destroy() })
  socket.resume()
}
