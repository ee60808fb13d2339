import { Agent, type Dispatcher } from 'undici'
import { now } from '../../deadline'
import { MetroplexError, type ErrorCode } from '../../errors'
import type { TlsOptions } from '../../types'

/** What is asked. */
export interface Asked {
  /** Where. */
  readonly address: string
  readonly path: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

/** What is answered. */
export interface Answered {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** An idle connection is closed this early, in ms: before the 5 s after which Node.js's servers close theirs. */
const KEEP_ALIVE = 4000

/**
 * Sends requests on one kept connection per server, one after the other: a second connection could overtake the first.
 */
export class Exchange {
  readonly #agent: Agent
  #closed = false

  constructor(private readonly bounds: { readonly timeout: number; readonly tls: TlsOptions | undefined }) {
    this.#agent = new Agent({
      connections: 1,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { ...bounds.tls, timeout: bounds.timeout }
    })
  }

  /**
   * Ask.
   *
   * @param deadline until when, by `performance.now()`
   * @param largest the largest answer that is read, in bytes
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `ECLOSED`, with `address` and `maybe`
   */
  ask({ address, path, method, headers, body }: Asked, deadline: number, largest: number): Promise<Answered> {
    return new Promise((resolve, reject) => {
      let left = false
      let late = false
      let length = 0
      let controller: Dispatcher.DispatchController | undefined
      let head: Pick<Answered, 'status' | 'headers'> = { status: 0, headers: {} }
      const chunks: Buffer[] = []
      const fail = (code: ErrorCode, sentence: string, cause?: Error): void => {
        clearTimeout(timer)
        reject(new MetroplexError(code, sentence, { address, maybe: left, ...cause && { cause } }))
      }
      const timer = setTimeout(() => {
        late = true
        fail('EDEADLINE', `${address} did not answer within the deadline of ${this.bounds.timeout} ms.`)
        controller?.abort(new Error('late'))
      }, Math.max(0, deadline - now())).unref()
      if (this.#closed) {
        fail('ECLOSED', 'This server has been destroyed: it sends no more.')
        return
      }

      this.#agent.dispatch({ origin: address, path, method, headers, body }, {
        onRequestStart: control => {
          controller = control
          // Nothing has been written yet: what nobody waits for any more need not leave.
          if (late) control.abort(new Error('late'))
          else left = true
        },
        onResponseStart: (_control, status, headers) => { head = { status, headers } },
        onResponseData: (control, chunk) => {
          length += chunk.length
          if (length > largest) control.abort(new Error('its answer is too long'))
          else chunks.push(chunk)
        },
        onResponseEnd: () => {
          clearTimeout(timer)
          resolve({ ...head, body: Buffer.concat(chunks) })
        },
        onResponseError: (_control, error) => {
          if (this.#closed) fail('ECLOSED', 'This server was destroyed before an answer came.', error)
          else fail('EUNREACHABLE', `${address} could not be ${left ? 'heard to the end' : 'reached'}: ${error.message}.`, error)
        }
      })
    })
  }

  /** Close all connections; what is under way fails with `ECLOSED`. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#agent.destroy()
  }
}
