import { Registry } from '../registry/registry'
import { namespaces } from '../registry/sharding'
import type { RedisClient } from '../types'

/** Which registries there are, and how they are asked. */
export interface RegistriesTerms {
  readonly redis: RedisClient
  readonly namespace: string
  /** How many there are. */
  readonly shards: number
  /** Bound of a question, in ms. */
  readonly timeout: number
}

/** What happens to the connections. */
export interface RegistriesEvents {
  /** These can be asked again; by their places in the list. */
  ready(registries: readonly number[]): void
  /** These cannot be asked any more. */
  lost(registries: readonly number[], error: Error): void
}

/** The registries of a cluster, on connections that their first questions open. */
export class Registries {
  /** The one that all servers agree in upon how many there are. */
  readonly base: Registry
  readonly all: readonly Registry[]

  constructor({ redis, namespace, shards, timeout }: RegistriesTerms, events: RegistriesEvents) {
    const open = (name: string, registries: readonly number[]): Registry => Registry.open(redis, name, { timeout }, {
      ready: () => { events.ready(registries) },
      lost: error => { events.lost(registries, error) }
    })
    // On Redis Cluster they lie on several masters, of which one may be away while the others serve us.
    const apart = shards > 1 && 'isCluster' in redis && redis.isCluster === true
    const names = namespaces(namespace, shards)
    const base = this.base = open(namespace, apart ? [] : names.map((_, at) => at))
    this.all = names.map((name, at) => apart ? open(name, [at]) : shards === 1 ? base : base.beside(name))
  }

  /** Close the connections. */
  close(): void {
    for (const registry of this.all) registry.close()
    this.base.close()
  }
}
