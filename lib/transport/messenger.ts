import type { Peer, Transport } from '../contract'
import { now } from '../deadline'
import { MetroplexError } from '../errors'
import type { Outgoing } from './envelope'
import type { Keyring } from './keyring'
import { Queue, type Budget } from './queue'
import { Reception, type Handler, type Place, type Reply } from './reception'
import { Session } from './session'
import { unreachable, Ways } from './ways'

/** How a messenger works. */
export interface MessengerTerms {
  /** How long an operation may take, in ms. */
  readonly timeout: number
  /** The largest body that is sent or taken, in bytes. */
  readonly maxBody: number
  readonly maxQueue: { readonly messages: number; readonly bytes: number; readonly total: number }
}

/** What happens on the way. */
export interface MessengerEvents {
  /** A batch has come in and was carried out; was one that had come before; was refused; or one of ours is sent once more. */
  told(what: 'batch' | 'repeated' | 'refused' | 'retried'): void
  /** The connection on which somebody had asked us has ended, and within a second he has not asked on another one. What waits for him has failed. Never told where connections are not the asker's, as through Redis. */
  lost(word: string): void
  /**
   * The way to a peer broke, or a batch had to be sent once more. Only something new, sent now, shows that peer the way back: whoever waits for something from there has to say so.
   */
  broken(address: string): void
}

/** What is sent over: to a peer at its address, or back to who has asked. */
type Carrier = Pick<Transport, 'greet' | 'send' | 'release'>

/** What waits for somebody. */
interface Entry {
  readonly queue: Queue
  readonly peer: Peer
  readonly carrier: Carrier
}

/** A queue that nothing has gone through for this long is given up, with the connection that it uses, in ms. */
const IDLE = 60_000

/**
 * Talks to all peers: one queue and one session for each, over one transport; and answers what they ask.
 *
 * @example
 * const messenger = new Messenger(transport, place, keyring, terms, events)
 * messenger.handle('some', handler)
 * await messenger.open()
 * const reply = await messenger.send(address, peer, outgoing('some', ['id'], message), now() + 5000)
 */
export class Messenger {
  readonly #reception: Reception
  readonly #ways: Ways
  /** By address; of who is reached on its way back, by its word. */
  readonly #queues = new Map<string, Entry>()
  readonly #budget: Budget
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly transport: Transport,
    private readonly place: Place,
    private readonly keyring: Keyring,
    private readonly terms: MessengerTerms,
    private readonly events: MessengerEvents
  ) {
    this.#ways = new Ways(word => {
      this.#drop(word, unreachable(word))
      events.lost(word)
    })
    this.#reception = new Reception(place, keyring, terms, this.#ways, events)
    this.#budget = { ...terms.maxQueue, used: 0 }
  }

  /** How peers reach each other. */
  get name(): string {
    return this.transport.name
  }

  /** The kinds of messages that are taken. */
  get kinds(): string[] {
    return this.#reception.kinds
  }

  /** How many messages wait or are on their way, and their bytes. */
  get queued(): { messages: number; bytes: number } {
    let messages = 0
    for (const { queue } of this.#queues.values()) messages += queue.length
    return { messages, bytes: this.#budget.used }
  }

  /** Take messages of a kind. */
  handle(kind: string, handler: Handler): void {
    this.#reception.handle(kind, handler)
  }

  /** What is to happen around all messages of one batch that has come in. */
  set together(together: (work: () => string) => string) {
    this.#reception.together = together
  }

  /** Begin to answer. */
  async open(): Promise<void> {
    await this.transport.open(this.#reception)
  }

  /**
   * Have a peer carry out a message, after all that was sent to it before.
   *
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  send(address: string, card: Omit<Peer, 'address'>, message: Outgoing, deadline: number): Promise<Reply> {
    if (this.#closed) return Promise.reject(closed(address))
    return this.#queue({ address, word: card.word, pathname: card.pathname }, this.transport).add(message, deadline)
  }

  /** Whether there is a way back to somebody who has asked us, or was one a moment ago. */
  reachable(word: string): boolean {
    return this.#ways.has(word)
  }

  /**
   * As `send`, to who has asked us, on its own connection: for those who have no address. When that breaks, it waits for the next one.
   *
   * @param word of the process that has asked
   * @throws MetroplexError with `maybe`; at once when there is no way back
   */
  back(word: string, message: Outgoing, deadline: number): Promise<Reply> {
    if (this.#closed) return Promise.reject(closed(word))
    if (!this.#ways.has(word)) return Promise.reject(unreachable(word))
    // Who has no address is called by its word.
    return this.#queue({ address: word, word, pathname: '' }, this.#ways).add(message, deadline)
  }

  /** A peer has ended: what waits for it has not arrived. */
  gone(address: string): void {
    const word = this.#queues.get(address)?.peer.word
    if (word === undefined) return
    this.#reception.forget(word)
    const left = new MetroplexError('EUNREACHABLE', `${address} has left the cluster.`, { address, maybe: false })
    this.#drop(address, left)
    this.#drop(word, left)
  }

  /** Answer nothing and send nothing any more. What is under way fails with `ECLOSED`. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#reception.close()
    for (const name of [...this.#queues.keys()]) this.#drop(name, closed(name))
    this.#ways.close()
    await this.transport.close()
  }

  #queue(peer: Peer, carrier: Carrier): Queue {
    const { address, word } = peer
    const there = this.#queues.get(address)
    if (there?.peer.word === word) return there.queue
    // Another process has taken the address: what was meant for the former one is not for it.
    if (there !== undefined) this.gone(address)
    const { transport, place, keyring, terms, events } = this
    const session = new Session(carrier, place, keyring, peer, terms.timeout, () => {
      events.told('retried')
    }, () => {
      if (carrier === transport) events.broken(address)
    })
    const sizes = { body: Math.min(transport.limits.body, terms.maxBody), batch: Math.min(transport.limits.batch, terms.maxBody) }
    const queue = new Queue(address, session, sizes, this.#budget, terms.timeout)
    this.#queues.set(address, { queue, peer, carrier })
    this.#timer ??= setInterval(() => { this.#tidy() }, IDLE / 2).unref()
    return queue
  }

  #drop(name: string, error: MetroplexError): void {
    const entry = this.#queues.get(name)
    this.#queues.delete(name)
    entry?.queue.close(error)
    entry?.carrier.release(name)
  }

  /** Give up what has not been used for long. */
  #tidy(): void {
    for (const [name, { queue }] of [...this.#queues]) {
      if (queue.idle && now() - queue.used > IDLE) this.#drop(name, closed(name))
    }
    if (this.#queues.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function closed(address: string): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server has been destroyed: it sends no more.', { address, maybe: false })
}
