import { ignore } from '../../callback'
import type { Answer, Peer, Receiver, Request } from '../../contract'
import { now } from '../../deadline'
import { asError, MetroplexError } from '../../errors'
import { Single } from './single'
import type { Stream } from './stream'
import { Upgrade, type Upgraded, type UpgradeTerms } from './upgrade'
import { closing, destroyed } from './wire'

/** For how long after a refused upgrade single requests are sent, in ms. */
const SINGLE = 60_000

/** How often an upgrade is tried that is answered by the end of the connection: it may have broken, or somebody on the way refuses upgrades like that. */
const TRIES = 3

/** How peers are asked. */
export interface ClientTerms extends UpgradeTerms {
  /** For how long it is remembered that an upgrade was refused, in ms. @default 60000 */
  readonly memory?: number | undefined
}

/** How one peer is asked. */
interface Way {
  /** An upgrade that is under way. */
  upgrade?: Upgrade | undefined
  stream?: Stream | undefined
  single: Single
  /** Until when single requests are sent, by `performance.now()`; 0: none are. */
  until: number
}

/**
 * Asks peers: on one stream per peer, which an upgrade opens, or by single requests where somebody on the way refuses upgrades.
 *
 * A refusal is remembered for a minute. Then the way counts as closed, so that `greet` is called, and tries the upgrade again.
 */
export class HttpClient {
  readonly #ways = new Map<string, Way>()
  #receiver: Receiver
  #closed = false

  constructor(private readonly terms: ClientTerms) {
    const { maxBody, timeout } = terms
    this.#receiver = { maxBody, timeout, admit: closing, receive: closing, closed: ignore, broken: ignore }
  }

  /** Begin to answer what peers ask on the streams that we open; until then they are told to come later. */
  open(receiver: Receiver): void {
    this.#receiver = receiver
  }

  /** Open the way to a peer; one that is open is replaced. */
  async greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    this.#allowed(address, deadline)
    const way = this.#way(address)
    const replaced = new MetroplexError('EUNREACHABLE', `${address} was greeted anew before it had answered.`, { address, maybe: true })
    way.upgrade?.end(replaced)
    way.stream?.end(replaced)
    way.stream = undefined
    way.single.end(replaced)
    if (now() < way.until) return way.single.ask(peer, hello, deadline)
    way.until = 0

    let upgraded: Upgraded = 'closed'
    for (let tries = 0; upgraded === 'closed' && tries < TRIES; tries++) {
      const upgrade = way.upgrade = this.#upgrade(peer, hello, deadline)
      upgraded = await upgrade.settled.finally(() => {
        if (way.upgrade === upgrade) way.upgrade = undefined
        else upgrade.end(replaced)
      })
      // Whoever has let go of it meanwhile must not find it opened.
      if (this.#ways.get(address) !== way) throw this.#isClosed() ? destroyed(address, true) : released(address)
    }
    if (typeof upgraded === 'object') {
      const { stream } = upgraded
      way.stream = stream
      if (stream !== undefined) stream.gone = broke => { if (broke) this.#receiver.broken(address) }
      return upgraded.answer
    }
    const answer = await way.single.ask(peer, hello, deadline)
    way.until = now() + (this.terms.memory ?? SINGLE)
    return answer
  }

  /** Ask, on the way that was opened. */
  async send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    const { address } = peer
    this.#allowed(address, deadline)
    const way = this.#ways.get(address)
    if (way?.stream?.open === true) return way.stream.ask(request, deadline)
    if (way !== undefined && now() < way.until) return way.single.ask(peer, request, deadline)
    throw new MetroplexError('EUNREACHABLE', `${address} could not be reached: there is no connection to it.`, { address, maybe: false })
  }

  /** Let go of what is kept for a peer. What is under way fails. */
  release(address: string): void {
    const way = this.#ways.get(address)
    this.#ways.delete(address)
    if (way !== undefined) end(way, released(address))
  }

  /** Let go of everything. What is under way fails with `ECLOSED`. */
  close(): void {
    this.#closed = true
    const ways = [...this.#ways]
    this.#ways.clear()
    for (const [address, way] of ways) end(way, destroyed(address, true))
  }

  /** Changes while a peer is asked; TypeScript would not believe it of the field. */
  #isClosed(): boolean {
    return this.#closed
  }

  /** @throws MetroplexError when nothing may be sent any more, or nobody would wait for an answer */
  #allowed(address: string, deadline: number): void {
    if (this.#closed) throw destroyed(address)
    if (deadline <= now()) throw new MetroplexError('EDEADLINE', `The deadline of ${this.terms.timeout} ms had passed before ${address} was asked.`, { address, maybe: false })
  }

  /** The registry may name whatever somebody has written into it. */
  #upgrade(peer: Peer, hello: Request, deadline: number): Upgrade {
    try {
      return new Upgrade(peer, hello, deadline, this.terms, this.#receiver)
    } catch (error) {
      const { address } = peer
      throw new MetroplexError('EUNREACHABLE', `${address} cannot be asked: ${asError(error).message.replace(/\.$/, '')}.`, { address, maybe: false, cause: error })
    }
  }

  #way(address: string): Way {
    const known = this.#ways.get(address)
    if (known !== undefined) return known
    const way: Way = { single: new Single(address, this.terms), until: 0 }
    this.#ways.set(address, way)
    return way
  }
}

function end({ upgrade, stream, single }: Way, error: MetroplexError): void {
  upgrade?.end(error)
  stream?.end(error)
  single.end(error)
}

function released(address: string): MetroplexError {
  return new MetroplexError('EUNREACHABLE', `${address} was given up before it had answered.`, { address, maybe: true })
}
