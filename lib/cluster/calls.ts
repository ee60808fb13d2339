import { now } from '../deadline'
import { asError, MetroplexError, shown } from '../errors'
import { idOf } from '../message'
import type { Called, Method, MethodContext, Primus, Spark } from '../types'
import { parcel, type Answers, type Question, type Task } from './answers'
import { askHolder, unheld, type Located } from './holder'
import type { Questions } from './questions'
import { functionOf, nameOf, termsOf, type Terms } from './terms'

/** What calls ask of the cluster. */
export interface CallsCluster extends Located {
  /** The addresses of all peers that live. */
  peers(): Promise<string[]>
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
    const { question, terms } = this.#understood(name, args, options)
    const deadline = now() + terms.timeout
    const { servers, failure } = await this.#servers(terms)
    const called = await Promise.all(servers.map(async (address): Promise<Called> => {
      try {
        return { address, ok: true, value: await this.questions.ask(address, question, { deadline, signal: terms.signal }) }
      } catch (error) {
        return { address, ok: false, error: asError(error) }
      }
    }))
    return failure === undefined ? called : [...called, { address: '', ok: false, error: failure }]
  }

  /** The first success among servers. The others are told to stop. */
  async first(name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const { question, terms } = this.#understood(name, args, options)
    const deadline = now() + terms.timeout
    const { servers, failure } = await this.#servers(terms)
    const won = new AbortController()
    const signal = terms.signal === undefined ? won.signal : AbortSignal.any([terms.signal, won.signal])
    try {
      return await Promise.any([
        ...servers.map(address => this.questions.ask(address, question, { deadline, signal })),
        ...failure === undefined ? [] : [Promise.reject(failure)]
      ])
    } finally {
      won.abort()
    }
  }

  /** Call a method at the server that holds a spark. */
  async apply(spark: unknown, name: unknown, args: unknown, options: unknown): Promise<unknown> {
    const id = idOf(spark)
    const { question, terms: { timeout, signal } } = this.#understood(name, args, options, ['timeout', 'signal'], id)
    const deadline = now() + timeout
    return askHolder(this.cluster, id, deadline, address => this.questions.ask(address, question, { deadline, signal }))
  }

  #understood(name: unknown, args: unknown, options: unknown, allowed?: readonly string[], spark?: string): { question: Question; terms: Terms } {
    const given = args ?? []
    if (!Array.isArray(given)) throw new TypeError(`metroplex: the arguments of a call must be an array; given: ${shown(args)}.`)
    const detail = spark === undefined ? [nameOf('method', name)] : [nameOf('method', name), spark]
    const terms = termsOf(options, { timeout: this.timeout, self: true }, allowed)
    return { question: { kind: CALL, detail, message: parcel(given) }, terms }
  }

  /** Whom to ask; why not all of them are known, if so. */
  async #servers({ to, self }: Terms): Promise<{ servers: readonly string[]; failure?: Error }> {
    if (to !== undefined) return { servers: to }
    const own = self && this.cluster.self !== '' ? [this.cluster.self] : []
    try {
      return { servers: [...own, ...await this.cluster.peers()] }
    } catch (error) {
      return { servers: own, failure: asError(error) }
    }
  }

  #prepare({ detail, value, from, local, signal }: Task): () => unknown {
    const [name, id] = Array.isArray(detail) ? detail as unknown[] : []
    const named = typeof name === 'string' && (id === undefined || typeof id === 'string')
    if (!named || !Array.isArray(value)) throw new MetroplexError('EPROTOCOL', 'A call must name its method, and have a list of arguments.')
    const { self: address, primus } = this.cluster
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
        throw failed(error)
      }
    }
  }
}

/** What a function of the application's has thrown: whatever it is, it is that function's failure. */
export function failed(thrown: unknown): MetroplexError {
  const error = asError(thrown)
  return new MetroplexError('EREMOTE', error.message === '' ? error.name : error.message, { cause: error })
}
