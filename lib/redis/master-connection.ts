import type { Redis, RedisOptions } from 'ioredis'
import { ignore } from '../common/callback'
import { withTimeout } from '../common/async'
import { asError, isReply } from '../common/errors'
import { databaseOf, duplicateOf, isCluster, keyPrefixOf } from '../common/ioredis-client'
import type { RedisClient } from '../common/types'
import { DISCONNECT_TIMEOUT, NO_PURPOSE, UNBOUNDED } from './fixed-options'
import { followOptions } from './followed-options'
import { SlotMasterFinder } from './slot-master-finder'
import { needsNewConnection, RedisUnusable, withoutArguments } from './refusal'
import { loadingOf, readInfo, replicaOf } from './server-info'
import { watchTurnedAway } from './turned-away'

/** What a connection reports. */
export interface MasterConnectionEvents {
  /** The client is connected to a master with our database selected. It may be used until `lost`. */
  ready(client: Redis): void
  /** The connection broke, failed, or was refused by Redis. It is retried. */
  lost(cause: Error | undefined): void
}

/**
 * A connection to the master that holds our keys, duplicated from the client of the application. It is retried for
 * ever.
 *
 * The database and the key prefix are fixed when it is made, because the registry must not move later. Address and
 * credentials are read from the client at each attempt. A connection whose AUTH or SELECT was refused is never used.
 *
 * A command leaves at once or fails, is sent only once, and goes to no other server. ioredis offers that for a single
 * connection, but not for a Redis Cluster: there a command waits for a node, or is sent again when a node died. So on a
 * Cluster, ioredis's cluster client only finds the master of our slot, to which a single connection is opened. When it
 * breaks, or the slot has moved, the master is looked up again.
 *
 * @example
 * const connection = new MasterConnection(new Redis(), 5000, 'metroplex:web-1:commands', prepare, events)
 * connection.open('metroplex:servers')
 * connection.close()
 */
export class MasterConnection {
  #client: Redis | undefined
  /** The client that was dropped, until it connects again. */
  #dropped: Redis | undefined
  #timer: NodeJS.Timeout | undefined
  /**
   * The attempts since the last answer. A server that accepts connections but refuses commands is retried slowly, too.
   */
  #attempts = 0
  #cause: Error | undefined
  /** The answer of a Redis that hangs up on each new connection. */
  #turnedAway: Error | undefined
  #closed = false
  readonly #db: number
  readonly #keyPrefix: string
  readonly #masterFinder: SlotMasterFinder | undefined

  constructor(
    private readonly user: RedisClient,
    /** The timeout of each step, in ms. */
    private readonly timeout: number,
    /** The name by which `CLIENT LIST` shows it. */
    private readonly name: string,
    private readonly prepare: (client: Redis) => void,
    private readonly events: MasterConnectionEvents
  ) {
    this.#db = databaseOf(user)
    this.#keyPrefix = keyPrefixOf(user)
    if (isCluster(user)) this.#masterFinder = new SlotMasterFinder(user, timeout)
  }

  /** Whether the client of the application is a Redis Cluster. */
  get cluster(): boolean {
    return isCluster(this.user)
  }

  /** Connect to the master that holds this key. */
  open(key: string): void {
    const { user } = this
    if (this.#masterFinder !== undefined) {
      this.#findMaster(this.#masterFinder, key)
      return
    }
    let client: Redis
    try {
      client = duplicateOf(user, { ...this.#connectionOptions(), retryStrategy: () => this.#pause() })
    } catch (error) {
      this.#lost(asError(error))
      this.#retryLater(() => {
        this.open(key)
      })
      return
    }
    followOptions(client, user as unknown as Redis)
    // ioredis reconnects by itself, except when a Sentinel reports another master during an attempt: then the client
    // ends.
    this.#connect(client, () => {
      this.#retryLater(() => {
        client.connect().catch(ignore)
      })
    })
  }

  /** Call this when Redis has answered on the connection. */
  answered(): void {
    this.#attempts = 0
  }

  /** Replace a connection on which no answers arrive. */
  drop(client: Redis, cause: Error): void {
    if (client !== this.#client || client === this.#dropped) return
    // All pending commands report the same failure: only the first one counts.
    this.#dropped = client
    this.#lost(cause)
    client.disconnect(true)
  }

  /** Close it for good. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#masterFinder?.close()
    const client = this.#client
    if (client === undefined) return
    // ioredis subscribes to the Sentinels after connecting, even if it was disconnected meanwhile.
    if ('sentinels' in client.options && client.options.sentinels) client.once('end', () => client.disconnect())
    client.disconnect()
  }

  /** Use a client. @param ended called when it does not reconnect any more */
  #connect(client: Redis, ended: () => void): void {
    this.#client = client
    this.prepare(client)
    watchTurnedAway(client, error => (this.#turnedAway = error))
    client.on('connect', () => {
      this.#dropped = this.#turnedAway = undefined
      this.#watchForSilence(client)
    })
    client.on('ready', () => {
      clearTimeout(this.#timer)
      if (!this.#closed) this.#check(client)
    })
    client.on('error', (error: unknown) => {
      // ioredis continues in database 0 after a failed SELECT; `#selectDatabase` checks that itself.
      if ((error as { command?: { name?: string } }).command?.name === 'select') return
      this.#cause = this.#turnedAway ?? asError(error)
      // A ready connection reports `close` as well.
      if (client.status !== 'ready') this.#lost()
    })
    client.on('close', () => {
      clearTimeout(this.#timer)
      this.#lost()
    })
    client.on('end', ended)
    // The events report the result.
    client.connect().catch(ignore)
  }

  /**
   * A server may accept the connection and never answer. The timeout of ioredis 5 outlives its connection, so it is not
   * used. A server that loads its data does answer, but ioredis only waits for the end of that.
   */
  #watchForSilence(client: Redis): void {
    const half = this.timeout / 2
    let silence = new Error('Redis did not answer.')
    const drop = (): void => {
      this.drop(client, silence)
    }
    const look = async (): Promise<void> => {
      const loading = loadingOf(await readInfo(client, 'persistence', half))
      if (loading === undefined || client !== this.#client || client.status !== 'connect') return
      silence = loading
      this.#lost(loading)
    }
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(drop, half).unref()
      if (this.#hasInfo) look().catch(ignore)
    }, half).unref()
  }

  /** Report a client as ready once it is known to be of use. */
  #check(client: Redis): void {
    // Redis may refuse it, to a user without the right to CLIENT SETNAME: then the connection works without a name.
    // ioredis itself would send it first, and ignore the answer of a Redis that refuses the connection.
    client.client('SETNAME', this.name).catch(ignore)
    Promise.all([this.#selectDatabase(client), this.#requireMaster(client)])
      .then(
        () => {
          if (this.#closed || client.status !== 'ready' || client === this.#dropped) return
          this.#cause = undefined
          this.events.ready(client)
        },
        (error: unknown) => {
          // If it broke meanwhile, `close` has reported that.
          if (client.status === 'ready') this.drop(client, asError(error))
        }
      )
      .catch(ignore)
  }

  /** Make sure that our database is selected: ioredis reports `ready` even when SELECT was refused. */
  async #selectDatabase(client: Redis): Promise<void> {
    const db = this.#db
    if (db === 0) return
    const late = (): Error => new Error(`Redis did not answer SELECT within ${this.timeout} ms.`)
    try {
      await withTimeout(client.select(db), this.timeout, late)
    } catch (error) {
      const cause = asError(error)
      throw isReply(cause) ? new RedisUnusable(`Redis refused SELECT ${db}: ${cause.message}`, { cause }) : cause
    }
  }

  /** Make sure that Redis is a master, as far as it says so: a replica may accept writes, and loses them. */
  async #requireMaster(client: Redis): Promise<void> {
    if (!this.#hasInfo) return
    const replica = replicaOf(await readInfo(client, 'replication', this.timeout))
    if (replica !== undefined) throw replica
  }

  /** Whether this Redis has INFO: the client of the application says so. */
  get #hasInfo(): boolean {
    return isCluster(this.user) || (this.user as unknown as Redis).options.enableReadyCheck !== false
  }

  /** Find the master that holds a key, and connect to it. Repeated until it succeeds, and after each loss. */
  #findMaster(finder: SlotMasterFinder, key: string): void {
    const again = (): void => {
      this.#retryLater(() => {
        this.#findMaster(finder, key)
      })
    }
    finder.find(`${this.#keyPrefix}${key}`, this.#attempts % 2 === 0).then(
      master => {
        if (!this.#closed)
          this.#connect(master.duplicate({ ...this.#connectionOptions(), retryStrategy: () => null }), again)
      },
      (error: unknown) => {
        this.#lost(asError(error))
        again()
      }
    )
  }

  #lost(cause = this.#cause): void {
    this.#cause = withoutArguments(cause)
    if (!this.#closed) this.events.lost(this.#cause)
  }

  #retryLater(again: () => void): void {
    if (!this.#closed) this.#timer = setTimeout(again, this.#pause()).unref()
  }

  /**
   * The pause before the next attempt: it grows to a second and is jittered, so that a fleet does not reconnect at
   * once.
   */
  #pause(): number {
    return Math.min(50 * 2 ** Math.min(++this.#attempts, 10), 1000) * (0.5 + Math.random() / 2)
  }

  /** The options of our connections, independent of those of the application. */
  #connectionOptions(): RedisOptions {
    return {
      lazyConnect: true,
      db: this.#db,
      keyPrefix: this.#keyPrefix,
      ...NO_PURPOSE,
      // No command is sent twice or later, and no write goes to a replica.
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      autoResubscribe: false,
      readOnly: false,
      // A Redis that refuses a connection answers its first command and hangs up. ioredis would ignore that answer.
      disableClientInfo: true,
      // Ours is set once the connection is ready. ioredis has no type for "none", its default.
      connectionName: '',
      reconnectOnError: error => {
        const client = this.#client
        // While it is opened, ioredis closes it by itself, and its error says more: why AUTH was refused, and not that
        // the next command is. Later all commands in flight are refused alike, and one of them is enough: ioredis would
        // disconnect for each of them, and add a listener each time.
        if (client?.status !== 'ready' || client === this.#dropped || !needsNewConnection(error)) return false
        // ioredis closes it. Commands from now on wait for the next connection.
        this.#dropped = client
        this.#lost(error)
        return true
      },
      // The scripts expect answers of this form.
      stringNumbers: false,
      replyMapping: 'legacy',
      // Each step has a timeout. Closing a connection that never opened would otherwise keep the process alive for two
      // seconds.
      connectTimeout: this.timeout,
      disconnectTimeout: DISCONNECT_TIMEOUT,
      ...UNBOUNDED,
      // With Sentinels: connect to the master, notice a failover at once, and retry for ever.
      role: 'master',
      enableReadyCheck: this.#hasInfo,
      // Otherwise ioredis waits for as long as Redis guesses that loading takes, up to ten seconds.
      maxLoadingRetryTime: Math.min(this.timeout, 1000),
      failoverDetector: true,
      sentinelRetryStrategy: () => this.#pause(),
      sentinelCommandTimeout: Math.min(this.timeout, 1000)
    }
  }
}
