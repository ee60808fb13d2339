import { createHash, timingSafeEqual } from 'node:crypto'
import { PageRefusal } from '../refusal'

/** So many wrong tokens of an address have no consequences. */
const FREE = 5
/** The wait after the first wrong token beyond those, which doubles with each further one, and its limit, in ms. */
const [SHORTEST, LONGEST] = [1000, 60_000]
/** After so long without a wrong token an address is forgotten, in ms. */
const FORGET = 600_000
/** So many addresses are remembered. */
const MOST = 10_000

interface Failures {
  readonly count: number
  /** When the last one was, and until when the address has to wait, in ms. */
  readonly at: number
  readonly until: number
}

/** Compares tokens, and slows down an address that guesses. */
export class TokenGate {
  readonly #digest: Buffer
  readonly #failures = new Map<string, Failures>()

  /** @param now a clock, in ms */
  constructor(
    token: string,
    private readonly now: () => number = Date.now
  ) {
    this.#digest = digestOf(token)
  }

  /** Let a request in, or not. @throws PageRefusal 401 without the token, 429 for an address that has to wait */
  admit(address: string, authorization: string | undefined): void {
    if (authorization === undefined) throw new PageRefusal(401, 'This page asks for a token: give it to log in.')
    const now = this.now()
    const failures = this.#failures.get(address)
    if (failures !== undefined && failures.until > now) {
      const seconds = Math.ceil((failures.until - now) / 1000)
      throw new PageRefusal(429, `Too many wrong tokens came from ${address}: wait ${seconds} s, and try again.`, {
        'retry-after': String(seconds)
      })
    }
    // Digests have one length, so the comparison says nothing about the token, its length included.
    if (timingSafeEqual(digestOf(authorization.replace(/^Bearer +/i, '')), this.#digest)) {
      this.#failures.delete(address)
      return
    }
    const count = failures !== undefined && now - failures.at < FORGET ? failures.count + 1 : 1
    const wait = count < FREE ? 0 : Math.min(LONGEST, SHORTEST * 2 ** (count - FREE))
    this.#failures.delete(address)
    if (this.#failures.size >= MOST) this.#failures.delete(this.#failures.keys().next().value ?? '')
    this.#failures.set(address, { count, at: now, until: now + wait })
    throw new PageRefusal(401, 'This is not the token of this page: look where it was started.')
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
