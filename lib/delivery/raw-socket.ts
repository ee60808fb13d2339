import type { Socket } from 'node:net'
import type { Spark } from '../common/types'
import type { ClientPacket } from './client-packet'

/** Primus emits this event on a spark to write an encoded packet to its connection. */
export const DATA = 'outgoing::data'

/** The connection of a spark. Its internals belong to other packages, so each property is checked before use. */
export interface RawSocket {
  /** The TCP socket. */
  readonly socket: Socket | undefined
  /** The number of written bytes that have not been sent yet; `undefined`: unknown. */
  readonly buffered: number | undefined
  /** Write an encoded frame, if that is safe now. @returns whether it was written */
  write(packet: ClientPacket): boolean
}

/** A connection of the transformer `websockets`: package ws, version 8. */
interface Ws {
  readonly readyState: number
  readonly extensions: string
  readonly bufferedAmount?: number
  readonly _socket?: Socket | null
  readonly _sender?: {
    readonly _state?: number
    readonly _bufferedBytes?: number
    readonly _queue?: readonly unknown[]
    readonly _firstFragment?: boolean
    sendFrame?(list: Buffer[]): void
  }
}

/** A connection of the transformer `sockjs`: package sockjs, version 0.3. */
interface SockJs {
  readonly _session?: {
    readonly readyState?: number
    readonly send_buffer?: readonly string[]
    readonly recv?: {
      readonly protocol?: string
      readonly connection?: Socket | null
      readonly response?: { readonly socket?: Socket | null } | null
      readonly ws?: {
        readonly readyState?: number
        readonly _stream?: Socket
        readonly _driver?: {
          readonly readyState?: number
          readonly _extensions?: { readonly _sessions?: readonly unknown[] }
        }
      } | null
    } | null
  }
}

const OPEN = 1

/** The internals of a Primus spark that lead to its connection. */
export interface Deep extends Spark {
  readonly socket?: unknown
  listenerCount?(event: string): number
  emit?(event: string, ...args: unknown[]): boolean
}

/**
 * Read a property of a spark, or of its table of listeners.
 *
 * Sparks have so many properties of their own that V8 keeps them in hash tables. An access by a name in the source then
 * takes half a microsecond, because V8 looks for a shape that such objects share. An access by a variable does not.
 */
export function peek(from: object, name: string): unknown {
  return (from as Readonly<Record<string, unknown>>)[name]
}

// With one name, V8 would treat it as a name in the source.
for (const name of 'abcdefgh') peek({ [name]: name }, name)

const rawSockets = new WeakMap<Spark, RawSocket>()

/** The connection of a spark. */
export function rawSocketOf(spark: Deep): RawSocket {
  let rawSocket = rawSockets.get(spark)
  if (rawSocket === undefined) {
    rawSocket = connectionOf(spark)
    rawSockets.set(spark, rawSocket)
  }
  return rawSocket
}

function connectionOf(spark: Deep): RawSocket {
  const below = spark.socket as Partial<Ws & SockJs> | null | undefined
  if (typeof below !== 'object' || below === null) return NOTHING
  if (typeof below._sender?.sendFrame === 'function') return new WsSocket(spark, below)
  if (typeof below._session === 'object') return new SockJsSocket(spark, below)
  return NOTHING
}

const NOTHING: RawSocket = { socket: undefined, buffered: undefined, write: () => false }

/** Whether only Primus listens to the packets of a spark; another listener must see each of them. */
function unwatched(spark: Deep): boolean {
  const events = peek(spark, '_events')
  if (typeof events === 'object' && events !== null) {
    // eventemitter3 keeps a single listener as an object, and several as an array.
    const listeners = peek(events, DATA)
    if (typeof listeners === 'object' && listeners !== null) return !Array.isArray(listeners)
  }
  return spark.listenerCount?.(DATA) === 1
}

class WsSocket implements RawSocket {
  /** Whether the connection compresses, for instance. That is settled when it opens. */
  readonly #extended: boolean

  constructor(
    private readonly spark: Deep,
    private readonly ws: Partial<Ws>
  ) {
    this.#extended = ws.extensions !== ''
  }

  get socket(): Socket | undefined {
    return this.ws._socket ?? undefined
  }

  get buffered(): number | undefined {
    // Includes messages that wait for compression.
    return this.ws.bufferedAmount
  }

  write(packet: ClientPacket): boolean {
    const { spark, ws } = this
    const { _sender: sender } = ws
    // With compression, or behind a message that is still being prepared, only ws itself may write.
    const free =
      ws.readyState === OPEN &&
      !this.#extended &&
      sender?._firstFragment === true &&
      sender._bufferedBytes === 0 &&
      sender._queue?.length === 0 &&
      (sender._state ?? 0) === 0 &&
      unwatched(spark)
    if (!free || typeof sender.sendFrame !== 'function') return false
    sender.sendFrame([packet.websocket])
    return true
  }
}

class SockJsSocket implements RawSocket {
  #waiting: readonly string[] | undefined
  #counted = 0
  #bytes = 0

  constructor(
    private readonly spark: Deep,
    private readonly below: SockJs
  ) {}

  get socket(): Socket | undefined {
    const recv = this.below._session?.recv
    return recv?.connection ?? recv?.response?.socket ?? undefined
  }

  get buffered(): number | undefined {
    const waiting = this.below._session?.send_buffer
    if (waiting === undefined) return undefined
    // SockJS fills it while the client has no open request, and replaces the list afterwards.
    if (waiting !== this.#waiting) {
      this.#waiting = waiting
      this.#counted = this.#bytes = 0
    }
    // Count only new messages, because the list may be long.
    for (; this.#counted < waiting.length; this.#counted++) this.#bytes += waiting[this.#counted]?.length ?? 0
    return this.#bytes + (this.socket?.writableLength ?? 0)
  }

  write(packet: ClientPacket): boolean {
    const { spark, socket } = this
    const session = this.below._session
    const ws = session?.recv?.ws
    // No layer above the socket may hold data, because a direct write would overtake it.
    const free =
      session?.readyState === OPEN &&
      session.send_buffer?.length === 0 &&
      session.recv?.protocol === 'websocket' &&
      ws?.readyState === OPEN &&
      ws._driver?.readyState === OPEN &&
      ws._driver._extensions?._sessions?.length === 0 &&
      ws._stream === socket &&
      socket?.writable === true &&
      typeof packet.data === 'string' &&
      unwatched(spark)
    if (!free) return false
    socket.write(packet.sockjs)
    return true
  }
}
