import { MetroplexError } from '../../lib/common/errors'
import type { Answer, Limits, Peer, Receiver, Request, Transport } from '../../lib/common/transport-contract'

/**
 * What becomes of a request: its answer comes; it is lost; it is lost, and the answer to the one before comes again;
 * its answer is lost; it arrives after the next one; or the other process starts anew, before or after it.
 */
export type Fate = 'fine' | 'lost' | 'replayed' | 'unanswered' | 'late' | 'restarted before' | 'restarted after'

/** A network without wires: what happens to each request is said beforehand. What is said of nothing arrives. */
export class Network {
  readonly #receivers = new Map<string, Receiver>()
  /** Requests that are still on their way, and arrive before the next one is answered. */
  readonly #late: (() => void)[] = []
  #last: Answer | undefined

  constructor(
    private readonly fates: Fate[],
    private readonly restart: (address: string) => void = () => undefined
  ) {}

  /** The end of it at an address. */
  at(address: string): Transport {
    return new End(this, address)
  }

  receive(address: string, receiver: Receiver): void {
    this.#receivers.set(address, receiver)
  }

  /** Carry a request. */
  carry({ address }: Peer, request: Request): Answer {
    const fate = this.fates.shift() ?? 'fine'
    const arrive = (): Answer => this.#arrive(address, request)
    const lost = (maybe: boolean): MetroplexError =>
      new MetroplexError('EUNREACHABLE', `${address} could not be heard.`, { address, maybe })
    if (fate === 'restarted before') this.restart(address)
    if (fate === 'late') {
      this.#late.push(arrive)
      throw lost(true)
    }
    if (fate === 'lost') throw lost(true)
    if (fate === 'replayed' && this.#last !== undefined) return this.#last
    const answer = (this.#last = arrive())
    for (const late of this.#late.splice(0)) late()
    if (fate === 'restarted after') this.restart(address)
    if (fate === 'unanswered' || fate === 'restarted after') throw lost(true)
    return answer
  }

  #arrive(address: string, request: Request): Answer {
    const receiver = this.#receivers.get(address)
    if (receiver === undefined)
      throw new MetroplexError('EUNREACHABLE', `No server is at ${address}.`, { address, maybe: false })
    return receiver.admit(request.head, request.type) ?? receiver.receive(request)
  }
}

class End implements Transport {
  readonly name = 'lossy'
  readonly limits: Limits = { body: 1_000_000, batch: 100_000 }

  constructor(
    private readonly network: Network,
    private readonly address: string
  ) {}

  open(receiver: Receiver): void {
    this.network.receive(this.address, receiver)
  }

  async greet(peer: Peer, hello: Request): Promise<Answer> {
    await Promise.resolve()
    return this.network.carry(peer, hello)
  }

  async send(peer: Peer, request: Request): Promise<Answer> {
    await Promise.resolve()
    return this.network.carry(peer, request)
  }

  release(): void {
    // Nothing is kept.
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }
}
