import { onAbort, now } from '../common/async'
import { asError, inspectValue } from '../common/errors'
import { idOf } from '../common/names'
import type { Called } from '../common/types'
import { callChannel, traced } from '../reporting/tracing'
import { allServers, type KnownServers } from './addressees'
import { nameOf, callTerms, type CallTerms } from './call-options'
import type { Patience, RpcCaller } from './caller'
import { CALL, parcel, type Question } from './question'
import { askOwner, type SparkLocator } from './spark-owner'

/** Calls methods of servers. */
export class Calls {
  constructor(
    private readonly caller: RpcCaller,
    private readonly cluster: SparkLocator & KnownServers,
    /** How long to wait for an answer by default, in ms. */
    private readonly timeout: number
  ) {}

  /** Call a method on servers. A server that fails delays no other. */
  call(name: unknown, args: unknown, options: unknown): Promise<Called[]> {
    return traced(callChannel, { how: 'call', method: name }, () => this.#call(name, args, options))
  }

  async #call(name: unknown, args: unknown, options: unknown): Promise<Called[]> {
    const { question, terms, patience } = this.#parsed(name, args, options)
    const { servers, failure } = await allServers(this.cluster, terms, patience)
    const called = await Promise.all(
      servers.map(async ({ address, here }): Promise<Called> => {
        try {
          return { address, ok: true, value: await this.caller.ask(address, question, patience, here) }
        } catch (error) {
          return { address, ok: false, error: asError(error) }
        }
      })
    )
    return failure === undefined ? called : [...called, { address: '', ok: false, error: failure }]
  }

  /** Call a method on servers; resolves with the first success, and aborts the other calls. */
  first(name: unknown, args: unknown, options: unknown): Promise<unknown> {
    return traced(callChannel, { how: 'first', method: name }, () => this.#first(name, args, options))
  }

  async #first(name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const {
      question,
      terms,
      patience: { deadline, signal }
    } = this.#parsed(name, args, options)
    const { servers, failure } = await allServers(this.cluster, terms, { deadline, signal })
    const over = new AbortController()
    const removeListener = onAbort(signal, () => {
      over.abort()
    })
    try {
      return await Promise.any([
        ...servers.map(({ address, here }) =>
          this.caller.ask(address, question, { deadline, signal: over.signal }, here)
        ),
        ...(failure === undefined ? [] : [Promise.reject(failure)])
      ])
    } catch (error) {
      if (signal?.aborted === true) throw asError(signal.reason)
      const { errors } = error as AggregateError
      const reasons = errors.map(one => asError(one).message).join(' ') || 'none was asked.'
      throw new AggregateError(errors, `No server has run the method ${inspectValue(name)} successfully: ${reasons}`)
    } finally {
      removeListener()
      over.abort()
    }
  }

  /** Call a method on the server that holds a spark. */
  apply(spark: unknown, name: unknown, args: unknown, options: unknown): Promise<unknown> {
    return traced(callChannel, { how: 'apply', method: name }, () => this.#apply(spark, name, args, options))
  }

  async #apply(spark: unknown, name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const id = idOf(spark)
    const { question, patience } = this.#parsed(name, args, options, ['timeout', 'signal'], id)
    return askOwner(
      this.cluster,
      id,
      patience.deadline,
      (address, here) => this.caller.ask(address, question, patience, here),
      patience.signal
    )
  }

  #parsed(
    name: unknown,
    args: unknown,
    options: unknown,
    allowed?: readonly string[],
    spark?: string
  ): { question: Question; terms: CallTerms; patience: Patience } {
    const given = args ?? []
    if (!Array.isArray(given))
      throw new TypeError(`metroplex: the arguments of a call must be an array; given: ${inspectValue(args)}.`)
    const detail = spark === undefined ? [nameOf('method', name)] : [nameOf('method', name), spark]
    const terms = callTerms(options, { timeout: this.timeout, self: true }, allowed)
    const patience = { deadline: now() + terms.timeout, signal: terms.signal }
    return { question: { kind: CALL, detail, message: parcel(given) }, terms, patience }
  }
}
