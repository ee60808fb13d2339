import { now } from '../common/async'
import { inspectValue, MetroplexError } from '../common/errors'
import type { Method, MethodContext, Primus, Spark } from '../common/types'
import type { Stats } from '../reporting/stats'
import { functionOf, nameOf } from './call-options'
import { CALL } from './question'
import { failedOutcome } from './remote-error'
import type { RpcResponder, Task } from './responder'
import { noSuchSpark } from './spark-owner'

/** What methods use of their server. */
export interface MethodsServer {
  /** The own address, also while the server only tries to register it; `''` while there is none. */
  ownAddress(): string
  /** A local spark. */
  spark(id: string): Spark | undefined
  readonly primus: Primus | undefined
}

/** The methods that other servers can call on this one. Only functions registered by name can be called. */
export class Methods {
  readonly #methods = new Map<string, Method>()

  constructor(
    responder: RpcResponder,
    private readonly server: MethodsServer,
    /** Counts the calls of each method. */
    private readonly stats: Pick<Stats, 'calls'>
  ) {
    responder.handle(CALL, task => this.#prepare(task))
  }

  /** Make a function callable. @throws TypeError; Error when the name is taken */
  method(name: unknown, fn: unknown): void {
    const wanted = nameOf('method', name)
    if (this.#methods.has(wanted))
      throw new Error(`metroplex: there is a method of the name ${inspectValue(wanted)} already.`)
    this.#methods.set(wanted, functionOf('a method', fn) as Method)
    this.stats.calls(wanted)
  }

  #prepare({ detail, value, from, local, signal }: Task): () => unknown {
    const [name, id] = Array.isArray(detail) ? (detail as unknown[]) : []
    const valid = typeof name === 'string' && (id === undefined || typeof id === 'string')
    if (!valid || !Array.isArray(value))
      throw new MetroplexError('EPROTOCOL', 'A call must name its method, and have a list of arguments.')
    const { primus } = this.server
    const address = this.server.ownAddress()
    const method = this.#methods.get(name)
    if (method === undefined)
      throw new MetroplexError('ENOMETHOD', `${address} has no method of the name ${inspectValue(name)}.`)
    const spark = id === undefined ? undefined : this.server.spark(id)
    if (id !== undefined && spark === undefined) throw noSuchSpark(id)
    const context: MethodContext = { from, address, local, signal, ...(primus && { primus }), ...(spark && { spark }) }
    const args = value as unknown[]
    const { ok, failed } = this.stats.calls(name)
    return async () => {
      const began = now()
      try {
        const value: unknown = await method.call(context, ...(args as never[]))
        ok.add(now() - began)
        return value
      } catch (error) {
        failed.add(now() - began)
        const { message, cause } = failedOutcome(error)
        throw new MetroplexError('EREMOTE', message, { cause })
      }
    }
  }
}
