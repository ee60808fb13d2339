import { Redis } from 'ioredis'
import { adopt, type Scope } from './dispose'
import { startRedis, type ClientSettings, type RedisProcess } from './redis'
import { cutReplicas, demotion, isMaster, replicating, synced } from './redis-replication'
import type { RedisTarget } from './redis-target'
import { eventually } from './wait'

const name = 'metroplex-test'
const patience = 30_000

/** How long a server may not answer until a Sentinel takes it for down, in ms, while a failover is awaited. */
const ALERT = 500
/**
 * The same at all other times. On a busy machine an answer takes longer than `ALERT` now and then. A Sentinel would
 * fail over again, and would not make a former master a replica, which it does only when that was never down in the
 * last seconds.
 */
const CALM = 60_000

/**
 * The periods of Sentinels, in ms, as Redis 7 lets them be set. A Sentinel makes a former master a replica four publish
 * periods after it has answered, by its next INFO. Their defaults, 2000 and 10000, make that 20 s. A Sentinel that was
 * held up for the time of `tilt-trigger`, by default 2 s, does nothing at all for half a minute.
 */
const PERIODS = ['info-period', 2000, 'publish-period', 500, 'tilt-trigger', 60_000] as const

/** How to start a master with replicas and Sentinels. */
export interface SentinelOptions {
  /** Until when it lives: with `'suite'` call `stop()`. @default 'test' */
  scope?: Scope
}

/**
 * Starts a master, two replicas and three Sentinels, all real. They fail over within a few seconds where `failover` is
 * called, and not otherwise.
 *
 * Resolves when the replicas are synced, and each Sentinel knows them and the other two.
 *
 * @example
 * const sentinel = await startSentinel()
 * const client = sentinel.client()
 * await sentinel.failover(master => master.kill())
 */
export async function startSentinel(options: SentinelOptions = {}): Promise<SentinelledRedis> {
  const started: RedisProcess[] = []
  const start = async (more: Parameters<typeof startRedis>[0]): Promise<RedisProcess> => {
    const one = await startRedis({ ...more, scope: 'suite' })
    started.push(one)
    return one
  }
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(one => one.stop()))
  }
  try {
    const master = await start({ args: [...replicating] })
    const follow = { args: [...replicating, '--replicaof', '127.0.0.1', String(master.port)] }
    const replicas = [await start(follow), await start(follow)]
    for (const replica of replicas)
      await eventually(() => synced(replica), { within: patience, what: 'a replica that is synced' })
    const watch = { config: configuration(master), args: ['--sentinel'] }
    const sentinels = [await start(watch), await start(watch), await start(watch)]
    for (const sentinel of sentinels) {
      await eventually(() => informed(sentinel), { within: patience, every: 100, what: 'a Sentinel that knows all' })
      // Redis 6 and Valkey may not let them be set.
      await sentinel.ask(redis => redis.call('SENTINEL', 'DEBUG', ...PERIODS).catch(() => undefined))
    }
    const redis = new SentinelledRedis([master, ...replicas], sentinels)
    adopt(() => redis.stop(), options.scope)
    return redis
  } catch (error) {
    await stop()
    throw error
  }
}

/** A master, its replicas and their Sentinels. Get one from `startSentinel`. */
export class SentinelledRedis {
  /** Options of ioredis which lead to the current master. */
  readonly target: RedisTarget
  /** Ends its clients. */
  readonly #ends: (() => void)[] = []

  /** Use `startSentinel` instead, which also starts them. */
  constructor(
    /** The master that was, and its replicas. */
    readonly servers: readonly RedisProcess[],
    readonly sentinels: readonly RedisProcess[]
  ) {
    this.target = { name, sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })) }
  }

  /** The master, by what the Sentinels say. */
  async master(): Promise<RedisProcess> {
    const said = await Promise.all(
      this.sentinels.filter(({ pid }) => pid !== undefined).map(one => one.ask(masterPort))
    )
    const port = said[0]
    const master = this.servers.find(one => one.port === port)
    if (!master || said.some(other => other !== port))
      throw new Error(`the Sentinels name ${said.join(' and ')} as the master`)
    return master
  }

  /**
   * Harms the master, and waits until all Sentinels name another one, which takes writes.
   *
   * @returns The master that was; bring it back as you harmed it.
   */
  async failover(harm: (master: RedisProcess) => unknown): Promise<RedisProcess> {
    const former = await this.master()
    await this.#downAfter(ALERT)
    await harm(former)
    await eventually(
      async () => {
        const master = await this.master()
        return master !== former && (await isMaster(master))
      },
      { within: patience, every: 50, what: 'another master' }
    )
    await this.#downAfter(CALM)
    return former
  }

  /** Cuts the replicas off: what is written from now on is lost at the failover. They may not lag for more than 5 s. */
  async lag(): Promise<void> {
    await cutReplicas(await this.master())
  }

  /** Waits until a server that was the master is a replica. */
  async demoted(former: RedisProcess): Promise<void> {
    await demotion(former)
  }

  /** Forgets everything. */
  async flush(): Promise<void> {
    await (await this.master()).ask(redis => redis.flushall())
  }

  /** An ioredis client of the current master, closed at `stop()`, or at the end of the test that asked for it. */
  client(options: ClientSettings = {}): Redis {
    const client = new Redis({
      ...this.target,
      retryStrategy: () => 20,
      sentinelRetryStrategy: () => 20,
      maxRetriesPerRequest: null,
      failoverDetector: true,
      ...options
    })
    client.on('error', () => undefined)
    // When a Sentinel announces another master while the client asks a Sentinel for the master, ioredis ends the client
    // for good.
    const again = (): void => {
      client.connect().catch(() => undefined)
    }
    client.on('end', again)
    const end = (): void => {
      client.removeListener('end', again)
      client.disconnect()
    }
    this.#ends.push(end)
    adopt(end)
    return client
  }

  /** Let the Sentinels take a server for down after so many ms without an answer. */
  async #downAfter(ms: number): Promise<void> {
    const running = this.sentinels.filter(({ pid }) => pid !== undefined)
    await Promise.all(
      running.map(one => one.ask(redis => redis.call('SENTINEL', 'SET', name, 'down-after-milliseconds', ms)))
    )
  }

  /** Ends all of it. Harmless when called twice. */
  async stop(): Promise<void> {
    for (const end of this.#ends) end()
    await Promise.all([...this.sentinels, ...this.servers].map(one => one.stop()))
  }
}

function configuration({ port }: RedisProcess): string {
  return [
    `sentinel monitor ${name} 127.0.0.1 ${port} 2`,
    `sentinel down-after-milliseconds ${name} ${CALM}`,
    `sentinel failover-timeout ${name} 3000`,
    `sentinel parallel-syncs ${name} 2`
  ].join('\n')
}

async function masterPort(sentinel: Redis): Promise<number> {
  const [, port] = (await sentinel.call('SENTINEL', 'get-master-addr-by-name', name)) as [string, string]
  return Number(port)
}

/** Whether a Sentinel knows both replicas and both others. */
async function informed(sentinel: RedisProcess): Promise<boolean> {
  const fields = (await sentinel.ask(redis => redis.call('SENTINEL', 'MASTER', name))) as string[]
  const value = (field: string): string | undefined => fields[fields.indexOf(field) + 1]
  return value('flags') === 'master' && value('num-slaves') === '2' && value('num-other-sentinels') === '2'
}
