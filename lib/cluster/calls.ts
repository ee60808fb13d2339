import { heed, now } from '../deadline'
import { asError, MetroplexError, shown } from '../errors'
import { idOf } from '../message'
import type { Called, Method, MethodContext, Primus, Spark } from '../types'
import { parcel, type Answers, type Question, type Task } from './answers'
import { everybody, type Everybody } from './everybody'
import { askHolder, unheld, type Located } from './holder'
import type { Patience, Questions } from './questions'
import { functionOf, nameOf, termsOf, type Terms } from './terms'
import { failed } from './told'

/** What calls ask of the cluster. */
export interface CallsCluster extends Located, Everybody {
  /** A spark of ours. */
  spark(id: string): Spark | undefined
  readonly primus: Primus | undefined
}

/** Of questions that call a method: its name and, where it is for one spark, the id of that. */
const CALL = 'call'

/**
 * Methods of this server that others may call, and calls of theirs.
 *
 * Nothing is callable that was not registered by its name.
 */
export class Calls {
  readonly #methods = new Map<string, Method>()

  constructor(
    private readonly questions: Questions,
    answers: Answers,
    private readonly cluster: CallsCluster,
    /** How long an answer is waited for, in ms. */
    private readonly timeout: number
  ) {
    answers.handle(CALL, task => this.#prepare(task))
  }

  /** Make a function callable. @throws TypeError, Error when the name is taken */
  method(name: unknown, fn: unknown): void {
    const wanted = nameOf('method', name)
    if (this.#methods.has(wanted)) throw new Error(`metroplex: there is a method of the name ${shown(wanted)} already.`)
    this.#methods.set(wanted, functionOf('a method', fn) as Method)
  }

  /** Call a method on servers; each answers for itself. */
  async call(name: unknown, args: unknown, options: unknown): Promise<Called[]> {
    const { question, terms, patience } = this.#understood(name, args, options)
    const { servers, failure } = await everybody(this.cluster, terms, patience)
    const called = await Promise.all(servers.map(async ({ address, here }): Promise<Called> => {
      try {
        return { address, ok: true, value: await this.questions.ask(address, question, patience, here) }
      } catch (error) {
        return { address, ok: false, error: asError(error) }
      }
    }))
    return failure === undefined ? called : [...called, { address: '', ok: false, error: failure }]
  }

  /** The first success among servers. The others are told to stop. */
  async first(name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const { question, terms, patience: { deadline, signal } } = this.#understood(name, args, options)
    const { servers, failure } = await everybody(this.cluster, terms, { deadline, signal })
    const over = new AbortController()
    const unheed = heed(signal, () => { over.abort() })
    try {
      return await Promise.any([
        ...servers.map(({ address, here }) => this.questions.ask(address, question, { deadline, signal: over.signal }, here)),
        ...failure === undefined ? [] : [Promise.reject(failure)]
      ])
    } catch (error) {
      if (signal?.aborted === true) throw asError(signal.reason)
      const { errors } = error as AggregateError
      throw new AggregateError(errors, `No server has carried out ${shown(name)}: ${errors.map(one => asError(one).message).join(' ') || 'none was asked.'}`)
    } finally {
      unheed()
      over.abort()
    }
  }

  /** Call a method at the server that holds a spark. */
  async apply(spark: unknown, name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const id = idOf(spark)
    const { question, patience } = this.#understood(name, args, options, ['timeout', 'signal'], id)
    return askHolder(this.cluster, id, patience.deadline, (address, here) => this.questions.ask(address, question, patience, here), patience.signal)
  }

  #understood(name: unknown, args: unknown, options: unknown, allowed?: readonly string[], spark?: string): { question: Question; terms: Terms; patience: Patience } {
    const given = args ?? []
    if (!Array.isArray(given)) throw new TypeError(`metroplex: the arguments of a call must be an array; given: ${shown(args)}.`)
    const detail = spark === undefined ? [nameOf('method', name)] : [nameOf('method', name), spark]
    const terms = termsOf(options, { timeout: this.timeout, self: true }, allowed)
    const patience = { deadline: now() + terms.timeout, signal: terms.signal }
    return { question: { kind: CALL, detail, message: parcel(given) }, terms, patience }
  }

  #prepare({ detail, value, from, local, signal }: Task): () => unknown {
    const [name, id] = Array.isArray(detail) ? detail as unknown[] : []
    const named = typeof name === 'string' && (id === undefined || typeof id === 'string')
    if (!named || !Array.isArray(value)) throw new MetroplexError('EPROTOCOL', 'A call must name its method, and have a list of arguments.')
    const { own: address, primus } = this.cluster
    const method = this.#methods.get(name)
    if (method === undefined) throw new MetroplexError('ENOMETHOD', `${address} has no method of the name ${shown(name)}.`)
    const spark = id === undefined ? undefined : this.cluster.spark(id)
    if (id !== undefined && spark === undefined) throw unheld(id)
    const context: MethodContext = { from, address, local, signal, ...primus && { primus }, ...spark && { spark } }
    const args = value as unknown[]
    return async () => {
      try {
        return await method.call(context, ...args as never[])
      } catch (error) {
        const { message, cause } = failed(error)
        throw new MetroplexError('EREMOTE', message, { cause })
      }
    }
  }
}
