import type { RedisClient } from '../common/types'
import { createClient, type Client } from '../api/cluster-client'
import { ignore } from '../common/callback'
import { processName } from '../common/options'
import type { Inspection } from '../registry/inspection/inspection'
import type { Registry } from '../registry/registry'
import { Registries } from '../shards/registries'

/** Which cluster, and how to ask it. */
export interface SurveyTerms {
  readonly namespace: string
  /** `undefined`: the one of the environment, or that on which the servers have agreed in Redis. */
  readonly secret: string | undefined
  /** The number of registries; `undefined`: what Redis says. */
  readonly shards: number | undefined
  /** How long to wait for Redis, and for each server, in ms. */
  readonly timeout: number
}

/** By which `CLIENT LIST` of Redis shows the connections of an operator. */
function operatorName(): string {
  return `operator:${processName()}`
}

const UNHEARD = {
  ready: ignore,
  // A command that fails says why.
  lost: ignore,
  endangered: ignore
}

/** The connections of an operator to a cluster. It is never a server. */
export class OperatorSession {
  /** By transport. Most servers may come to use another one while an operator looks on. */
  readonly #clients = new Map<'http' | 'redis', Promise<Client>>()

  private constructor(
    readonly terms: SurveyTerms,
    private readonly redis: RedisClient,
    private readonly registries: Registries
  ) {}

  /**
   * Connect to Redis, as a client of it does.
   *
   * @param redis its options are used; it is not closed
   * @throws MetroplexError `EREGISTRY` when Redis does not answer
   */
  static async open(redis: RedisClient, terms: SurveyTerms): Promise<OperatorSession> {
    const { namespace, timeout } = terms
    const name = operatorName()
    const open = (shards: number): Registries => new Registries({ redis, namespace, shards, timeout, name }, UNHEARD)
    let registries = open(terms.shards ?? 1)
    try {
      const shards = terms.shards ?? (await registries.base.inspection.layout())
      if (shards > 1 && terms.shards === undefined) {
        registries.close()
        registries = open(shards)
      }
    } catch (error) {
      registries.close()
      throw error
    }
    return new OperatorSession(terms, redis, registries)
  }

  /** The registries, one for each shard. */
  get shards(): readonly Registry[] {
    return this.registries.all
  }

  /** As `shards`, for reading. */
  get inspections(): readonly Inspection[] {
    return this.registries.all.map(({ inspection }) => inspection)
  }

  /**
   * A process of the cluster that is no server: it sends, calls and asks. It knows the servers when this resolves.
   *
   * Opens what servers would: only for a namespace in which a server of 2.x is alive, because it writes the secret
   * where there is none.
   */
  client(transport: 'http' | 'redis'): Promise<Client> {
    const known = this.#clients.get(transport)
    if (known !== undefined) return known
    const opened = this.#open(transport)
    this.#clients.set(transport, opened)
    opened.catch(() => {
      // The next question tries again.
      if (this.#clients.get(transport) === opened) this.#clients.delete(transport)
    })
    return opened
  }

  /** Close the connections that it opened. */
  async close(): Promise<void> {
    const clients = [...this.#clients.values()]
    await Promise.all(clients.map(opened => opened.then(client => client.close()).catch(ignore)))
    this.registries.close()
  }

  async #open(transport: 'http' | 'redis'): Promise<Client> {
    const { redis, terms, registries } = this
    const { namespace, timeout, secret } = terms
    const client = createClient({
      redis,
      namespace,
      metroplex: {
        name: operatorName(),
        timeout,
        transport,
        shards: registries.all.length,
        ...(secret !== undefined && { secret })
      }
    })
    try {
      await client.core.shards.agree()
      await client.core.shards.catchUp()
      return client
    } catch (error) {
      client.close().catch(ignore)
      throw error
    }
  }
}
