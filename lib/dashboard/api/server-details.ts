import type { ServerStatus } from '../../operations/operator-questions'
import type { ServerView } from '../../survey/cluster-view'
import type { ServerAnswer } from '../wire'

/** What is shown of one server besides its row. @param status what it says of itself, if it answers */
export function detailsOf(
  server: ServerView | undefined,
  status: ServerStatus | undefined
): Pick<ServerAnswer, 'options' | 'figures' | 'latencies'> {
  const { description, life = '', shards = 0 } = server ?? {}
  const registered = { life, protocol: description?.protocol ?? '', registries: String(shards) }
  if (status === undefined) return { options: registered, figures: {}, latencies: {} }
  const { terms, node, uptime, stats } = status
  const { lease, interval, grace } = terms
  const { queued, counters, latencies, sparks, users, groups, disowned, waiting, peers, places, asked, answering } =
    stats
  return {
    options: {
      ...registered,
      node,
      transport: terms.transport,
      shards: String(terms.shards),
      lease: `${lease} ms`,
      interval: `${interval} ms`,
      grace: grace === null ? 'none' : `${grace} ms`
    },
    figures: {
      uptime,
      since: stats.since,
      ...{ sparks, users, groups, disowned, waiting, peers, places, asked, answering },
      queued: queued.messages,
      queuedBytes: queued.bytes,
      ...counters
    },
    latencies: Object.fromEntries(
      Object.entries(latencies).map(([name, { count, p50, p99 }]) => [name, { count, p50, p99 }])
    )
  }
}
