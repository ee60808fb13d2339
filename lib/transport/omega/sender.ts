import { Agent, buildConnector } from 'undici'
import type { Delivered, Recipients } from '../../common/peer-sender'
import { destroyedError, MetroplexError, peerError, type ErrorCode } from '../../common/errors'
import type { Message } from '../../common/encoded-message'
import type { TlsOptions } from '../../common/types'
import { textOf, type AnswerHeaders } from '../../http/foreign-answer'
import { ONE_AFTER_THE_OTHER, SingleRequest } from '../../http/single-request'

/** The wire of omega-supreme: its path, and the credentials. */
export interface OmegaWire {
  readonly url: string
  readonly method: string
  readonly username: string
  readonly password: string
}

/** Limits of one request. */
export interface OmegaBounds {
  /** From the call to the answer, in ms. */
  readonly timeout: number
  /** The largest body, in bytes. */
  readonly maxBody: number
  readonly tls: TlsOptions | undefined
}

/** The largest answer besides its ids, in bytes. The missing ids take at most about the size of the request. */
const LARGEST_ANSWER = 1_048_576

/** The answer of omega-supreme to wrong credentials, verbatim: senders look for it. */
export const UNAUTHORIZED =
  'I am programmed to protect, and sacrifice if necessary. Feel the power of my lazers! Pew pew!'

/** The authorization header for a username and a password. */
export function credentials({ username, password }: Pick<OmegaWire, 'username' | 'password'>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Sends on the wire of omega-supreme, on one connection per peer: a second one could overtake the first.
 *
 * `PUT {url}` with Basic auth and `{ msg, sparks?, except? }` in JSON; the answer is `{ ok, send, missing? }`. Servers
 * that run omega-supreme itself know neither `except` nor `missing`.
 */
export class OmegaSender {
  /** One connection per peer. */
  readonly #agent: Agent
  readonly #open = new Set<SingleRequest>()
  #closed = false
  readonly #headers: Record<string, string>

  constructor(
    private readonly wire: OmegaWire,
    private readonly bounds: OmegaBounds
  ) {
    const { timeout, tls } = bounds
    this.#agent = new Agent({
      ...ONE_AFTER_THE_OTHER,
      connections: 1,
      // The application may have renewed `tls` since the last connection.
      connect: (options, callback) => {
        buildConnector({ ...tls, timeout })(options, callback)
      }
    })
    this.#headers = { authorization: credentials(wire), 'content-type': 'application/json' }
  }

  /**
   * Send a message to a server.
   *
   * @param deadline by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EAUTH`, `ETOOBIG`, `EMESSAGE`, `EPROTOCOL`, `ECLOSED`, with
   * `address` and `maybe`
   */
  async send(address: string, message: Message, recipients: Recipients, deadline: number): Promise<Delivered> {
    const { text, blobs } = message.plain
    if (blobs.length > 0) {
      throw new MetroplexError(
        'EMESSAGE',
        `Binary messages cannot be sent on the wire of omega-supreme, the only one that ${address} speaks.`,
        { address, maybe: false }
      )
    }
    const body = Buffer.from(requestBody(text, recipients))
    const { maxBody } = this.bounds
    if (body.length > maxBody) {
      throw new MetroplexError(
        'ETOOBIG',
        `A message of ${body.length} bytes is larger than \`maxBody\`, ${maxBody} bytes.`,
        { address, maybe: false }
      )
    }
    const { url: path, method } = this.wire
    if (this.#closed) throw destroyedError(address)
    const request = new SingleRequest(
      this.#agent,
      { path, method, headers: this.#headers, body },
      { address, deadline, timeout: this.bounds.timeout, largest: LARGEST_ANSWER + body.length, genuine: isJson }
    )
    this.#open.add(request)
    try {
      const { status, body: answer } = await request.answer
      return readAnswer(address, status, answer.toString())
    } finally {
      this.#open.delete(request)
    }
  }

  /** Close all connections. What is in flight fails with `ECLOSED`. */
  async close(): Promise<void> {
    this.#closed = true
    for (const request of this.#open)
      request.fail('ECLOSED', 'metroplex was closed in this process before the answer arrived.')
    await this.#agent.destroy()
  }
}

/** omega-supreme answers in JSON. Other software may answer with a page, or with a body that does not end. */
function isJson(headers: AnswerHeaders): boolean {
  return textOf(headers['content-type']).includes('json')
}

function requestBody(text: string, { sparks, except }: Recipients): string {
  const named = sparks ? `,"sparks":${JSON.stringify(sparks)}` : ''
  const excluded = except ? `,"except":${JSON.stringify(except)}` : ''
  return `{"msg":${text}${named}${excluded}}`
}

/** Turn an answer into a result. @throws MetroplexError */
function readAnswer(address: string, status: number, text: string): Delivered {
  const answer = parseObject(text)
  const reason = typeof answer['reason'] === 'string' ? answer['reason'] : ''
  // A refusal (4xx) wrote to no spark. After a failure in the peer, or of the proxy before it, sparks may have been
  // written to.
  const maybe = status < 400 || status >= 500
  const refused = (code: ErrorCode, sentence: string): MetroplexError =>
    peerError(code, address, sentence, { maybe, status })
  // A proxy or a layer may want credentials of its own, but does not answer in the words of omega-supreme.
  if (status === 401 && reason === UNAUTHORIZED) {
    const what = 'does not accept our omega-supreme credentials'
    throw refused('EAUTH', `${what}: set the same \`username\` and \`password\` on all servers`)
  }
  if (status === 413) {
    throw refused('ETOOBIG', 'refused a message of this size: raise `maxBody` there, or the limit of a proxy before it')
  }
  if (status === 200 && answer['ok'] === true) {
    const { send, missing } = answer
    return {
      send: typeof send === 'number' ? send : 0,
      ...(Array.isArray(missing) && { missing: missing.map(String) })
    }
  }
  const what =
    reason !== ''
      ? `did not take the message: ${reason.replace(/\.$/, '')} (status ${status})`
      : status === 200
        ? 'answered with something else than omega-supreme does'
        : `did not take the message: Invalid status code (${status}) returned`
  const hint = "See whether omega-supreme is loaded there, with the same `url`, below Primus's `pathname`"
  throw refused('EPROTOCOL', `${what}. ${hint}`)
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
