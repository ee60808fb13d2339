import { deferred, now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Failure, Result } from '../common/types'
import { publishChannel, traced } from '../reporting/tracing'
import { allServers, type KnownServers } from './addressees'
import { nameOf, callTerms } from './call-options'
import type { RpcCaller } from './caller'
import { EVENT, parcel } from './question'
import { isRemoteError, deserializeError, type RemoteError } from './remote-error'

/** How the handlers of one server have settled. */
export interface EventOutcome {
  /** The number of handlers that succeeded. */
  readonly handled: number
  readonly failed: readonly RemoteError[]
}

/** The address in `failed` that stands for the registry. */
const REGISTRY = ''

/** Publishes events to servers, to each in the order of the calls. */
export class EventPublisher {
  /** Resolves when the previous event has been handed to all servers. */
  #previous: Promise<void> = Promise.resolve()

  constructor(
    private readonly caller: RpcCaller,
    private readonly cluster: KnownServers,
    /** How long to wait for handlers by default, in ms. */
    private readonly timeout: number
  ) {}

  /** Publish an event; resolves when all handlers have settled. */
  publish(type: unknown, data: unknown, options: unknown): Promise<Result> {
    return traced(publishChannel, { type }, () => this.#publish(type, data, options))
  }

  async #publish(type: unknown, data: unknown, options: unknown): Promise<Result> {
    const question = { kind: EVENT, detail: nameOf('type', type), message: parcel([data]) }
    const terms = callTerms(options, { timeout: this.timeout, self: false })
    const patience = { deadline: now() + terms.timeout, signal: terms.signal }
    const sum = { send: 0, failed: [] as Failure[] }
    const fail = (address: string, error: Error): void => {
      sum.failed.push(failureOf(address, error))
    }
    // The lookup of the servers may end sooner for a later event, which must not overtake this one.
    const previous = this.#previous
    const handed = deferred<undefined>()
    this.#previous = previous.then(() => handed.promise)
    const { servers, failure } = await allServers(this.cluster, terms, patience)
    if (failure !== undefined) fail(REGISTRY, failure)
    const late = (): Error =>
      new MetroplexError('EDEADLINE', 'Earlier events were not handed over within the deadline.', { maybe: false })
    const refusal = await withTimeout(previous, patience.deadline - now(), late, terms.signal).then(
      () => undefined,
      asError
    )
    const publishing = servers.map(async ({ address, here }) => {
      try {
        if (refusal !== undefined) throw refusal
        const { handled, failed } = outcomeOf(address, await this.caller.ask(address, question, patience, here))
        sum.send += handled
        for (const one of failed) fail(address, deserializeError(address, one, true))
      } catch (error) {
        fail(address, asError(error))
      }
    })
    handed.resolve(undefined)
    await Promise.all(publishing)
    return { ok: sum.failed.length === 0, send: sum.send, ...(sum.failed.length > 0 && { failed: sum.failed }) }
  }
}

function failureOf(address: string, error: Error): Failure {
  // Any other error is the reason of the caller's signal. An abort moves the deadline to now.
  const { code, maybe } = error instanceof MetroplexError ? error : { code: 'EDEADLINE' as const, maybe: true }
  return { address, code, message: error.message, maybe: maybe === true }
}

function outcomeOf(address: string, value: unknown): EventOutcome {
  const { handled, failed } = (value ?? {}) as Partial<EventOutcome>
  if (Number.isSafeInteger(handled) && Array.isArray(failed) && failed.every(isRemoteError))
    return { handled: handled as number, failed }
  throw new MetroplexError('EPROTOCOL', `The answer of ${address} to an event is not that of an event.`, {
    address,
    maybe: true
  })
}
