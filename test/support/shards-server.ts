import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { ignore } from '../../lib/common/callback'
import type { Spark } from '../../lib/common/types'
import { Stats } from '../../lib/reporting/stats'
import { Shards } from '../../lib/shards/shards'
import { DESCRIPTION } from './description'
import { using } from './dispose'
import { startProxy, type TcpProxy } from './proxy'
import type { RedisProcess } from './redis'
import { eventually } from './wait'

/** How a server is set up, where a test needs it otherwise. */
export interface ShardsSetting {
  readonly lease?: number
  readonly timeout?: number
  readonly shards?: number
  readonly port?: number
}

/** A server without Primus and transport: its registries, and sparks without sockets. It closes with the test. */
export class ShardsServer {
  readonly shards: Shards
  readonly reaped: string[] = []
  readonly healed: number[] = []
  readonly #sparks = new Map<string, Spark>()

  constructor(
    redis: RedisProcess,
    readonly namespace: string,
    readonly address: string,
    { lease = 1000, timeout = 5000, shards = 1, port = redis.port }: ShardsSetting
  ) {
    this.shards = new Shards(
      {
        redis: new Redis({ host: '127.0.0.1', port, lazyConnect: true }),
        namespace,
        name: 'test',
        shards,
        timeout,
        lease,
        interval: 60_000,
        latency: 2000,
        server: {
          ask: () => Promise.resolve('self'),
          tag: () => '',
          description: () => ({ ...DESCRIPTION, name: address, word: address })
        }
      },
      new Stats(),
      {
        registered: ignore,
        unregistered: ignore,
        joined: ignore,
        left: ignore,
        replaced: ignore,
        settled: ignore,
        buried: ignore,
        changed: ignore,
        failed: ignore,
        healed: count => this.healed.push(count),
        reap: (_address, ids) => this.reaped.push(...ids)
      }
    )
    using(() => this.shards.close())
  }

  connect(id: string = randomUUID()): string {
    const spark = { id, readyState: 1, write: () => true, end: () => undefined }
    this.#sparks.set(id, spark)
    this.shards.sparks.connect(id, spark)
    return id
  }

  disconnect(id: string): void {
    const spark = this.#sparks.get(id)
    this.#sparks.delete(id)
    if (spark !== undefined) this.shards.sparks.disconnect(id, spark)
  }

  /** Whether a spark is connected. */
  holds(id: string): boolean {
    return this.#sparks.has(id)
  }

  /** Until nothing is waiting to be written, and nothing is wrong. */
  async settled(): Promise<void> {
    await eventually(() => this.shards.sparks.waiting === 0 && this.shards.state === 'ready', {
      within: 10_000,
      what: `${this.address} to be at rest`
    })
  }
}

/** Starts servers of one class in one namespace. */
export interface Starter<S> {
  /** A server that is registered at `http://<name>:1`. */
  readonly start: (name: string, setting?: ShardsSetting) => Promise<S>
  /** Behind a network that can be made to fail. */
  readonly exposed: (name: string, setting?: ShardsSetting) => Promise<{ server: S; network: TcpProxy }>
}

/** @param place where servers are started; called at each start */
export function starter<S extends ShardsServer>(
  Server: new (redis: RedisProcess, space: string, address: string, setting: ShardsSetting) => S,
  place: () => { readonly redis: RedisProcess; readonly space: string }
): Starter<S> {
  const start = async (name: string, setting: ShardsSetting = {}): Promise<S> => {
    const { redis, space } = place()
    const server = new Server(redis, space, `http://${name}:1`, setting)
    await server.shards.lives.register(server.address, true)
    return server
  }
  return {
    start,
    exposed: async (name, setting = {}) => {
      const network = await startProxy({ port: place().redis.port })
      return { server: await start(name, { ...setting, port: network.port }), network }
    }
  }
}
