import { asError } from '../errors'
import type { Health, State } from '../reports'
import type { Shards } from './shards'

/** Looks whether this server can do its work. */
export class Check {
  /** Whether our address has ever led to us: then something is wrong when it does not. */
  #reached = false
  #ended = false

  constructor(
    private readonly shards: Shards,
    /** Find out who answers at an address; `'self'`, too, where nobody could be asked. */
    private readonly ask: (address: string) => Promise<'self' | 'other' | 'nobody'>,
    /** How we stand. */
    private readonly state: () => State
  ) {}

  /** Nothing can be done any more. */
  end(): void {
    this.#ended = true
  }

  /** Asks Redis and our own address; resolves always. */
  async health(): Promise<Health> {
    const { shards } = this
    const { address } = shards
    const reasons = this.#ended ? ['This server has been destroyed.'] : shards.reasons
    const warnings: string[] = []
    const state = this.state()
    if (state === 'draining') reasons.unshift('This server is draining: it takes no new sparks.')
    if (address !== '' && shards.reachable) {
      const [held, answerer] = await Promise.all([shards.held().catch(asError), this.ask(address)])
      if (held instanceof Error) reasons.push(held.message)
      else if (!held) reasons.push('The lease of this server is not held by its life: peers take it for dead.')
      if (answerer === 'self') this.#reached = true
      else (this.#reached ? reasons : warnings).push(`Its own address, ${address}, does not lead to this server.`)
    }
    return { ok: reasons.length === 0, state, reasons, warnings }
  }
}
