import { MetroplexError } from '../errors'
import type { Healer } from '../registry/healer'
import type { Registry } from '../registry/registry'
import type { Writer } from '../registry/writer'
import type { State } from '../reports'

/** Whom it is read off. */
export interface Witnesses {
  readonly registry: Pick<Registry, 'reachable'>
  readonly writer: Pick<Writer, 'inDoubt'>
  readonly healer: Pick<Healer, 'busy'>
}

/** What is told of it. */
export interface StandingEvents {
  /** Something in the background went wrong, and will be tried again. */
  failed(error: Error): void
  /** We are in another state than before. */
  changed(state: State): void
}

/** How we stand with the registry, and what is told of that: a state when it is another one, and a failure once, until a beat succeeds. */
export class Standing {
  #state: State = 'connecting'
  /** Why the last beat failed; `undefined` when it did not. */
  #failure: Error | undefined
  /** The failure that has been reported last, and not been overcome since. */
  #told = ''
  #ended = false

  constructor(
    private readonly witnesses: Witnesses,
    private readonly registered: () => boolean,
    private readonly events: StandingEvents
  ) {}

  get state(): State {
    return this.#state
  }

  /** Why we are not `ready`, in sentences; empty when we are. */
  get reasons(): string[] {
    const { registry, writer, healer } = this.witnesses
    const reasons: string[] = []
    if (!this.registered()) reasons.push('This server is not registered.')
    if (!registry.reachable) reasons.push('The connection to Redis is down.')
    else if (this.#failure !== undefined) reasons.push(`The last beat failed: ${this.#failure.message}`)
    if (writer.inDoubt || healer.busy) reasons.push('What the registry says of our sparks is being put right.')
    return reasons
  }

  /** See how we stand. */
  look(): void {
    const state = this.reasons.length === 0 ? 'ready' : this.#state === 'connecting' ? 'connecting' : 'degraded'
    this.#become(state)
  }

  /** We have joined: beats of a former life say nothing of this one. */
  joined(): void {
    this.#failure = undefined
  }

  /** We have left: whatever comes next begins anew. */
  left(): void {
    this.#become('connecting')
  }

  /** A beat has succeeded. */
  beaten(): void {
    this.#told = ''
    this.#failure = undefined
  }

  /** A beat has failed. */
  missed(error: Error): void {
    this.#failure = error
    this.look()
    this.tell(error)
  }

  /** Report a failure once, until a beat succeeds; the connection tells of its own troubles. */
  tell(error: Error): void {
    const known = error instanceof MetroplexError && !this.witnesses.registry.reachable
    if (known || this.#ended || error.message === this.#told) return
    this.#told = error.message
    this.events.failed(error)
  }

  /** Tell nothing any more. */
  end(): void {
    this.#ended = true
  }

  #become(state: State): void {
    if (state === this.#state || this.#ended) return
    this.#state = state
    this.events.changed(state)
  }
}
