import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Transport } from './contract'
import type { MetroplexError } from './errors'

/** A connection, as Primus calls it; as much of it as we use. */
export interface Spark {
  readonly id: string
  readonly readyState?: number
  /** The connection of the transformer below it. */
  readonly socket?: unknown
  /** Of the URL by which the client came. */
  readonly query?: Readonly<Record<string, unknown>>
  /** Of the request with which it began. */
  readonly headers?: IncomingHttpHeaders
  write(data: unknown): boolean
  end(data?: unknown, options?: { reconnect?: boolean }): unknown
}

/** A request handler of Primus, with three parameters always. */
export type Middleware = (this: Primus, req: IncomingMessage, res: ServerResponse, next: (error?: Error) => void) => void

/** A Primus server; as much of it as a plugin touches. Primus itself ships no types. */
export interface Primus {
  /** The HTTP server it is attached to; `null` once it has been destroyed. */
  readonly server: unknown
  readonly pathname: string
  /** How many sparks there are. */
  readonly connected: number
  readonly options: PrimusOptions
  readonly reserved: { readonly events: Record<string, number> }
  /** What it tells its clients of itself. */
  readonly spec: { readonly transformer: string }
  readonly Spark: { readonly CLOSED: number }
  /** What messages of clients pass through, in this order. */
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

/**
 * What our options need to know of a Redis client: an ioredis `Redis` or `Cluster`, version 5 or 6,
 * or one that behaves so. Recognised by structure, because applications bring their own copy.
 */
export interface RedisClient {
  readonly status: string
  duplicate(...args: never[]): unknown
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void
}

/** How TLS is spoken with peers whose address is `https://`. */
export interface TlsOptions {
  readonly ca?: string | Buffer | (string | Buffer)[]
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
  readonly passphrase?: string
  /** The name the peers' certificate is made out to: an address that is an IP rarely matches one. */
  readonly servername?: string
  /** Default `true`. */
  readonly rejectUnauthorized?: boolean
}

/** How much may wait to be sent to peers; what comes on top fails at once with `EBUSY`. */
export interface MaxQueue {
  /** Messages per peer. */
  readonly messages: number
  /** Bytes per peer. */
  readonly bytes: number
  /** Bytes over all peers. */
  readonly total: number
}

/** Names the user behind a spark, at once or later. */
export type UserOption = (spark: Spark) => string | undefined | Promise<string | undefined>

/** Where a private listener for peers is bound. */
export interface Listen {
  /** An address of this machine. @default the one of the option `address`, else the first that others can reach */
  readonly host?: string
  /** @default a free one */
  readonly port?: number
}

/**
 * Options of `new Primus(server, options)` that are ours; the four that metroplex 1.x had, `address`,
 * and everything new nested in `metroplex`, because Primus and its plugins share one flat object.
 */
export interface MetroplexOptions {
  /**
   * An ioredis client or Cluster, for our options; we talk through a duplicate of it, and never close yours.
   * @default `new Redis()`, that is localhost:6379, closed by us at the end
   */
  redis?: RedisClient
  /** Prefix of every key. Not empty. @default 'metroplex' */
  namespace?: string
  /** How long the alive key lives, in ms; at least 300. @default 300000 */
  interval?: number
  /** Head start of its renewal, in ms; less than `interval`. @default 2000, or `interval / 2` if that is less */
  latency?: number
  /** Where peers reach exactly this process: `http://10.0.0.5:8080`, no path. @default read off the server */
  address?: string
  metroplex?: {
    /** What operators read. @default `METROPLEX_NAME`, else `host:pid` */
    name?: string
    /**
     * How long peers believe in us after a beat, in ms; at least 300, at most `interval`.
     * A crash is noticed within 5/3 of it.
     * @default the lesser of `interval` and 15000
     */
    lease?: number
    /**
     * What servers sign with when they talk to each other; at least 16 bytes. An array: the first one signs, all are valid. To change it, give all
     * servers `[old, new]`, then `[new, old]`, then `[new]`.
     * @default `METROPLEX_SECRET`, else one that the servers make up and keep in Redis: who can read Redis can then sign, too
     */
    secret?: string | readonly string[]
    /** Deadline of one operation, in ms; at least 1. @default 5000 */
    timeout?: number
    /** How much may wait to be sent. @default { messages: 100000, bytes: 67108864, total: 268435456 } */
    maxQueue?: Partial<MaxQueue>
    /**
     * A client whose socket holds more unsent bytes than this after one of our writes is ended, told to reconnect, and counted as `ended` in `stats()`.
     * 0: never. @default 67108864
     */
    maxBuffered?: number
    /**
     * Have peers talk to this listener, which serves nothing else, rather than to the public port. `address` becomes its address, unless that is given. `false`: none.
     * @default `{}` in a worker of node:cluster (and so in PM2's cluster mode) that is given no `address`, because workers share the public port: then it is on the interface of the public one, if that has just one; else none
     */
    listen?: Listen | false
    /**
     * How servers talk to each other; the same on all. `'redis'` is for platforms where they cannot reach each other. An object: your own, see `Transport`.
     * @default 'http'
     */
    transport?: 'http' | 'redis' | Transport
    /**
     * `'auto'`: peers of 1.x are reached on omega-supreme's wire, and so is everybody when omega-supreme's `middleware` option is set. `false`: nobody is.
     * @default 'auto'
     */
    omega?: 'auto' | false
    /** Largest request taken or sent in one piece, in bytes; at least 1024. @default 10485760 */
    maxBody?: number
    /**
     * Into how many registries the cluster's is split, side by side, so that it can lie on several masters of a Redis Cluster;
     * from 1 to 256, the same on all servers. Above 1, servers of 1.x cannot take part, and `namespace` must carry no braces.
     * @default 1
     */
    shards?: number
    /**
     * Who is behind a spark: called when one connects. A string of 1 to 1024 bytes, or a promise of one; `undefined`: nobody, for now. One that throws leaves the spark without a
     * user, and emits `error`. @default nobody is
     */
    user?: UserOption
    /** How to speak TLS with peers whose address is `https://`. @default as Node does */
    tls?: TlsOptions
  }
}

/** What omega-supreme's options mean to us; it shares the flat object too. */
export interface OmegaOptions {
  url?: string
  method?: string
  username?: string
  password?: string
  /** Called instead of reading the body, with the function that takes the raw text of it. */
  middleware?: (
    primus: Primus,
    parse: (primus: Primus, raw: string, res: ServerResponse) => void,
    req: IncomingMessage,
    res: ServerResponse,
    next: (error?: Error) => void
  ) => void
}

/** Options of a Primus that loads this plugin, as far as we read them. */
export type PrimusOptions = MetroplexOptions & OmegaOptions & {
  /** The name of the parser that clients and servers speak with each other, or one of the application's own. @default 'json' */
  parser?: unknown
}

/** Options of a process that uses a cluster without being one of its servers. */
export interface ClientOptions extends Pick<MetroplexOptions, 'redis' | 'namespace'> {
  /** As the servers have it: with another one than JSON, messages may be binary. @default 'json' */
  parser?: PrimusOptions['parser']
  /** As of a server, as far as it does something here: `secret`, `transport` and `shards` must be those of the servers. */
  metroplex?: Pick<NonNullable<MetroplexOptions['metroplex']>, 'name' | 'lease' | 'secret' | 'timeout' | 'maxBody' | 'maxQueue' | 'transport' | 'shards' | 'tls'>
}

/** Why and where a message did not arrive, or may not have. */
export interface Failure {
  readonly address: string
  readonly code: MetroplexError['code']
  readonly message: string
  /** `true`: bytes had left and no answer came, so that it may have arrived; `false`: it did not. */
  readonly maybe: boolean
  /** The ids it was meant for; absent when it was meant for all. */
  readonly sparks?: readonly string[]
}

/** What has become of a message. */
export interface Result {
  /** Nothing failed, and nothing is missing. For `forward.sparks`, as in 1.x, missing ids do not count against it. */
  ok: boolean
  /** Sparks it was handed to. */
  send: number
  /** `true` when no peer was needed. */
  local?: boolean
  /** Ids that no server holds. */
  missing?: string[]
  failed?: Failure[]
}

/** A spark that a user is behind, and the server that holds it. */
export interface UserPlace {
  readonly user: string
  readonly spark: string
  readonly address: string
}

/** How sparks are ended. */
export interface EndOptions {
  /** Whether the client is to come back: then it does so by itself, after a while. @default false */
  reconnect?: boolean
}

/** How servers are asked. */
export interface AskOptions {
  /** How long an answer is waited for, in ms; at least 1. @default the option `timeout` */
  timeout?: number
  /** Gives it up when it is aborted, here and at those who were asked. */
  signal?: AbortSignal
  /** These servers alone, by their addresses. @default all */
  to?: string | readonly string[]
  /** Whether this server is among all. @default true for calls, false for events */
  self?: boolean
}

/** What a method is called with as `this`. */
export interface MethodContext {
  /** The address of the server that calls; `''` for a process without one. */
  readonly from: string
  /** Our own address. */
  readonly address: string
  /** Whether this server calls itself. */
  readonly local: boolean
  /** Aborted when nobody waits for the answer any more: the caller gave up, its deadline passed, or it has gone. */
  readonly signal: AbortSignal
  /** Of `apply`: the spark that it is about. */
  readonly spark?: Spark
  readonly primus?: Primus
}

/** A function that peers may call. What it returns, or resolves with, is the answer: a value that JSON can express, or binary. */
export type Method = (this: MethodContext, ...args: never[]) => unknown

/** What has come of a call at one server. */
export type Called =
  | { readonly address: string; readonly ok: true; readonly value: unknown }
  | { readonly address: string; readonly ok: false; readonly error: Error }

/** What a handler of events is given besides their data. */
export interface EventContext extends Pick<MethodContext, 'from' | 'address' | 'local' | 'signal'> {
  readonly type: string
}

/** Is called for each event of a type; when it returns a promise, that is awaited. */
export type Handler = (data: never, context: EventContext) => unknown

/** A callback that gets the first failure *and* the whole result: old callers notice, new ones know all. */
export type ResultCallback = (error: Error | null, result?: Result) => void

/** How a server lets its sparks go. */
export interface DrainOptions {
  /** After how long it resolves even if some are left, in whole ms; at least 0, which ends none. @default 60000 */
  readonly timeout?: number
  /** How many are ended in any second, at most; above 0. Below 1 one in so many seconds, above 1 rounded down. @default 100 */
  readonly rate?: number
}

/** What has been done since a server began to drain. */
export interface Drained {
  /** How many sparks have gone, ended by it or by themselves. */
  moved: number
  /** How many are still there, and served. */
  left: number
}
