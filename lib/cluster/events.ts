import { deferred, now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { EventContext, Failure, Handler, Result } from '../types'
import { parcel, type Answers, type Task } from './answers'
import { everybody, type Everybody } from './everybody'
import type { Questions } from './questions'
import { functionOf, nameOf, termsOf } from './terms'
import { failed, isTold, revived, type Told } from './told'

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
    private readonly cluster: Everybody,
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
    const terms = termsOf(options, { timeout: this.timeout, self: false })
    const patience = { deadline: now() + terms.timeout, signal: terms.signal }
    const sum = { send: 0, failed: [] as Failure[] }
    const fail = (address: string, error: Error): void => { sum.failed.push(failure(address, error)) }
    // Who there is may be known sooner for a later event, which must not overtake this one.
    const turn = this.#turn
    const handed = deferred<undefined>()
    this.#turn = turn.then(() => handed.promise)
    const { servers, failure: unknown } = await everybody(this.cluster, terms, patience)
    if (unknown !== undefined) fail(REGISTRY, unknown)
    const late = (): Error => new MetroplexError('EDEADLINE', 'Earlier events were not handed over within the deadline.', { maybe: false })
    const refusal = await within(turn, patience.deadline - now(), late, terms.signal).then(() => undefined, asError)
    const telling = servers.map(async ({ address, here }) => {
      try {
        if (refusal !== undefined) throw refusal
        const { handled, failed } = understood(address, await this.questions.ask(address, question, patience, here))
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
    const context: EventContext = { type: detail, from, address: this.cluster.own, local, signal }
    return async (): Promise<Handled> => {
      const settled = await Promise.allSettled(handlers.map(async ({ handler }) => { await handler(data as never, context) }))
      const failures = settled.filter(one => one.status === 'rejected')
      return { handled: settled.length - failures.length, failed: failures.map(({ reason }) => failed(reason)) }
    }
  }
}

function failure(address: string, error: Error): Failure {
  // Who gives it up has moved the deadline to now.
  const { code, maybe } = error instanceof MetroplexError ? error : { code: 'EDEADLINE' as const, maybe: true }
  return { address, code, message: error.message, maybe: maybe === true }
}

function understood(address: string, value: unknown): Handled {
  const { handled, failed } = (value ?? {}) as Partial<Handled>
  if (Number.isSafeInteger(handled) && Array.isArray(failed) && failed.every(isTold)) return { handled: handled as number, failed }
  throw new MetroplexError('EPROTOCOL', `${address} answered an event with something else.`, { address, maybe: true })
}
