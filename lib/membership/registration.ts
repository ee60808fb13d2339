import { now, delay } from '../common/async'
import { MetroplexError } from '../common/errors'
import type { Description, Entered, LifeId, LeaseTerms } from '../registry/records'
import type { Registry } from '../registry/registry'

/** Which process answers at an address: this one, another server, or none. */
export type Answerer = 'self' | 'other' | 'none'

/** What a registration reports. */
export interface RegistrationEvents {
  /** This server waits for its address from now on. */
  waiting(): void
  /** Another live process has the address of this server, which waits for it. Reported once per registration. */
  taken(error: MetroplexError): void
}

/** Pause between two checks of an address that is still held, in ms. A port that has just been opened answers soon. */
const CHECK_PAUSE = 250

/**
 * Registers this server's life under an address.
 *
 * When another life holds the address, the address itself is asked which process is there:
 *
 * * This process answers: it takes over at once, so that a restart need not wait. The take-over is provisional, because
 *   two machines or containers may use one address. A former life that beats before its lease has ended takes the
 *   address back.
 * * Another process answers: that one keeps the address.
 * * No process answers: the address is free when the lease of its holder has ended.
 *
 * Once another live process has been found at the address, an answer from there proves nothing any more. This server
 * then waits for the end of the other's lease. So two servers that compete exchange the address once at most.
 */
export class Registration {
  /** The address that another live process has; `''` for none. */
  #contested = ''
  #waiting = false
  #reported = false

  constructor(
    private readonly registry: Pick<Registry, 'resident' | 'join'>,
    /** Finds out which process answers at an address, below the holder's path of Primus and below our own. */
    private readonly ask: (address: string, pathname: string) => Promise<Answerer>,
    private readonly terms: LeaseTerms,
    private readonly events: RegistrationEvents,
    /** Whether another server has our address in the registry that decides for all shards. */
    private readonly yields: () => boolean
  ) {}

  /** The address that this server waits for because another live process has it; `''` for none. */
  get awaited(): string {
    return this.#waiting ? this.#contested : ''
  }

  /** Another live process has our address: report it once, and wait for the end of its lease. */
  contest(address: string): void {
    this.#contested = address
    this.#wait()
    if (this.#reported) return
    this.#reported = true
    this.events.taken(
      new MetroplexError(
        'EADDRESS',
        `Another live server is registered at ${address}. Give each server an \`address\` at which peers reach it ` +
          'alone; or set `metroplex: { listen: {} }`, so that peers come to a port of its own, or ' +
          "`metroplex: { transport: 'redis' }`. This one goes on serving its own clients, and takes the address when " +
          'the lease of the other one has ended.',
        { address }
      )
    )
  }

  /** This server has the address, and no former life can take it back. */
  settled(): void {
    this.#reported = false
  }

  /**
   * Join, and wait for the address as long as it takes.
   *
   * @param seq the number of this life's last commit, if it was registered before
   * @returns what was found at the address; `'ended'` when this life has been declared dead meanwhile, or has lost the
   *   address; `null` when `signal` was aborted
   * @throws MetroplexError `EREGISTRY` when Redis fails: try again
   */
  async join(
    me: LifeId,
    seq: number,
    description: Description,
    signal: AbortSignal
  ): Promise<Entered | 'ended' | null> {
    const aborted = (): boolean => signal.aborted
    // Until when the last life seen here may come back without its keys, as after a flush; by `performance.now()`.
    let until = -Infinity
    while (!aborted()) {
      const { life, lease, left, pathname } = await this.registry.resident(me.address)
      const leased = lease !== ''
      const held = leased && life !== me.life
      if (held) until = now() + left
      const free =
        !this.yields() && (held ? await this.#answersHere(me.address, pathname) : life !== '' || now() >= until)
      if (aborted()) break
      if (free) {
        const joined = await this.registry.join(me, seq, this.terms, description, life, leased)
        if (joined.as === 'joined') {
          this.#waiting = false
          return joined
        }
        if (joined.as === 'lost') this.contest(me.address)
        if (joined.as === 'lost' || life === me.life) return 'ended'
        if (joined.as === 'changed') continue
      }
      await delay(CHECK_PAUSE, signal)
    }
    this.#waiting = false
    return null
  }

  #wait(): void {
    if (this.#waiting) return
    this.#waiting = true
    this.events.waiting()
  }

  /** Whether this process answers at an address that another life holds, so that it may take over. */
  async #answersHere(address: string, pathname: string): Promise<boolean> {
    if (this.#contested === address) {
      this.#wait()
      return false
    }
    const answerer = await this.ask(address, pathname)
    if (answerer === 'other') this.contest(address)
    return answerer === 'self'
  }
}
