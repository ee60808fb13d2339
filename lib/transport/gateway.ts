import type { PeerSender } from '../common/peer-sender'
import type { Message } from '../common/encoded-message'
import type { Settings } from '../common/options'
import type { Parser } from '../common/parser'
import type { Middleware, Primus } from '../common/types'
import { WireSender, type PeerDirectory } from './wire-sender'
import { outgoing, packedKind, type Reply } from './envelope'
import { HttpTransport } from './http/http'
import { endpoint } from './http/protocol'
import { SelfProbe } from './self-probe'
import { OwnEndpoint } from './own-endpoint'
import { PeerLinks, type PeerLinksEvents } from './peer-links'
import type { OmegaSender } from './omega/sender'
import { randomId, type Keyring } from './signature'
import type { MessageHandler } from './receiving/inbox'
import type { ReceptionTransport } from './receiving/reception-contract'
import { sparkHandlers, type Sink } from './receiving/spark-handlers'
import { chooseTransport, unresolvableAddress, type TransportCluster, type TransportReports } from './transport-choice'

/** What the gateway needs to know of the cluster. */
export interface GatewayCluster extends PeerDirectory, Keyring, TransportCluster {
  /** The address of this server; `''` while it has none. */
  readonly address: string
  /** The address that this server waits for while another server still holds it; `''` for none. */
  readonly awaitedAddress: string
  /** The namespace of the registry, without its colon. */
  readonly namespace: string
}

/** What a gateway reports. */
export interface GatewayEvents extends PeerLinksEvents, TransportReports {}

/** The kinds of messages that carry application data, which a parser may have packed. */
const PACKED: ReadonlySet<string> = new Set(['some', 'all', 'group', 'ask', 'answer'])

/** The wire of omega-supreme, for peers that speak no other. */
export interface OmegaUse {
  readonly sender: OmegaSender
  /** Whether all peers must be reached on it. */
  always(): boolean
}

/**
 * The end of this server in the communication between servers.
 *
 * It has the chosen transport, the links and the endpoint, and chooses the wire that each peer speaks.
 */
export class Gateway {
  /** The node id of this process. */
  readonly nodeId = randomId()
  readonly #selfProbe: SelfProbe
  readonly #links: PeerLinks
  readonly #router: WireSender
  readonly #transport: ReceptionTransport
  readonly #endpoint: OwnEndpoint
  /** An address that nothing resolves; `''` for none. */
  readonly #unresolvable: string
  #omega: OmegaUse | undefined
  /** Words that this server names among its kinds besides. */
  readonly #announced: string[] = []
  /** Accept more kinds, which our parser packs, once it is known; `undefined`: it is. */
  #accepting: (() => void)[] | undefined = []

  constructor(
    private readonly settings: Settings,
    /** Absent in a process that only asks. */
    primus: Partial<Primus> | undefined,
    private readonly parser: Pick<Parser, 'name' | 'received'>,
    private readonly cluster: GatewayCluster,
    events: GatewayEvents
  ) {
    const transport = (this.#transport = chooseTransport(settings, this.nodeId, cluster, events))
    const http = transport instanceof HttpTransport ? transport : undefined
    this.#selfProbe = new SelfProbe(() => endpoint(cluster), settings.tls)
    this.#endpoint = new OwnEndpoint(settings, primus, this.#selfProbe, http)
    this.#unresolvable = unresolvableAddress(settings)
    const { nodeId } = this
    const local = {
      nodeId,
      namespace: cluster.namespace,
      get address() {
        return cluster.address
      },
      get awaitedAddress() {
        return cluster.awaitedAddress
      }
    }
    this.#links = new PeerLinks(transport, local, cluster, settings, {
      counted: what => {
        events.counted(what)
      },
      broken: address => {
        events.broken(address)
      },
      // A peer with an address can still be reached there.
      returnPathLost: nodeId => {
        if (this.addressOf(nodeId) === '') events.returnPathLost(nodeId)
      }
    })
    this.#router = new WireSender(
      this.#links,
      () => (settings.omega ? this.#omega?.sender : undefined),
      () => this.omegaOnly,
      cluster
    )
  }

  /** Why no message reaches or leaves this server, in a sentence; `undefined` while messages pass. */
  get trouble(): string | undefined {
    return this.#transport.trouble
  }

  /** Sends messages for sparks to other servers. */
  get sender(): PeerSender {
    return this.#router
  }

  /** The transport's name. */
  get name(): string {
    return this.#links.name
  }

  /** Whether peers do without the port of the clients: with the private listener, or another transport than HTTP. */
  get private(): boolean {
    return this.#endpoint.private || !this.reachedByHttp
  }

  /** The kinds of messages that this server accepts, and of questions it announces, separated by spaces. */
  get kinds(): string {
    return [...this.#links.kinds, ...this.#announced].join(' ')
  }

  /** Name a kind of questions among the kinds: peers send it only to servers that do. Before this server registers. */
  announce(kind: string): void {
    this.#announced.push(kind)
  }

  /** The messages that wait or are in flight, and their bytes. */
  get queued(): { messages: number; bytes: number } {
    return this.#links.queued
  }

  /** Whether this server can be probed at its address by HTTP. */
  get reachedByHttp(): boolean {
    return this.settings.transport === 'http'
  }

  /**
   * The address at which peers reach this process, if it differs from that of the clients; else `undefined`. While the
   * private listener is not bound it is `''`.
   */
  get peerAddress(): string | undefined {
    if (this.settings.address !== '') return undefined
    return this.#endpoint.address ?? (this.#unresolvable || undefined)
  }

  /**
   * The layer for Primus, to be placed before its `authorization`. With a private listener it passes everything on.
   * Primus counts the parameters of a layer, so it must have three.
   */
  get middleware(): Middleware {
    return this.#endpoint.middleware
  }

  /** Let the private listener serve this layer, too. */
  serve(layer: Middleware): void {
    this.#endpoint.serve(layer)
  }

  /**
   * Deliver received messages to the sparks of this server.
   * @param aroundBatch called with the work for each batch of several messages
   */
  handle(sink: Sink, aroundBatch: (work: () => string) => string): void {
    for (const [kind, handler] of Object.entries(sparkHandlers(sink))) this.take(kind, handler)
    this.#links.aroundBatch = aroundBatch
  }

  /** Handle a kind of messages. @see PROTOCOL.md */
  take(kind: string, handler: MessageHandler): void {
    this.#links.handle(kind, handler)
    if (!PACKED.has(kind)) return
    const { parser } = this
    const accept = (): void => {
      if (parser.name === '') return
      this.#links.handle(packedKind(kind, parser.name), {
        ...handler,
        read: message => ({ ...message, message: parser.received(message.message) })
      })
    }
    if (this.#accepting === undefined) accept()
    else this.#accepting.push(accept)
  }

  /** The address of the peer with this node id; `''` for any other process. */
  addressOf(nodeId: string): string {
    return this.cluster.addressOf(nodeId)
  }

  /** Whether `back` can reach this process: at its address, or on its return path. */
  reaches(nodeId: string): boolean {
    return this.addressOf(nodeId) !== '' || this.#links.hasReturnPath(nodeId)
  }

  /**
   * Send a server a message that is for no spark. It is applied after all messages that were sent there before.
   *
   * @param detail what the message is about, as its kind defines: a JSON value
   * @param deadline by `performance.now()`
   * @throws MetroplexError with `maybe`
   */
  carry(address: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    return this.#router.sendKind(address, kind, detail, message, deadline)
  }

  /** As `carry`, to the process that sent a question: at its address if it is a peer, else on its return path. */
  back(nodeId: string, kind: string, detail: unknown, message: Message, deadline: number): Promise<Reply> {
    const address = this.addressOf(nodeId)
    if (address !== '') return this.carry(address, kind, detail, message, deadline)
    // An answer is packed like its question, so the caller has the parser for it.
    const { packed } = message
    return this.#links.sendBack(
      nodeId,
      outgoing(packed === undefined ? kind : packedKind(kind, packed.by.name), detail, message),
      deadline
    )
  }

  /** Whether all peers are reached on the wire of omega-supreme: the application's middleware reads its requests. */
  get omegaOnly(): boolean {
    return this.#omega?.always() === true
  }

  /** Use the wire of omega-supreme, too. */
  useOmega(omega: OmegaUse): void {
    this.#omega = omega
  }

  /** Whether messages arrive at a peer: `true`, or why not; `undefined` when none was sent lately. */
  delivers(address: string): true | Error | undefined {
    return this.#links.delivers(address)
  }

  /** How messages travel to a peer now: on a stream, by single requests, or by the transport of this name. */
  route(address: string): string {
    return this.reachedByHttp ? (this.#links.pipelines(address) ? 'stream' : 'single requests') : this.name
  }

  /** Find out which process answers at an address of this server; `'silent'` for no answer within half a second. */
  probe(address: string): Promise<'self' | 'other' | 'none' | 'silent'> {
    return this.#selfProbe.check(address)
  }

  /**
   * Find out which process messages to a peer reach.
   *
   * @param pathname the path of Primus there
   * @throws Error when none of the cluster answers, with the reason
   */
  probePeer(address: string, pathname: string): Promise<'self' | 'other'> {
    return this.#selfProbe.reach(address, endpoint({ pathname }))
  }

  /**
   * Find out which process answers at an address that another life holds.
   *
   * @param pathname the path of Primus there. If it differs from ours, both may live on one HTTP server or behind one
   * proxy. Then the other server answers there.
   */
  async probeHolder(address: string, pathname: string): Promise<'self' | 'other' | 'none'> {
    const beside = pathname !== '' && pathname !== this.cluster.pathname
    if (beside && (await this.#selfProbe.identify(address, endpoint({ pathname }))) === 'other') return 'other'
    return this.#selfProbe.identify(address)
  }

  /** Start to accept messages. */
  async open(): Promise<void> {
    await this.#links.open()
    // Plugins that are loaded behind this one have replaced the parser by now.
    this.#accepting?.forEach(accept => {
      accept()
    })
    this.#accepting = undefined
    if (!this.followsPublicPort) await this.#endpoint.listen()
  }

  /** Whether the private listener uses the interface of the public port, which must be bound first. */
  get followsPublicPort(): boolean {
    return this.#endpoint.followsPublicPort
  }

  /**
   * Bind the private listener to this interface; `''` for the one that other machines can reach. Idempotent.
   * @throws MetroplexError as `Listener.open`
   */
  async listen(beside: string): Promise<void> {
    await this.#endpoint.listen(beside)
  }

  /** Close the streams of peers on the public HTTP server, because its `close` waits for them. */
  release(): void {
    this.#endpoint.release()
  }

  /**
   * Fail everything that waits for a server that left the cluster.
   *
   * @param answers whether it may still answer what is in flight
   */
  peerLeft(address: string, answers: boolean): void {
    this.#links.peerLeft(address, answers)
  }

  /** Stop receiving and sending. */
  async close(): Promise<void> {
    await Promise.all([this.#links.close(), this.#omega?.sender.close(), this.#endpoint.close()])
  }
}
