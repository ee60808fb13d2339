import { pause } from '../deadline'
import { MetroplexError } from '../errors'
import type { Description, Identity, Terms } from '../registry/records'
import type { Registry } from '../registry/registry'

/** Who answers at an address: we ourselves, another process of ours or anybody else's, or nobody. */
export type Answerer = 'self' | 'other' | 'nobody'

/** What a registration reports. */
export interface RegistrationEvents {
  /** Another process that lives has our address; it is tried again until that one has gone. Told once per such process. */
  taken(error: MetroplexError): void
}

/** Pause between two looks at an address that is still held, in ms: a port that we have just begun to listen on is ours soon. */
const LOOK_AGAIN = 250

/**
 * Makes an address ours in the registry.
 *
 * When another life holds it, the address itself is asked who is there. We answer ourselves: the port is ours, and whoever
 * held it has died; its place is taken at once. Another process answers: two are configured with one address, and the one
 * that came first keeps it. Nobody answers: the lease tells when it is free. Host names and process ids would prove
 * nothing: containers repeat them.
 */
export class Registration {
  constructor(
    private readonly registry: Pick<Registry, 'resident' | 'join'>,
    private readonly ask: (address: string) => Promise<Answerer>,
    private readonly terms: Terms,
    private readonly events: RegistrationEvents
  ) {}

  /**
   * Join, for as long as it takes, or until `signal` is aborted (`null`).
   *
   * @param seq the number of our last commit, when this life was there before
   * @returns the names of the sets that former lives left behind; `'ended'` when this life has been declared dead meanwhile
   * @throws MetroplexError `EREGISTRY` when Redis fails: try again
   */
  async join(me: Identity, seq: number, description: Description, signal: AbortSignal): Promise<readonly string[] | 'ended' | null> {
    let told = ''
    const over = (): boolean => signal.aborted
    while (!over()) {
      const { life, lease } = await this.registry.resident(me.address)
      const leased = lease !== ''
      const answerer = leased && life !== me.life ? await this.ask(me.address) : 'self'
      if (over()) return null
      if (answerer === 'self') {
        const joined = await this.registry.join(me, seq, this.terms, description, life, leased)
        if (joined.as === 'joined') return joined.aside
        if (life === me.life) return 'ended'
        continue
      }
      if (answerer === 'other' && told !== life) {
        told = life
        this.events.taken(new MetroplexError(
          'EADDRESS',
          `Another live process is registered at ${me.address}. Give each process an \`address\` at which peers reach it alone. ` +
          'This one goes on serving its own clients and tries again when the other one has gone.',
          { address: me.address }
        ))
      }
      await pause(LOOK_AGAIN, signal)
    }
    return null
  }
}
