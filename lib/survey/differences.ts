import { pushTo } from '../common/multimap'
import type { ServerStatus } from '../operations/operator-questions'
import type { Answered } from './answers'
import { live, type ClusterView, type ServerView } from './cluster-view'

/** Something in which servers differ that should be alike. */
export interface Difference {
  readonly what: 'version' | 'protocol' | 'transport' | 'lease' | 'interval' | 'grace' | 'shards'
  /** The values, the most frequent one first, and the addresses of the servers with each. */
  readonly values: readonly { readonly value: string; readonly servers: readonly string[] }[]
}

type Statuses = ReadonlyMap<string, Answered<ServerStatus>>

/** The differences between the live servers, as far as the registry and their own answers tell. */
export function differences(view: ClusterView, statuses: Statuses): Difference[] {
  const servers = live(view)
  const terms =
    (of: keyof ServerStatus['terms']) =>
    (server: ServerView): string | undefined => {
      const value = statuses.get(server.address)?.value?.terms[of]
      return value === undefined ? undefined : value === null ? 'none' : String(value)
    }
  const read: [Difference['what'], (server: ServerView) => string | undefined][] = [
    ['version', versionOf],
    ['protocol', ({ description }) => description?.protocol],
    ['transport', ({ description }) => description?.transport],
    ['lease', terms('lease')],
    ['interval', terms('interval')],
    ['grace', terms('grace')],
    ['shards', terms('shards')]
  ]
  return read.flatMap(([what, of]) => {
    const values = new Map<string, string[]>()
    for (const server of servers) {
      const value = of(server)
      if (value !== undefined) pushTo(values, value, server.address)
    }
    if (values.size < 2) return []
    const sorted = [...values].sort(([, a], [, b]) => b.length - a.length)
    return [{ what, values: sorted.map(([value, addresses]) => ({ value, servers: addresses })) }]
  })
}

/** The version of a server; `1.x` where it has none. */
export function versionOf({ description, old }: ServerView): string {
  return old ? '1.x' : (description?.version ?? '')
}
