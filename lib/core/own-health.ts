import { HealthCheck } from '../health/health-check'
import { PeerReachability } from '../health/peer-reachability'
import type { State } from '../reporting/types'
import type { Shards } from '../shards/shards'
import type { Gateway } from '../transport/gateway'
import type { Balancing } from './balancing'

/** What the health of a server consists of. */
export interface CheckedServer {
  readonly shards: Shards
  readonly gateway: Gateway
  readonly state: State
  readonly closed: boolean
  readonly balance: Pick<Balancing, 'warning'>
}

/** The check of a server's health. It reads the state of the server at each check. */
export function openHealthCheck(server: CheckedServer): HealthCheck {
  const { shards, gateway } = server
  const reach = new PeerReachability({
    peers: () => shards.peers.addresses,
    description: address => shards.peers.description(address),
    transport: gateway.name,
    delivers: address => gateway.delivers(address),
    ask: gateway.reachedByHttp ? (address, pathname) => gateway.probePeer(address, pathname) : undefined
  })
  return new HealthCheck(
    shards,
    address => (gateway.reachedByHttp ? gateway.probe(address) : Promise.resolve('self')),
    () => server.state,
    () => server.closed,
    reach,
    () => gateway.trouble,
    () => server.balance.warning
  )
}
