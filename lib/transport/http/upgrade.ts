import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../../common/callback'
import type { Answer, Peer, Request } from '../../common/transport-contract'
import { now } from '../../common/async'
import { asError, MetroplexError, peerError } from '../../common/errors'
import type { TlsOptions } from '../../common/types'
import { describeAnswerer, describeNoHttp, isNoHttp, textOf } from '../../http/foreign-answer'
import { headOf } from '../head-line'
import { BodyBuffer } from '../../http/body-buffer'
import { requestTo } from '../../http/request'
import type { Reception } from '../receiving/reception-contract'
import { STREAM_IDLE, Stream } from './stream'
import { endpoint, isMetroplex, METROPLEX } from './protocol'

/** Options of an upgrade and its stream. */
export interface UpgradeTerms {
  readonly tls: TlsOptions | undefined
  readonly maxBody: number
  /** The duration of one operation in ms, for error messages. */
  readonly timeout: number
  /** How long a stream may be idle, in ms. @default 60000 */
  readonly idle?: number | undefined
}

/**
 * The result of an upgrade: the answer of the peer, with a stream if it accepted; the answer of a proxy; an invalid
 * stream or answer; or `'closed'` when the connection closed instead of an answer.
 */
export type Upgraded =
  | { readonly answer: Answer; readonly stream?: Stream }
  | { readonly refusal: string }
  | { readonly garbled: MetroplexError }
  | 'closed'

/** Asks a peer for a stream, with a hello. Used once. */
export class Upgrade {
  readonly #settled: Promise<Upgraded>
  #resolve!: (upgraded: Upgraded) => void
  #reject!: (error: MetroplexError) => void
  readonly #timer: NodeJS.Timeout
  readonly #request: ClientRequest
  #stream: Stream | undefined
  #connected = false
  #finished = false

  /**
   * @param receiver answers the requests of the peer on the stream
   * @throws Error for an invalid address or path
   */
  constructor(
    private readonly peer: Peer,
    hello: Request,
    private readonly deadline: number,
    private readonly terms: UpgradeTerms,
    private readonly receiver: Reception
  ) {
    this.#settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // An invalid address throws before anything has begun.
    const asking = (this.#request = this.#startRequest(hello))
    this.#timer = setTimeout(
      () => {
        const sentence = `did not answer within the deadline of ${terms.timeout} ms`
        this.end(peerError('EDEADLINE', peer.address, sentence, { maybe: this.#connected }))
      },
      Math.max(0, deadline - now())
    ).unref()

    asking.on('socket', socket => {
      socket.setNoDelay(true)
      socket.once(peer.address.startsWith('https:') ? 'secureConnect' : 'connect', () => {
        this.#connected = true
      })
    })
    asking.on('upgrade', (response, socket: Socket, early) => {
      this.#upgraded(response, socket, early)
    })
    asking.on('response', response => {
      this.#answered(response)
    })
    asking.on('error', error => {
      this.#broken(error)
    })
    asking.end()
  }

  /**
   * The result, before the deadline.
   *
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or the error that `end` was called with
   */
  get settled(): Promise<Upgraded> {
    return this.#settled
  }

  /** Abort it, and close its stream. */
  end(error: MetroplexError): void {
    const finishing = this.#finish()
    this.#request.destroy()
    this.#stream?.end(error)
    if (finishing) this.#reject(error)
  }

  #startRequest({ head, type }: Request): ClientRequest {
    const headers = { connection: 'Upgrade', upgrade: METROPLEX, [METROPLEX]: head, 'content-type': type }
    return requestTo(this.peer.address, { path: endpoint(this.peer), headers }, this.terms.tls)
  }

  /** Handle 101 Switching Protocols. It is a refusal when the answer names another protocol. */
  #upgraded(response: IncomingMessage, socket: Socket, early: Buffer): void {
    socket.on('error', ignore)
    if (this.#finished || response.headers.upgrade?.toLowerCase() !== METROPLEX) {
      socket.destroy()
      this.#failed({ refusal: `status ${response.statusCode}${describeAnswerer(response.headers)}` })
      return
    }
    const {
      terms: { timeout, maxBody, idle = STREAM_IDLE },
      receiver,
      peer: { address }
    } = this
    const stream = (this.#stream = new Stream(socket, { address, maxBody, timeout, idle, receiver }))
    stream.welcome(early, this.deadline).then(
      answer => {
        if (!this.#finish()) return
        if (answer.status !== 200) stream.end()
        this.#resolve({ answer, ...(stream.open && { stream }) })
      },
      (error: unknown) => {
        // A proxy may answer any upgrade with 101 and then close the connection, or continue with HTTP.
        const failure =
          error instanceof MetroplexError
            ? error
            : peerError('EPROTOCOL', address, 'sent an invalid answer', { maybe: true })
        if (failure.code === 'EUNREACHABLE') this.#failed('closed')
        else if (failure.code === 'EPROTOCOL') this.#failed({ garbled: failure })
        else this.end(failure)
      }
    )
  }

  /** Handle an answer that is no upgrade: a refusal by the peer, or the answer of a proxy. */
  #answered(response: IncomingMessage): void {
    const { statusCode: status = 0, headers } = response
    response.on('error', ignore)
    if (!isMetroplex(headers)) {
      this.#request.destroy()
      this.#failed({ refusal: `status ${status}${describeAnswerer(headers)}` })
      return
    }
    const buffer = new BodyBuffer(this.terms.maxBody)
    response.on('data', (chunk: Buffer) => {
      if (!buffer.add(chunk)) response.destroy()
    })
    response.once('close', () => {
      this.#request.destroy()
      const { bytes } = buffer
      if (!response.complete) this.#failed('closed')
      else if (this.#finish())
        this.#resolve({
          answer: { status, head: headOf(headers[METROPLEX]), type: textOf(headers['content-type']), body: bytes }
        })
    })
  }

  #broken(error: Error): void {
    const { address } = this.peer
    if (isNoHttp(error))
      this.#failed({ garbled: peerError('EPROTOCOL', address, describeNoHttp(error), { maybe: true, cause: error }) })
    else if (this.#connected) this.#failed('closed')
    else if (this.#finish()) {
      const sentence = `could not be reached: ${asError(error).message}`
      this.#reject(peerError('EUNREACHABLE', address, sentence, { maybe: false, cause: error }))
    }
  }

  #failed(how: Exclude<Upgraded, { answer: Answer }>): void {
    if (this.#finish()) this.#resolve(how)
  }

  /** @returns whether it was still open */
  #finish(): boolean {
    if (this.#finished) return false
    this.#finished = true
    clearTimeout(this.#timer)
    return true
  }
}
