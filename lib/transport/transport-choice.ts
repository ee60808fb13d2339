import { randomBytes } from 'node:crypto'
import type { Transport } from '../common/transport-contract'
import type { Settings } from '../common/options'
import { ApplicationTransport } from './application-transport'
import { HttpTransport } from './http/http'
import type { ReceptionTransport } from './receiving/reception-contract'
import { RedisTransport } from './redis/redis'

/** What a transport needs to know of the cluster. */
export interface TransportCluster {
  /** The path of Primus. */
  readonly pathname: string
  /** The namespace of the first shard; that of the registry when there is only one. */
  readonly first: string
  /** Whether the lease of a server runs, as Redis says now. */
  alive(address: string): Promise<boolean>
}

/** What a transport reports. */
export interface TransportReports {
  /** A background operation failed. It is retried. */
  failed(error: Error): void
  /** `trouble` changed: messages pass again, or no longer pass. */
  changed(): void
}

/** Create the transport that the settings choose. That of an application exists already. */
export function chooseTransport(
  settings: Settings,
  nodeId: string,
  cluster: TransportCluster,
  reports: TransportReports
): ReceptionTransport {
  const { redis, name, timeout, maxBody, tls } = settings
  if (settings.transport === 'http')
    return new HttpTransport({ pathname: () => cluster.pathname, tls, timeout, maxBody })
  if (settings.transport !== 'redis') return new ApplicationTransport(settings.transport as Transport)
  return new RedisTransport({
    redis,
    namespace: cluster.first,
    nodeId,
    processName: name,
    timeout,
    maxBody,
    alive: address => cluster.alive(address),
    failed: error => {
      reports.failed(error)
    },
    changed: () => {
      reports.changed()
    }
  })
}

/**
 * An address that nothing resolves, for a server that no peer reaches by its address: it is only an id then. `''` where
 * peers need the real one.
 */
export function unresolvableAddress({ address, shares, transport }: Settings): string {
  if (address !== '' || transport === 'http' || (transport !== 'redis' && !shares)) return ''
  // The reserved name `.invalid` never resolves (RFC 2606). A private address would not be unique: platforms reuse
  // the same ones on many machines, and workers share one.
  return `http://${randomBytes(12).toString('hex')}.invalid`
}
