import { randomBytes } from 'node:crypto'
import { deferred } from '../common/async'
import { asError, MetroplexError } from '../common/errors'
import type { Message } from '../common/encoded-message'
import type { Parser } from '../common/parser'
import type { Spark } from '../common/types'
import type { LocalDelivery } from './local'

/** The key of requests and replies, as in the client half. */
const KEY = 'metroplex::request'
/** The query parameter by which a client half announces itself. Its value, a random token, starts each request. */
const QUERY = '_metroplex'
/** The longest failure text of a client that is passed on, in characters, because clients are not trusted. */
const LONGEST = 500

/** What requests use of Primus. */
export interface ClientRepliesPrimus {
  spark(id: string): Spark | undefined
  readonly transformers: { incoming: unknown[] }
}

type Pending = Map<string, ReturnType<typeof deferred<unknown>>>

/**
 * Asks the clients of local sparks, and waits for their replies.
 *
 * A request is written like any message. A reply passes through the application's incoming transformers; a last one
 * consumes it. It counts once, and only from the spark that was asked, under the random id of the request. The
 * transformer is installed with the first request.
 */
export class ClientReplies {
  readonly #pending = new Map<Spark, Pending>()
  readonly #transformer: unknown

  constructor(
    private readonly primus: ClientRepliesPrimus,
    private readonly local: Pick<LocalDelivery, 'some'>,
    /** The parser that clients and servers share. */
    private readonly parser: Pick<Parser, 'message'>
  ) {
    const consume = (spark: Spark, data: unknown): boolean => this.#consume(spark, data)
    // One parameter: with two, Primus would wait for a callback.
    this.#transformer = function (this: Spark, packet: { readonly data: unknown }): boolean {
      return !consume(this, packet.data)
    }
  }

  /** The number of requests without a reply. */
  get size(): number {
    let size = 0
    for (const pending of this.#pending.values()) size += pending.size
    return size
  }

  /**
   * Check that the client of a spark can be asked.
   *
   * @returns a function that asks it. It resolves with the reply, `undefined` if that is empty. It rejects with
   * `EUNREACHABLE` when the client disconnects, `EREMOTE` when it could not answer, `EMESSAGE`, or the signal's reason
   * @throws MetroplexError `ENOSPARK` when the spark is not local, `EUNREACHABLE` when its client has no client half
   */
  prepare(id: string, value: unknown, signal: AbortSignal): () => Promise<unknown> {
    const spark = this.primus.spark(id)
    if (spark === undefined) throw absent(id)
    const token = tokenOf(spark)
    if (token === undefined) {
      throw new MetroplexError(
        'EUNREACHABLE',
        `The client of the spark ${id} cannot be asked, because it has not loaded the client half of metroplex: ` +
          'give it the library that Primus makes with this plugin.',
        { maybe: false }
      )
    }
    return () => this.#ask(spark, id, token, value, signal)
  }

  /** A spark has disconnected: its open requests fail. */
  disconnected(spark: Spark): void {
    for (const reply of this.#pending.get(spark)?.values() ?? []) {
      reply.reject(
        new MetroplexError('EUNREACHABLE', `The client of the spark ${spark.id} went away before it replied.`, {
          maybe: true
        })
      )
    }
  }

  /** Remove the transformer. */
  close(): void {
    const { transformers } = this.primus
    transformers.incoming = transformers.incoming.filter(fn => fn !== this.#transformer)
  }

  async #ask(spark: Spark, id: string, token: string, value: unknown, signal: AbortSignal): Promise<unknown> {
    const name = randomBytes(12).toString('base64url')
    const request = this.parser.message({ [KEY]: [token, name, value] })
    const reply = deferred<unknown>()
    const aborted = (): void => {
      reply.reject(asError(signal.reason))
    }
    const pending = this.#pending.get(spark) ?? new Map<string, typeof reply>()
    this.#pending.set(spark, pending.set(name, reply))
    signal.addEventListener('abort', aborted, { once: true })
    this.#installTransformer()
    try {
      if (!this.#write(id, request)) throw absent(id)
      return await reply.promise
    } finally {
      signal.removeEventListener('abort', aborted)
      pending.delete(name)
      if (pending.size === 0) this.#pending.delete(spark)
    }
  }

  #write(id: string, request: Message): boolean {
    try {
      return this.local.some([id], request).send > 0
    } catch (error) {
      throw new MetroplexError('EREMOTE', `The spark ${id} could not be written to: ${asError(error).message}`, {
        cause: error
      })
    }
  }

  /** Make the transformer the last one. The list is replaced, because Primus may be iterating over the current one. */
  #installTransformer(): void {
    const { transformers } = this.primus
    const { incoming } = transformers
    if (incoming.at(-1) === this.#transformer) return
    transformers.incoming = [...incoming.filter(fn => fn !== this.#transformer), this.#transformer]
  }

  /** @returns whether the data was a reply of a client half, in time or not */
  #consume(spark: Spark, data: unknown): boolean {
    if (typeof data !== 'object' || data === null || !Object.hasOwn(data, KEY) || tokenOf(spark) === undefined)
      return false
    const reply: unknown = (data as Record<string, unknown>)[KEY]
    const [name, value, failure] = Array.isArray(reply) ? (reply as unknown[]) : []
    const pending = this.#pending.get(spark)?.get(name as string)
    if (typeof failure !== 'string') pending?.resolve(value)
    else
      pending?.reject(
        new MetroplexError(
          'EREMOTE',
          `The client of the spark ${spark.id} could not answer: ${failure.slice(0, LONGEST)}`
        )
      )
    return true
  }
}

/** The token of the client half behind a spark; `undefined`: there is none. */
function tokenOf({ query }: Spark): string | undefined {
  const token = query?.[QUERY]
  return typeof token === 'string' && token !== '' ? token : undefined
}

function absent(id: string): MetroplexError {
  return new MetroplexError('ENOSPARK', `This server does not hold the spark ${id}.`)
}
