import { MetroplexError } from '../common/errors'
import type { EventContext, Handler } from '../common/types'
import { functionOf, nameOf } from './call-options'
import type { EventOutcome } from './event-publisher'
import { EVENT } from './question'
import { failedOutcome } from './remote-error'
import type { RpcResponder, Task } from './responder'

/**
 * The handlers of this server, and the events that other servers publish to them.
 *
 * Handlers of an event start in the order in which they subscribed. A handler that fails or is slow affects no other.
 */
export class Subscriptions {
  readonly #handlers = new Map<string, Set<{ readonly handler: Handler }>>()

  constructor(
    responder: RpcResponder,
    private readonly ownAddress: () => string
  ) {
    responder.handle(EVENT, task => this.#prepare(task))
  }

  /** Call a function for each event of a type. @returns a function that unsubscribes it */
  subscribe(type: unknown, handler: unknown): () => void {
    const wanted = nameOf('type', type)
    // An object of its own: a function that is subscribed twice is called twice.
    const subscription = { handler: functionOf('a handler', handler) as Handler }
    const handlers = this.#handlers.get(wanted) ?? new Set()
    this.#handlers.set(wanted, handlers.add(subscription))
    return () => {
      handlers.delete(subscription)
      if (handlers.size === 0 && this.#handlers.get(wanted) === handlers) this.#handlers.delete(wanted)
    }
  }

  #prepare({ detail, value, from, local, signal }: Task): () => unknown {
    if (typeof detail !== 'string' || !Array.isArray(value))
      throw new MetroplexError('EPROTOCOL', 'An event must have a type, and its data in a list.')
    const handlers = [...(this.#handlers.get(detail) ?? [])]
    const [data] = value as unknown[]
    const context: EventContext = { type: detail, from, address: this.ownAddress(), local, signal }
    return async (): Promise<EventOutcome> => {
      const settled = await Promise.allSettled(
        handlers.map(async ({ handler }) => {
          await handler(data as never, context)
        })
      )
      const failures = settled.filter(one => one.status === 'rejected')
      return { handled: settled.length - failures.length, failed: failures.map(({ reason }) => failedOutcome(reason)) }
    }
  }
}
