import type { Socket } from 'node:net'
import { buildConnector, Client } from 'undici'
import type { Answer, Peer, Request } from '../../contract'
import { now } from '../../deadline'
import { MetroplexError, type ErrorCode } from '../../errors'
import type { TlsOptions } from '../../types'
import { Gathered } from './gathered'
import { endpoint, headerOf, headOf, isOurs, METROPLEX, textOf } from './wire'

/** An idle connection is closed this early, in ms: before the 5 s after which Node.js's servers close theirs. */
const KEEP_ALIVE = 4000

/** How it is asked. */
export interface SingleTerms {
  readonly tls: TlsOptions | undefined
  /** The largest answer that is taken, in bytes. */
  readonly maxBody: number
  /** Of one operation, in ms; for its sentence alone. */
  readonly timeout: number
}

/**
 * Asks one peer by a PUT for each request, one after the other, on one connection: a second one could overtake the first.
 *
 * After a failure the connection is thrown away, so that nothing late comes in on it.
 */
export class Single {
  #client: Client | undefined
  #connecting: Socket | undefined
  #abort: ((error: MetroplexError) => void) | undefined

  constructor(private readonly address: string, private readonly terms: SingleTerms) {}

  /**
   * Send a request, and wait for its answer.
   *
   * What a proxy answers in the peer's place is no answer, but for 413: then the request is too large for the proxy.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EPROTOCOL`, or whatever it is ended with
   */
  ask(peer: Peer, { head, type, body }: Request, deadline: number): Promise<Answer> {
    if (this.#abort !== undefined) return Promise.reject(this.#error('EUNREACHABLE', 'is still asked something else', false))
    const connection = this.#connection()
    return new Promise((resolve, reject) => {
      let left = false
      let over = false
      let status = 0
      let headers: Readonly<Record<string, unknown>> = {}
      const gathered = new Gathered(this.terms.maxBody)
      const settle = (): boolean => {
        if (over) return false
        over = true
        clearTimeout(timer)
        this.#abort = undefined
        return true
      }
      const fail = (error: MetroplexError): void => {
        if (!settle()) return
        this.#drop()
        reject(error)
      }
      const broken = (code: ErrorCode, sentence: string, cause?: Error): void => { fail(this.#error(code, sentence, left, cause)) }
      const timer = setTimeout(() => {
        broken('EDEADLINE', `did not answer within the deadline of ${this.terms.timeout} ms`)
      }, Math.max(0, deadline - now())).unref()
      this.#abort = error => { fail(new MetroplexError(error.code, error.message, { address: this.address, maybe: left, cause: error.cause })) }

      connection.dispatch({
        path: endpoint(peer),
        method: 'PUT',
        headers: { [METROPLEX]: headerOf(head), 'content-type': type },
        body
      }, {
        onRequestStart: () => { left = true },
        onResponseStart: (_control, code, given) => {
          status = code
          headers = given
        },
        onResponseData: (_control, chunk) => {
          if (!gathered.add(chunk)) broken('EPROTOCOL', `answered with more than ${this.terms.maxBody} bytes: give all servers the same \`maxBody\``)
        },
        onResponseEnd: () => {
          const { bytes } = gathered
          if (isOurs(headers, bytes) || status === 413) {
            if (!settle()) return
            resolve({ status, head: headOf(headers[METROPLEX]), type: textOf(headers['content-type']), body: bytes })
          } else if (status >= 500) {
            broken('EUNREACHABLE', `could not be reached: something before it answered with status ${status}`)
          } else {
            broken('EPROTOCOL', `answered with status ${status}, and not as metroplex does. See which software listens there, and whether a proxy passes \`PUT ${endpoint(peer)}\` on`)
          }
        },
        onResponseError: (_control, error) => {
          broken('EUNREACHABLE', `could not be ${left ? 'heard to the end' : 'reached'}: ${error.message}`, error)
        }
      })
    })
  }

  /** End it. What is under way fails with this error, but that its `maybe` is set right. */
  end(error: MetroplexError): void {
    this.#abort?.(error)
    this.#drop()
  }

  #connection(): Client {
    if (this.#client !== undefined) return this.#client
    const establish = buildConnector({ ...this.terms.tls as object, timeout: 0 }) as (...args: Parameters<buildConnector.connector>) => Socket
    return this.#client = new Client(this.address, {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      headersTimeout: 0,
      bodyTimeout: 0,
      // Undici lets go of a socket that is still connecting only when that has ended, and perhaps nothing ever comes.
      connect: (options, callback) => {
        this.#connecting = establish(options, (...established) => {
          this.#connecting = undefined
          callback(...established)
        })
      }
    })
  }

  /** Throw the connection away, with what is under way on it. */
  #drop(): void {
    const client = this.#client
    this.#client = undefined
    this.#connecting?.destroy()
    this.#connecting = undefined
    // With an error it is not waited for what is under way.
    client?.destroy(new Error('given up')).catch(() => undefined)
  }

  #error(code: ErrorCode, sentence: string, maybe: boolean, cause?: Error): MetroplexError {
    const { address } = this
    return new MetroplexError(code, `${address} ${sentence.replace(/\.$/, '')}.`, { address, maybe, ...cause && { cause } })
  }
}

