import type { Socket } from 'node:net'
import type { Delivered } from '../common/peer-sender'
import { type Message } from '../common/encoded-message'
import { plain } from '../common/names'
import type { Primus, Spark } from '../common/types'
import { DATA, peek, rawSocketOf, type Deep, type RawSocket } from './raw-socket'
import { ClientPacket } from './client-packet'

/** The result of a write to local sparks. */
export interface LocalOutcome extends Delivered {
  /** Ids that are not connected here. */
  readonly missing: string[]
}

/** Writes to the sparks of this process. */
export type Here = Pick<LocalDelivery, 'some' | 'all'>

/** What happens to sparks whose clients read too slowly. */
export interface LocalTerms {
  /** A spark with more unsent bytes than this after a write is ended; 0: never. */
  readonly maxBuffered: number
  /** A spark was ended for that reason. */
  ended(spark: Spark, buffered: number): void
}

/** What writing uses of Primus. */
export type LocalPrimus = Pick<Primus, 'forEach' | 'options'> & {
  readonly Spark: { readonly CLOSED: number; readonly prototype?: object }
  readonly transformers?: { readonly outgoing?: readonly unknown[] }
  readonly encoder?: Encoder | null
  readonly parser?: { readonly encoder?: unknown }
}

type Encoder = (this: unknown, data: unknown, fn: (error: unknown, packet?: unknown) => void) => void

/** The methods of Primus's spark that a write passes through, in this order. */
const METHODS = ['write', 'transforms', '_write', 'emit'] as const

/** The parsers of Primus itself. They encode synchronously, and equally for all sparks. */
const BUILT_IN = new Set(['json', 'ejson', 'binary', 'msgpack'])

/**
 * Writes to the sparks of this process, synchronously, so that the order of all writes is kept, those of the
 * application included.
 *
 * Where that makes no difference to clients, a message is encoded once for all sparks: by the server that sends it, or
 * here by a parser of Primus itself when there are no outgoing transformers. Where the socket of a spark is known and
 * idle, even the frame is shared. Otherwise `spark.write` is called.
 */
export class LocalDelivery {
  /** The packet of the current message. */
  #prepared: { readonly message: Message; readonly packet: ClientPacket | undefined } | undefined
  /** Sockets that are corked until the current messages have been written. */
  #corked: Map<Socket, Spark> | undefined
  /** Whether a batch of a peer is being written. */
  #together = false
  /** The number of messages in this turn of the event loop, and in the last turn that had any. */
  #messages = 0
  #previous = 1
  /** Sparks whose unsent data exceeds `maxBuffered`. */
  readonly #slow: Spark[] = []
  /** The encoder of Primus, to notice when an application replaces it. */
  readonly #encoder: Encoder | null | undefined
  /** Whether a plugin had replaced the encoder before this one was loaded. */
  readonly #replaced: boolean
  readonly #methods: readonly unknown[]
  /** Whether those of all sparks are unchanged, as of the current message. */
  #original = false

  constructor(
    private readonly primus: LocalPrimus,
    /** The local spark of an id, unless the id is disowned. */
    private readonly spark: (id: string) => Spark | undefined,
    private readonly terms: LocalTerms
  ) {
    this.#encoder = primus.encoder
    this.#replaced = primus.parser !== undefined && primus.parser.encoder !== primus.encoder
    // Each Primus has a spark prototype of its own, which inherits from the common one.
    const { prototype } = primus.Spark
    const common: object = prototype === undefined ? {} : (Object.getPrototypeOf(prototype) as object)
    this.#methods = METHODS.map(name => peek(common, name))
  }

  /** Write to these sparks. An error of one spark, for instance of a transformer, is thrown after all writes. */
  some(ids: readonly string[], message: Message): LocalOutcome {
    this.#corkTurn()
    const missing: string[] = []
    let send = 0
    this.#forAll(ids, id => {
      const spark = this.spark(id)
      if (spark !== undefined && this.#write(spark, message)) send++
      else missing.push(id)
    })
    return { send, missing }
  }

  /** Write to all sparks except some. An error of one spark is thrown after all writes. */
  all(message: Message, except: ReadonlySet<unknown> = new Set()): LocalOutcome {
    this.#corkTurn()
    const sparks: Spark[] = []
    // A block, because a callback that returns false would stop the loop.
    this.primus.forEach(spark => {
      sparks.push(spark)
    })
    let send = 0
    this.#forAll(sparks, spark => {
      if ((except.size === 0 || !except.has(plain(spark.id))) && this.#write(spark, message)) send++
    })
    return { send, missing: [] }
  }

  /** Cork sockets while a batch is written, so that each socket sends all its messages in one write. */
  together<T>(work: () => T): T {
    if (this.#together) return work()
    this.#together = true
    this.#corked ??= new Map()
    try {
      return work()
    } finally {
      this.#together = false
      this.#uncork()
    }
  }

  /**
   * Cork sockets until the end of this turn of the event loop when several messages arrive in it.
   *
   * The first message is written at once, unless the previous turn had several: corking for a single message costs more
   * than it saves.
   */
  #corkTurn(): void {
    if (this.#messages++ === 0) {
      // nextTick may run while a batch is being written.
      process.nextTick(() => {
        this.#previous = this.#messages
        this.#messages = 0
        this.#uncork()
      })
      if (this.#previous === 1) return
    }
    this.#corked ??= new Map()
  }

  #uncork(): void {
    const corked = this.#corked
    if (corked === undefined) return
    this.#corked = undefined
    for (const socket of corked.keys()) socket.uncork()
    for (const spark of corked.values()) this.#checkBuffer(spark, rawSocketOf(spark))
    this.#endSlow()
  }

  #forAll<T>(items: readonly T[], write: (item: T) => void): void {
    try {
      all(items, write)
    } finally {
      this.#prepared = undefined
      if (!this.#together) this.#endSlow()
    }
  }

  #write(spark: Deep, message: Message): boolean {
    if (this.#closed(spark)) return false
    if (message.ending !== undefined) {
      spark.end(undefined, message.ending)
      return true
    }
    if (this.#prepared?.message !== message) {
      this.#prepared = { message, packet: this.#encoded(spark, message) }
      this.#original = this.#inherited()
    }
    const { packet } = this.#prepared
    const rawSocket = rawSocketOf(spark)
    if (this.#corked !== undefined) this.#cork(rawSocket, spark)
    if (packet === undefined || !this.#unchanged(spark)) {
      if (!spark.write(message.value)) return false
    } else if (!rawSocket.write(packet)) {
      spark.emit?.(DATA, packet.data)
    }
    if (this.#tooMuch(rawSocket)) this.#relieve(rawSocket, spark)
    return true
  }

  /** The packet for all sparks; `undefined` when each spark must encode the message itself. */
  #encoded(spark: Spark, message: Message): ClientPacket | undefined {
    const {
      transformers,
      options: { parser = 'json' },
      encoder
    } = this.primus
    if (transformers?.outgoing?.length !== 0 || typeof encoder !== 'function' || encoder !== this.#encoder)
      return undefined
    if (message.packed !== undefined) return new ClientPacket(message.packed.packet)
    if (typeof parser !== 'string' || !BUILT_IN.has(parser.toLowerCase()) || this.#replaced) return undefined
    if (parser.toLowerCase() === 'json' && message.blobs.length === 0) return new ClientPacket(message.text)
    let packet: ClientPacket | undefined
    encoder.call(spark, message.value, (error, data) => {
      if (!error && ((typeof data === 'string' && data !== '') || Buffer.isBuffer(data)))
        packet = new ClientPacket(data)
    })
    return packet
  }

  /** Whether `spark.write` is that of Primus, unchanged. */
  #unchanged(spark: Deep): boolean {
    // Whether a spark has a property of its own is quicker to ask than which value it inherits.
    return (
      this.#original &&
      Object.getPrototypeOf(spark) === this.primus.Spark.prototype &&
      !Object.hasOwn(spark, 'write') &&
      !Object.hasOwn(spark, 'transforms') &&
      !Object.hasOwn(spark, '_write') &&
      !Object.hasOwn(spark, 'emit')
    )
  }

  /** Whether all sparks inherit from Primus what a write passes through. */
  #inherited(): boolean {
    const { prototype } = this.primus.Spark
    return prototype !== undefined && METHODS.every((name, i) => peek(prototype, name) === this.#methods[i])
  }

  #cork({ socket }: RawSocket, spark: Spark): void {
    if (this.#corked === undefined || socket === undefined || this.#corked.has(socket)) return
    socket.cork()
    this.#corked.set(socket, spark)
  }

  /** A spark whose unsent data exceeds `maxBuffered`: uncork its socket early, and note it if that does not help. */
  #relieve(rawSocket: RawSocket, spark: Spark): void {
    const { socket } = rawSocket
    if (socket !== undefined && this.#corked?.has(socket) === true) {
      // A batch is checked when it has been written.
      if (this.#together) return
      this.#corked.delete(socket)
      socket.uncork()
    }
    this.#checkBuffer(spark, rawSocket)
  }

  /** Note a spark whose unsent data exceeds `maxBuffered`. */
  #checkBuffer(spark: Spark, rawSocket: RawSocket): void {
    if (this.#tooMuch(rawSocket)) this.#slow.push(spark)
  }

  #closed(spark: Deep): boolean {
    // The value behind `readyState`: its getter would read it by name.
    return (peek(spark, '__readyState') ?? peek(spark, 'readyState')) === this.primus.Spark.CLOSED
  }

  #tooMuch({ buffered = 0 }: RawSocket): boolean {
    const { maxBuffered } = this.terms
    return maxBuffered !== 0 && buffered > maxBuffered
  }

  /** End slow sparks, after all writes, because the application's listeners run then. */
  #endSlow(): void {
    if (this.#slow.length === 0) return
    all(this.#slow.splice(0), spark => {
      if (spark.readyState === this.primus.Spark.CLOSED) return
      const { socket, buffered = 0 } = rawSocketOf(spark)
      try {
        spark.end(undefined, { reconnect: true })
      } finally {
        // The client would not read a close frame either. A broken connection makes it reconnect.
        socket?.destroy()
        this.terms.ended(spark, buffered)
      }
    })
  }
}

/** Call a function for all items, and throw the first error at the end. */
function all<T>(items: readonly T[], work: (item: T) => void): void {
  const errors: unknown[] = []
  for (const item of items) {
    try {
      work(item)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

/** For a process without sparks. */
export const NO_SPARKS: Here = {
  some: ids => ({ send: 0, missing: [...ids] }),
  all: () => ({ send: 0, missing: [] })
}

/** All sparks of a Primus; none without a Primus. */
export function sparksOf(primus: Partial<Primus> | undefined): Spark[] {
  const sparks: Spark[] = []
  primus?.forEach?.(spark => {
    sparks.push(spark)
  })
  return sparks
}
