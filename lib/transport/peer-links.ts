import type { Peer } from '../common/transport-contract'
import { now } from '../common/async'
import { rethrow } from '../common/callback'
import { destroyedError, peerError, type MetroplexError } from '../common/errors'
import type { Outgoing, Reply } from './envelope'
import { Outbox, type Budget } from './sending/outbox'
import { Inbox, type MessageHandler, type LocalNode } from './receiving/inbox'
import { Session } from './sending/session'
import type { ReceptionTransport } from './receiving/reception-contract'
import { unreachableError, ReturnPaths } from './receiving/return-paths'
import type { Keyring } from './signature'

/** Limits of the communication with peers. */
export interface PeerLinksTerms {
  /** How long an operation may take, in ms. */
  readonly timeout: number
  /** The largest body that is sent or accepted, in bytes. */
  readonly maxBody: number
  readonly maxQueue: { readonly messages: number; readonly bytes: number; readonly total: number }
  /** How long a process without an address has to open another return path after one broke, in ms. @default 1000 */
  readonly grace?: number | undefined
}

/** What the links report. */
export interface PeerLinksEvents {
  /** A received batch was applied, was a repetition or was refused; or a batch was sent once more. */
  counted(what: 'batch' | 'repeated' | 'refused' | 'retried'): void
  /**
   * The return path of a process broke, and the process has not opened another one within the grace. What waited for it
   * has failed. A transport whose return paths outlive connections, such as Redis, never reports it.
   */
  returnPathLost(nodeId: string): void
  /**
   * The connection to a peer broke, or a batch had to be sent once more. The return path of that peer to this process
   * is lost then: only a new message shows it the next one. So a caller that waits for an answer must send one.
   */
  broken(address: string): void
}

/** The way on which a link sends: the transport, or return paths. */
type Carrier = Pick<ReceptionTransport, 'greet' | 'send' | 'release' | 'pipelines'>

/** The outbox for one process. */
interface Link {
  readonly outbox: Outbox
  readonly peer: Peer
  readonly carrier: Carrier
}

/** An outbox that was not used for this long is closed, with its connection, in ms. */
const IDLE = 60_000

/**
 * Communicates with all peers over one transport: an outbox and a session for each peer, and an inbox for all of them.
 *
 * @example
 * const links = new PeerLinks(transport, local, keyring, terms, events)
 * links.handle('some', handler)
 * await links.open()
 * const reply = await links.send(address, peer, outgoing('some', ['id'], message), now() + 5000)
 */
export class PeerLinks {
  readonly #inbox: Inbox
  readonly #returnPaths: ReturnPaths
  /** By address; those on return paths by node id. */
  readonly #links = new Map<string, Link>()
  readonly #budget: Budget
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    private readonly transport: ReceptionTransport,
    private readonly local: LocalNode,
    private readonly keyring: Keyring,
    private readonly terms: PeerLinksTerms,
    private readonly events: PeerLinksEvents
  ) {
    this.#returnPaths = new ReturnPaths(nodeId => {
      this.#dropLink(nodeId, unreachableError(nodeId))
      events.returnPathLost(nodeId)
    }, terms.grace)
    this.#inbox = new Inbox(local, keyring, terms, this.#returnPaths, events)
    this.#budget = { ...terms.maxQueue, used: 0 }
  }

  /** The name of the transport. */
  get name(): string {
    return this.transport.name
  }

  /** The kinds of messages that have a handler. */
  get kinds(): string[] {
    return this.#inbox.kinds
  }

  /** The messages that wait or are in flight, and their bytes. */
  get queued(): { messages: number; bytes: number } {
    let messages = 0
    for (const { outbox } of this.#links.values()) messages += outbox.length
    return { messages, bytes: this.#budget.used }
  }

  /** Whether messages arrive at a peer: `true`, or why not; `undefined` when none was sent lately. */
  delivers(address: string): true | MetroplexError | undefined {
    return this.#links.get(address)?.outbox.delivers
  }

  /** Whether the connection to a peer is open and takes several requests at a time, as a stream does. */
  pipelines(address: string): boolean {
    return this.transport.pipelines?.(address) === true
  }

  /** Set the handler of a kind of messages. */
  handle(kind: string, handler: MessageHandler): void {
    this.#inbox.handle(kind, handler)
  }

  /** A function that is called with the work of each batch of several messages, and must call it. */
  set aroundBatch(together: (work: () => string) => string) {
    this.#inbox.aroundBatch = together
  }

  /** Start to accept requests. */
  async open(): Promise<void> {
    await this.transport.open(this.#inbox)
  }

  /**
   * Send a message to a peer. It is applied after all messages that were sent there before.
   *
   * @param deadline by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  send(address: string, card: Omit<Peer, 'address'>, message: Outgoing, deadline: number): Promise<Reply> {
    if (this.#closed) return Promise.reject(destroyedError(address))
    return this.#outboxFor({ address, word: card.word, pathname: card.pathname }, this.transport).add(message, deadline)
  }

  /** Whether there is a return path to a process, or was one within the grace. */
  hasReturnPath(nodeId: string): boolean {
    return this.#returnPaths.has(nodeId)
  }

  /**
   * As `send`, to a process without an address, on its return path. When that breaks, the message waits for the next
   * one.
   *
   * @throws MetroplexError with `maybe`; at once when there is no return path
   */
  sendBack(nodeId: string, message: Outgoing, deadline: number): Promise<Reply> {
    if (this.#closed) return Promise.reject(destroyedError(nodeId))
    if (!this.#returnPaths.has(nodeId)) return Promise.reject(unreachableError(nodeId))
    // The node id takes the place of the address.
    return this.#outboxFor({ address: nodeId, word: nodeId, pathname: '' }, this.#returnPaths).add(message, deadline)
  }

  /**
   * Drop the link to a peer that has left. Its waiting messages fail.
   *
   * @param answers whether its process may still answer what is in flight
   */
  peerLeft(address: string, answers = false): void {
    const nodeId = this.#links.get(address)?.peer.word
    if (nodeId === undefined) return
    this.#inbox.forget(nodeId)
    const left = peerError('EUNREACHABLE', address, 'has left the cluster')
    this.#dropLink(address, left, answers)
    this.#dropLink(nodeId, left, answers)
  }

  /** Stop receiving and sending. What is in flight fails with `ECLOSED`. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#inbox.close()
    for (const name of [...this.#links.keys()]) this.#dropLink(name, destroyedError(name))
    this.#returnPaths.close()
    await this.transport.close()
  }

  #outboxFor(peer: Peer, carrier: Carrier): Outbox {
    const { address, word: nodeId } = peer
    const known = this.#links.get(address)
    if (known?.peer.word === nodeId) return known.outbox
    // Another process has taken the address, and must not get the messages for the former one.
    if (known !== undefined) this.peerLeft(address)
    const { transport, local, keyring, terms, events } = this
    const session = new Session(
      carrier,
      local,
      keyring,
      peer,
      terms.timeout,
      () => {
        events.counted('retried')
      },
      () => {
        if (carrier === transport) events.broken(address)
      }
    )
    const sizes = {
      body: Math.min(transport.limits.body, terms.maxBody),
      batch: Math.min(transport.limits.batch, terms.maxBody)
    }
    const outbox = new Outbox(address, session, sizes, this.#budget, terms.timeout)
    this.#links.set(address, { outbox, peer, carrier })
    this.#timer ??= setInterval(() => {
      this.#dropIdle()
    }, IDLE / 2).unref()
    return outbox
  }

  /** @param answers whether the connection is kept until what is in flight has been answered */
  #dropLink(name: string, error: MetroplexError, answers = false): void {
    const link = this.#links.get(name)
    if (link === undefined) return
    const { outbox, carrier } = link
    this.#links.delete(name)
    outbox.close(error)
    if (!answers || outbox.idle) {
      carrier.release(name)
      return
    }
    const release = (): void => {
      // Another process may have this address now, on a connection of its own.
      if (!this.#closed && !this.#links.has(name)) carrier.release(name)
    }
    outbox.landed.then(release).catch(rethrow)
  }

  /** Drop links that were not used for long. */
  #dropIdle(): void {
    for (const [name, { outbox }] of [...this.#links]) {
      if (outbox.idle && now() - outbox.lastUsed > IDLE) this.#dropLink(name, destroyedError(name))
    }
    if (this.#links.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
