import { deferred, now } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { EventContext, Failure, Handler, Result } from '../types'
import { parcel, type Answers, type Task } from './answers'
import { failed } from './calls'
import type { Questions } from './questions'
import { functionOf, nameOf, termsOf } from './terms'
import { isTold, revived, told, type Told } from './told'

/** What events ask of the cluster. */
export interface EventsCluster {
  /** Our own address; `''` while we have none. */
  readonly self: string
  /** The addresses of all peers that live. */
  peers(): Promise<string[]>
}

/** What has come of an event at one server. */
interface Handled {
  /** How many handlers have settled well. */
  readonly handled: number
  readonly failed: readonly Told[]
}

/** Of questions that tell of an event: its type. */
const EVENT = 'event'

/** What stands in `failed` for the registry, which has no address of a server. */
const REGISTRY = ''

/**
 * Events between servers: handlers of ours, and what others are told.
 *
 * All handlers of an event begin in the order in which they were subscribed, and events of one sender in the order in which they were published;
 * one that fails, or takes its time, concerns no other.
 */
export class Events {
  readonly #handlers = new Map<string, Set<{ readonly handler: Handler }>>()
  /** The last event, until it has been handed to all servers. */
  #turn: Promise<void> = Promise.resolve()

  constructor(
    private readonly questions: Questions,
    answers: Answers,
    private readonly cluster: EventsCluster,
    /** How long handlers are waited for, in ms. */
    private readonly timeout: number
  ) {
    answers.handle(EVENT, task => this.#prepare(task))
  }

  /** Call a function for each event of a type. @returns what ends that */
  subscribe(type: unknown, handler: unknown): () => void {
    const wanted = nameOf('type', type)
    // A function that is subscribed twice is called twice.
    const subscription = { handler: functionOf('a handler', handler) as Handler }
    const handlers = this.#handlers.get(wanted) ?? new Set()
    this.#handlers.set(wanted, handlers.add(subscription))
    return () => {
      handlers.delete(subscription)
      if (handlers.size === 0 && this.#handlers.get(wanted) === handlers) this.#handlers.delete(wanted)
    }
  }

  /** Tell servers of an event; resolves when their handlers have settled. */
  async publish(type: unknown, data: unknown, options: unknown): Promise<Result> {
    const question = { kind: EVENT, detail: nameOf('type', type), message: parcel([data]) }
    const { timeout, signal, to, self } = termsOf(options, { timeout: this.timeout, self: false })
    const deadline = now() + timeout
    const sum = { send: 0, failed: [] as Failure[] }
    const fail = (address: string, error: Error): void => { sum.failed.push(failure(address, error)) }
    // Who there is may be known sooner for a later event, which must not overtake this one.
    const turn = this.#turn
    const handed = deferred<undefined>()
    this.#turn = handed.promise
    let servers: readonly string[] = to ?? (self && this.cluster.self !== '' ? [this.cluster.self] : [])
    if (to === undefined) {
      await this.cluster.peers().then(peers => { servers = [...servers, ...peers] }, (error: unknown) => { fail(REGISTRY, asError(error)) })
    }
    await turn
    const telling = servers.map(async address => {
      try {
        const { handled, failed } = understood(address, await this.questions.ask(address, question, { deadline, signal }))
        sum.send += handled
        for (const one of failed) fail(address, revived(address, one, true))
      } catch (error) {
        fail(address, asError(error))
      }
    })
    handed.resolve(undefined)
    await Promise.all(telling)
    return { ok: sum.failed.length === 0, send: sum.send, ...sum.failed.length > 0 && { failed: sum.failed } }
  }

  #prepare({ detail, value, from, local, signal }: Task): () => unknown {
    if (typeof detail !== 'string' || !Array.isArray(value)) throw new MetroplexError('EPROTOCOL', 'An event must have a type, and its data in a list.')
    const handlers = [...this.#handlers.get(detail) ?? []]
    const [data] = value as unknown[]
    const context: EventContext = { type: detail, from, address: this.cluster.self, local, signal }
    return async (): Promise<Handled> => {
      const settled = await Promise.allSettled(handlers.map(async ({ handler }) => { await handler(data as never, context) }))
      const failures = settled.filter(one => one.status === 'rejected')
      return { handled: settled.length - failures.length, failed: failures.map(({ reason }) => told(failed(reason))) }
    }
  }
}

function failure(address: string, error: Error): Failure {
  const { code, maybe } = error instanceof MetroplexError ? error : { code: 'ECLOSED' as const, maybe: true }
  return { address, code, message: error.message, maybe: maybe === true }
}

function understood(address: string, value: unknown): Handled {
  const { handled, failed } = (value ?? {}) as Partial<Handled>
  if (typeof handled === 'number' && Array.isArray(failed) && failed.every(isTold)) return { handled, failed }
  throw new MetroplexError('EPROTOCOL', `${address} answered an event with something else.`, { address, maybe: true })
}
