import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, request } from 'undici'
import { ignore } from '../callback'
import type { Middleware } from '../types'

/** For how long we wait for an answer at our own address, in ms. */
const PATIENCE = 500

/** The header of a question, and of the answer to it. */
const HEADER = 'metroplex-who'

/**
 * Finds out who answers at an address: this very process, another server of ours, or nobody.
 *
 * The question carries a random word that only this process knows the answer to, which is as random. So neither needs a
 * secret that is shared, and nobody else learns or can forge anything: a stranger is told that it is not its address.
 */
export class Identity {
  readonly #answers = new Map<string, string>()

  constructor(private readonly path: () => string) {}

  /** Takes the question; three parameters, always, because Primus counts them. */
  get middleware(): Middleware {
    const answers = this.#answers
    const path = this.path
    const answer: Middleware & { upgrade?: boolean } = function answer(req: IncomingMessage, res: ServerResponse, next): void {
      const question = req.headers[HEADER]
      if (req.method !== 'GET' || typeof question !== 'string' || req.url !== path()) return next()
      const known = answers.get(question)
      // Misdirected: whoever asks has an address that leads to us.
      res.writeHead(known === undefined ? 421 : 204, { [HEADER]: known ?? 'other', 'cache-control': 'no-store' })
      res.end()
    }
    answer.upgrade = false
    return answer
  }

  /** Ask. Takes at most half a second. */
  async ask(address: string): Promise<'self' | 'other' | 'nobody'> {
    const question = word()
    const expected = word()
    this.#answers.set(question, expected)
    // The answer proves itself; a certificate need not.
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false, timeout: PATIENCE } })
    try {
      const { headers, body } = await request(new URL(this.path(), address), {
        dispatcher, headers: { [HEADER]: question }, signal: AbortSignal.timeout(PATIENCE)
      })
      body.destroy().on('error', ignore)
      const given = headers[HEADER]
      return given === expected ? 'self' : given === 'other' ? 'other' : 'nobody'
    } catch {
      return 'nobody'
    } finally {
      this.#answers.delete(question)
      await dispatcher.destroy()
    }
  }
}

function word(): string {
  return randomBytes(18).toString('base64url')
}
