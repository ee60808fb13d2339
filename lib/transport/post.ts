import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Transport } from '../contract'
import type { Courier } from '../courier'
import type { Message } from '../message'
import type { Settings } from '../options'
import type { Middleware, Primus } from '../types'
import { Dispatch, type Directory } from './dispatch'
import { outgoing } from './envelope'
import { HttpTransport } from './http/http'
import { Listener } from './http/listener'
import { Identity } from './identity'
import type { Keyring } from './keyring'
import { Messenger, type MessengerEvents } from './messenger'
import type { OmegaSender } from './omega/sender'
import { wordOf, type Handler, type Reply } from './reception'
import { RedisTransport } from './redis/redis'
import { sparkHandlers, type Sink } from './sparks'

/** What our end of the transport asks of the cluster. */
export interface PostCluster extends Directory, Keyring {
  /** Our own address; `''` while we have none. */
  readonly address: string
  /** Primus's path. */
  readonly pathname: string
  /** The namespace of the registry, without its colon; and that of the first one, into however many it is split. */
  readonly namespace: string
  readonly first: string
  /** Whether a server holds its lease, as Redis says now. */
  alive(address: string): Promise<boolean>
}

/** What happens there. */
export interface PostEvents extends MessengerEvents {
  /** Something in the background failed, and goes on by itself. */
  failed(error: Error): void
}

/** omega-supreme's wire, for those who understand no other. */
export interface OmegaUse {
  readonly sender: OmegaSender
  /** Whether everybody is to be reached on it. */
  always(): boolean
}

/**
 * Our end of how servers talk to each other: makes the transport that was chosen and whatever stands around it, and knows all wires.
 */
export class Post {
  /** Random word of this process. */
  readonly word = wordOf()
  readonly #identity: Identity
  readonly #messenger: Messenger
  readonly #dispatch: Dispatch
  readonly #http: HttpTransport | undefined
  readonly #listener: Listener | undefined
  /** Nobody reaches us at an address then; it only has to be nobody else's. */
  readonly #derived: string = ''
  /** What the private listener serves besides ours. */
  readonly #layers: Middleware[] = []
  #omega: OmegaUse | undefined

  constructor(private readonly settings: Settings, private readonly primus: Primus, private readonly cluster: PostCluster, events: PostEvents) {
    const { timeout, maxBody, tls, listen } = settings
    const path = (): string => `${cluster.pathname}/metroplex`
    this.#identity = new Identity(path)
    let transport: Transport
    if (settings.transport === 'http') {
      transport = this.#http = new HttpTransport({ pathname: () => cluster.pathname, tls, timeout, maxBody })
      if (listen !== undefined) this.#listener = new Listener({ ...listen, address: settings.address, tls }, (req, res, next) => { this.#serve(req, res, next) })
    } else if (settings.transport === 'redis') {
      transport = new RedisTransport({
        redis: settings.redis, namespace: cluster.first, word: this.word, timeout, maxBody,
        alive: address => cluster.alive(address),
        failed: error => { events.failed(error) }
      })
    } else {
      transport = settings.transport as Transport
    }
    // A name that nothing resolves (RFC 2606): the private addresses of platforms where servers talk through Redis are the same on many machines, and workers have one for all.
    if (settings.address === '' && this.#http === undefined && (settings.transport === 'redis' || settings.shares)) {
      this.#derived = `http://${randomBytes(12).toString('hex')}.invalid`
    }
    const { word } = this
    const place = {
      word,
      namespace: cluster.namespace,
      get address() { return cluster.address }
    }
    this.#messenger = new Messenger(transport, place, cluster, settings, {
      told: what => { events.told(what) },
      broken: address => { events.broken(address) },
      // Who has an address is told what there is to be told there.
      lost: word => { if (this.addressOf(word) === '') events.lost(word) }
    })
    this.#dispatch = new Dispatch(
      this.#messenger,
      () => settings.omega ? this.#omega?.sender : undefined,
      () => this.foreign,
      cluster
    )
  }

  /** Hands messages for sparks to other servers. */
  get courier(): Courier {
    return this.#dispatch
  }

  /** The transport's name. */
  get name(): string {
    return this.#messenger.name
  }

  /** Whether peers need nothing of the port that clients come to: they have one of their own, which this process shares with nobody, or come on another way. */
  get private(): boolean {
    return this.#listener !== undefined || this.#http === undefined
  }

  /** The kinds of messages that we take, separated by spaces. */
  get kinds(): string {
    return this.#messenger.kinds.join(' ')
  }

  /** How many messages wait or are on their way, and their bytes. */
  get queued(): { messages: number; bytes: number } {
    return this.#messenger.queued
  }

  /** Whether our address leads to us by HTTP, so that we can be asked there. */
  get addressed(): boolean {
    return this.#http !== undefined
  }

  /** The address at which peers reach this process, given that at which the public does; `''` while that cannot be told yet. */
  addressFor(found: string): string {
    if (found === '' || this.settings.address !== '') return found
    if (this.#listener !== undefined) return this.#listener.address
    return this.#derived || found
  }

  /** Our layer for Primus, before its `authorization`; with a private listener it takes nothing. Three parameters, always: Primus counts them. */
  get middleware(): Middleware {
    return this.#listener === undefined ? this.#endpoint : function metroplex(_req, _res, next): void { next() }
  }

  get #endpoint(): Middleware {
    const [identity, http] = [this.#identity.middleware, this.#http?.middleware]
    return function metroplex(this: Primus, req, res, next): void {
      const ours: typeof next = error => error === undefined && http !== undefined ? http.call(this, req, res, next) : next(error)
      if (req.headers.upgrade === undefined) identity.call(this, req, res, ours)
      else ours()
    }
  }

  /** A layer that the private listener serves, too. */
  serve(layer: Middleware): void {
    this.#layers.push(layer)
  }

  /** Hand what comes in to the sparks of this server. */
  handle(sink: Sink, together: (work: () => string) => string): void {
    for (const [kind, handler] of Object.entries(sparkHandlers(sink))) this.#messenger.handle(kind, handler)
    this.#messenger.together = together
  }

  /** Take messages of a kind that are for no spark. */
  take(kind: string, handler: Handler): void {
    this.#messenger.handle(kind, handler)
  }

  /** Who a message is from, by the word of its process: the address of a peer; `''` for anybody else. */
  addressOf(word: string): string {
    return this.cluster.addressOf(word)
  }

  /** Whether `back` leads anywhere. */
  reaches(word: string): boolean {
    return this.addressOf(word) !== '' || this.#messenger.reachable(word)
  }

  /**
   * Have a server carry out a message of a kind that is for no spark, after all that was sent there before.
   *
   * @param detail whom or what it is about, as the kind has it: a JSON value
   * @param deadline until when, by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  carry(address: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    return this.#dispatch.carry(address, kind, outgoing(kind, detail, message), deadline)
  }

  /** As `carry`, to whoever has asked us something: to a peer at its address, to anybody else on the way on which it asked. */
  back(word: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    const address = this.addressOf(word)
    if (address !== '') return this.carry(address, kind, detail, message, deadline)
    return this.#messenger.back(word, outgoing(kind, detail, message), deadline)
  }

  /** Whether everybody is reached on omega-supreme's wire, because the application reads its requests. */
  get foreign(): boolean {
    return this.#omega?.always() === true
  }

  /** Use omega-supreme's wire, too. */
  use(omega: OmegaUse): void {
    this.#omega = omega
  }

  /** Find out who answers at an address. */
  ask(address: string): Promise<'self' | 'other' | 'nobody'> {
    return this.#identity.ask(address)
  }

  /** Begin to answer. */
  async open(): Promise<void> {
    await this.#messenger.open()
    if (!this.beside) await this.#listener?.open()
  }

  /** Whether peers are to come where the server is that clients come to, so that it has to listen first. */
  get beside(): boolean {
    return this.settings.listen?.beside === true
  }

  /** Have peers come to the interface that clients come to, too; `''`: to whichever others can reach. Harmless when called twice. @throws as the listener */
  async listen(beside: string): Promise<void> {
    await this.#listener?.open(beside)
  }

  /** A server has left the cluster. */
  gone(address: string): void {
    this.#messenger.gone(address)
  }

  /** Answer nothing and send nothing any more. */
  async close(): Promise<void> {
    await Promise.all([this.#messenger.close(), this.#omega?.sender.close(), this.#listener?.close()])
  }

  /** What comes in at the private listener: ours, and nothing of the application's. */
  #serve(req: IncomingMessage, res: ServerResponse, next: () => void): void {
    const layers = [this.#endpoint, ...this.#layers]
    const turn = (at: number): void => {
      const layer = layers[at]
      if (layer === undefined) next()
      else if (req.headers.upgrade !== undefined && (layer as { upgrade?: boolean }).upgrade === false) turn(at + 1)
      else layer.call(this.primus, req, res, () => { turn(at + 1) })
    }
    turn(0)
  }
}
