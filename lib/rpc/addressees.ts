import { now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Patience } from './caller'
import type { CallTerms } from './call-options'

/** The servers of the cluster, for questions to all of them. */
export interface KnownServers {
  /** The own address, also while the server only tries to register it; `''` while there is none. */
  readonly own: string
  /** The addresses of all live peers; the last known ones when Redis does not answer within `ms`. */
  peers(ms: number): Promise<string[]>
}

/** A server to ask. */
export interface Addressee {
  readonly address: string
  /** Whether this process is that server. */
  readonly here?: boolean
}

/** The servers that a question is for: all, or those of `to`. `failure` says why not all of them are known. */
export async function allServers(
  cluster: KnownServers,
  { to, self }: CallTerms,
  { deadline, signal }: Patience
): Promise<{ servers: readonly Addressee[]; failure?: Error }> {
  if (to !== undefined) return { servers: to.map(address => ({ address })) }
  const { own } = cluster
  const ownServer = self && own !== '' ? [{ address: own, here: true }] : []
  const left = deadline - now()
  try {
    // The other half of the time is for the question itself.
    const peers = await withTimeout(
      cluster.peers(left / 2),
      left,
      () => new MetroplexError('EREGISTRY', 'Redis did not answer within the deadline which other servers there are.'),
      signal
    )
    return {
      servers: [
        ...ownServer,
        ...peers.filter(address => ownServer.length === 0 || address !== own).map(address => ({ address }))
      ]
    }
  } catch (error) {
    return { servers: ownServer, failure: asError(error) }
  }
}
