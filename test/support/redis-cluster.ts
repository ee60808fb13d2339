import { Cluster } from 'ioredis'
import { adopt, type Scope } from './dispose'
import { startRedis, type RedisProcess } from './redis'
import { cutReplicas, demotion, isMaster, replicating, synced } from './redis-replication'
import type { RedisTarget } from './redis-target'
import { eventually } from './wait'

const patience = 30_000
const slots = 16_384
const masters = 3

/** How to start a Redis Cluster. */
export interface ClusterSettings {
  /** Milliseconds without an answer after which nodes take another one for down. @default 1000 */
  nodeTimeout?: number
  /** More arguments for each redis-server. @default none */
  args?: string[]
  /** Whether all of it speaks TLS, and nothing else. @default false */
  tls?: boolean
  /** Until when it lives: with `'suite'` call `stop()`. @default 'test' */
  scope?: Scope
}

/**
 * Starts a Redis Cluster of three masters with a replica each, which fails over within a few seconds.
 *
 * Resolves when all six say that the cluster is well, know each other's roles, and the replicas are synced.
 *
 * @example
 * const cluster = await startCluster()
 * const client = cluster.client()
 * await cluster.failover('{metroplex}:servers', master => master.kill())
 */
export async function startCluster(options: ClusterSettings = {}): Promise<RedisCluster> {
  const nodes: RedisProcess[] = []
  const cluster = new RedisCluster(nodes)
  try {
    for (let i = 0; i < 2 * masters; i++) {
      nodes.push(
        await startRedis({
          args: [
            ...replicating,
            '--cluster-enabled',
            'yes',
            '--cluster-node-timeout',
            String(options.nodeTimeout ?? 1000),
            ...(options.tls === true ? ['--tls-cluster', 'yes', '--tls-replication', 'yes'] : []),
            ...(options.args ?? [])
          ],
          tls: options.tls === true,
          scope: 'suite'
        })
      )
    }
    await unite(nodes)
    adopt(() => cluster.stop(), options.scope)
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

/** A Redis Cluster. Get one from `startCluster`. */
export class RedisCluster {
  readonly #clients: Cluster[] = []

  /** Use `startCluster` instead, which also makes them one. */
  constructor(/** The masters that were, then their replicas. */ readonly nodes: readonly RedisProcess[]) {}

  /** Options of ioredis which lead there. */
  get target(): RedisTarget {
    return { ...this.nodes[0]?.access, cluster: this.nodes.map(({ port }) => ({ host: '127.0.0.1', port })) }
  }

  /** The master that owns a key, in the eyes of all nodes that run. */
  async owner(key: string, except?: RedisProcess): Promise<RedisProcess> {
    const asked = this.#running.filter(node => node !== except)
    const ports = new Set(await Promise.all(asked.map(node => portOf(node, key))))
    const owner = this.nodes.find(({ port }) => ports.has(port))
    if (!owner || ports.size > 1) throw new Error(`the nodes name ${[...ports].join(' and ')} as the owner of ${key}`)
    return owner
  }

  /**
   * Harms the master that owns a key, and waits until all others name another one, which takes writes.
   *
   * @returns The master that was; bring it back as you harmed it.
   */
  async failover(key: string, harm: (master: RedisProcess) => unknown): Promise<RedisProcess> {
    const former = await this.owner(key)
    await harm(former)
    await eventually(
      async () => {
        if ((await this.owner(key, former)) === former) return false
        return (await Promise.all(this.#running.filter(node => node !== former).map(healthy))).every(Boolean)
      },
      { within: patience, every: 50, what: `another owner of ${key}` }
    )
    return former
  }

  /** Creates a user on all nodes, see `RedisProcess`. @returns A target as that user. */
  async user(username: string, rules: string[]): Promise<RedisTarget> {
    const [one] = await Promise.all(this.nodes.map(node => node.user(username, rules)))
    return { ...this.target, username, password: one?.password ?? '' }
  }

  /** Has the replica of the key's master take its place, as an operator would: nothing is lost. */
  async handOver(key: string): Promise<void> {
    const former = await this.owner(key)
    const id = await former.ask(redis => redis.cluster('MYID'))
    for (const node of this.#running) {
      const lines = (await node.ask(redis => redis.cluster('NODES'))) as string
      if (!lines.split('\n').some(line => line.includes('myself,slave') && line.includes(id))) continue
      await node.ask(redis => redis.cluster('FAILOVER'))
    }
    await eventually(async () => (await this.owner(key)) !== former, {
      within: patience,
      every: 50,
      what: `another owner of ${key}`
    })
  }

  /** Cuts the replica of the key's master off: what is written from now on is lost at the failover. */
  async lag(key: string): Promise<void> {
    await cutReplicas(await this.owner(key))
  }

  /** Waits until a node that was a master is a replica. */
  async demoted(former: RedisProcess): Promise<void> {
    await demotion(former)
  }

  /** Forgets everything. */
  async flush(): Promise<void> {
    for (const node of this.#running) if (await isMaster(node)) await node.ask(redis => redis.flushall())
  }

  /** An ioredis client, closed at `stop()`, or at the end of the test that asked for it. */
  client(options: ConstructorParameters<typeof Cluster>[1] = {}): Cluster {
    const client = new Cluster(this.target.cluster ?? [], { clusterRetryStrategy: () => 50, ...options })
    client.on('error', () => undefined)
    this.#clients.push(client)
    adopt(() => client.disconnect())
    return client
  }

  /** Ends all of it. Harmless when called twice. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    await Promise.all(this.nodes.map(node => node.stop()))
  }

  get #running(): RedisProcess[] {
    return this.nodes.filter(({ pid }) => pid !== undefined)
  }
}

/** Makes single nodes a cluster, as redis-cli does. */
async function unite(nodes: readonly RedisProcess[]): Promise<void> {
  const ids: string[] = []
  for (const [i, node] of nodes.entries()) {
    await node.ask(async redis => {
      ids.push(await redis.cluster('MYID'))
      await redis.cluster('SET-CONFIG-EPOCH', i + 1)
      if (i < masters) await redis.cluster('ADDSLOTS', ...share(i))
      // Gossip would introduce them too, in its own time.
      for (const other of nodes.slice(0, i)) await redis.cluster('MEET', '127.0.0.1', other.port)
    })
  }
  for (const node of nodes) {
    await eventually(
      async () => {
        const lines = ((await node.ask(redis => redis.cluster('NODES'))) as string).trim().split('\n')
        return (
          lines.length === nodes.length &&
          lines.every(line => line.includes(' connected') && !line.includes('handshake'))
        )
      },
      { within: patience, every: 50, what: 'a node that knows all others' }
    )
  }
  const replicas = nodes.slice(masters)
  for (const [i, replica] of replicas.entries()) await replica.ask(redis => redis.cluster('REPLICATE', ids[i] ?? ''))
  for (const replica of replicas)
    await eventually(() => synced(replica), { within: patience, every: 50, what: 'a replica that is synced' })
  for (const node of nodes)
    await eventually(() => healthy(node), { within: patience, every: 50, what: 'a cluster that is well' })
  for (const node of nodes) {
    await eventually(
      async () => {
        const ranges: unknown[][] = await node.ask(redis => redis.cluster('SLOTS'))
        return ranges.length === masters && ranges.every(([, , ...owners]) => owners.length === 2)
      },
      { within: patience, every: 50, what: 'a node that knows all replicas and their masters' }
    )
  }
}

/** The slots of one of the masters. */
function share(master: number): number[] {
  const size = Math.ceil(slots / masters)
  return Array.from({ length: size }, (_, i) => master * size + i).filter(slot => slot < slots)
}

async function healthy(node: RedisProcess): Promise<boolean> {
  return (await node.ask(redis => redis.cluster('INFO'))).includes('cluster_state:ok')
}

async function portOf(node: RedisProcess, key: string): Promise<number> {
  return node.ask(async redis => {
    const slot = await redis.cluster('KEYSLOT', key)
    const ranges = await redis.cluster('SLOTS')
    return ranges.find(([first, last]) => first <= slot && slot <= last)?.[2]?.[1] ?? 0
  })
}
