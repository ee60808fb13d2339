import { randomBytes } from 'node:crypto'
import { deferred } from '../deadline'
import { asError, MetroplexError } from '../errors'
import { Message } from '../message'
import type { Spark } from '../types'
import type { Local } from './local'

/** The one key of what travels to a client half and back; as the client half has it. */
const KEY = 'metroplex::request'
/** The name in the query by which a client half says that it is there. Its value, a random word, stands in front of each request to it. */
const QUERY = '_metroplex'
/** What a client says went wrong is not ours, and may be anything: so much of it is passed on, in characters. */
const LONGEST = 500

/** As much of Primus as requests take. */
export interface RepliesPrimus {
  spark(id: string): Spark | undefined
  readonly transformers: { incoming: unknown[] }
}

type Pending = Map<string, ReturnType<typeof deferred<unknown>>>

/**
 * Asks the clients of our own sparks, and waits for their replies.
 *
 * A request is written like any message. A reply is swallowed behind all incoming transformers, so that it may pass through those of the application. It counts
 * once, and only from the spark that was asked, under the random name of the request. Nothing that clients send is looked at before somebody was asked.
 */
export class Replies {
  readonly #pending = new Map<Spark, Pending>()
  readonly #swallow: unknown

  constructor(
    private readonly primus: RepliesPrimus,
    private readonly local: Pick<Local, 'some'>,
    /** Whether the parser that clients and servers speak with each other carries binary. */
    private readonly binary: boolean
  ) {
    const replied = (spark: Spark, data: unknown): boolean => this.#replied(spark, data)
    // One parameter: with two, Primus would wait for a callback.
    this.#swallow = function (this: Spark, packet: { readonly data: unknown }): boolean { return !replied(this, packet.data) }
  }

  /** How many replies are waited for. */
  get size(): number {
    let size = 0
    for (const pending of this.#pending.values()) size += pending.size
    return size
  }

  /**
   * Look whether a spark can be asked, and say how.
   *
   * @returns what asks it. That resolves with the reply, `undefined` if it is empty; it rejects with `EUNREACHABLE` when the client goes away, `EREMOTE` when it
   * could not answer, `EMESSAGE`, or with what the signal was aborted with
   * @throws MetroplexError `ENOSPARK` when we do not have it, `EUNREACHABLE` when its client has not loaded our half
   */
  prepare(id: string, value: unknown, signal: AbortSignal): () => Promise<unknown> {
    const spark = this.primus.spark(id)
    if (spark === undefined) throw absent(id)
    const word = wordOf(spark)
    if (word === undefined) {
      throw new MetroplexError('EUNREACHABLE', `The client of the spark ${id} cannot be asked, because it has not loaded our client half: give it the library that Primus makes with this plugin.`, { maybe: false })
    }
    return () => this.#ask(spark, id, word, value, signal)
  }

  /** A spark has gone: its client replies no more. */
  gone(spark: Spark): void {
    for (const reply of this.#pending.get(spark)?.values() ?? []) {
      reply.reject(new MetroplexError('EUNREACHABLE', `The client of the spark ${spark.id} went away before it replied.`, { maybe: true }))
    }
  }

  /** Listen no more. */
  close(): void {
    const { transformers } = this.primus
    transformers.incoming = transformers.incoming.filter(fn => fn !== this.#swallow)
  }

  async #ask(spark: Spark, id: string, word: string, value: unknown, signal: AbortSignal): Promise<unknown> {
    const name = randomBytes(12).toString('base64url')
    const request = Message.of({ [KEY]: [word, name, value] }, this.binary)
    const reply = deferred<unknown>()
    const dropped = (): void => { reply.reject(asError(signal.reason)) }
    const pending = this.#pending.get(spark) ?? new Map<string, typeof reply>()
    this.#pending.set(spark, pending.set(name, reply))
    signal.addEventListener('abort', dropped, { once: true })
    this.#listen()
    try {
      if (!this.#written(id, request)) throw absent(id)
      return await reply.promise
    } finally {
      signal.removeEventListener('abort', dropped)
      pending.delete(name)
      if (pending.size === 0) this.#pending.delete(spark)
    }
  }

  #written(id: string, request: Message): boolean {
    try {
      return this.local.some([id], request).send > 0
    } catch (error) {
      throw new MetroplexError('EREMOTE', `The spark ${id} could not be written to: ${asError(error).message}`, { cause: error })
    }
  }

  /** See what clients send behind all other transformers. In another list, because messages may be on their way through this one. */
  #listen(): void {
    const { transformers } = this.primus
    const { incoming } = transformers
    if (incoming.at(-1) === this.#swallow) return
    transformers.incoming = [...incoming.filter(fn => fn !== this.#swallow), this.#swallow]
  }

  /** @returns whether it was a reply of a client half; also one that comes too late, or twice */
  #replied(spark: Spark, data: unknown): boolean {
    if (typeof data !== 'object' || data === null || !Object.hasOwn(data, KEY) || wordOf(spark) === undefined) return false
    const reply: unknown = (data as Record<string, unknown>)[KEY]
    const [name, value, failure] = Array.isArray(reply) ? reply as unknown[] : []
    const pending = this.#pending.get(spark)?.get(name as string)
    if (typeof failure !== 'string') pending?.resolve(value)
    else pending?.reject(new MetroplexError('EREMOTE', `The client of the spark ${spark.id} could not answer: ${failure.slice(0, LONGEST)}`))
    return true
  }
}

/** The word of the client half behind a spark; `undefined`: it has none. */
function wordOf({ query }: Spark): string | undefined {
  const word = query?.[QUERY]
  return typeof word === 'string' && word !== '' ? word : undefined
}

function absent(id: string): MetroplexError {
  return new MetroplexError('ENOSPARK', `This server does not hold the spark ${id}.`)
}
