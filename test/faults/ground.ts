import type { Cluster, Redis } from 'ioredis'
import type { Metroplex } from '../../index'
import { namespaces, shardOf } from '../../lib/registry/sharding'
import { assume } from '../support/assume'
import { clock, PAUSE, sampleHealth, sampleHere } from '../support/health-log'
import { namespace } from '../support/namespace'
import { SOCKET, startRedis, type RedisProcess } from '../support/redis'
import { openRedis, type RedisTarget } from '../support/redis-target'
import { startServer, type ServerOptions, type ServerProcess } from '../support/server'
import { eventually } from '../support/wait'
import { observed, type Lasting, type Observed } from './health'

/** The lease of the servers here, in ms, and the longest that a crash of theirs may go unnoticed. */
export const LEASE = 1000
export const NOTICED = LEASE + (2 * LEASE) / 3

/** What scheduling two busy cores may add to anything, in ms. */
export const SLACK = 500

/** How long the registry may take to be right, in ms, before something is wrong rather than slow. */
const PATIENCE = 15_000

const none: readonly string[] = []

/** Where a fault is provoked: a Redis of its own, and real servers. */
export class Ground {
  readonly servers: ServerProcess[] = []
  /** The servers whose `health()` is sampled; `undefined` where it is not. */
  observed: Observed[] | undefined
  /** The faults that have kept servers from their work. */
  lasting: Lasting[] = []
  /** Ids without a socket, by server. */
  readonly #crowds = new Map<ServerProcess, Set<string>>()

  readonly #names: readonly string[]
  #client: Redis | Cluster | undefined
  /** How many servers have been started. */
  #starts = 0

  private constructor(
    /** What its users give ioredis. */
    private readonly target: RedisTarget,
    readonly space: string,
    /** Whether there is time for large numbers. */
    readonly long: boolean,
    private readonly ioredis: 5 | 6,
    private readonly single: RedisProcess | undefined,
    /** Into how many the registry is split. */
    private readonly shards: number
  ) {
    this.#names = namespaces(space, shards)
  }

  /** Prepare one on a Redis of its own, which notes every script of more than 10 ms. */
  static async make(long: boolean): Promise<Ground> {
    const redis = await startRedis({
      args: ['--slowlog-log-slower-than', '10000', '--slowlog-max-len', '1024', '--unixsocket', SOCKET]
    })
    return new Ground(redis.target, namespace(), long, 6, redis, Number(process.env['METROPLEX_FAULT_SHARDS'] ?? 1))
  }

  /** Prepare one on some other Redis. */
  static on(target: RedisTarget, space: string, long: boolean, ioredis: 5 | 6): Ground {
    return new Ground(target, space, long, ioredis, undefined, 1)
  }

  /** Prepare one on some other Redis for a row that was given this one. */
  beside(target: RedisTarget, space: string, ioredis: 5 | 6): Ground {
    const other = Ground.on(target, space, this.long, ioredis)
    other.observed = this.observed
    other.lasting = this.lasting
    return other
  }

  /** The one Redis that there is. */
  get redis(): RedisProcess {
    if (this.single === undefined) throw new Error('here is more than one Redis')
    return this.single
  }

  /** A client of that Redis. */
  get client(): Redis | Cluster {
    return (this.#client ??= this.single?.client() ?? openRedis(this.target))
  }

  /** Start a server; `url` if it talks to Redis through something. */
  async start(primus: Record<string, unknown> = {}, more: Partial<ServerOptions> = {}): Promise<ServerProcess> {
    const { metroplex = {}, ...rest } = primus as { metroplex?: object }
    const index = this.#starts++
    const server = await startServer({
      redis: { ...this.target, namespace: this.space },
      ioredis: this.ioredis,
      omega: true,
      primus: { metroplex: { lease: LEASE, timeout: 1000, shards: this.shards, ...metroplex }, ...rest },
      ...more
    })
    this.servers.push(server)
    return this.observe(server, index)
  }

  /**
   * Sample `health()` of a server from now on.
   *
   * @param index the place in the order of starts
   * @param of the global of another Primus in its process
   */
  async observe(server: ServerProcess, index = this.#starts++, of = ''): Promise<ServerProcess> {
    const { observed: all } = this
    if (all === undefined) return server
    all.push(observed(server, index, of))
    // A sample costs some ms of CPU time, which many servers share.
    await sampleHealth(server, of, Math.max(PAUSE, 20 * all.length))
    return server
  }

  /** Until `health()` of a server has been seen to say this, so that the fault does not end before. */
  async untilSaid(server: ServerProcess, sentence: RegExp): Promise<void> {
    const one = this.observed?.find(other => other.server === server)
    if (one === undefined) return
    const sentences = (): string[] => one.said().flatMap(({ reasons, warnings }) => [...reasons, ...warnings])
    await eventually(() => sentences().some(said => sentence.test(said)), {
      within: PATIENCE,
      what: `${one.name} saying ${String(sentence)}`
    })
  }

  /** Sample `health()` of a metroplex in this process. */
  observeHere(metroplex: Metroplex): Metroplex {
    const index = this.#starts++
    const said = sampleHere(metroplex)
    this.observed?.push({ name: `server ${index}`, index, server: undefined, said: () => said })
    return metroplex
  }

  /** From now on, until the function that this returns is called, these servers cannot do their work. */
  disabled(...servers: readonly ServerProcess[]): () => void {
    const began = clock()
    const by = (this.observed ?? []).filter(({ server }) => server !== undefined && servers.includes(server))
    return () => {
      this.lasting.push({ began, ended: clock(), by })
    }
  }

  /** The name of one of the keys: of the registry in which an id lies, or of the first one. */
  key(name: string, id?: string): string {
    return `${this.#names[id === undefined ? 0 : shardOf(id, this.shards)] ?? ''}:${name}`
  }

  /** The names of one key in all registries. */
  keys(name: string): string[] {
    return this.#names.map(of => `${of}:${name}`)
  }

  /** How many of these keys there are, in all registries. */
  existing(...names: readonly string[]): Promise<number> {
    return this.client.exists(...names.flatMap(name => this.keys(name)))
  }

  /** Ids by the registry in which they lie, with the names of its keys. */
  spread(ids: readonly string[]): { name: (key: string) => string; ids: string[] }[] {
    const groups = this.#names.map(of => ({ name: (key: string) => `${of}:${key}`, ids: [] as string[] }))
    for (const id of ids) groups[shardOf(id, this.shards)]?.ids.push(id)
    return groups
  }

  /** All that is registered: ids and addresses. */
  async entries(): Promise<Map<string, string>> {
    const hashes = await Promise.all(this.keys('sparks').map(key => this.client.hgetall(key)))
    return new Map(hashes.flatMap(hash => Object.entries(hash)))
  }

  /** How many sparks are registered. */
  async size(): Promise<number> {
    const sizes = await Promise.all(this.keys('sparks').map(key => this.client.hlen(key)))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  /** Connect sparks without sockets to a server: what a load of clients is to the registry. */
  async crowd(server: ServerProcess, count: number, prefix = `crowd-${this.#crowds.size}`): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, i) => `${prefix}-${i}`)
    for (let i = 0; i < ids.length; i += 10_000) {
      await server.run(
        (primus, part: string[]) => {
          for (const id of part) primus.metroplex.connect({ id, write: () => true, end: () => undefined })
        },
        ids.slice(i, i + 10_000)
      )
    }
    const crowd = this.#crowds.get(server) ?? new Set()
    this.#crowds.set(server, crowd)
    for (const id of ids) crowd.add(id)
    return ids
  }

  /** Disconnect some of those again. */
  async disperse(server: ServerProcess, ids: readonly string[]): Promise<void> {
    await server.run((primus, gone: readonly string[]) => {
      for (const id of gone) primus.metroplex.disconnect({ id, write: () => true, end: () => undefined })
    }, ids)
    for (const id of ids) this.#crowds.get(server)?.delete(id)
  }

  /** The ids that a server says are connected to it, with and without sockets. */
  async held(server: ServerProcess): Promise<string[]> {
    return [...(await server.sparks()), ...(this.#crowds.get(server) ?? none)]
  }

  /**
   * Until the registry says of these servers, and of no others, exactly what they say themselves; what is wrong is in
   * the error.
   */
  async settled(...servers: readonly ServerProcess[]): Promise<void> {
    let wrong: string[] = []
    await eventually(
      async () => {
        wrong = await this.wrong(servers)
        return wrong.length === 0
      },
      { within: PATIENCE, every: 50, what: 'a registry that says what is there' }
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${wrong.join('; ')}`)
    })
  }

  /** Until these servers think themselves that all is right. */
  async ready(...servers: readonly ServerProcess[]): Promise<void> {
    for (const server of servers) {
      await eventually(async () => ((await server.call('metroplex.stats')) as { state: string }).state === 'ready', {
        within: PATIENCE
      })
    }
  }

  /** In what the registry differs from what these servers say themselves, in all its keys; empty when it does not. */
  async wrong(servers: readonly ServerProcess[]): Promise<string[]> {
    const { client } = this
    const addresses = servers.map(({ address }) => address)
    const found: string[] = []
    const same = (what: string, given: readonly string[], expected: readonly string[]): void => {
      const [left, right] = [new Set(given), new Set(expected)]
      const [more, less] = [given.filter(one => !right.has(one)), expected.filter(one => !left.has(one))]
      if (more.length > 0) found.push(`${what} has too much: ${more.length}, ${more.slice(0, 3).join()}`)
      if (less.length > 0) found.push(`${what} lacks: ${less.length}, ${less.slice(0, 3).join()}`)
    }
    for (const key of this.keys('servers')) same('servers', await client.smembers(key), addresses)
    for (const key of this.keys('lives')) same('lives', await client.smembers(key), addresses)
    const sparks: string[] = []
    for (const server of servers) {
      const { address } = server
      const held = await this.held(server)
      for (const { name, ids } of this.spread(held)) {
        same(`the set of ${address}`, await client.smembers(name(`${address}:sparks`)), ids)
        if ((await client.get(name(`${address}:lease`))) !== (await client.hget(name(`${address}:life`), 'id')))
          found.push(`the lease of ${address}`)
      }
      sparks.push(...held.map(id => `${id} ${address}`))
    }
    for (const { name, ids } of this.spread([...(await this.entries()).keys()]))
      same('a registry', await client.hkeys(name('sparks')), ids)
    same(
      'sparks',
      [...(await this.entries())].map(([id, address]) => `${id} ${address}`),
      sparks
    )
    // A Cluster lists the keys of one of its nodes only.
    if (this.single === undefined) return found
    const sets = (await client.keys(`${this.space}*:sparks*`)).filter(
      key => !['', ...addresses.map(address => `${address}:`)].some(of => this.keys(`${of}sparks`).includes(key))
    )
    same('the sets', sets, [])
    return found
  }

  /** What servers told, by an event. */
  told(event: string, ...servers: readonly ServerProcess[]): unknown[][] {
    return servers.flatMap(({ log }) => log.filter(entry => entry.event === event).map(({ args }) => args))
  }

  /** No server is said to have left or died, and no process has had an accident. */
  unharmed(...servers: readonly ServerProcess[]): void {
    assume(this.told('leave', ...servers)).eql([])
    assume(this.told('reap', ...servers)).eql([])
    this.sound(...servers)
  }

  /** No process has had an accident. */
  sound(...servers: readonly ServerProcess[]): void {
    for (const { crashes } of servers) assume(crashes).eql([])
  }

  /** The ids that were named as removed, each as often as it was. */
  reaped(address: string, ...servers: readonly ServerProcess[]): string[] {
    return this.told('reap', ...servers)
      .filter(([of]) => of === address)
      .flatMap(([, ids]) => ids as string[])
  }

  /**
   * How long the slowest of our scripts took since Redis was started, or this was asked last, in ms; 0 for none of 10
   * ms.
   */
  async slowest(): Promise<number> {
    const entries = (await this.client.slowlog('GET', 1024)) as [number, number, number, string[]][]
    await this.client.slowlog('RESET')
    return Math.max(0, ...entries.filter(([, , , [name]]) => /^eval/i.test(name ?? '')).map(([, , us]) => us / 1000))
  }
}

/**
 * The largest delay with which Redis answers a ping, in ms, asked for from a process that does nothing else, until it
 * is told to stop.
 */
export class Witness {
  private constructor(private readonly process: ServerProcess) {}

  /** Start one; it belongs to a cluster of its own. */
  static async start(redis: RedisProcess): Promise<Witness> {
    return new Witness(await startServer({ redis: { url: redis.url, namespace: namespace() } }))
  }

  /** Begin to ping. */
  async watch(): Promise<void> {
    await this.process.run(primus => {
      const { redis } = primus.metroplex as unknown as { redis: { ping(): Promise<string> } }
      const watch = { longest: 0, going: true }
      Object.assign(globalThis, { watch })
      const ping = async (): Promise<void> => {
        while (watch.going) {
          const began = performance.now()
          await redis.ping()
          watch.longest = Math.max(watch.longest, performance.now() - began)
          await new Promise(resolve => setTimeout(resolve, 1))
        }
      }
      // Lives as long as this process.
      ping().catch(() => undefined)
    })
  }

  /** Stop; the longest that an answer took since `watch`, in ms. */
  async longest(): Promise<number> {
    return this.process.run(() => {
      const { watch } = globalThis as unknown as { watch: { longest: number; going: boolean } }
      watch.going = false
      return watch.longest
    })
  }
}
