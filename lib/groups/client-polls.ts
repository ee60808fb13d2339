import { deferred, now, onAbort, withTimeout } from '../common/async'
import { asError, inspectValue, MetroplexError } from '../common/errors'
import { groupsOf, idOf, idsOf, usersOf } from '../common/names'
import type { ClientReply, UserPlace } from '../common/types'
import { whole } from '../common/validate'
import { callTerms } from '../rpc/call-options'
import type { ClientRequests } from '../rpc/client-requests'
import type { GroupLists } from './group-lists'

/** Where requests to many find their sparks. */
export interface RequestedCluster {
  /** The ids of the owned sparks of a user on this server. */
  ownOf(user: string): readonly string[]
  sparksOf(users: readonly string[]): Promise<readonly UserPlace[]>
}

/** What a request to many is for: ids, users or groups. */
type Targets = { readonly ids: string[] } | { readonly users: string[] } | { readonly groups: string[] }

/** How long to wait, and for how many. */
interface Terms {
  /** For all replies together, in ms. */
  readonly timeout: number
  /** By `performance.now()`. */
  readonly deadline: number
  readonly signal: AbortSignal
}

/** A request to many clients, under way. */
class Poll {
  /** Replies that were not taken yet. */
  #replies: ClientReply[] = []
  readonly #asked = new Set<string>()
  #open = 0
  #listed = false
  #news = deferred<undefined>()
  /** Why not all sparks could be found. */
  failure: Error | undefined

  constructor(private readonly ask: (id: string) => Promise<unknown>) {}

  /** Ask the client of a spark, unless it was asked. */
  add(id: string): void {
    if (this.#asked.has(id)) return
    this.#asked.add(id)
    this.#open++
    const settled = (reply: ClientReply): void => {
      this.#open--
      this.#replies.push(reply)
      this.#wake()
    }
    this.ask(id).then(
      value => {
        settled({ spark: id, ok: true, value })
      },
      (error: unknown) => {
        settled({ spark: id, ok: false, error: asError(error) })
      }
    )
  }

  /** All sparks were added, or could not be found. */
  end(failure?: Error): void {
    this.failure = failure
    this.#listed = true
    this.#wake()
  }

  /** The signal was aborted. */
  interrupt(): void {
    this.#wake()
  }

  /** The replies since the last time; `undefined` when there are no more. Waits until there is something to say. */
  async next(): Promise<readonly ClientReply[] | undefined> {
    const replies = this.#replies
    if (replies.length === 0) {
      if (this.#listed && this.#open === 0) return undefined
      await this.#news.promise
      this.#news = deferred()
    }
    const taken = this.#replies
    this.#replies = []
    return taken
  }

  #wake(): void {
    this.#news.resolve(undefined)
  }
}

/** Asks many clients, on whichever servers their sparks are, and hands their replies on as they come. */
export class ClientPolls {
  constructor(
    private readonly requests: Pick<ClientRequests, 'ask' | 'message'>,
    private readonly lists: Pick<GroupLists, 'sparksIn'>,
    private readonly cluster: RequestedCluster,
    /** How long to wait for replies by default, in ms. */
    private readonly timeout: number
  ) {}

  /**
   * Ask the clients of sparks, each once, and yield their replies as they come.
   *
   * @throws at the end, when not all sparks could be found; the reason of the signal, when it is aborted
   */
  async *ask(to: unknown, msg: unknown, options: unknown): AsyncGenerator<ClientReply, void, undefined> {
    const targets = targetsOf(to)
    const { timeout, signal } = callTerms(options, { timeout: this.timeout, self: true }, [
      'timeout',
      'signal',
      'enough'
    ])
    const enough = enoughOf(options)
    const message = this.requests.message(msg)
    signal?.throwIfAborted()
    const over = new AbortController()
    const terms = { timeout, deadline: now() + timeout, signal: over.signal }
    const poll = new Poll(id => this.requests.ask(id, message, terms))
    const removeListener = onAbort(signal, () => {
      over.abort(signal?.reason)
      poll.interrupt()
    })
    try {
      this.#find(targets, terms, poll).then(
        () => {
          poll.end()
        },
        (error: unknown) => {
          poll.end(asError(error))
        }
      )
      let good = 0
      for (let replies; (replies = await poll.next()) !== undefined;) {
        signal?.throwIfAborted()
        for (const reply of replies) {
          yield reply
          if (reply.ok && ++good >= enough) return
        }
      }
      if (poll.failure !== undefined) throw poll.failure
    } finally {
      removeListener()
      over.abort(new MetroplexError('ECLOSED', 'No more replies are waited for.'))
    }
  }

  /** Adds the sparks to the poll, as they are found. */
  async #find(targets: Targets, terms: Terms, poll: Poll): Promise<void> {
    if ('ids' in targets) for (const id of targets.ids) poll.add(id)
    else if ('users' in targets) await this.#users(targets.users, terms, poll)
    else await this.#groups(targets.groups, terms, poll)
  }

  async #users(users: readonly string[], { deadline, signal }: Terms, poll: Poll): Promise<void> {
    for (const user of users) for (const id of this.cluster.ownOf(user)) poll.add(id)
    const late = (): Error => new MetroplexError('EREGISTRY', 'Redis did not answer within the deadline.')
    const found = await withTimeout(this.cluster.sparksOf(users), Math.max(0, deadline - now()), late, signal)
    for (const { spark } of found) poll.add(spark)
  }

  async #groups(groups: readonly string[], { timeout, signal }: Terms, poll: Poll): Promise<void> {
    const listing = groups.map(async group => {
      for await (const { spark } of this.lists.sparksIn(group, { timeout, signal })) poll.add(spark)
    })
    const failures: unknown[] = []
    for (const one of await Promise.allSettled(listing)) if (one.status === 'rejected') failures.push(one.reason)
    if (failures.length === 1) throw failures[0]
    if (failures.length > 1)
      throw new AggregateError(failures, `Not all sparks of the groups could be listed: ${sentences(failures)}`)
  }
}

function sentences(failures: readonly unknown[]): string {
  return failures.map(failure => asError(failure).message).join(' ')
}

/** @throws TypeError or RangeError for anything but ids, users or groups */
function targetsOf(to: unknown): Targets {
  if (typeof to !== 'object' || to === null) return { ids: [idOf(to)] }
  if (Array.isArray(to)) return { ids: idsOf(to) }
  const { user, group, ...more } = to as Partial<Record<string, unknown>>
  const both = ('user' in to && 'group' in to) || !('user' in to || 'group' in to)
  if (both || Object.keys(more).length > 0)
    throw new TypeError(
      'metroplex: a request to many is for ids, { user: names } or { group: names }; ' + `given: ${inspectValue(to)}.`
    )
  return 'user' in to ? { users: usersOf(user) } : { groups: groupsOf(group) }
}

/** @throws TypeError or RangeError for anything but a whole number of replies above 0, or Infinity */
function enoughOf(options: unknown): number {
  const { enough } = (options ?? {}) as { enough?: unknown }
  return enough === Infinity ? enough : whole('enough', enough, Infinity, 1, 'replies')
}
