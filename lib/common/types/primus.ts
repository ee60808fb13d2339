import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { PrimusOptions } from './options'

/** A connection of a client to a Primus server; the part of it that metroplex uses. */
export interface Spark {
  readonly id: string
  readonly readyState?: number
  /** The connection of the transformer that carries the spark. */
  readonly socket?: unknown
  /** The query of the URL with which the client connected. */
  readonly query?: Readonly<Record<string, unknown>>
  /** The address of the client, as the headers of proxies have it. */
  readonly address?: { readonly ip?: unknown }
  /** The headers of the request with which the connection began. */
  readonly headers?: IncomingHttpHeaders
  write(data: unknown): boolean
  end(data?: unknown, options?: { reconnect?: boolean }): unknown
}

/** A middleware function of Primus. It always has three parameters. */
export type Middleware = (
  this: Primus,
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: Error) => void
) => void

/** A Primus server; the part of it that a plugin uses. Primus itself ships no types. */
export interface Primus {
  /** The HTTP server it is attached to; `null` once it has been destroyed. */
  readonly server: unknown
  readonly pathname: string
  /** How many sparks are connected. */
  readonly connected: number
  readonly options: PrimusOptions
  readonly reserved: { readonly events: Record<string, number> }
  /** What Primus tells its clients about itself. */
  readonly spec: { readonly transformer: string }
  readonly Spark: {
    readonly CLOSED: number
    /** Assigning to `initialise` adds a function that Primus calls for each new spark. */
    readonly prototype: { initialise: (this: Spark) => void; readonly __initialise: ((this: Spark) => void)[] }
  }
  /** The layers that requests and upgrades pass through, in this order. Primus may replace the list. */
  layers: readonly Layer[]
  /** Takes the requests of the HTTP server and passes each through the layers. */
  readonly transformer: {
    forEach: (...args: never[]) => unknown
    /** Creates the spark of a connection. */
    Spark: new (...args: never[]) => object
  }
  /** The functions that messages of clients pass through, in this order. */
  readonly transformers: { incoming: unknown[] }
  forward?: unknown
  metroplex?: unknown
  on(event: string, listener: (...args: never[]) => void): unknown
  emit(event: string, ...args: unknown[]): boolean
  removeListener(event: string, listener: (...args: never[]) => void): unknown
  spark(id: string): Spark | undefined
  forEach(each: (spark: Spark) => unknown): unknown
  use(name: string, layer: Middleware, options: object, level: number): unknown
  remove(name: string): unknown
  indexOfLayer(name: string): number
  destroy(options?: unknown, fn?: unknown): unknown
  end(options?: unknown, fn?: unknown): unknown
}

/** A layer, as Primus stores it. */
export interface Layer {
  /** How many parameters `fn` has. With three Primus waits until `next` is called. */
  readonly length: number
  readonly enabled: boolean
  readonly name: string
  readonly fn: Middleware
}

/** A spark that has connected: its `query` is always set. */
export type ConnectedSpark = Spark & Required<Pick<Spark, 'query'>>
