import { createClient, type Client } from '../../api/cluster-client'
import { ignore } from '../../common/callback'
import type { Inspection } from '../../registry/inspection/inspection'
import type { Registry } from '../../registry/registry'
import { Registries } from '../../shards/registries'
import { openRedis } from './redis-url'
import type { ConnectionTerms } from './connection-options'

/** How long closing may take before the process ends all the same, in ms. */
const LINGER = 1000

const UNHEARD = {
  ready: ignore,
  // A command that fails says why.
  lost: ignore,
  endangered: ignore
}

/** The connections of one command to a cluster. It is never a server. */
export class OperatorSession {
  #client: Client | undefined

  private constructor(
    readonly terms: ConnectionTerms,
    private readonly redis: ReturnType<typeof openRedis>,
    private readonly registries: Registries
  ) {}

  /** Connect to Redis. @throws MetroplexError `EREGISTRY` when it does not answer */
  static async open(terms: ConnectionTerms): Promise<OperatorSession> {
    const { namespace, timeout } = terms
    const redis = openRedis(terms.redis, terms.source)
    // Its failures are those of the commands. Without a listener, ioredis would print them, and it warns of a user
    // without +info, which `metroplex doctor` finds.
    redis.on('error', ignore)
    console.warn = ignore
    const open = (shards: number): Registries => new Registries({ redis, namespace, shards, timeout }, UNHEARD)
    let registries = open(terms.shards ?? 1)
    try {
      const shards = terms.shards ?? (await registries.base.inspection.layout())
      if (shards > 1 && terms.shards === undefined) {
        registries.close()
        registries = open(shards)
      }
    } catch (error) {
      registries.close()
      redis.disconnect()
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
  async client(transport: 'http' | 'redis'): Promise<Client> {
    if (this.#client !== undefined) return this.#client
    const { redis, terms, registries } = this
    const { namespace, timeout, secret } = terms
    const client = createClient({
      redis,
      namespace,
      metroplex: {
        timeout,
        transport,
        shards: registries.all.length,
        ...(secret !== undefined && { secret })
      }
    })
    this.#client = client
    await client.core.shards.agree()
    await client.core.shards.catchUp()
    return client
  }

  /** Close all connections. The process then ends by itself, and soon in any case. */
  async close(): Promise<void> {
    setTimeout(() => process.exit(), LINGER).unref()
    await this.#client?.close().catch(ignore)
    this.registries.close()
    this.redis.disconnect()
  }
}
