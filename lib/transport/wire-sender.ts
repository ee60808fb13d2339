import type { PeerSender, Delivered, Recipients } from '../common/peer-sender'
import { now, withTimeout } from '../common/async'
import { asError, MetroplexError, peerError } from '../common/errors'
import type { Message } from '../common/encoded-message'
import { outgoing, packedKind, type Outgoing, type Reply } from './envelope'
import type { PeerLinks } from './peer-links'
import type { OmegaSender } from './omega/sender'
import { WIRE_VERSION } from './signature'

/** What a server has published about itself: how to reach it. */
export interface Card {
  readonly transport: string
  readonly protocol: string
  readonly pathname: string
  /** The node id of its process. */
  readonly word: string
  /** The kinds of messages that it accepts, separated by spaces; `''` means `some` and `all`. */
  readonly kinds: string
}

/** What this server knows about its peers. */
export interface PeerDirectory {
  /** The card of a server; `'old'` for a server of 1.x; `undefined` for an unknown one. */
  find(address: string): Card | 'old' | undefined
  /** The address of the server with this node id; `''` for an unknown one. */
  addressOf(nodeId: string): string
  /** Read the list of servers again. */
  refreshPeers(): Promise<unknown>
  /** Whether the registry says now that a server of 1.x runs where a server of 2.x was. */
  superseded(address: string): Promise<boolean>
}

/** Ids of sparks. */
type Names = readonly string[]

/** Sends messages to servers on the wire that each of them speaks: that of metroplex 2, or that of omega-supreme. */
export class WireSender implements PeerSender {
  constructor(
    private readonly links: PeerLinks,
    /** The sender of omega-supreme; `undefined` when its wire must not be used. */
    private readonly omega: () => OmegaSender | undefined,
    /**
     * Whether all servers must be reached on the wire of omega-supreme, because the application's middleware reads its
     * requests.
     */
    private readonly omegaOnly: () => boolean,
    private readonly directory: PeerDirectory
  ) {}

  send(address: string, message: Message, recipients: Recipients, deadline: number): Promise<Delivered> {
    if (recipients.groups !== undefined) {
      const { groups, except = [] } = recipients
      return this.#sendToGroups(address, message, groups, except, deadline)
    }
    const omega = this.omega()
    const card = this.directory.find(address)
    const { name } = this.links
    const fits = typeof card === 'object' && (message.ending === undefined || takesKind(card, 'end'))
    const ours =
      fits && card.protocol === WIRE_VERSION && card.transport === name && !(omega !== undefined && this.omegaOnly())
    return ours
      ? this.#sendOwnWire(address, card, message, recipients, deadline)
      : this.#sendOtherwise(omega, address, message, recipients, deadline)
  }

  /**
   * Send a server a message that is for no spark. It is applied after all messages that were sent there before.
   *
   * A server that does not accept this kind is not sent it: it would refuse the whole batch. Servers of 1.x accept
   * none.
   *
   * @throws MetroplexError with `maybe`
   */
  async sendKind(address: string, kind: string, to: unknown, message: Message, deadline: number): Promise<Reply> {
    const known = this.directory.find(address)
    // Another release may have been started there meanwhile.
    const card = takesKind(known, kind) ? known : await this.#findAgain(address, deadline)
    if (card === 'old')
      throw peerError('EPROTOCOL', address, 'runs metroplex 1.x, which accepts messages for sparks only')
    const spoken = this.#requireSameWire(address, card)
    if (!takesKind(spoken, kind))
      throw peerError(
        'EPROTOCOL',
        address,
        `runs an earlier release of metroplex, which accepts no messages of the kind '${kind}': ` +
          'give all servers the same version'
      )
    return this.links.send(address, spoken, encodeFor(spoken, address, kind, to, message), deadline)
  }

  /** Write to sparks in groups, or end them. Servers of earlier releases have no groups, and are sent nothing. */
  async #sendToGroups(
    address: string,
    message: Message,
    groups: Names,
    except: Names,
    deadline: number
  ): Promise<Delivered> {
    const kind = message.ending === undefined ? 'group' : 'endgroup'
    const known = this.directory.find(address)
    const card = takesKind(known, kind) ? known : await this.#findAgain(address, deadline)
    if (card !== undefined && !takesKind(card, kind)) return { send: 0, missing: groups }
    const spoken = this.#requireSameWire(address, card)
    const sent = encodeFor(spoken, address, kind, [groups, except], message)
    return readReply(address, groups, await this.links.send(address, spoken, sent, deadline))
  }

  /** Send to a server that speaks another wire, is unknown, or cannot be reached. */
  async #sendOtherwise(
    omega: OmegaSender | undefined,
    address: string,
    message: Message,
    recipients: Recipients,
    deadline: number
  ): Promise<Delivered> {
    if (message.ending !== undefined) return this.#sendEnd(address, message, recipients, deadline)
    if (this.omegaOnly() && omega !== undefined) return omega.send(address, message, recipients, deadline)
    const card = this.directory.find(address) ?? (await this.#findAgain(address, deadline))
    if (card === 'old' || (card === undefined && omega !== undefined)) {
      if (omega !== undefined) return this.#sendOmega(omega, address, message, recipients, deadline)
      throw peerError(
        'EPROTOCOL',
        address,
        'runs metroplex 1.x, which is reached only on the wire of omega-supreme: a client does not speak it, ' +
          'nor does a server with `omega: false`'
      )
    }
    return this.#sendOwnWire(address, this.#requireSameWire(address, card), message, recipients, deadline)
  }

  /** Ask a server to end sparks. The wire of omega-supreme cannot express that. */
  async #sendEnd(address: string, message: Message, recipients: Recipients, deadline: number): Promise<Delivered> {
    const { sparks = [] } = recipients
    return readReply(address, sparks, await this.sendKind(address, 'end', sparks, message, deadline))
  }

  /** Look a server up again: it may have joined meanwhile. */
  async #findAgain(address: string, deadline: number): Promise<Card | 'old' | undefined> {
    await this.#withinDeadline(this.directory.refreshPeers(), undefined, deadline)
    return this.directory.find(address)
  }

  /** Assert that a server speaks the wire of this release on the same transport. @throws MetroplexError if not */
  #requireSameWire(address: string, card: Card | undefined): Card {
    const { name } = this.links
    if (card === undefined) throw peerError('EUNREACHABLE', address, 'is not a server of this cluster')
    if (card.protocol !== WIRE_VERSION) {
      throw peerError(
        'EPROTOCOL',
        address,
        `speaks version ${card.protocol} of the protocol between servers, and this server ${WIRE_VERSION}: ` +
          'give all servers the same version of metroplex'
      )
    }
    if (card.transport !== name) {
      throw peerError(
        'EPROTOCOL',
        address,
        `uses the transport '${card.transport}', and this server '${name}': give all servers the same transport`
      )
    }
    return card
  }

  #sendOwnWire(
    address: string,
    card: Card,
    message: Message,
    recipients: Recipients,
    deadline: number
  ): Promise<Delivered> {
    const { sparks, except = [] } = recipients
    const kind = sparks === undefined ? 'all' : message.ending === undefined ? 'some' : 'end'
    let sent: Outgoing
    try {
      sent = encodeFor(card, address, kind, sparks ?? except, message)
    } catch (error) {
      return Promise.reject(asError(error))
    }
    return this.links.send(address, card, sent, deadline).then(
      reply => readReply(address, sparks, reply),
      (error: unknown) => this.#retryOnOmega(error, address, message, recipients, deadline)
    )
  }

  /**
   * A server of 1.x may have been started at the address of one of 2.x. Only the registry can tell: another process
   * that answers there might want our password.
   */
  async #retryOnOmega(
    error: unknown,
    address: string,
    message: Message,
    recipients: Recipients,
    deadline: number
  ): Promise<Delivered> {
    const omega = message.ending === undefined ? this.omega() : undefined
    const foreign = error instanceof MetroplexError && error.code === 'EPROTOCOL' && error.maybe === false
    if (
      omega === undefined ||
      !foreign ||
      !(await this.#withinDeadline(this.directory.superseded(address), false, deadline))
    )
      throw error
    return this.#sendOmega(omega, address, message, recipients, deadline)
  }

  /** Send on the wire of omega-supreme, unless the message excludes sparks: 1.x would write to those, too. */
  #sendOmega(
    omega: OmegaSender,
    address: string,
    message: Message,
    recipients: Recipients,
    deadline: number
  ): Promise<Delivered> {
    if (recipients.except === undefined || recipients.except.length === 0)
      return omega.send(address, message, recipients, deadline)
    throw peerError(
      'EPROTOCOL',
      address,
      'may run metroplex 1.x now, which cannot exclude sparks: nothing was sent there. ' +
        'Try again when this server knows it as one of 1.x'
    )
  }

  /** The answer of the directory, or `otherwise` when it fails or does not come before the deadline. */
  #withinDeadline<T>(answer: Promise<T>, otherwise: T, deadline: number): Promise<T> {
    return withTimeout(answer, Math.max(0, deadline - now()), () => new Error('late')).catch(() => otherwise)
  }
}

/** Whether a server of 2.x accepts a kind of messages. The first release did not publish its kinds. */
function takesKind(card: Card | 'old' | undefined, kind: string): card is Card {
  return typeof card === 'object' && (card.kinds === '' ? 'some all' : card.kinds).split(' ').includes(kind)
}

/**
 * Encode a message for a server: packed by our parser if the server has the same one, else as JSON and binary parts.
 *
 * @throws MetroplexError `EMESSAGE` if JSON cannot express it
 */
function encodeFor(card: Card, address: string, kind: string, to: unknown, message: Message): Outgoing {
  const { packed } = message
  if (packed === undefined) return outgoing(kind, to, message)
  const { kinds } = card
  const whole = packedKind(kind, packed.by.name)
  if (takesKind(card, whole)) return outgoing(whole, to, message)
  if (kinds.includes(packedKind('some', ''))) warnOfParsers(address)
  try {
    return outgoing(kind, to, message.plain)
  } catch (error) {
    const sentence = `does not have our parser, and JSON cannot express this message: ${asError(error).message}`
    throw peerError('EMESSAGE', address, sentence, { maybe: false, cause: error })
  }
}

let warned = false

/** Warn once that servers have different parsers, because JSON loses some types. */
function warnOfParsers(address: string): void {
  if (warned) return
  warned = true
  process.emitWarning(
    `${address} has another parser than this server: messages between them are JSON and binary, ` +
      'so that dates, for instance, become strings. Give all servers the same option `parser`.',
    { code: 'METROPLEX_PARSERS' }
  )
}

/** Turn the reply of a peer into a result. @throws MetroplexError `EREMOTE` */
function readReply(address: string, sparks: Names | undefined, reply: Reply): Delivered {
  if (typeof reply === 'number') return { send: reply, ...(sparks && { missing: [] }) }
  if ('code' in reply)
    throw peerError('EREMOTE', address, `could not apply the message: ${reply.message}`, { maybe: true })
  const [send, missing] = reply
  return { send, missing }
}
