import { now } from '../common/async'
import { ignore } from '../common/callback'
import { asError, MetroplexError } from '../common/errors'
import type { GroupSpark } from '../common/types'
import type { Patience, RpcCaller } from '../rpc/caller'
import { askOwner, type SparkLocator } from '../rpc/spark-owner'
import { tooOld, type GroupCluster } from './group-changes'
import { GROUPS_OF, LIST, NO_ARGUMENTS, page, PAGE, type LocalGroups, type SparkPage } from './group-questions'

/** What lists of groups use of the cluster. */
export type ListedCluster = SparkLocator & Pick<GroupCluster, 'serversOf' | 'knowsGroups'>

/** A page of sparks, or why a server could not be read. */
type Read = { readonly sparks: GroupSpark[] } | { readonly failure: Error }

/** Lists the sparks of groups, and the groups of sparks, on whichever server they are. */
export class GroupLists {
  constructor(
    private readonly caller: RpcCaller,
    private readonly local: LocalGroups,
    private readonly cluster: ListedCluster,
    /** Deadline of a question, in ms. */
    private readonly timeout: number
  ) {}

  /**
   * The sparks in a group, page by page: those of this server, then those of all others at the same time.
   *
   * @param terms `timeout` bounds each page
   * @throws AggregateError at the end, when a server could not be read; the signal's reason
   */
  async *sparksIn(
    group: string,
    { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal | undefined }
  ): AsyncGenerator<GroupSpark, void, undefined> {
    signal?.throwIfAborted()
    const { own } = this.cluster
    for (let after = ''; ;) {
      const sparks = page(this.local, group, after, PAGE)
      for (const [spark, user] of sparks) yield { spark, user, address: own }
      if (sparks.length < PAGE) break
      after = sparks.at(-1)?.[0] ?? ''
    }
    const [servers = []] = await this.cluster.serversOf([group], timeout)
    const failures: Error[] = []
    const pages = servers.map(address => this.#pages(address, group, timeout, signal))
    for await (const read of together(pages)) {
      if ('failure' in read) failures.push(read.failure)
      else yield* read.sparks
      signal?.throwIfAborted()
    }
    if (failures.length > 0)
      throw new AggregateError(
        failures,
        `Not all sparks of the group could be listed: ${failures.map(({ message }) => message).join(' ')}`
      )
  }

  /** The groups of a spark; none for a spark that no server holds. */
  async groupsOf(id: string): Promise<string[]> {
    const own = this.local.of(id)
    if (own !== undefined) return [...own]
    const deadline = now() + this.timeout
    const question = { kind: GROUPS_OF, detail: id, message: NO_ARGUMENTS }
    try {
      const groups = await askOwner(this.cluster, id, deadline, (address, here) => {
        if (here !== true && !this.cluster.knowsGroups(address)) throw tooOld(address)
        return this.caller.ask(address, question, { deadline }, here)
      })
      return groups as string[]
    } catch (error) {
      if (error instanceof MetroplexError && error.code === 'ENOSPARK') return []
      throw error
    }
  }

  /** The pages of one server. A failure is the last of them. */
  async *#pages(
    address: string,
    group: string,
    timeout: number,
    signal: AbortSignal | undefined
  ): AsyncGenerator<Read, void, undefined> {
    try {
      if (!this.cluster.knowsGroups(address)) throw tooOld(address)
      const ask = (after: string): Promise<SparkPage> => {
        const patience: Patience = { deadline: now() + timeout, signal }
        const question = { kind: LIST, detail: [group, after, PAGE], message: NO_ARGUMENTS }
        return this.caller.ask(address, question, patience) as Promise<SparkPage>
      }
      let sparks: SparkPage
      for (let after = ''; ; after = sparks.at(-1)?.[0] ?? '') {
        sparks = await ask(after)
        yield { sparks: sparks.map(([spark, user]) => ({ spark, user, address })) }
        if (sparks.length < PAGE) return
      }
    } catch (error) {
      yield { failure: asError(error) }
    }
  }
}

/** What several generators yield, as soon as it is there; each is one step ahead. */
async function* together<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[]
): AsyncGenerator<T, void, undefined> {
  const open = new Map(sources.map(source => [source, step(source)]))
  try {
    while (open.size > 0) {
      const { source, next } = await Promise.race(open.values())
      if (next.done === true) {
        open.delete(source)
        continue
      }
      open.set(source, step(source))
      yield next.value
    }
  } finally {
    for (const source of open.keys()) source.return().catch(ignore)
  }
}

async function step<T>(
  source: AsyncGenerator<T, void, undefined>
): Promise<{ source: typeof source; next: IteratorResult<T, void> }> {
  return { source, next: await source.next() }
}
