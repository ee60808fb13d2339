import type { Answer, Back, Peer, Request, Transport } from '../contract'
import { deferred, now, within } from '../deadline'
import { MetroplexError } from '../errors'

/** How long who has lost its connection has for asking on another one, in ms. */
const GRACE = 1000

/** How somebody who has asked us is reached. */
interface Way {
  back: Back
  /** On which of its ways it was greeted. */
  greeted: Back | undefined
  /** Runs while there is none that is open. */
  timer: NodeJS.Timeout | undefined
  /** The next one, for who waits for it. */
  next: ReturnType<typeof deferred<Back>> | undefined
}

/**
 * The ways back to those who have asked us, by their words: a transport to who has no address.
 *
 * What somebody asks last shows the way. When that ends, it has a second to ask on another one: what goes back waits for it. After that it is lost.
 */
export class Ways implements Pick<Transport, 'greet' | 'send' | 'release'> {
  readonly #ways = new Map<string, Way>()
  /** Whose way each is. */
  readonly #words = new Map<Back, Set<string>>()
  #closed = false

  /** @param lost told of whoever is lost */
  constructor(private readonly lost: (word: string) => void) {}

  /** Whether there is a way to somebody, or was one a moment ago. */
  has(word: string): boolean {
    return this.#ways.has(word)
  }

  /** Somebody, and nobody who plays him, has asked on this connection. */
  note(word: string, back: Back): void {
    const way = this.#ways.get(word)
    if (way?.back === back || this.#closed) return
    if (way === undefined) {
      this.#ways.set(word, { back, greeted: undefined, timer: undefined, next: undefined })
    } else {
      clearTimeout(way.timer)
      this.#leave(word, way.back)
      way.back = back
      way.timer = undefined
      way.next?.resolve(back)
      way.next = undefined
    }
    const words = this.#words.get(back)
    if (words === undefined) this.#words.set(back, new Set([word]))
    else words.add(word)
  }

  /** A way has ended. */
  closed(back: Back): void {
    for (const word of this.#words.get(back) ?? []) {
      const way = this.#ways.get(word)
      if (way !== undefined) way.timer = setTimeout(() => { this.#lose(word) }, GRACE).unref()
    }
    this.#words.delete(back)
  }

  /** Nothing is to be said to somebody any more. */
  forget(word: string): void {
    const way = this.#ways.get(word)
    if (way === undefined) return
    this.#ways.delete(word)
    this.#leave(word, way.back)
    clearTimeout(way.timer)
    way.next?.reject(unreachable(word))
  }

  /** Forget everybody, and take note of nobody any more. */
  close(): void {
    this.#closed = true
    for (const word of [...this.#ways.keys()]) this.forget(word)
  }

  async greet({ word }: Peer, hello: Request, deadline: number): Promise<Answer> {
    const way = this.#ways.get(word)
    if (way === undefined) throw unreachable(word)
    const back = way.back.open ? way.back : await this.#next(word, way, deadline)
    way.greeted = back
    return back.ask(hello, deadline)
  }

  async send({ word }: Peer, request: Request, deadline: number): Promise<Answer> {
    const way = this.#ways.get(word)
    // Only who has answered a hello on it is said anything else there.
    if (way?.back.open !== true || way.back !== way.greeted) throw unreachable(word)
    return way.back.ask(request, deadline)
  }

  /** What is under way ends by itself. */
  release(): void {
    // Connections are the asker's.
  }

  /** The way on which somebody asks next. */
  #next(word: string, way: Way, deadline: number): Promise<Back> {
    way.next ??= deferred<Back>()
    return within(way.next.promise, Math.max(0, deadline - now()), () =>
      new MetroplexError('EDEADLINE', `The connection to ${word} broke, and it has not come back.`, { address: word, maybe: false }))
  }

  #lose(word: string): void {
    this.forget(word)
    this.lost(word)
  }

  #leave(word: string, back: Back): void {
    const words = this.#words.get(back)
    words?.delete(word)
    if (words?.size === 0) this.#words.delete(back)
  }
}

/** Why somebody is not reached; nothing was sent. */
export function unreachable(word: string): MetroplexError {
  return new MetroplexError('EUNREACHABLE', `There is no connection to ${word}, which has no address.`, { address: word, maybe: false })
}
