import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { ignore } from '../callback'
import { within } from '../deadline'
import { asError } from '../errors'
import type { RedisClient } from '../types'

/** What happens to a line. */
export interface LineEvents {
  /** A master is at the other end: this client may be used until it is lost. */
  ready(client: Redis): void
  /** It broke, or could not be opened. It is being tried again. */
  lost(cause: Error | undefined): void
}

/** A node of a Redis Cluster. */
interface Node {
  readonly host: string
  readonly port: number
}

/**
 * One connection to the master that has our keys, made like the user's client and beside it. It is tried for ever.
 *
 * What is written on it leaves at once or is refused, leaves once, and goes to no other server. ioredis offers all that of a
 * single connection, and nothing of it on Redis Cluster: there a command waits for a node, or is sent once more when that has
 * died. So on a Cluster we have it find the master that owns our slot, and have a single connection to that one; when it
 * breaks, or says that the slot is another's, we look again.
 *
 * @example
 * const line = new Line(new Redis(), 5000, client => prepare(client), events)
 * line.open('metroplex:servers')
 * line.close()
 */
export class Line {
  #client: Redis | undefined
  /** The one that was given up, until it connects again. */
  #dropped: Redis | undefined
  #finder: Cluster | undefined
  #timer: NodeJS.Timeout | undefined
  /** The nodes of the Cluster as they were when we looked last: those that the user named may be gone. */
  #known: Node[] = []
  /** Attempts since the last answer: a server that lets us in, and refuses whatever we ask, is no reason to hurry. */
  #attempts = 0
  #cause: Error | undefined
  #closed = false

  constructor(
    private readonly user: RedisClient,
    /** How long anything may take, in ms. */
    private readonly timeout: number,
    private readonly prepare: (client: Redis) => void,
    private readonly events: LineEvents
  ) {}

  /** Connect to the master that has this key. */
  open(key: string): void {
    const { user } = this
    if (isCluster(user)) {
      this.#search(user, key)
      return
    }
    const client = (user as unknown as Redis).duplicate({ ...this.#strict(), retryStrategy: () => this.#pause() })
    // It goes on by itself, but for one that hears from a Sentinel of another master while it is looking for it: that one ends.
    this.#connect(client, () => { this.#later(() => { client.connect().catch(ignore) }) })
  }

  /** An answer has come. */
  proven(): void {
    this.#attempts = 0
  }

  /** Nothing comes back: give this connection up for another one. */
  drop(client: Redis, cause: Error): void {
    if (client !== this.#client || client === this.#dropped) return
    // All that was under way on it comes here at the same time.
    this.#dropped = client
    this.#lost(cause)
    client.disconnect(true)
  }

  /** End it for good. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#finder?.disconnect()
    const client = this.#client
    if (client === undefined) return
    // ioredis listens to the Sentinels as soon as it has connected, and does not look whether it was told to end meanwhile.
    if ('sentinels' in client.options && client.options.sentinels) client.once('end', () => client.disconnect())
    client.disconnect()
  }

  /** Use a connection; `ended` when it will not be tried again. */
  #connect(client: Redis, ended: () => void): void {
    this.#client = client
    this.prepare(client)
    // A server that accepts, and then says nothing. ioredis has a timeout for it, whose timer in version 5 outlives its connection.
    const mute = (): void => {
      this.#timer = setTimeout(() => this.drop(client, new Error('It does not answer.')), this.timeout).unref()
    }
    client.on('connect', () => {
      this.#dropped = undefined
      mute()
    })
    client.on('ready', () => {
      clearTimeout(this.#timer)
      if (this.#closed) return
      this.#cause = undefined
      this.events.ready(client)
    })
    client.on('error', (error: unknown) => {
      this.#cause = asError(error)
      // Of one that is ready its end tells.
      if (client.status !== 'ready') this.#lost()
    })
    client.on('close', () => {
      clearTimeout(this.#timer)
      this.#lost()
    })
    client.on('end', ended)
    // It tells by events how it goes.
    client.connect().catch(ignore)
  }

  /** Find the master that has a key, until there is one, and again when that has gone. */
  #search(user: Cluster, key: string): void {
    const again = (): void => { this.#later(() => { this.#search(user, key) }) }
    this.#find(user, `${user.options.keyPrefix ?? ''}${key}`).then(
      master => {
        if (this.#closed) return
        this.#connect(master.duplicate({ ...this.#strict(), keyPrefix: user.options.keyPrefix ?? '', retryStrategy: () => null }), again)
      },
      (error: unknown) => {
        this.#lost(asError(error))
        again()
      }
    )
  }

  /** Ask the Cluster who owns a key. Whom we asked is not connected any more afterwards. */
  async #find(user: Cluster, key: string): Promise<Redis> {
    const { redisOptions } = user.options
    // Every other time those that the user named: all that we knew may have been replaced.
    const finder = user.duplicate(this.#attempts % 2 === 0 ? this.#known : [], {
      lazyConnect: true,
      enableReadyCheck: false,
      enableOfflineQueue: true,
      scaleReads: 'master',
      clusterRetryStrategy: () => null,
      redisOptions: { ...redisOptions, connectTimeout: this.timeout, disconnectTimeout: HASTE, replyMapping: 'legacy' }
    })
    let cause: unknown
    finder.on('error', (error: Error & { lastNodeError?: unknown }) => { cause = error.lastNodeError ?? error })
    this.#finder = finder
    const late = (): Error => new Error('The Cluster did not tell who owns the slot of our keys.', { cause })
    try {
      return await within(this.#ask(finder, key), this.timeout, late)
    } catch (error) {
      throw cause === undefined ? error : asError(cause)
    } finally {
      finder.disconnect()
    }
  }

  async #ask(finder: Cluster, key: string): Promise<Redis> {
    await finder.connect()
    const owner = finder.slots[await finder.cluster('KEYSLOT', key)]?.[0]
    const nodes = finder.nodes().map(node => ({ node, at: node.options as Node }))
    this.#known = nodes.map(({ at: { host, port } }) => ({ host, port }))
    const found = nodes.find(({ at: { host, port } }) => `${host}:${port}` === owner)
    if (found === undefined) throw new Error('No master owns the slot of our keys.')
    return found.node
  }

  #lost(cause = this.#cause): void {
    this.#cause = cause
    if (!this.#closed) this.events.lost(this.#cause)
  }

  #later(again: () => void): void {
    if (!this.#closed) this.#timer = setTimeout(again, this.#pause()).unref()
  }

  /** For ever, in growing and jittered pauses of at most a second: a fleet that has lost its Redis must not come all at once. */
  #pause(): number {
    return Math.min(50 * 2 ** Math.min(++this.#attempts, 10), 1000) * (0.5 + Math.random() / 2)
  }

  /** What a connection of ours does, whatever the user's does. */
  #strict(): RedisOptions {
    return {
      lazyConnect: true,
      // Nothing is sent twice or later, and no write is carried out by who is no master.
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      autoResubscribe: false,
      readOnly: false,
      reconnectOnError: error => {
        // It will be closed: what is asked from now on waits for the next one.
        const astray = isAstray(error)
        if (astray) this.#lost(error)
        return astray
      },
      // The answers that our scripts are written for.
      stringNumbers: false,
      replyMapping: 'legacy',
      // Everything has an end. A connection that is closed while it never came would keep the process for two seconds otherwise.
      connectTimeout: this.timeout,
      disconnectTimeout: HASTE,
      ...UNBOUNDED,
      // Of Sentinels: the master, told at once when that is another one, and never given up.
      role: 'master',
      enableReadyCheck: true,
      failoverDetector: true,
      sentinelRetryStrategy: () => this.#pause(),
      sentinelCommandTimeout: Math.min(this.timeout, 1000)
    }
  }
}

/** How long the end of a connection may take, in ms. */
const HASTE = 100

/** Deadlines of the user's that are not ours: we have one for the whole of a question. */
const UNBOUNDED = { commandTimeout: undefined, socketTimeout: undefined } as unknown as object

/** Whether a server has refused because it is no master, or not that of our keys, or one that nobody follows. It has carried out nothing then. */
export function isAstray({ message }: Error): boolean {
  // Redis 6 has the reason of a script's failure at the end of its own sentence.
  return /(^|-)(READONLY|NOREPLICAS|MOVED|CLUSTERDOWN|MASTERDOWN)\b/.test(message)
}

/** Whether a client is of a Redis Cluster. */
export function isCluster(client: unknown): client is Cluster {
  return (client as { isCluster?: unknown }).isCluster === true
}
