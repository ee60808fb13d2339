import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ignore } from '../common/callback'
import type { Middleware, TlsOptions } from '../common/types'
import { requestTo } from '../http/request'
import { pathOf } from '../http/request-facts'
import { describeAnswerer } from '../http/foreign-answer'
import { soleAnswer } from '../http/sole-answer'

/** How long an answer is waited for, in ms. */
const PROBE_TIMEOUT = 500

/** The header that carries the nonce of a probe, and the answer. */
const HEADER = 'metroplex-who'

/**
 * Finds out which process answers at an address: this one, another metroplex server, or none.
 *
 * The probe carries a random nonce to which only this process knows the answer, which is random, too. So no shared
 * secret is needed, and another process can neither learn nor forge anything: it answers that the address is not its
 * own.
 */
export class SelfProbe {
  readonly #answers = new Map<string, string>()

  /**
   * @param path the path of the endpoint of this server, which may change
   * @param tls the TLS options for messages to peers, which may require a client certificate
   */
  constructor(
    private readonly path: () => string,
    private readonly tls?: TlsOptions
  ) {}

  /** The layer that answers probes. Primus counts the parameters of a layer, so it must have three. */
  get middleware(): Middleware {
    const answers = this.#answers
    const path = this.path
    const answer: Middleware & { upgrade?: boolean } = function answer(
      req: IncomingMessage,
      res: ServerResponse,
      next
    ): void {
      const question = req.headers[HEADER]
      if (req.method !== 'GET' || typeof question !== 'string' || pathOf(req.url ?? '') !== path()) return next()
      const known = answers.get(question)
      // 421 Misdirected Request: the address of another server leads to this one.
      const headers = { [HEADER]: known ?? 'other', 'cache-control': 'no-store' }
      soleAnswer(res, known === undefined ? 421 : 204, headers)?.end()
    }
    answer.upgrade = false
    return answer
  }

  /**
   * Find out which process answers at an address, at our own path or at another one. Takes at most half a second.
   *
   * The answer proves the identity, so a certificate is accepted that is not valid for this address.
   */
  async identify(address: string, path = this.path()): Promise<'self' | 'other' | 'none'> {
    try {
      return await this.#ask(address, path, { ...this.tls, rejectUnauthorized: false })
    } catch {
      return 'none'
    }
  }

  /** As `identify`, and tells an address that does not answer in time, `'silent'`, from one where none answers. */
  async check(address: string): Promise<'self' | 'other' | 'none' | 'silent'> {
    try {
      return await this.#ask(address, this.path(), { ...this.tls, rejectUnauthorized: false })
    } catch (error) {
      return error instanceof SilenceError ? 'silent' : 'none'
    }
  }

  /**
   * Find out which process a message to an address reaches. A certificate that messages refuse is refused. Takes at
   * most half a second.
   *
   * @throws Error when no metroplex server answers, with the reason
   */
  reach(address: string, path: string): Promise<'self' | 'other'> {
    return this.#ask(address, path, this.tls)
  }

  /** @throws Error when no metroplex server answers in time */
  async #ask(address: string, path: string, tls: TlsOptions | undefined): Promise<'self' | 'other'> {
    const question = nonce()
    const expected = nonce()
    this.#answers.set(question, expected)
    try {
      const { headers, statusCode } = await answerOf(address, path, question, tls)
      const given = headers[HEADER]
      if (given === expected) return 'self'
      if (given === 'other') return 'other'
      throw new Error(`status ${statusCode}${describeAnswerer(headers)}`)
    } finally {
      this.#answers.delete(question)
    }
  }
}

/** An address did not answer in time. */
class SilenceError extends Error {}

/** @throws Error when nothing answers by HTTP in time; a `SilenceError` when that is why */
async function answerOf(
  address: string,
  path: string,
  question: string,
  tls: TlsOptions | undefined
): Promise<IncomingMessage> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT)
  const request = requestTo(address, { path, headers: { [HEADER]: question }, signal }, tls)
  try {
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return response.on('error', ignore)
  } catch (error) {
    throw signal.aborted ? new SilenceError(`no answer within ${PROBE_TIMEOUT} ms`, { cause: error }) : error
  } finally {
    request.on('error', ignore).destroy()
  }
}

function nonce(): string {
  return randomBytes(18).toString('base64url')
}
