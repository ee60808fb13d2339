import type { Socket } from 'node:net'
import type { Delivered } from '../courier'
import { plain, type Message } from '../message'
import type { Primus, Spark } from '../types'
import { DATA, outletOf, type Deep, type Outlet } from './outlet'
import { Packet } from './packet'

/** What a write to sparks of our own came to. */
export interface Written extends Delivered {
  /** Ids that are not connected here. */
  readonly missing: string[]
}

/** What happens to those who do not take what they are sent. */
export interface LocalTerms {
  /** A spark whose socket holds more unsent than this after a write is ended; in bytes, 0: never. */
  readonly maxBuffered: number
  /** That has happened. */
  ended(spark: Spark, buffered: number): void
}

/** As much of Primus as writing takes. */
export type LocalPrimus = Pick<Primus, 'spark' | 'forEach' | 'Spark' | 'options'> & {
  readonly transformers?: { readonly outgoing?: readonly unknown[] }
  readonly encoder?: Encoder | null
}

type Encoder = (this: unknown, data: unknown, fn: (error: unknown, packet?: unknown) => void) => void

/** What Primus's spark does when it is written to, one calling the other. */
const METHODS = ['write', 'transforms', '_write', 'emit'] as const

/** Parsers that come with Primus: they encode at once, and the same for everybody. */
const BUILT_IN = new Set(['json', 'ejson', 'binary', 'msgpack'])

/**
 * Writes to the sparks of this process, at once and in the order of the calls, also as against what the application writes itself.
 *
 * A message is encoded once for all of them where that makes no difference: with a parser of Primus's own, and without outgoing transformers. Where the
 * socket below a spark is known and free, even the frame is the same; there is the plain way for everything else, which is what
 * `spark.write` does.
 */
export class Local {
  /** Prepared for the message at hand. */
  #prepared: { readonly message: Message; readonly packet: Packet | undefined } | undefined
  readonly #outlets = new WeakMap<Spark, Outlet>()
  /** Sockets that hold back what is written to them until all of a batch is. */
  #held: Map<Socket, Spark> | undefined
  /** Sparks that have not taken what they were sent. */
  readonly #slow: Spark[] = []
  /** Primus's own, to see whether an application has put something else in the place of it. */
  readonly #encoder: Encoder | null | undefined
  readonly #methods: readonly unknown[]

  constructor(
    private readonly primus: LocalPrimus,
    /** Whether an id is ours to write to, and not another server's by now. */
    private readonly owns: (id: string) => boolean,
    private readonly terms: LocalTerms
  ) {
    this.#encoder = primus.encoder
    // Each Primus has a prototype of its own, above that of all.
    const { prototype } = primus.Spark as { readonly prototype?: object }
    const common = prototype === undefined ? {} : Object.getPrototypeOf(prototype) as Partial<Record<string, unknown>>
    this.#methods = METHODS.map(name => common[name])
  }

  /** Write to these. What is thrown for one of them, by a transformer for instance, is thrown when the others have got it. */
  some(ids: readonly string[], message: Message): Written {
    const missing: string[] = []
    let send = 0
    this.#forAll(ids, id => {
      const spark = this.owns(id) ? this.primus.spark(id) : undefined
      if (spark !== undefined && this.#write(spark, message)) send++
      else missing.push(id)
    })
    return { send, missing }
  }

  /** Write to all, but for `except`. What is thrown for one of them is thrown when the others have got it. */
  all(message: Message, except: ReadonlySet<unknown> = new Set()): Written {
    const sparks: Spark[] = []
    // A block: what the callback returns would stop the loop if it were false.
    this.primus.forEach(spark => { sparks.push(spark) })
    let send = 0
    this.#forAll(sparks, spark => {
      if ((except.size === 0 || !except.has(plain(spark.id))) && this.#write(spark, message)) send++
    })
    return { send, missing: [] }
  }

  /** Have several messages leave together: what is written to one socket meanwhile is one write. */
  together<T>(work: () => T): T {
    if (this.#held !== undefined) return work()
    const held = this.#held = new Map<Socket, Spark>()
    try {
      return work()
    } finally {
      this.#held = undefined
      for (const socket of held.keys()) socket.uncork()
      for (const spark of held.values()) this.#look(spark, this.#outlet(spark))
      this.#endSlow()
    }
  }

  #forAll<T>(items: readonly T[], write: (item: T) => void): void {
    try {
      all(items, write)
    } finally {
      this.#prepared = undefined
      if (this.#held === undefined) this.#endSlow()
    }
  }

  #write(spark: Deep, message: Message): boolean {
    if (spark.readyState === this.primus.Spark.CLOSED) return false
    if (this.#prepared?.message !== message) this.#prepared = { message, packet: this.#encoded(spark, message) }
    const { packet } = this.#prepared
    const outlet = this.#outlet(spark)
    this.#hold(outlet, spark)
    if (packet === undefined || !this.#simple(spark)) {
      if (!spark.write(message.value)) return false
    } else if (!outlet.write(packet)) {
      spark.emit?.(DATA, packet.data)
    }
    if (this.#held === undefined || outlet.socket === undefined) this.#look(spark, outlet)
    return true
  }

  /** What all get, if all get the same. */
  #encoded(spark: Spark, message: Message): Packet | undefined {
    const { transformers, options: { parser = 'json' }, encoder } = this.primus
    if (transformers?.outgoing?.length !== 0 || typeof parser !== 'string' || !BUILT_IN.has(parser.toLowerCase())) return undefined
    if (typeof encoder !== 'function' || encoder !== this.#encoder) return undefined
    if (parser.toLowerCase() === 'json' && message.blobs.length === 0) return new Packet(message.text)
    let packet: Packet | undefined
    encoder.call(spark, message.value, (error, data) => {
      if (!error && ((typeof data === 'string' && data !== '') || Buffer.isBuffer(data))) packet = new Packet(data)
    })
    return packet
  }

  /** Whether `spark.write` does what Primus's does, and nothing more. */
  #simple(spark: Deep & Partial<Record<typeof METHODS[number], unknown>>): boolean {
    return typeof spark.emit === 'function' && METHODS.every((name, i) => spark[name] === this.#methods[i])
  }

  #outlet(spark: Spark): Outlet {
    let outlet = this.#outlets.get(spark)
    if (outlet === undefined) {
      outlet = outletOf(spark)
      this.#outlets.set(spark, outlet)
    }
    return outlet
  }

  #hold({ socket }: Outlet, spark: Spark): void {
    if (this.#held === undefined || socket === undefined || this.#held.has(socket)) return
    socket.cork()
    this.#held.set(socket, spark)
  }

  /** Look whether a spark has taken what it was sent. */
  #look(spark: Spark, outlet: Outlet): void {
    const { maxBuffered } = this.terms
    if (maxBuffered !== 0 && (outlet.buffered ?? 0) > maxBuffered) this.#slow.push(spark)
  }

  /** End those that have not, before they take our memory: when all is written, because the application hears of it. */
  #endSlow(): void {
    if (this.#slow.length === 0) return
    all(this.#slow.splice(0), spark => {
      if (spark.readyState === this.primus.Spark.CLOSED) return
      const { socket, buffered = 0 } = this.#outlet(spark)
      try {
        spark.end(undefined, { reconnect: true })
      } finally {
        // It would not take a farewell either. What it takes for a broken connection makes it come back.
        socket?.destroy()
        this.terms.ended(spark, buffered)
      }
    })
  }
}

/** Do it with all, whatever becomes of one. What was thrown first is thrown in the end. */
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
