import { boundTo, checkAddress, onUnixSocket, parse, unixSocket } from '../common/address'
import { ignore } from '../common/callback'
import { PATIENT } from '../drain/drain'
import type { ServerCore } from '../core/server-core'
import { asError, MetroplexError } from '../common/errors'

/** What an automatic registration reports. */
export interface AutomaticRegistrationEvents {
  /** No address can ever be registered. */
  readonly refused: (error: Error) => void
  /** A task in the background failed; it is retried when the HTTP server listens next. */
  readonly failed: (error: Error) => void
}

/**
 * Registers this server under the address at which it listens, and follows the HTTP server when that closes or listens
 * elsewhere. An address that the application registers or leaves by itself takes precedence.
 */
export class AddressRegistration {
  /** Peers can reach the transport. The server must not register before. */
  #open = false
  /** An address has been registered, or the attempt continues. */
  #begun = false
  /** The address to register when the HTTP server listens again; `''` after the application has left. */
  #target = ''
  /** The address that the application registered by itself, which does not follow the HTTP server; `''`: none. */
  #chosen = ''
  /** Whether the current drain began because the HTTP server was closed. */
  #halted = false
  /** Why no address was found, as last reported; `''` once one was. */
  #reported = ''

  constructor(
    private readonly core: ServerCore,
    /** The address of the options, or the HTTP server. */
    private readonly home: () => unknown,
    /** The HTTP server that clients connect to. */
    private readonly server: () => unknown,
    private readonly events: AutomaticRegistrationEvents
  ) {}

  /**
   * The registered address, or the one to be registered while the HTTP server listens; `''` when there is none.
   *
   * Listeners of 'listening' can read it, except while a private listener is not bound yet.
   */
  get address(): string {
    return this.core.shards.lives.address || this.#expected()
  }

  /** The transport is open: begin to register. */
  open(): void {
    this.#open = true
    this.begin()
  }

  /** Begin to register in the background, and retry until that succeeds. */
  begin(): void {
    if (!this.#mayBegin) return
    this.#locate(this.home()).then(
      found => {
        if (found === '' || !this.#mayBegin) return
        this.#begun = true
        this.#target = found
        this.#reported = ''
        this.core.shards.lives.register(found, true).catch(ignore)
      },
      (error: unknown) => {
        this.#reportOnce(asError(error), this.events.refused)
      }
    )
  }

  /** The HTTP server listens, for the first time or again: register, or follow it to where it listens now. */
  listened(): void {
    const { core } = this
    const halted = this.#halted
    core.closed = this.#halted = false
    if (halted) {
      // Left late, the registry would lose what is registered below.
      core.departure.now()
      core.drain.lift()
    }
    if (!this.#begun) {
      this.begin()
      return
    }
    this.#locate(this.#chosen || this.home()).then(
      found => {
        if (found === '' || this.#target === '' || core.closing || core.drain.active) return
        this.#reported = ''
        if (!halted && found === core.shards.lives.wanted) return
        this.#target = found
        core.shards.lives.register(found, true).catch(ignore)
      },
      (error: unknown) => {
        this.#reportOnce(asError(error), this.events.failed)
        this.#abandon()
      }
    )
  }

  /** The HTTP server listens where no peer can reach it, and no longer at the address that is registered: leave it. */
  #abandon(): void {
    const { closing, shards } = this.core
    if (closing || shards.lives.wanted === '') return
    this.#begun = false
    this.#target = ''
    shards.lives.unregister().catch(ignore)
  }

  /**
   * The HTTP server accepts no more connections. Its sparks stay and can be found until the last one has disconnected;
   * then the server leaves the registry.
   */
  closed(): void {
    const { core } = this
    if (core.closing) return
    core.closed = true
    if (core.drain.active) return
    this.#halted = true
    core.drain.run(PATIENT).catch(ignore)
  }

  /**
   * Register under an address, given as a string or as the server that listens there.
   *
   * @returns the address; `''` when none is known yet
   * @throws TypeError for a value that is no address; MetroplexError `EREGISTRY`, `EADDRESS`, `ECLOSED`
   */
  async register(address: unknown): Promise<string> {
    const { shards, closing, drain } = this.core
    if (closing) throw new MetroplexError('ECLOSED', 'This server has been destroyed.')
    const found = typeof address === 'string' ? address : await this.#locate(address ?? this.home())
    if (found === '') return ''
    const wanted = checkAddress(found)
    await shards.lives.register(wanted, false)
    this.#begun = true
    this.#target = wanted
    this.#chosen = address === undefined || address === null || address === this.server() ? '' : wanted
    // A drain may have ended meanwhile, and left the registry again.
    if (shards.lives.address === wanted) {
      this.#halted = false
      drain.lift()
    }
    return wanted
  }

  /** Leave the registry, or remove another server from it. @returns the address that was removed; `''` for none */
  async unregister(address: unknown): Promise<string> {
    const { shards } = this.core
    const given = address === undefined || address === null ? '' : this.#addressOf(address)
    if (given === '' || given === shards.lives.wanted) {
      this.#target = ''
      return shards.lives.unregister()
    }
    const wanted = checkAddress(given)
    await shards.remove(wanted)
    return wanted
  }

  /** Whether this server can register by itself, and has not done so. */
  get #mayBegin(): boolean {
    const { closing, drain, shards } = this.core
    return this.#open && !this.#begun && shards.lives.address === '' && !closing && !drain.active
  }

  /** Report why no address was found. It is asked for more than once, and again each time the HTTP server listens. */
  #reportOnce(error: Error, report: (error: Error) => void): void {
    if (error.message === this.#reported) return
    this.#reported = error.message
    report(error)
  }

  /** The address at which peers reach this process, given the HTTP server or an address; `''` while it is unknown. */
  async #locate(server: unknown): Promise<string> {
    const { gateway } = this.core
    const bound = boundTo(server)
    if (gateway.followsPublicPort && bound !== undefined) await gateway.listen(bound)
    return this.#addressOf(server)
  }

  /** As `#locate`, but synchronous: a private listener must be bound already. @throws MetroplexError `EADDRESS` */
  #addressOf(server: unknown): string {
    if (typeof server === 'string') return server
    if (boundTo(server) === undefined) return ''
    const { peerAddress } = this.core.gateway
    if (peerAddress !== undefined) return peerAddress
    if (onUnixSocket(server)) throw unixSocket()
    return parse(server)
  }

  #expected(): string {
    const { closing, drain } = this.core
    if (closing || drain.active || boundTo(this.server()) === undefined) return ''
    if (this.#begun) return this.#target
    try {
      return this.#addressOf(this.home())
    } catch {
      return ''
    }
  }
}
