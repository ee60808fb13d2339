import type { Redis } from 'ioredis'
import { ignore } from '../callback'
import { deferred, now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { RedisClient } from '../types'
import { Examiner } from './examiner'
import { isAstray, isCluster, Line } from './line'

/** Where we are heard. */
export interface Place {
  /** What the names of all channels begin with, as those of keys do: the user's prefix comes before it. On Redis Cluster it carries a hash tag. */
  readonly namespace: string
  /** The last part of the name of our own channel. */
  readonly word: string
}

/** What happens on our channel. */
export interface PubSubEvents {
  /** Somebody has published this to us. It may be kept: nobody else writes into it. */
  heard(message: Buffer): void
  /** For a while we did not listen: what was on its way to us is lost. */
  deaf(): void
  /** Something is wrong that lasts; told once until all is well again. It goes on trying. */
  failed(error: Error): void
}

/** For this long, in ms, a connection that was well may be gone before anybody is told no. */
const BLINK = 250

/**
 * Publishes to the channels of others, and listens to our own.
 *
 * It has two connections of its own, one for each: what has subscribed may do nothing else in RESP2, and Redis cuts who does not read
 * fast enough. `open` begins; each is then tried for ever, and our channel is subscribed to again after every break. An
 * examiner notices one that only seems to be well.
 *
 * Redis keeps nothing: what is published while nobody listens is gone, and it says how many did.
 *
 * On Redis Cluster it is sharded pub/sub, which needs Redis 7: all of it goes over the master that has the namespace.
 *
 * @example
 * const pubsub = new PubSub(new Redis(), { namespace: 'metroplex', word: 'q2f…' }, 5000, events)
 * pubsub.open()
 * await pubsub.usable()
 * if (await pubsub.publish('x8a…', Buffer.from('hello')) === 0) nobodyHeard()
 * pubsub.close()
 */
export class PubSub {
  /** Whether it is sharded. Then nobody can say how many listen at a replica: that none was counted does not prove that none heard. */
  readonly sharded: boolean
  readonly #outward: Line
  readonly #inward: Line
  readonly #examiner: Examiner
  #speaker: Redis | undefined
  #listener: Redis | undefined
  /** The part of the channels' names that the client decides. */
  #prefix: string | Buffer = ''
  #db = 0
  /** Why there is no hope for now. */
  #trouble: MetroplexError | undefined
  /** The code that `failed` was told of last. */
  #told = ''
  #opening: ReturnType<typeof deferred<true>> | undefined
  /** Since when it is not ready, after it was. */
  #since = -Infinity
  #closed = false

  constructor(
    user: RedisClient,
    private readonly place: Place,
    /** How long a connection may be mute, in ms. */
    private readonly timeout: number,
    private readonly events: PubSubEvents
  ) {
    this.sharded = isCluster(user)
    this.#outward = new Line(user, timeout, client => { this.#prepare(client) }, {
      ready: client => {
        this.#speaker = client
        this.#whole()
      },
      lost: cause => {
        const had = this.#both
        this.#speaker = undefined
        this.#lost(had, cause)
      }
    })
    this.#inward = new Line(user, timeout, client => {
      this.#prepare(client)
      client.on(this.sharded ? 'smessageBuffer' : 'messageBuffer', (_channel: Buffer, message: Buffer) => { this.#heard(message) })
      // A slot that moves takes its subscriptions with it. ioredis 6 says so; 5 does not understand what it was told.
      const moved = (): void => { this.#inward.drop(client, new Error('The slot of our channel has moved.')) }
      client.on('moved', moved)
      client.on('error', ({ message }: Error) => { if (message.startsWith('Command queue state error')) moved() })
    }, {
      ready: client => { this.#subscribe(client).catch(ignore) },
      lost: cause => {
        const had = this.#both
        const heard = this.#listener !== undefined
        this.#listener = undefined
        this.#lost(had, cause)
        if (heard) events.deaf()
      }
    })
    this.#examiner = new Examiner({
      outward: this.#outward,
      inward: this.#inward,
      both: () => this.ready && this.#speaker !== undefined && this.#listener !== undefined ? [this.#speaker, this.#listener] : undefined,
      publish: message => this.publish(place.word, message)
    }, timeout)
  }

  /** Whether what is published leaves at once, and an answer to it would be heard. */
  get ready(): boolean {
    return this.#both && this.#speaker?.stream.writable === true
  }

  /** Begin to connect and to listen. */
  open(): void {
    const key = `${this.place.namespace}:channel`
    this.#outward.open(key)
    this.#inward.open(key)
  }

  /**
   * Wait until it is ready: for as long as nothing is known to be wrong, so that a connection that breaks and comes back at once fails nobody.
   *
   * @throws MetroplexError `EREGISTRY`: Redis cannot be reached, or lets us not do it; `EPROTOCOL`: it is too old; `ECLOSED`
   */
  async usable(): Promise<void> {
    if (this.#closed) throw closed()
    if (this.ready) return
    if (this.#trouble !== undefined) throw this.#trouble
    await (this.#opening ??= deferred<true>()).promise
  }

  /**
   * Publish on somebody's channel; at once, or not at all.
   *
   * @returns how many heard it
   * @throws MetroplexError `EREGISTRY`, `EPROTOCOL`; `maybe` says whether somebody may have heard it
   */
  async publish(word: string, message: Buffer): Promise<number> {
    const client = this.#speaker
    if (client?.stream.writable !== true) throw new MetroplexError('EREGISTRY', 'The connection to Redis is down.', { maybe: false })
    const channel = this.#name(`channel:${this.#db}:${word}`)
    try {
      return Number(await (this.sharded ? client.spublish(channel, message) : client.publish(channel, message)))
    } catch (error) {
      const failure = this.#refused(asError(error), 'publish')
      if (!this.#closed && failure.maybe === false && !isAstray(asError(error))) this.#fail(failure)
      throw failure
    }
  }

  /** Look soon whether both connections are what they seem: something has gone wrong that they may be the reason of. */
  look(): void {
    this.#examiner.look()
  }

  /** End it for good. Harmless when called twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#speaker = this.#listener = undefined
    this.#opening?.reject(closed())
    this.#examiner.close()
    this.#outward.close()
    this.#inward.close()
  }

  get #both(): boolean {
    return this.#speaker !== undefined && this.#listener !== undefined
  }

  #prepare(client: Redis): void {
    const { options } = client
    this.#db = options.db ?? 0
    // ioredis puts it before the names of sharded channels, and not before those of others. So it does before none, and we before all.
    this.#prefix = options.keyPrefix ?? ''
    options.keyPrefix = ''
    // A server waits for nobody here; who waits for an answer holds the process by a timer.
    client.on('connect', () => { client.stream.unref() })
  }

  async #subscribe(client: Redis): Promise<void> {
    const { timeout } = this
    const channel = this.#name(`channel:${this.#db}:${this.place.word}`)
    try {
      const subscribed = this.sharded ? client.ssubscribe(channel) : client.subscribe(channel)
      await within(subscribed, timeout, () => new Error(`Redis did not answer SUBSCRIBE within ${timeout} ms.`))
    } catch (error) {
      const cause = asError(error)
      if (this.#closed) return
      if (isUnknown(cause)) {
        // It stays so until another Redis is there, and then this connection breaks.
        this.#give(this.#refused(cause, 'subscribe'))
      } else if (cause.name === 'ReplyError' && !isAstray(cause)) {
        this.#give(this.#refused(cause, 'subscribe'))
        this.#inward.drop(client, cause)
      } else {
        this.#inward.drop(client, cause)
      }
      return
    }
    if (this.#closed || client.status !== 'ready') return
    this.#listener = client
    this.#whole()
  }

  /** One of both has come. */
  #whole(): void {
    if (!this.#both) return
    this.#trouble = undefined
    this.#told = ''
    this.#opening?.resolve(true)
    this.#opening = undefined
    this.#examiner.begin()
  }

  /** One of both has gone, or could not be had. What was well a moment ago may be so again in another one. */
  #lost(had: boolean, cause: Error | undefined): void {
    const because = cause === undefined ? '' : `: ${cause.message.replace(/\.$/, '')}`
    const error = new MetroplexError('EREGISTRY', `The connection to Redis on which servers talk is down${because}. It is being retried.`, { cause })
    if (had) {
      this.#since = now()
      this.#fail(error)
    } else if (now() - this.#since > BLINK) {
      this.#give(error)
    }
  }

  /** Let nobody wait any longer. */
  #give(error: MetroplexError): void {
    this.#fail(error)
    // Of two things that are wrong, the one that does not pass by itself.
    const trouble = this.#trouble?.code === 'EPROTOCOL' ? this.#trouble : error
    this.#trouble = trouble
    this.#opening?.reject(trouble)
    this.#opening = undefined
  }

  #fail(error: MetroplexError): void {
    if (this.#told !== '' && (this.#told === error.code || error.code !== 'EPROTOCOL')) return
    this.#told = error.code
    this.events.failed(error)
  }

  #heard(message: Buffer): void {
    if (!this.#closed && !this.#examiner.hears(message)) this.events.heard(message)
  }

  /** What a failure of a command means. */
  #refused(cause: Error, what: 'publish' | 'subscribe'): MetroplexError {
    const command = `${this.sharded ? 's' : ''}${what}`.toUpperCase()
    if (isUnknown(cause)) {
      return new MetroplexError('EPROTOCOL', `This Redis Cluster does not know ${command}: servers can talk through a Cluster from Redis 7 on.`, { cause, maybe: false })
    }
    const answered = cause.name === 'ReplyError' || /isn't writeable/.test(cause.message)
    const sentence = answered ? `Redis refused ${command}: ${cause.message}` : `The connection to Redis broke: ${cause.message}`
    return new MetroplexError('EREGISTRY', sentence, { cause, maybe: !answered })
  }

  #name(rest: string): Buffer {
    return Buffer.concat([Buffer.from(this.#prefix as string), Buffer.from(`${this.place.namespace}:${rest}`)])
  }
}

/** Whether a Redis does not have a command, by its version or by its configuration. */
function isUnknown({ message }: Error): boolean {
  return /\bunknown command\b/i.test(message)
}

function closed(): MetroplexError {
  return new MetroplexError('ECLOSED', 'This server was destroyed.', { maybe: false })
}
