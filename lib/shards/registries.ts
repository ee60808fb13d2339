import { isCluster } from '../common/ioredis-client'
import { Registry } from '../registry/registry'
import { namespaces } from '../registry/sharding'
import type { RedisClient } from '../common/types'

/** Where the registries are, and limits of their operations. */
export interface RegistriesTerms {
  readonly redis: RedisClient
  readonly namespace: string
  /** The number of shards. */
  readonly shards: number
  /** Deadline of an operation, in ms. */
  readonly timeout: number
  /** The name of this process for operators, as in `CLIENT LIST` of Redis. */
  readonly name: string
  /** How long the last spark of a user or group may be gone until that has ended, in ms. */
  readonly grace?: number | undefined
}

/** What `Registries` reports. */
export interface RegistriesEvents {
  /** The connection of these registries is up again. They are named by their index. */
  ready(registries: readonly number[]): void
  /** The connection of these registries is lost. @param again whether that was reported, and it worked only briefly */
  lost(registries: readonly number[], error: Error, again: boolean): void
  /** A setting of Redis endangers a registry. */
  endangered(error: Error): void
}

/** The registries of all shards, on connections that are opened by their first commands. */
export class Registries {
  /** The registry of the plain namespace, which keeps the layout. */
  readonly base: Registry
  readonly all: readonly Registry[]
  /** One registry of each connection. */
  readonly #connected: ReadonlySet<Registry>
  /** The namespaces of the connections whose Redis is known to endanger a registry. */
  readonly #endangered = new Set<string>()

  constructor(
    { redis, namespace, shards, timeout, name: processName, grace }: RegistriesTerms,
    events: RegistriesEvents
  ) {
    const open = (name: string, registries: readonly number[]): Registry =>
      Registry.open(
        redis,
        name,
        { timeout, name: processName, grace },
        {
          ready: () => {
            events.ready(registries)
          },
          lost: (error, again) => {
            events.lost(registries, error, again)
          },
          endangered: error => {
            const { size } = this.#endangered
            this.#endangered.add(name)
            if (size === 0) events.endangered(error)
          },
          secured: () => {
            this.#endangered.delete(name)
          }
        }
      )
    // On Redis Cluster the shards lie on several masters, so each needs a connection of its own.
    const apart = shards > 1 && isCluster(redis)
    const names = namespaces(namespace, shards)
    const base = (this.base = open(namespace, apart ? [] : names.map((_, at) => at)))
    this.all = names.map((name, at) => (apart ? open(name, [at]) : shards === 1 ? base : base.beside(name)))
    this.#connected = new Set(apart ? [base, ...this.all] : [base])
  }

  /** How settings of Redis endanger the registries, in sentences. */
  async dangers(): Promise<string[]> {
    const found = await Promise.all([...this.#connected].map(registry => registry.danger()))
    return [...new Set(found.filter(danger => danger !== undefined))]
  }

  /** Close the connections. */
  close(): void {
    for (const registry of this.all) registry.close()
    this.base.close()
  }
}
