import type { Redis } from 'ioredis'
import { ignore } from '../callback'
import { deferred, now, within } from '../deadline'
import { asError, MetroplexError } from '../errors'
import type { Line } from './line'

/** What is examined: a way out, and a way back in. */
export interface Ways {
  readonly outward: Pick<Line, 'drop' | 'proven'>
  readonly inward: Pick<Line, 'drop' | 'proven'>
  /** The connections of both; `undefined` while there is no point in looking. */
  both(): readonly [speaker: Redis, listener: Redis] | undefined
  /** Publish to ourselves. @returns how many heard it */
  publish(message: Buffer): Promise<number>
}

/** Connections are looked at this often, in ms: a subscription that has died says nothing by itself. */
const ROUND = 5000
/** Nobody who asks for a look gets one more often than this, in ms. */
const REST = 1000
/** What a message to ourselves begins with; it tells that we are heard. */
const ECHO = '.'

/**
 * Looks now and then whether two connections to Redis are what they seem: whether a master hears us, and we hear ourselves.
 *
 * It publishes to ourselves. So a connection on which nothing comes back is noticed, and one to a Redis that is no master any more; it is given
 * up for another one.
 */
export class Examiner {
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #looked = -Infinity
  #echo: { readonly word: string; heard(): void } | undefined
  #echoes = 0
  #closed = false

  constructor(
    private readonly ways: Ways,
    /** How long a connection may be mute, in ms. */
    private readonly timeout: number
  ) {}

  /** Look at new connections now, and again and again. */
  begin(): void {
    this.look()
    this.#later()
  }

  /** Look soon: something has gone wrong that the connections may be the reason of. */
  look(): void {
    const both = this.ways.both()
    if (both === undefined || this.#looking || now() - this.#looked < REST) return
    clearTimeout(this.#timer)
    this.#looking = true
    this.#looked = now()
    this.#examine(...both).catch(ignore).finally(() => {
      this.#looking = false
      this.#later()
    }).catch(ignore)
  }

  /** Whether what was heard is a message to ourselves, and no other's business. */
  hears(message: Buffer): boolean {
    if (message[0] !== ECHO.charCodeAt(0)) return false
    if (message.toString() === this.#echo?.word) this.#echo.heard()
    return true
  }

  /** Look no more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#echo?.heard()
  }

  #later(): void {
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => { this.look() }, ROUND).unref()
  }

  async #examine(speaker: Redis, listener: Redis): Promise<void> {
    const { outward, inward } = this.ways
    const heard = deferred<true>()
    const word = `${ECHO}${++this.#echoes}`
    this.#echo = { word, heard: () => { heard.resolve(true) } }
    const late = (): Error => new Error(`It has said nothing for ${this.timeout} ms.`)
    try {
      const asked = Promise.all([
        // Who may not ask that is told nothing of a Redis that has become a replica.
        speaker.info('replication').catch(() => ''),
        this.ways.publish(Buffer.from(word))
      ])
      const found = await within(asked, this.timeout, late).catch((error: unknown) => asError(error))
      if (found instanceof MetroplexError) return
      if (found instanceof Error) {
        outward.drop(speaker, found)
        return
      }
      const [role, hearers] = found
      if (/^role:slave/m.test(role)) {
        outward.drop(speaker, new Error('It is no master any more.'))
        return
      }
      outward.proven()
      if (hearers === 0) throw new Error('Our subscription is gone.')
      await within(heard.promise, this.timeout, late)
      inward.proven()
    } catch (error) {
      inward.drop(listener, asError(error))
    } finally {
      this.#echo = undefined
    }
  }
}
