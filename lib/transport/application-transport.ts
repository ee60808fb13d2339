import type { Answer, Back, Limits, Peer, Receiver, Request, Transport } from '../common/transport-contract'
import { isRefusal, type Reception, type ReceptionTransport } from './receiving/reception-contract'
import type { SignedHead } from './signature'

/** An application's own transport. It is given a `Receiver`, which knows heads as text. */
export class ApplicationTransport implements ReceptionTransport {
  constructor(private readonly transport: Transport) {}

  get name(): string {
    return this.transport.name
  }

  get limits(): Limits {
    return this.transport.limits
  }

  get trouble(): string | undefined {
    return this.transport.trouble
  }

  open(reception: Reception): void | Promise<void> {
    return this.transport.open(new TextReceiver(reception))
  }

  greet(peer: Peer, hello: Request, deadline: number): Promise<Answer> {
    return this.transport.greet(peer, hello, deadline)
  }

  send(peer: Peer, request: Request, deadline: number): Promise<Answer> {
    return this.transport.send(peer, request, deadline)
  }

  release(address: string): void {
    this.transport.release(address)
  }

  close(): Promise<void> {
    return this.transport.close()
  }
}

class TextReceiver implements Receiver {
  /** The request that was admitted last. Most transports receive it next, so it is not verified again. */
  #admitted: { readonly line: string; readonly type: string; readonly head: SignedHead } | undefined

  constructor(private readonly reception: Reception) {}

  get maxBody(): number {
    return this.reception.maxBody
  }

  get timeout(): number {
    return this.reception.timeout
  }

  admit(line: string, type: string): Answer | undefined {
    const head = this.reception.admit(line, type)
    if (isRefusal(head)) return head
    this.#admitted = { line, type, head }
    return undefined
  }

  receive({ head: line, type, body }: Request, back?: Back): Answer {
    const admitted = this.#admitted
    this.#admitted = undefined
    const head = admitted?.line === line && admitted.type === type ? admitted.head : this.reception.admit(line, type)
    return isRefusal(head) ? head : this.reception.receive(head, body, back)
  }

  closed(back: Back): void {
    this.reception.closed(back)
  }

  broken(address: string): void {
    this.reception.broken(address)
  }
}
