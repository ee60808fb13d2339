import type { Redis } from 'ioredis'
import { ignore } from '../common/callback'
import { deferred, now, withTimeout } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { MasterConnection } from './master-connection'
import { readInfo, replicaOf } from './server-info'

/** What is probed: the publishing and the subscribing connection. */
export interface ProbePaths {
  readonly publishing: Pick<MasterConnection, 'drop' | 'answered'>
  readonly subscribing: Pick<MasterConnection, 'drop' | 'answered'>
  /** Both clients; `undefined` while a probe makes no sense. */
  both(): readonly [publisher: Redis, subscriber: Redis] | undefined
  /** Publish on our own channel. @returns the number of subscribers that received it */
  publish(message: Buffer): Promise<number>
  /** Called when an echo has arrived: messages pass both ways. */
  passed(): void
}

/** The interval of probes, in ms: a dead subscription gives no sign by itself. */
const PROBE_INTERVAL = 5000
/** The shortest interval between probes, in ms. */
const SHORTEST_INTERVAL = 1000
/** The first character of an echo, the message to ourselves. */
const ECHO = '.'

/**
 * Probes two connections to Redis at intervals: whether a master answers, and whether our subscription works.
 *
 * It publishes an echo on our own channel. A connection on which nothing comes back, or whose Redis is no master any
 * more, is replaced.
 */
export class PubSubProbe {
  #timer: NodeJS.Timeout | undefined
  #probing = false
  /** Whether to probe again after the current probe, which began on former connections. */
  #again = false
  #lastProbe = -Infinity
  #echo: { readonly text: string; resolve(): void } | undefined
  #echoes = 0
  #closed = false

  constructor(
    private readonly paths: ProbePaths,
    /** How long Redis may take to answer, in ms. */
    private readonly timeout: number
  ) {}

  /** Probe new connections now, and at intervals. */
  begin(): void {
    this.#lastProbe = -Infinity
    this.#again = this.#probing
    this.probeSoon()
    this.#later()
  }

  /** Probe soon, because something failed that a dead connection may explain. */
  probeSoon(): void {
    const both = this.paths.both()
    if (both === undefined || this.#probing || now() - this.#lastProbe < SHORTEST_INTERVAL) return
    clearTimeout(this.#timer)
    this.#probing = true
    this.#lastProbe = now()
    this.#probe(...both)
      .catch(ignore)
      .finally(() => {
        this.#probing = false
        if (this.#again) this.begin()
        else this.#later()
      })
      .catch(ignore)
  }

  /** Whether a received message is an echo. */
  takesEcho(message: Buffer): boolean {
    if (message[0] !== ECHO.charCodeAt(0)) return false
    if (message.toString() === this.#echo?.text) this.#echo.resolve()
    return true
  }

  /** Stop probing. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#echo?.resolve()
  }

  #later(): void {
    clearTimeout(this.#timer)
    if (!this.#closed)
      this.#timer = setTimeout(() => {
        this.probeSoon()
      }, PROBE_INTERVAL).unref()
  }

  async #probe(publisher: Redis, subscriber: Redis): Promise<void> {
    const { publishing: outward, subscribing: inward } = this.paths
    const arrived = deferred<true>()
    const text = `${ECHO}${++this.#echoes}`
    this.#echo = {
      text,
      resolve: () => {
        arrived.resolve(true)
      }
    }
    const late = (): Error => new Error(`Redis did not answer within ${this.timeout} ms.`)
    try {
      const asked = Promise.all([
        // Where INFO is refused, a demotion to replica is noticed later, by a write that fails.
        readInfo(publisher, 'replication', this.timeout).catch(() => ''),
        this.paths.publish(Buffer.from(text))
      ])
      const result = await withTimeout(asked, this.timeout, late).catch((error: unknown) => asError(error))
      if (result instanceof MetroplexError) return
      if (result instanceof Error) {
        outward.drop(publisher, result)
        return
      }
      const [replication, receivers] = result
      const replica = replicaOf(replication)
      if (replica !== undefined) {
        outward.drop(publisher, replica)
        return
      }
      outward.answered()
      if (receivers === 0) throw new Error('The subscription was lost.')
      await withTimeout(arrived.promise, this.timeout, late)
      inward.answered()
      this.paths.passed()
    } catch (error) {
      inward.drop(subscriber, asError(error))
    } finally {
      this.#echo = undefined
    }
  }
}
