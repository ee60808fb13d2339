import { Agent, type Dispatcher } from 'undici'
import { now } from '../deadline'
import { MetroplexError, type ErrorCode } from '../errors'
import type { TlsOptions } from '../types'
import type { Delivered, Outgoing, Transport } from './transport'

/** omega-supreme's wire: where it is, and how one shows who one is. */
export interface OmegaWire {
  readonly url: string
  readonly method: string
  readonly username: string
  readonly password: string
}

/** Bounds of one request. */
export interface Bounds {
  /** In ms, from the call to the answer. */
  readonly timeout: number
  /** In bytes. */
  readonly maxBody: number
  readonly tls: TlsOptions | undefined
}

/** An idle connection is closed this early, in ms: before the 5 s after which Node.js's servers close theirs. */
const KEEP_ALIVE = 4000

/** An answer is a few numbers, and ids that are missing: at most about as much as was asked. */
const LARGEST_ANSWER = 1_048_576

/** The authorization header for a name and a password. */
export function credentials({ username, password }: Pick<OmegaWire, 'username' | 'password'>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Speaks the wire of omega-supreme, on one kept connection per peer: a second one could overtake the first.
 *
 * `PUT {url}` with Basic auth and `{ msg, sparks?, except? }` in JSON; the answer is `{ ok, send, missing? }`.
 * Servers that run omega-supreme's own code know neither `except` nor `missing`.
 */
export class OmegaTransport implements Transport {
  readonly #agent: Agent
  readonly #headers: Record<string, string>
  #closed = false

  constructor(private readonly wire: OmegaWire, private readonly bounds: Bounds) {
    this.#agent = new Agent({
      connections: 1,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { ...bounds.tls, timeout: bounds.timeout }
    })
    this.#headers = { 'authorization': credentials(wire), 'content-type': 'application/json' }
  }

  async send(address: string, message: Outgoing, deadline: number): Promise<Delivered> {
    if (this.#closed) throw new MetroplexError('ECLOSED', 'This server has been destroyed: it sends no more.', { address, maybe: false })
    const body = Buffer.from(envelope(message))
    const { maxBody } = this.bounds
    if (body.length > maxBody) {
      throw new MetroplexError('ETOOBIG', `A message of ${body.length} bytes is larger than \`maxBody\`, ${maxBody} bytes.`, { address, maybe: false })
    }
    const { status, text } = await this.#request(address, body, deadline)
    return understood(address, status, text)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#agent.destroy()
  }

  #request(address: string, body: Buffer, deadline: number): Promise<{ status: number; text: string }> {
    const patience = Math.max(0, deadline - now())
    return new Promise((resolve, reject) => {
      let left = false
      let late = false
      let status = 0
      let length = 0
      let controller: Dispatcher.DispatchController | undefined
      const chunks: Buffer[] = []
      const fail = (code: ErrorCode, sentence: string, cause?: Error): void => {
        clearTimeout(timer)
        reject(new MetroplexError(code, sentence, { address, maybe: left, ...cause && { cause } }))
      }
      const timer = setTimeout(() => {
        late = true
        fail('EDEADLINE', `${address} did not answer within the deadline of ${this.bounds.timeout} ms.`)
        controller?.abort(new Error('late'))
      }, patience).unref()

      this.#agent.dispatch({
        origin: address,
        path: this.wire.url,
        method: this.wire.method,
        headers: this.#headers,
        body
      }, {
        onRequestStart: control => {
          controller = control
          // Nothing has been written yet: what nobody waits for any more need not leave.
          if (late) control.abort(new Error('late'))
          else left = true
        },
        onResponseStart: (_control, statusCode) => { status = statusCode },
        onResponseData: (control, chunk) => {
          length += chunk.length
          if (length > LARGEST_ANSWER + body.length) control.abort(new Error('its answer is too long'))
          else chunks.push(chunk)
        },
        onResponseEnd: () => {
          clearTimeout(timer)
          resolve({ status, text: Buffer.concat(chunks).toString() })
        },
        onResponseError: (_control, error) => {
          if (this.#closed) fail('ECLOSED', 'This server was destroyed before an answer came.', error)
          else fail('EUNREACHABLE', `${address} could not be ${left ? 'heard to the end' : 'reached'}: ${error.message}.`, error)
        }
      })
    })
  }
}

function envelope({ text, sparks, except }: Outgoing): string {
  return `{"msg":${text}${sparks ? `,"sparks":${JSON.stringify(sparks)}` : ''}${except ? `,"except":${JSON.stringify(except)}` : ''}}`
}

/** What a peer's answer means. */
function understood(address: string, status: number, text: string): Delivered {
  const answer = parsed(text)
  const reason = typeof answer['reason'] === 'string' ? answer['reason'] : `it answered with status ${status}`
  // A peer that refuses has touched no spark.
  const refused = (code: ErrorCode, sentence: string): MetroplexError => new MetroplexError(code, sentence, { address, maybe: false })
  if (status === 401) {
    throw refused('EAUTH', `${address} does not accept our omega-supreme credentials: set the same \`username\` and \`password\` on all servers.`)
  }
  if (status === 413) throw refused('ETOOBIG', `${address} takes no message of this size: raise \`maxBody\` there.`)
  if (status === 200 && answer['ok'] === true) {
    const { send, missing } = answer
    return { send: typeof send === 'number' ? send : 0, ...Array.isArray(missing) && { missing: missing.map(String) } }
  }
  throw refused('EPROTOCOL', `${address} did not take the message: ${reason}. Is omega-supreme loaded there, with the same \`url\`, below Primus's \`pathname\`?`)
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
  } catch {
    return {}
  }
}
