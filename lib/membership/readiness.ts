import { MetroplexError } from '../common/errors'
import type { Healer } from '../sync/healer'
import type { Registry } from '../registry/registry'
import type { Writer } from '../sync/writer'
import type { State } from '../reporting/types'

/** The parts that determine the state. */
export interface ReadinessSources {
  readonly registry: Pick<Registry, 'reachable' | 'trouble'>
  readonly writer: Pick<Writer, 'inDoubt' | 'postponed'>
  readonly healer: Pick<Healer, 'busy'>
}

/** What `Readiness` reports. */
export interface ReadinessEvents {
  /** A background task failed and will be retried. @param task its name; without one, the error is always reported */
  failed(error: Error, task?: string): void
  /** A background task has succeeded. */
  worked(task: string): void
  /** The state has changed. */
  changed(state: State): void
}

/** The state of this server in one registry, and the reasons for it. */
export class Readiness {
  #state: State = 'connecting'
  /** Why the last beat, or the last attempt to register, failed; `undefined` when it succeeded. */
  #failure: Error | undefined
  /** Whether the connection was lost, and no beat has succeeded since. */
  #unproven = false
  /** Whether Redis has no memory for new entries. */
  #full = false
  #ended = false

  constructor(
    private readonly sources: ReadinessSources,
    private readonly registered: () => boolean,
    private readonly events: ReadinessEvents
  ) {}

  get state(): State {
    return this.#state
  }

  /** Why the state is not `ready`, in sentences; empty when it is. */
  get reasons(): string[] {
    const { registry, writer, healer } = this.sources
    const reasons: string[] = []
    const registered = this.registered()
    if (!registered) reasons.push('This server is not registered.')
    const { trouble } = registry
    if (trouble !== undefined) reasons.push(trouble)
    else if (this.#failure !== undefined) {
      reasons.push(`The last ${registered ? 'beat' : 'attempt to register'} failed: ${this.#failure.message}`)
    } else if (this.#unproven && registered) {
      reasons.push('No beat has succeeded since the connection to Redis was lost.')
    }
    // Without a life there are no entries. A heal follows when it registers.
    if (registered && (writer.inDoubt || healer.busy))
      reasons.push('The entries of this server in the registry are being repaired.')
    if (writer.postponed > 0)
      reasons.push(`${FULL} ${writer.postponed} entries of this server (sparks, users, groups) wait to be registered.`)
    return reasons
  }

  /** What is unusual but need not be a failure, in sentences. */
  get warnings(): string[] {
    return this.#full && this.sources.writer.postponed === 0 ? [FULL] : []
  }

  /** Determine the state anew, and report it when it has changed. */
  evaluate(): void {
    const state = this.reasons.length === 0 ? 'ready' : this.#state === 'connecting' ? 'connecting' : 'degraded'
    this.#become(state)
  }

  /** The connection to Redis is lost. A new one shows with the next beat whether Redis can be used. */
  disconnected(): void {
    this.#unproven = true
    this.evaluate()
  }

  /** This server has joined: a failure of its former life no longer counts. */
  joined(): void {
    this.#failure = undefined
    this.#unproven = false
  }

  /** This server has left: the state is `connecting` again. */
  left(): void {
    this.#failure = undefined
    this.#become('connecting')
  }

  /** A beat has succeeded. */
  beaten(): void {
    this.#failure = undefined
    this.#unproven = false
    this.events.worked(BEAT)
  }

  /** Note whether Redis has memory for new entries. */
  full(full: boolean): void {
    this.#full = full
    if (full) this.report(MEMORY, fullError())
    else if (this.sources.writer.postponed === 0) this.events.worked(MEMORY)
    this.evaluate()
  }

  /** An attempt to register has failed and will be repeated. */
  refused(error: Error): void {
    this.#failure = error
    this.report('join', error)
  }

  /** A beat has failed. */
  missed(error: Error): void {
    this.#failure = error
    this.evaluate()
    this.report(BEAT, error)
  }

  /** Report the failure of a background task, unless the connection is down: the connection reports that itself. */
  report(task: string, error: Error): void {
    const connectionDown = error instanceof MetroplexError && !this.sources.registry.reachable
    if (!connectionDown && !this.#ended) this.events.failed(error, task)
  }

  /** A background task has succeeded. */
  worked(task: string): void {
    this.events.worked(task)
  }

  /** Report nothing any more. */
  end(): void {
    this.#ended = true
  }

  #become(state: State): void {
    if (state === this.#state || this.#ended) return
    this.#state = state
    this.events.changed(state)
  }
}

/** The task whose success shows that the registry works. */
export const BEAT = 'beat'

/** The task that fails while Redis has no memory for new entries. */
export const MEMORY = 'memory'

const FULL = 'Redis is full: it refuses entries that need memory (OOM).'

function fullError(): MetroplexError {
  const cause = Object.assign(new Error("OOM command not allowed when used memory > 'maxmemory'."), {
    name: 'ReplyError'
  })
  const sentence =
    `${FULL} New sparks and users are registered when it has room; leases are renewed, and old entries are removed. ` +
    'Raise `maxmemory`, or delete keys that are not needed.'
  return new MetroplexError('EREGISTRY', sentence, { cause })
}
