import type { Socket } from 'node:net'
import type { Spark } from '../types'
import type { Packet } from './packet'

/** The event by which Primus hands an encoded packet to the connection below a spark. */
export const DATA = 'outgoing::data'

/** What lies below a spark, as far as it could be found. Everything in it is looked at before it is used: it is not ours. */
export interface Outlet {
  /** The TCP socket at the bottom. */
  readonly socket: Socket | undefined
  /** How much of what was written has not left yet, in bytes; `undefined`: nobody knows. */
  readonly buffered: number | undefined
  /** Write a prepared frame, if nothing stands in its way. @returns whether it was written */
  write(packet: Packet): boolean
}

/** Below the transformer `websockets`: a connection of the package ws, of version 8. */
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

/** Below the transformer `sockjs`: a connection of the package sockjs, of version 0.3. */
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
        readonly _driver?: { readonly readyState?: number; readonly _extensions?: { readonly _sessions?: readonly unknown[] } }
      } | null
    } | null
  }
}

const OPEN = 1

/** As much of Primus's spark as is needed to get below it. */
export interface Deep extends Spark {
  readonly socket?: unknown
  listenerCount?(event: string): number
  emit?(event: string, ...args: unknown[]): boolean
}

/** Find what lies below a spark. */
export function outletOf(spark: Deep): Outlet {
  const below = spark.socket as Partial<Ws & SockJs> | null | undefined
  if (typeof below !== 'object' || below === null) return NOTHING
  if (typeof below._sender?.sendFrame === 'function') return new WsOutlet(spark, below)
  if (typeof below._session === 'object') return new SockJsOutlet(spark, below)
  return NOTHING
}

const NOTHING: Outlet = { socket: undefined, buffered: undefined, write: () => false }

/** Whether Primus alone listens to what is written to a spark: whoever else does wants to see it. */
function unwatched(spark: Deep): boolean {
  return spark.listenerCount?.(DATA) === 1
}

class WsOutlet implements Outlet {
  constructor(private readonly spark: Deep, private readonly ws: Partial<Ws>) {}

  get socket(): Socket | undefined {
    return this.ws._socket ?? undefined
  }

  get buffered(): number | undefined {
    // With what waits to be compressed.
    return this.ws.bufferedAmount
  }

  write(packet: Packet): boolean {
    const { spark, ws } = this
    const { _sender: sender } = ws
    // Compressed, or behind something that is still being prepared, it has to go the long way.
    const free = ws.readyState === OPEN && ws.extensions === '' && sender?._firstFragment === true && sender._bufferedBytes === 0 &&
      sender._queue?.length === 0 && (sender._state ?? 0) === 0 && unwatched(spark)
    if (!free || typeof sender.sendFrame !== 'function') return false
    sender.sendFrame([packet.websocket])
    return true
  }
}

class SockJsOutlet implements Outlet {
  #waiting: readonly string[] | undefined
  #counted = 0
  #bytes = 0

  constructor(private readonly spark: Deep, private readonly below: SockJs) {}

  get socket(): Socket | undefined {
    const recv = this.below._session?.recv
    return recv?.connection ?? recv?.response?.socket ?? undefined
  }

  get buffered(): number | undefined {
    const waiting = this.below._session?.send_buffer
    if (waiting === undefined) return undefined
    // Filled while the client has no request under way, and another list from then on.
    if (waiting !== this.#waiting) {
      this.#waiting = waiting
      this.#counted = this.#bytes = 0
    }
    // Only what is new: many messages may be waiting.
    for (; this.#counted < waiting.length; this.#counted++) this.#bytes += waiting[this.#counted]?.length ?? 0
    return this.#bytes + (this.socket?.writableLength ?? 0)
  }

  write(packet: Packet): boolean {
    const { spark, socket } = this
    const session = this.below._session
    const ws = session?.recv?.ws
    // Nothing waits above the socket: what is written to that is the next to leave.
    const free = session?.readyState === OPEN && session.send_buffer?.length === 0 && session.recv?.protocol === 'websocket' &&
      ws?.readyState === OPEN && ws._driver?.readyState === OPEN && ws._driver._extensions?._sessions?.length === 0 && ws._stream === socket &&
      socket?.writable === true && typeof packet.data === 'string' && unwatched(spark)
    if (!free) return false
    socket.write(packet.sockjs)
    return true
  }
}
