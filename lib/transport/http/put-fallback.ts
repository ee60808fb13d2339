import type { Socket } from 'node:net'
import { buildConnector, Client } from 'undici'
import type { Answer, Peer, Request } from '../../common/transport-contract'
import { peerError, type ErrorCode, type MetroplexError } from '../../common/errors'
import type { TlsOptions } from '../../common/types'
import { describeAnswerer, textOf } from '../../http/foreign-answer'
import { ONE_AFTER_THE_OTHER, SingleRequest } from '../../http/single-request'
import { headerOf, headOf } from '../head-line'
import { endpoint, isMetroplex, METROPLEX } from './protocol'

/** The statuses by which a gateway says that a server is unavailable. */
const GATEWAY: ReadonlySet<number> = new Set([502, 503, 504])

/** Options of `PutFallback`. */
export interface PutFallbackTerms {
  readonly tls: TlsOptions | undefined
  /** The largest answer that is accepted, in bytes. */
  readonly maxBody: number
  /** The duration of one operation in ms, for error messages. */
  readonly timeout: number
}

/**
 * Sends each request to a peer as a PUT, one after the other on one connection: a second one could overtake the first.
 *
 * After a failure the connection is destroyed, so that no late answer arrives on it.
 */
export class PutFallback {
  #client: Client | undefined
  #connecting: Socket | undefined
  #asking: SingleRequest | undefined

  constructor(
    private readonly address: string,
    private readonly terms: PutFallbackTerms
  ) {}

  /**
   * Send a request and wait for its answer.
   *
   * An answer without our header comes from a proxy. It becomes an error at once, with its `status`: `ETOOBIG` for 413,
   * `EUNREACHABLE` for 502 to 504, `EPROTOCOL` for any other.
   *
   * @param deadline by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, `ETOOBIG`, or the error that `end` was called with
   */
  async ask(peer: Peer, { head, type, body }: Request, deadline: number): Promise<Answer> {
    const { address } = this
    if (this.#asking !== undefined)
      throw peerError('EUNREACHABLE', address, 'has not answered the previous request yet')
    const { timeout, maxBody: largest } = this.terms
    const path = endpoint(peer)
    const headers = { [METROPLEX]: headerOf(head), 'content-type': type }
    const asking = (this.#asking = new SingleRequest(
      this.#connection(),
      { path, method: 'PUT', headers, body },
      { address, deadline, timeout, largest, genuine: isMetroplex }
    ))
    const ended = (): boolean => this.#asking !== asking
    try {
      const { status, headers: given, body: bytes } = await asking.answer
      if (!isMetroplex(given)) {
        const [code, sentence] = describeRefusal(status, describeAnswerer(given, bytes), path)
        throw peerError(code, address, sentence, { maybe: true, status })
      }
      return { status, head: headOf(given[METROPLEX]), type: textOf(given['content-type']), body: bytes }
    } catch (error) {
      if (!ended()) this.#drop()
      throw error
    } finally {
      if (!ended()) this.#asking = undefined
    }
  }

  /** Close it. A request in flight fails with this error, and with the right `maybe`. */
  end(error: MetroplexError): void {
    const asking = this.#asking
    this.#asking = undefined
    asking?.fail(error.code, error.message, error.cause)
    this.#drop()
  }

  #connection(): Client {
    if (this.#client !== undefined) return this.#client
    return (this.#client = new Client(this.address, {
      ...ONE_AFTER_THE_OTHER,
      // Undici destroys a connecting socket only when the attempt ends, which may never happen.
      connect: (options, callback) => {
        // The application may have renewed `tls` since the last connection.
        const establish = buildConnector({ ...(this.terms.tls as object), timeout: 0 }) as (
          ...args: Parameters<buildConnector.connector>
        ) => Socket
        this.#connecting = establish(options, (...established) => {
          this.#connecting = undefined
          callback(...established)
        })
      }
    }))
  }

  /** Destroy the connection with what is in flight on it. */
  #drop(): void {
    const client = this.#client
    this.#client = undefined
    this.#connecting?.destroy()
    this.#connecting = undefined
    // With an error, `destroy` does not wait for requests in flight.
    client?.destroy(new Error('given up')).catch(() => undefined)
  }
}

/** Code and sentence for an answer of a proxy. @param by a description of the proxy */
function describeRefusal(status: number, by: string, path: string): [ErrorCode, string] {
  const before = `something before it answered with status ${status}${by}`
  if (status === 413) return ['ETOOBIG', `could not be sent this body: ${before}. Raise the body limit there`]
  if (GATEWAY.has(status)) return ['EUNREACHABLE', `could not be reached: ${before}`]
  return [
    'EPROTOCOL',
    `answered with status ${status}, and not as metroplex does${by}. ` +
      `See which software listens there, and whether a proxy or a layer of the server refuses \`PUT ${path}\``
  ]
}
