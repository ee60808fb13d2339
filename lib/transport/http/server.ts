import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../../common/callback'
import type { Answer } from '../../common/transport-contract'
import { destroyedError } from '../../common/errors'
import type { Middleware } from '../../common/types'
import { Body, type BodyRead } from '../../http/body'
import { textOf } from '../../http/foreign-answer'
import { announcesMore, pathOf } from '../../http/request-facts'
import { headOf } from '../head-line'
import { isRefusal, type Reception } from '../receiving/reception-contract'
import { answerLostUpgrade, answerRequest, refuseRequest, refuseUpgrade } from './answers'
import { STREAM_IDLE, Stream } from './stream'
import { METROPLEX, NO_BODY } from './protocol'
import {
  closingAnswer,
  answerSafely,
  refusalAnswer,
  tooLargeAnswer,
  tooSlowAnswer
} from '../receiving/transport-refusals'

/**
 * Handles requests of peers below the path of Primus: upgrades to a stream, and single requests. It passes all others
 * on.
 *
 * The receiver verifies each request before any of its body is read.
 */
export class HttpServer {
  /** The layer. Primus counts its parameters, so it must have three. Of an upgrade the second one is a socket. */
  readonly middleware: Middleware
  #receiver: Reception | undefined
  readonly #streams = new Set<Stream>()
  /** The bodies that are being read. */
  readonly #bodies = new Set<Body>()

  /** @param path the path of the endpoint, which may change */
  constructor(private readonly path: () => string) {
    const take = (req: IncomingMessage, res: ServerResponse | Socket): boolean => this.#handle(req, res)
    this.middleware = function metroplex(req, res, next): void {
      if (!take(req, res)) next()
    }
  }

  /** Start to accept requests. Until then they get 503. */
  open(receiver: Reception): void {
    this.#receiver = receiver
  }

  /** Refuse new requests and those whose body is being read, and close all streams. */
  close(): void {
    this.#receiver = undefined
    for (const body of [...this.#bodies]) body.stop()
    this.release()
  }

  /** Close all streams. */
  release(): void {
    for (const stream of [...this.#streams]) stream.end(destroyedError(stream.address, true))
  }

  /** @returns whether the request is for this endpoint */
  #handle(req: IncomingMessage, res: ServerResponse | Socket): boolean {
    if (pathOf(req.url ?? '') !== this.path()) return false
    if (!('writeHead' in res)) {
      if (req.method !== 'GET' || req.headers.upgrade?.toLowerCase() !== METROPLEX) return false
      this.#upgrade(req, res)
      return true
    }
    // A `SelfProbe` uses GET on the same path.
    if (req.method === 'GET' && req.headers[METROPLEX] === undefined) return false
    req.on('error', ignore)
    this.#request(req, res)
    return true
  }

  /** Answer the hello of a peer that asks for a stream. */
  #upgrade(req: IncomingMessage, socket: Socket): void {
    socket.on('error', ignore)
    const receiver = this.#receiver
    const answer =
      receiver === undefined
        ? closingAnswer()
        : answerSafely(() => {
            const [head, type] = requestHead(req)
            const admitted = receiver.admit(head, type)
            return isRefusal(admitted) ? admitted : receiver.receive(admitted, NO_BODY)
          })
    if (receiver === undefined || answer.status !== 200) {
      refuseUpgrade(socket, answer)
      return
    }
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${METROPLEX}\r\n\r\n`)
    const { maxBody, timeout } = receiver
    const stream = new Stream(
      socket,
      { address: `${socket.remoteAddress}:${socket.remotePort}`, maxBody, timeout, idle: 2 * STREAM_IDLE, receiver },
      answer
    )
    this.#streams.add(stream)
    stream.onEnd = () => {
      this.#streams.delete(stream)
      receiver.closed(stream)
    }
  }

  /** Answer a single request. */
  #request(req: IncomingMessage, res: ServerResponse): void {
    if (req.method === 'GET') return answerLostUpgrade(req, res)
    if (req.method !== 'PUT') {
      refuseRequest(req, res, refusalAnswer(405, 'EPROTOCOL', 'Use PUT, or GET with an upgrade to metroplex.'), {
        allow: 'GET, PUT'
      })
      return
    }
    const receiver = this.#receiver
    if (receiver === undefined) return refuseRequest(req, res, closingAnswer())
    if (announcesMore(req, receiver.maxBody)) return refuseRequest(req, res, tooLargeAnswer(receiver.maxBody))
    const [head, type] = requestHead(req)
    const admitted = answerSafely(() => receiver.admit(head, type))
    if (isRefusal(admitted)) return refuseRequest(req, res, admitted)

    const body: Body = new Body(req, receiver, read => {
      this.#bodies.delete(body)
      if (Buffer.isBuffer(read))
        answerRequest(
          res,
          answerSafely(() => receiver.receive(admitted, read))
        )
      else if (read !== 'closed') refuseRequest(req, res, refusalOf(read, receiver))
    })
    this.#bodies.add(body)
  }
}

function requestHead({ headers }: IncomingMessage): [head: string, type: string] {
  return [headOf(headers[METROPLEX]), textOf(headers['content-type'])]
}

/** The answer to a request whose body could not be read, or is not wanted any more. */
function refusalOf(read: Exclude<BodyRead, Buffer | 'closed'>, { maxBody, timeout }: Reception): Answer {
  if (read === 'too large') return tooLargeAnswer(maxBody)
  return read === 'too slow' ? tooSlowAnswer(timeout) : closingAnswer()
}
