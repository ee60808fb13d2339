import { now } from '../common/async'
import { MetroplexError } from '../common/errors'
import type { Message } from '../common/encoded-message'
import { idOf } from '../common/names'
import type { Parser } from '../common/parser'
import { requestChannel, traced } from '../reporting/tracing'
import { callTerms } from './call-options'
import type { Patience, RpcCaller } from './caller'
import { parcel, REQUEST, type Question } from './question'
import type { RpcResponder } from './responder'
import { askOwner, type SparkLocator } from './spark-owner'

/** Asks the clients of local sparks. */
export interface Clients {
  /**
   * Check that the client of a spark can be asked. @returns a function that asks it and resolves with its reply
   *
   * @throws MetroplexError `ENOSPARK` when the spark is not local, `EUNREACHABLE` when its client knows no requests
   */
  prepare(id: string, value: unknown, signal: AbortSignal): () => Promise<unknown>
}

/** How requests work. */
export interface ClientRequestsTerms {
  /** How long to wait for a reply by default, in ms. */
  readonly timeout: number
  /** The parser that clients and servers share. */
  readonly parser: Pick<Parser, 'message' | 'name'>
}

/** Asks clients, on whichever server their sparks are. */
export class ClientRequests {
  constructor(
    private readonly caller: RpcCaller,
    private readonly where: SparkLocator,
    private readonly terms: ClientRequestsTerms
  ) {}

  /** Ask the client of a spark. Resolves with its reply; `undefined` when that is empty. */
  async request(spark: unknown, msg: unknown, options: unknown): Promise<unknown> {
    const id = idOf(spark)
    const { timeout, signal } = callTerms(options, { timeout: this.terms.timeout, self: true }, ['timeout', 'signal'])
    return this.ask(id, this.message(msg), { timeout, deadline: now() + timeout, signal })
  }

  /** A request, encoded for any number of clients. @throws MetroplexError `EMESSAGE` */
  message(msg: unknown): Message {
    const { parser } = this.terms
    // The client receives the value as it would receive it in a forwarded message.
    return parser.name === '' ? parcel([parser.message(msg).value]) : parser.message([msg])
  }

  /** Ask the client of a spark. @param patience with the time from its begin to its deadline, in ms */
  ask(id: string, message: Message, patience: Patience & { readonly timeout: number }): Promise<unknown> {
    return traced(requestChannel, { spark: id }, () => this.#ask(id, message, patience))
  }

  async #ask(id: string, message: Message, patience: Patience & { readonly timeout: number }): Promise<unknown> {
    const { timeout, deadline, signal } = patience
    const question: Question = { kind: REQUEST, detail: id, message }
    try {
      return await askOwner(
        this.where,
        id,
        deadline,
        (address, here) => this.caller.ask(address, question, { deadline, signal }, here),
        signal
      )
    } catch (error) {
      if (!(error instanceof MetroplexError) || error.code !== 'EDEADLINE') throw error
      // The original sentence blames the server, which may be well: it is the client that did not reply.
      const { address = '', maybe = true } = error
      throw new MetroplexError('EDEADLINE', `The client of the spark ${id} did not reply within ${timeout} ms.`, {
        address,
        maybe,
        cause: error
      })
    }
  }
}

/** Answer requests for the clients of local sparks. */
export function serveClientRequests(responder: RpcResponder, clients: Clients): void {
  responder.handle(REQUEST, ({ detail, value, signal }) => {
    if (typeof detail !== 'string' || !Array.isArray(value))
      throw new MetroplexError('EPROTOCOL', 'A request must name its spark, and have a list of one value.')
    return clients.prepare(detail, (value as unknown[])[0], signal)
  })
}
