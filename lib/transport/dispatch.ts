import type { Courier, Delivered, Whom } from '../courier'
import { now, within } from '../deadline'
import { MetroplexError, type ErrorCode } from '../errors'
import type { Message } from '../message'
import { outgoing, type Outgoing } from './envelope'
import type { Messenger } from './messenger'
import type { OmegaSender } from './omega/sender'
import type { Reply } from './reception'
import { VERSION } from './signature'

/** What a server says of itself, as far as it tells how to reach it. */
export interface Card {
  readonly transport: string
  readonly protocol: string
  readonly pathname: string
  readonly word: string
  /** The kinds of messages that it takes, separated by spaces; `''`: `some` and `all`. */
  readonly kinds: string
}

/** Which wire a server speaks. */
export interface Directory {
  /** What a server says of itself; `'old'` for one of 1.x; `undefined` for none that we know of. */
  find(address: string): Card | 'old' | undefined
  /** The address of the server whose process has this word; `''` for none that we know of. */
  addressOf(word: string): string
  /** Look again who there is. */
  look(): Promise<unknown>
  /** Whether a server of 1.x was started where one of ours had been, as the registry says now. */
  superseded(address: string): Promise<boolean>
}

/** The most ids that one message names in a batch. */
type Names = readonly string[]

/**
 * Hands messages to servers by the wire that each of them speaks: ours, or that of omega-supreme.
 */
export class Dispatch implements Courier {
  constructor(
    private readonly messenger: Messenger,
    /** `undefined`: omega-supreme's wire is not to be used. */
    private readonly omega: () => OmegaSender | undefined,
    /** Whether all servers are to be reached on omega-supreme's wire, because the application reads its requests. */
    private readonly always: () => boolean,
    private readonly directory: Directory
  ) {}

  send(address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    const omega = this.omega()
    const card = this.directory.find(address)
    const { name } = this.messenger
    const fits = typeof card === 'object' && (message.ending === undefined || takes(card, 'end'))
    const ours = fits && card.protocol === VERSION && card.transport === name && !(omega !== undefined && this.always())
    return ours ? this.#ours(address, card, message, whom, deadline) : this.#otherwise(omega, address, message, whom, deadline)
  }

  /**
   * Have a server carry out what no spark is to be handed, and servers of 1.x know nothing of; after all that was sent there before.
   *
   * One that does not take this kind is not sent it: it would refuse all that travels with it.
   *
   * @throws MetroplexError with `maybe`
   */
  async carry(address: string, kind: string, message: Outgoing, deadline: number): Promise<Reply> {
    const known = this.directory.find(address)
    // Another release may have been started there since.
    const card = takes(known, kind) ? known : await this.#joined(address, deadline)
    if (card === 'old') throw refused('EPROTOCOL', address, 'runs metroplex 1.x, which knows of messages for sparks alone')
    const spoken = this.#spoken(address, card)
    if (!takes(spoken, kind)) throw refused('EPROTOCOL', address, `runs an earlier release of metroplex, which takes no messages of the kind '${kind}': give all servers the same version`)
    return this.messenger.send(address, spoken, message, deadline)
  }

  /** To who speaks another wire than ours, is unknown, or cannot be talked to. */
  async #otherwise(omega: OmegaSender | undefined, address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    if (message.ending !== undefined) return this.#ended(address, message, whom, deadline)
    if (this.always() && omega !== undefined) return omega.send(address, message, whom, deadline)
    const card = this.directory.find(address) ?? await this.#joined(address, deadline)
    if (card === 'old' || (card === undefined && omega !== undefined)) {
      if (omega !== undefined) return this.#old(omega, address, message, whom, deadline)
      throw refused('EPROTOCOL', address, 'runs metroplex 1.x, which is reached on the wire of omega-supreme alone: a client does not speak it, nor does a server with `omega: false`')
    }
    return this.#ours(address, this.#spoken(address, card), message, whom, deadline)
  }

  /** What ends sparks has no words on omega-supreme's wire: each server has to hear it on ours. */
  async #ended(address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    const { sparks = [] } = whom
    return understood(address, sparks, await this.carry(address, 'end', outgoing('end', sparks, message), deadline))
  }

  /** Of who is not known: it may have joined since we looked last. */
  async #joined(address: string, deadline: number): Promise<Card | 'old' | undefined> {
    await this.#inTime(this.directory.look(), undefined, deadline)
    return this.directory.find(address)
  }

  /** A server that speaks our wire. @throws MetroplexError for any other */
  #spoken(address: string, card: Card | undefined): Card {
    const { name } = this.messenger
    if (card === undefined) throw refused('EUNREACHABLE', address, 'is no server of this cluster')
    if (card.protocol !== VERSION) {
      throw refused('EPROTOCOL', address, `speaks version ${card.protocol} of the language between servers, and this server ${VERSION}: give all servers the same version of metroplex`)
    }
    if (card.transport !== name) {
      throw refused('EPROTOCOL', address, `talks to its peers by the transport '${card.transport}', and this server by '${name}': give all servers the same`)
    }
    return card
  }

  #ours(address: string, card: Card, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    const { sparks, except = [] } = whom
    const outward = sparks === undefined ? outgoing('all', except, message) : outgoing(message.ending === undefined ? 'some' : 'end', sparks, message)
    return this.messenger.send(address, card, outward, deadline).then(
      reply => understood(address, sparks, reply),
      (error: unknown) => this.#refused(error, address, message, whom, deadline)
    )
  }

  /** Where a server of ours has been, one of 1.x may have been started since. That is for the registry to say: whoever answers there may want our password. */
  async #refused(error: unknown, address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    const omega = message.ending === undefined ? this.omega() : undefined
    const foreign = error instanceof MetroplexError && error.code === 'EPROTOCOL' && error.maybe === false
    if (omega === undefined || !foreign || !await this.#inTime(this.directory.superseded(address), false, deadline)) throw error
    return this.#old(omega, address, message, whom, deadline)
  }

  /** On omega-supreme's wire, to who may run 1.x: that would write also to those whom it is asked to leave out. */
  #old(omega: OmegaSender, address: string, message: Message, whom: Whom, deadline: number): Promise<Delivered> {
    if (whom.except === undefined || whom.except.length === 0) return omega.send(address, message, whom, deadline)
    throw refused('EPROTOCOL', address, 'may run metroplex 1.x by now, which can leave out nobody: nothing was sent there. Try again when this server knows it as one of 1.x')
  }

  /** What the directory says, or `otherwise` when it fails or does not say it by the deadline of the message. */
  #inTime<T>(question: Promise<T>, otherwise: T, deadline: number): Promise<T> {
    return within(question, Math.max(0, deadline - now()), () => new Error('late')).catch(() => otherwise)
  }
}

/** Whether a server speaks our wire, as far as we know, and takes messages of a kind. The first release did not say so. */
function takes(card: Card | 'old' | undefined, kind: string): card is Card {
  return typeof card === 'object' && (card.kinds === '' ? 'some all' : card.kinds).split(' ').includes(kind)
}

/** What a peer says it did. */
function understood(address: string, sparks: Names | undefined, reply: Reply): Delivered {
  if (typeof reply === 'number') return { send: reply, ...sparks && { missing: [] } }
  if ('code' in reply) throw new MetroplexError('EREMOTE', `${address} could not carry it out: ${reply.message}`, { address, maybe: true })
  const [send, missing] = reply
  return { send, missing }
}

function refused(code: ErrorCode, address: string, sentence: string): MetroplexError {
  return new MetroplexError(code, `${address} ${sentence}.`, { address, maybe: false })
}
