import { namespace } from './namespace'
import { reservePort } from './ports'
import { startProxy, type TcpProxy } from './proxy'
import { startRedis, type RedisProcess } from './redis'
import { startServer, type ServerOptions, type ServerProcess } from './server'
import { eventually } from './wait'

/** How servers talk to each other. */
export type Transport = 'http' | 'redis'

/** How the three are started. */
export interface TrioOptions {
  /** The options of the same name, beside `transport`. */
  readonly metroplex?: Record<string, unknown>
  /**
   * Whether something stands between each of them and its peers: over HTTP at its address, through Redis between it and
   * Redis.
   *
   * @default false
   */
  readonly ways?: boolean
}

/** Three servers of one cluster, each in a process of its own, for all tests of a suite. */
export class Trio {
  readonly space = namespace()
  /** What stands between each of them and its peers. */
  readonly ways: TcpProxy[] = []
  readonly #servers: ServerProcess[] = []

  private constructor(
    readonly redis: RedisProcess,
    private readonly transport: Transport,
    private readonly metroplex: Record<string, unknown>
  ) {}

  /** Start them; resolves when each knows the others. `stop()` is the duty of the suite's `after` hook. */
  static async start(transport: Transport, { metroplex = {}, ways = false }: TrioOptions = {}): Promise<Trio> {
    const trio = new Trio(await startRedis({ scope: 'suite' }), transport, metroplex)
    for (let i = 0; i < 3; i++)
      trio.#servers.push(ways ? await trio.#behind() : await trio.another({}, { scope: 'suite' }))
    await trio.known(...trio.servers)
    return trio
  }

  get servers(): [ServerProcess, ServerProcess, ServerProcess] {
    return this.#servers as [ServerProcess, ServerProcess, ServerProcess]
  }

  /** Start one more, for one test. */
  async another(metroplex: Record<string, unknown> = {}, more: Partial<ServerOptions> = {}): Promise<ServerProcess> {
    return startServer({
      redis: { url: this.redis.url, namespace: this.space },
      primus: { metroplex: { transport: this.transport, ...this.metroplex, ...metroplex } },
      ...more
    })
  }

  /** Until all know each other. */
  async known(...servers: readonly ServerProcess[]): Promise<void> {
    for (const server of servers) {
      for (const other of servers) {
        if (other !== server) await server.seen('join', { within: 10_000, filter: joined => joined === other.address })
      }
    }
  }

  /** Until none has a question open, or one to answer. */
  async quiet(...servers: readonly ServerProcess[]): Promise<void> {
    for (const server of servers) {
      await eventually(
        async () => {
          const { asked, answering } = (await server.call('metroplex.stats')) as { asked: number; answering: number }
          return asked === 0 && answering === 0
        },
        { within: 10_000, what: `no open question at ${server.address}` }
      )
    }
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await server.stop()
    for (const way of this.ways) await way.stop()
    await this.redis.stop()
  }

  async #behind(): Promise<ServerProcess> {
    const { transport, redis, space } = this
    const port = await reservePort()
    const way = await startProxy({ port: transport === 'http' ? port : redis.port }, { scope: 'suite' })
    this.ways.push(way)
    if (transport === 'redis')
      return this.another({}, { redis: { host: '127.0.0.1', port: way.port, namespace: space }, scope: 'suite' })
    return this.another(
      {},
      {
        port,
        scope: 'suite',
        primus: { address: `http://127.0.0.1:${way.port}`, metroplex: { transport, ...this.metroplex } }
      }
    )
  }
}
