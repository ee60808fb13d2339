import type { Delivered, Whom } from '../../courier'
import { MetroplexError, type ErrorCode } from '../../errors'
import type { Message } from '../../message'
import type { TlsOptions } from '../../types'
import { Exchange } from './exchange'

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
export class OmegaSender {
  readonly #exchange: Exchange
  readonly #headers: Record<string, string>

  constructor(private readonly wire: OmegaWire, private readonly bounds: Bounds) {
    this.#exchange = new Exchange(bounds)
    this.#headers = { 'authorization': credentials(wire), 'content-type': 'application/json' }
  }

  /**
   * Hand a message to a server.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError `EUNREACHABLE`, `EDEADLINE`, `EAUTH`, `ETOOBIG`, `EMESSAGE`, `EPROTOCOL`, `ECLOSED`, with `address` and `maybe`
   */
  async send(address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    if (message.blobs.length > 0) {
      throw new MetroplexError('EMESSAGE', `Binary messages cannot travel on omega-supreme's wire, which is the one that ${address} understands.`, { address, maybe: false })
    }
    const body = Buffer.from(envelope(message.text, whom))
    const { maxBody } = this.bounds
    if (body.length > maxBody) {
      throw new MetroplexError('ETOOBIG', `A message of ${body.length} bytes is larger than \`maxBody\`, ${maxBody} bytes.`, { address, maybe: false })
    }
    const { url: path, method } = this.wire
    const { status, body: answer } = await this.#exchange.ask({ address, path, method, headers: this.#headers, body }, deadline, LARGEST_ANSWER + body.length)
    return understood(address, status, answer.toString())
  }

  /** Close all connections; what is under way fails with `ECLOSED`. */
  async close(): Promise<void> {
    await this.#exchange.close()
  }
}

function envelope(text: string, { sparks, except }: Whom): string {
  return `{"msg":${text}${sparks ? `,"sparks":${JSON.stringify(sparks)}` : ''}${except ? `,"except":${JSON.stringify(except)}` : ''}}`
}

/** What a peer's answer means. */
function understood(address: string, status: number, text: string): Delivered {
  const answer = parsed(text)
  const reason = typeof answer['reason'] === 'string' ? answer['reason'] : `it answered with status ${status}`
  // A peer that refuses has touched no spark. One that failed half-way may have, and so may the one behind a proxy that gave up.
  const maybe = status < 400 || status >= 500
  const refused = (code: ErrorCode, sentence: string): MetroplexError => new MetroplexError(code, sentence, { address, maybe })
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
