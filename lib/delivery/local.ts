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

/** What writes to the sparks of this process. */
export type Here = Pick<Local, 'some' | 'all'>

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
  /** Sockets that hold back what is written to them until all that comes together is. */
  #held: Map<Socket, Spark> | undefined
  /** Several messages of a peer are being written. */
  #together = false
  /** How many messages have come in this turn of the event loop, and in the last one that had any. */
  #messages = 0
  #before = 1
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
    this.#gather()
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
    this.#gather()
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
    if (this.#together) return work()
    this.#together = true
    this.#held ??= new Map()
    try {
      return work()
    } finally {
      this.#together = false
      this.#release()
    }
  }

  /**
   * Where several messages come in one turn of the event loop, have them leave together when it ends. The first one leaves alone, at once, unless there
   * were several in the turn before, too: holding back a single one would cost more than it saves.
   */
  #gather(): void {
    if (this.#messages++ === 0) {
      // It may be in the midst of a batch.
      process.nextTick(() => {
        this.#before = this.#messages
        this.#messages = 0
        this.#release()
      })
      if (this.#before === 1) return
    }
    this.#held ??= new Map()
  }

  #release(): void {
    const held = this.#held
    if (held === undefined) return
    this.#held = undefined
    for (const socket of held.keys()) socket.uncork()
    for (const spark of held.values()) this.#look(spark, this.#outlet(spark))
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
    if (spark.readyState === this.primus.Spark.CLOSED) return false
    if (message.ending !== undefined) {
      spark.end(undefined, message.ending)
      return true
    }
    if (this.#prepared?.message !== message) this.#prepared = { message, packet: this.#encoded(spark, message) }
    const { packet } = this.#prepared
    const outlet = this.#outlet(spark)
    this.#hold(outlet, spark)
    if (packet === undefined || !this.#simple(spark)) {
      if (!spark.write(message.value)) return false
    } else if (!outlet.write(packet)) {
      spark.emit?.(DATA, packet.data)
    }
    if (!this.#together) this.#relieve(outlet)
    if (this.#held === undefined || outlet.socket === undefined || !this.#held.has(outlet.socket)) this.#look(spark, outlet)
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

  /** What is held back until the turn ends is not to be more than what may wait. */
  #relieve(outlet: Outlet): void {
    const { socket } = outlet
    if (this.#held === undefined || socket === undefined || !this.#tooMuch(outlet)) return
    this.#held.delete(socket)
    socket.uncork()
  }

  /** Look whether a spark has taken what it was sent. */
  #look(spark: Spark, outlet: Outlet): void {
    if (this.#tooMuch(outlet)) this.#slow.push(spark)
  }

  #tooMuch({ buffered = 0 }: Outlet): boolean {
    const { maxBuffered } = this.terms
    return maxBuffered !== 0 && buffered > maxBuffered
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
