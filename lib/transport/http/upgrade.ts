import { request as requestPlain, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestSecure } from 'node:https'
import type { Socket } from 'node:net'
import { ignore } from '../../callback'
import type { Answer, Peer, Receiver, Request } from '../../contract'
import { now } from '../../deadline'
import { MetroplexError, type ErrorCode } from '../../errors'
import type { TlsOptions } from '../../types'
import { Gathered } from './gathered'
import { IDLE, Stream } from './stream'
import { endpoint, headOf, isOurs, mayBeOurs, METROPLEX, textOf } from './wire'

/** How a stream is opened and used. */
export interface UpgradeTerms {
  readonly tls: TlsOptions | undefined
  readonly maxBody: number
  /** Of one operation, in ms; for its sentence alone. */
  readonly timeout: number
  /** For how long a stream may lie idle, in ms. @default 60000 */
  readonly idle?: number | undefined
}

/** What came of it: an answer, perhaps with a stream; or whoever answered does not know such upgrades; or the connection was closed in place of an answer. */
export type Upgraded = { readonly answer: Answer; readonly stream?: Stream } | 'refused' | 'closed'

/**
 * Asks a peer for a stream, with a hello. Once.
 */
export class Upgrade {
  readonly #settled: Promise<Upgraded>
  #resolve!: (upgraded: Upgraded) => void
  #reject!: (error: MetroplexError) => void
  readonly #timer: NodeJS.Timeout
  readonly #asking: ClientRequest
  #stream: Stream | undefined
  #connected = false
  #over = false

  /**
   * @param receiver who answers what the peer asks on the stream
   * @throws Error for an address or a path that nobody can be asked at
   */
  constructor(private readonly peer: Peer, hello: Request, private readonly deadline: number, private readonly terms: UpgradeTerms, private readonly receiver: Receiver) {
    this.#settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // It throws for what is no address: then nothing has begun.
    const asking = this.#asking = this.#request(hello)
    this.#timer = setTimeout(() => {
      this.end(this.#error('EDEADLINE', `did not answer within the deadline of ${terms.timeout} ms`, this.#connected))
    }, Math.max(0, deadline - now())).unref()

    asking.on('socket', socket => {
      socket.setNoDelay(true)
      socket.once(peer.address.startsWith('https:') ? 'secureConnect' : 'connect', () => { this.#connected = true })
    })
    asking.on('upgrade', (response, socket: Socket, early) => { this.#upgraded(response, socket, early) })
    asking.on('response', response => { this.#answered(response) })
    asking.on('error', error => { this.#broken(error) })
    asking.end()
  }

  /**
   * What has come of it, before the deadline.
   *
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or whatever it is ended with
   */
  get settled(): Promise<Upgraded> {
    return this.#settled
  }

  /** End it, and the stream that has come of it. */
  end(error: MetroplexError): void {
    const finishing = this.#finish()
    this.#asking.destroy()
    this.#stream?.end(error)
    if (finishing) this.#reject(error)
  }

  #request({ head, type }: Request): ClientRequest {
    const { peer, terms } = this
    const { protocol, hostname, port } = new URL(peer.address)
    if (protocol !== 'https:' && protocol !== 'http:') throw new Error('it is no http: or https: address')
    const options: RequestOptions = {
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      path: endpoint(peer),
      // No agent: the connection is this stream's alone.
      agent: false,
      headers: { 'connection': 'Upgrade', 'upgrade': METROPLEX, [METROPLEX]: head, 'content-type': type },
      ...port !== '' && { port }
    }
    return protocol === 'https:' ? requestSecure({ ...terms.tls as object, ...options }) : requestPlain(options)
  }

  /** Somebody speaks another language with us from here on: we hope it is ours. */
  #upgraded(response: IncomingMessage, socket: Socket, early: Buffer): void {
    socket.on('error', ignore)
    if (this.#over || response.headers.upgrade?.toLowerCase() !== METROPLEX) {
      socket.destroy()
      this.#failed('refused')
      return
    }
    const { terms: { timeout, maxBody, idle = IDLE }, receiver, peer: { address } } = this
    const stream = this.#stream = new Stream(socket, { address, maxBody, timeout, idle, receiver })
    stream.welcome(early, this.deadline).then(answer => {
      if (!this.#finish()) return
      if (answer.status !== 200) stream.end()
      this.#resolve({ answer, ...stream.open && { stream } })
    }, (error: unknown) => {
      // A connection that closes now is as good as refused: somebody in between may have promised too much.
      const failure = error instanceof MetroplexError ? error : this.#error('EPROTOCOL', 'could not be understood', true)
      if (failure.code === 'EUNREACHABLE') this.#failed('closed')
      else this.end(failure)
    })
  }

  /** No upgrade: a refusal of the peer's, or somebody in between. */
  #answered(response: IncomingMessage): void {
    const { statusCode: status = 0, headers } = response
    response.on('error', ignore)
    if (!mayBeOurs(headers)) {
      this.#asking.destroy()
      this.#failed('refused')
      return
    }
    const gathered = new Gathered(this.terms.maxBody)
    response.on('data', (chunk: Buffer) => { if (!gathered.add(chunk)) response.destroy() })
    response.once('close', () => {
      this.#asking.destroy()
      const { bytes } = gathered
      if (!response.complete) this.#failed('closed')
      else if (!isOurs(headers, bytes)) this.#failed('refused')
      else if (this.#finish()) this.#resolve({ answer: { status, head: headOf(headers[METROPLEX]), type: textOf(headers['content-type']), body: bytes } })
    })
  }

  #broken(error: Error): void {
    if (this.#connected) this.#failed('closed')
    else if (this.#finish()) this.#reject(this.#error('EUNREACHABLE', `could not be reached: ${error.message}`, false, error))
  }

  #failed(how: 'refused' | 'closed'): void {
    if (this.#finish()) this.#resolve(how)
  }

  /** @returns whether it is us who end it */
  #finish(): boolean {
    if (this.#over) return false
    this.#over = true
    clearTimeout(this.#timer)
    return true
  }

  #error(code: ErrorCode, sentence: string, maybe: boolean, cause?: Error): MetroplexError {
    const { address } = this.peer
    return new MetroplexError(code, `${address} ${sentence}.`, { address, maybe, ...cause && { cause } })
  }
}
