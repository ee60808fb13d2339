import { priceOf, sum, type Cost, type Operation, type Prices, type Costs } from './costs'

/** Servers and what they do in an ordinary hour. */
export interface Fleet {
  readonly servers: number
  readonly sparks: number
  /** How long a spark stays, in seconds, on the average. */
  readonly lifetime: number
  /**
   * Questions where a spark is, a second, of all servers together: each forward to a spark of another server is one.
   */
  readonly lookups: number
  /** How many of them travel together. @default 1 */
  readonly together?: number
  /** In seconds. */
  readonly lease: number
  /** Whether it has been there for longer than the ten leases in which no server audits. @default true */
  readonly settled?: boolean
}

/** Where the registry lies. */
export interface Deployment {
  /** 1 for a single Redis. */
  readonly masters: number
  readonly shards: number
  readonly prices: Prices
}

/** A second's work for Redis in one registry, and how often it is done. */
export type Load = readonly (readonly [times: number, cost: Cost])[]

/** Entries on a page of the audit of all entries, and the most ids in a commit. */
export const SLICE = 500
const LEASES_PER_AUDIT = 20

/** A deployment with the prices that were measured where it comes nearest. */
export function deployment({ prices }: Pick<Costs, 'prices'>, masters: number, shards: number): Deployment {
  return { masters, shards, prices: prices[shards === 1 ? 'one' : shards <= 8 ? 'cluster4' : 'cluster16'] }
}

/** How many registries the busiest master has. */
export function registriesOf({ masters, shards }: Deployment): number {
  return Math.ceil(shards / masters)
}

/** From one beat to the next, in seconds. */
export function periodOf({ lease }: Pick<Fleet, 'lease'>): number {
  return lease / 3
}

/** What one registry has to do in a second for so many servers that live and so many entries, when nothing happens. */
export function background(
  fleet: Fleet,
  { shards, prices }: Deployment,
  servers: number,
  entries: number
): { sweeps: Load; audits: Load; lookups: Load } {
  const price = (operation: Operation, n = 1): Cost => priceOf(prices, operation, n)
  const every = LEASES_PER_AUDIT * fleet.lease
  const { together = 1, lookups, settled = true } = fleet
  // Two lists and all leases, which travel with a beat.
  const survey = sum([2, price('listed', servers)], [1 / 2, price('vitals', servers)])
  return {
    sweeps: [[1 / periodOf(fleet), { ...survey, commands: 3, trips: 0 }]],
    audits: !settled
      ? []
      : [
          [entries / every, price('audit')],
          // The turn is free again after half of the time; the more servers there are, the sooner one takes it.
          [entries / SLICE / (every * (0.5 + 0.5 / servers)), price('stray', ownersOnPage(servers))]
        ],
    lookups: [[lookups / together / shards, price('lookup', together)]]
  }
}

/** Of how many servers the entries on a page are, when each has as many as any other. */
function ownersOnPage(servers: number): number {
  return servers * (1 - (1 - 1 / servers) ** SLICE)
}

/** Bytes of the memory of the busiest master. */
export function memoryOf(where: Deployment, servers: number, entries: number): number {
  const { spark, server, connection } = where.prices.memory
  const registries = registriesOf(where)
  return registries * ((entries / where.shards) * spark + servers * server) + connectionsOf(where, servers) * connection
}

/**
 * Connections of servers to the busiest master; besides, each server has its own client. On one Redis all registries
 * share one.
 */
export function connectionsOf(where: Deployment, servers: number): number {
  return servers * (where.masters === 1 ? 1 : registriesOf(where))
}
