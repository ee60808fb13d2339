import type { Redis } from 'ioredis'
import { ignore } from '../common/callback'
import { withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import { isCluster } from '../common/ioredis-client'
import type { RedisClient } from '../common/types'
import { connectionName } from './connection-name'
import { PubSubProbe } from './pubsub-probe'
import { PubSubStatus, type PubSubStatusEvents } from './pubsub-status'
import { MasterConnection } from './master-connection'
import { describeLoss, isUnknownCommand, needsNewConnection, refusedCommand } from './refusal'

/** The channels that are used. */
export interface PubSubTarget {
  /**
   * The prefix of all channels, as of all keys; the key prefix of the client stands before it. On Redis Cluster it
   * carries a hash tag.
   */
  readonly namespace: string
  /** The node id of this process: the last part of its channel. */
  readonly nodeId: string
  /** The name of this process for operators, as in `CLIENT LIST`. */
  readonly name: string
}

/** What the connections report. */
export interface PubSubEvents extends PubSubStatusEvents {
  /** A message was published on our channel. The buffer may be kept. */
  received(message: Buffer): void
  /** The subscription was interrupted: messages to us may be lost. */
  subscriptionLost(): void
}

/**
 * Publishes on the channels of other processes, and subscribes to our own.
 *
 * It uses two connections: a subscribed connection can do nothing else in RESP2, and Redis disconnects a slow reader.
 * Both are retried for ever, and our channel is subscribed again after each break. `PubSubProbe` finds dead
 * connections.
 *
 * Redis stores nothing: a message without a subscriber is lost, and PUBLISH returns the number of subscribers.
 *
 * On Redis Cluster it uses sharded pub/sub, which needs Redis 7, on the master that holds the namespace.
 *
 * @example
 * const pubsub = new PubSub(new Redis(), { namespace: 'metroplex', nodeId: 'q2f…', name: 'web-1' }, 5000, events)
 * pubsub.open()
 * await pubsub.usable()
 * const receivers = await pubsub.publish('x8a…', Buffer.from('hello'))
 * pubsub.close()
 */
export class PubSub {
  /**
   * Whether it is sharded. Then subscribers at a replica are not counted, so a count of 0 does not prove that none
   * received it.
   */
  readonly sharded: boolean
  readonly #publishing: MasterConnection
  readonly #subscribing: MasterConnection
  readonly #probe: PubSubProbe
  readonly #status: PubSubStatus
  #publisher: Redis | undefined
  #subscriber: Redis | undefined
  /** The key prefix of the client. */
  #prefix: string | Buffer = ''
  #db = 0
  #closed = false

  constructor(
    user: RedisClient,
    private readonly target: PubSubTarget,
    /** How long Redis may take to answer, in ms. */
    private readonly timeout: number,
    private readonly events: PubSubEvents
  ) {
    this.sharded = isCluster(user)
    this.#status = new PubSubStatus(this.sharded, events)
    this.#publishing = new MasterConnection(
      user,
      timeout,
      connectionName(target.name, 'publish'),
      client => {
        this.#prepare(client)
      },
      {
        ready: client => {
          this.#publisher = client
          this.#connected()
        },
        lost: cause => {
          const wasReady = this.#bothReady
          this.#publisher = undefined
          this.#status.lost(wasReady, cause)
        }
      }
    )
    this.#subscribing = new MasterConnection(
      user,
      timeout,
      connectionName(target.name, 'subscribe'),
      client => {
        this.#prepare(client)
        client.on(this.sharded ? 'smessageBuffer' : 'messageBuffer', (_channel: Buffer, message: Buffer) => {
          this.#received(message)
        })
        // A slot that moves loses its subscriptions. ioredis 6 emits `moved`; ioredis 5 fails to handle the message.
        const moved = (): void => {
          this.#subscribing.drop(client, new Error('The slot of our channel has moved.'))
        }
        client.on('moved', moved)
        client.on('error', ({ message }: Error) => {
          if (message.startsWith('Command queue state error')) moved()
        })
      },
      {
        ready: client => {
          this.#subscribe(client).catch(ignore)
        },
        lost: cause => {
          const wasReady = this.#bothReady
          const subscribed = this.#subscriber !== undefined
          this.#subscriber = undefined
          this.#status.lost(wasReady, cause)
          if (subscribed) events.subscriptionLost()
        }
      }
    )
    this.#probe = new PubSubProbe(
      {
        publishing: this.#publishing,
        subscribing: this.#subscribing,
        both: () =>
          this.ready && this.#publisher !== undefined && this.#subscriber !== undefined
            ? [this.#publisher, this.#subscriber]
            : undefined,
        publish: message => this.publish(target.nodeId, message),
        passed: () => {
          this.#passed()
        }
      },
      timeout
    )
  }

  /** Whether a message is published at once, and an answer to it would be received. */
  get ready(): boolean {
    return this.#bothReady && this.#publisher?.stream.writable === true
  }

  /**
   * Why no message reaches or leaves this process, in a sentence; `undefined` while messages pass. An open connection
   * proves nothing, because Redis may refuse to publish and to subscribe.
   */
  get trouble(): string | undefined {
    return this.#status.trouble
  }

  /** Start to connect and to subscribe. */
  open(): void {
    const key = `${this.target.namespace}:channel`
    this.#publishing.open(key)
    this.#subscribing.open(key)
  }

  /**
   * Wait until it is ready. A short break fails no operation, because this waits as long as no lasting failure is
   * known.
   *
   * @throws MetroplexError `EREGISTRY`: Redis is unreachable or refuses; `EPROTOCOL`: it is too old; `ECLOSED`
   */
  async usable(): Promise<void> {
    if (!this.ready) await this.#status.ready()
  }

  /**
   * Publish on the channel of a process, at once or not at all.
   *
   * @returns the number of subscribers that received it
   * @throws MetroplexError `EREGISTRY`, `EPROTOCOL`; `maybe` says whether a subscriber may have received it
   */
  async publish(nodeId: string, message: Buffer): Promise<number> {
    const client = this.#publisher
    if (client?.stream.writable !== true)
      throw new MetroplexError('EREGISTRY', this.trouble ?? describeLoss(' for messages between servers', undefined), {
        maybe: false
      })
    const channel = this.#name(`channel:${this.#db}:${nodeId}`)
    try {
      return Number(await (this.sharded ? client.spublish(channel, message) : client.publish(channel, message)))
    } catch (error) {
      const failure = refusedCommand(asError(error), 'publish', this.sharded)
      if (!this.#closed && failure.maybe === false && !needsNewConnection(asError(error))) {
        this.#status.failed(failure)
        this.#status.blocked()
      }
      throw failure
    }
  }

  /** Probe both connections soon, because something failed that a dead one may explain. */
  probeSoon(): void {
    this.#probe.probeSoon()
  }

  /** Close it for good. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#publisher = this.#subscriber = undefined
    this.#status.close()
    this.#probe.close()
    this.#publishing.close()
    this.#subscribing.close()
  }

  get #bothReady(): boolean {
    return this.#publisher !== undefined && this.#subscriber !== undefined
  }

  #prepare(client: Redis): void {
    const { options } = client
    this.#db = options.db ?? 0
    // ioredis adds the prefix to sharded channels only. So we remove it from the options, and add it to all channels.
    this.#prefix = options.keyPrefix ?? ''
    options.keyPrefix = ''
    // A connection must not keep the process alive; a pending request does so by its timer.
    client.on('connect', () => {
      client.stream.unref()
    })
  }

  async #subscribe(client: Redis): Promise<void> {
    const { timeout } = this
    const channel = this.#name(`channel:${this.#db}:${this.target.nodeId}`)
    try {
      const subscribed = this.sharded ? client.ssubscribe(channel) : client.subscribe(channel)
      await withTimeout(subscribed, timeout, () => new Error(`Redis did not answer SUBSCRIBE within ${timeout} ms.`))
    } catch (error) {
      const cause = asError(error)
      if (this.#closed) return
      if (isUnknownCommand(cause)) {
        // This lasts until another Redis is there, and then the connection breaks anyway.
        this.#status.broken(refusedCommand(cause, 'subscribe', this.sharded))
      } else if (cause.name === 'ReplyError' && !needsNewConnection(cause)) {
        this.#status.broken(refusedCommand(cause, 'subscribe', this.sharded))
        this.#subscribing.drop(client, cause)
      } else {
        this.#subscribing.drop(client, cause)
      }
      return
    }
    if (this.#closed || client.status !== 'ready') return
    this.#subscriber = client
    this.#connected()
  }

  /** Handle an echo. */
  #passed(): void {
    if (!this.#closed && this.#bothReady) this.#status.passed()
  }

  /** Handle a connection that became ready. */
  #connected(): void {
    if (!this.#bothReady) return
    this.#status.connected()
    this.#probe.begin()
  }

  #received(message: Buffer): void {
    if (!this.#closed && !this.#probe.takesEcho(message)) this.events.received(message)
  }

  #name(rest: string): Buffer {
    return Buffer.concat([Buffer.from(this.#prefix as string), Buffer.from(`${this.target.namespace}:${rest}`)])
  }
}
