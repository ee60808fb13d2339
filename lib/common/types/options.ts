import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Transport } from '../transport-contract'
import type { InfoOption } from './descriptions'
import type { ConnectedSpark, Primus } from './primus'
import type { BalanceOptions } from './results'

/**
 * A Redis client of ioredis: a `Redis` or a `Cluster`, version 5.4.1 or later, or 6. It is recognised by its
 * structure, because applications bring their own copy of ioredis.
 */
export interface RedisClient {
  readonly status: string
  duplicate(...args: never[]): unknown
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void
}

/** TLS for connections to peers whose address is `https://`, as in Node.js. */
export interface TlsOptions {
  readonly ca?: string | Buffer | (string | Buffer)[]
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
  readonly passphrase?: string
  /**
   * The host name in the certificates of the peers. Needed where addresses are IPs, because certificates are rarely
   * issued for them.
   */
  readonly servername?: string
  /** Whether a certificate that cannot be verified is refused. @default true */
  readonly rejectUnauthorized?: boolean
}

/**
 * How much may wait to be sent to peers. A message above a limit fails at once with `EBUSY`. The number of messages
 * also limits the open calls to a peer, and the calls of peers that are answered at a time.
 */
export interface MaxQueue {
  /** Messages per peer; at least 1. @default 100000 */
  readonly messages: number
  /** Bytes per peer; at least 1024. @default 67108864 */
  readonly bytes: number
  /** Bytes over all peers; at least 1024. @default 268435456 */
  readonly total: number
}

/**
 * Names the user behind a spark: returns a string of 1 to 1024 bytes, or a promise of one. `undefined` or `null`: no
 * user.
 *
 * The return type is `unknown`, because the name often comes from a client. It is checked when it is used.
 */
export type UserOption = (spark: ConnectedSpark) => unknown

/**
 * Names the groups that a spark is in from its start: returns a string of 1 to 1024 bytes, an array of them, or a
 * promise of either. `undefined` or `null`: no group.
 *
 * The return type is `unknown`, because the names often come from a client. They are checked when they are used.
 *
 * @param user the user of the spark, as the option `user` has named it; `undefined` for none
 */
export type GroupsOption = (spark: ConnectedSpark, user: string | undefined) => unknown

/** Where the private listener for peers is bound. */
export interface Listen {
  /**
   * An address of this machine. @default the host of the option `address`, else the first that other machines can
   * reach
   */
  readonly host?: string
  /** The port, from 0 to 65535; 0: a free one. @default 0 */
  readonly port?: number
}

/**
 * The options of metroplex in `new Primus(server, options)`. Those of metroplex 1.x and `address` lie beside Primus's
 * own options. All others are nested in `metroplex`, where an unknown key is refused.
 *
 * A wrong value throws a `TypeError` or `RangeError` at `primus.plugin()`.
 */
export interface MetroplexOptions {
  /**
   * An ioredis client or Cluster. metroplex talks through a duplicate of it and never closes yours.
   * @default `new Redis()`, that is localhost:6379; closed with the server
   */
  redis?: RedisClient
  /**
   * Prefix of every key; not empty. On a Redis Cluster it needs a hash tag, `'{metroplex}'`, unless `shards` is above
   * 1. @default 'metroplex'
   */
  namespace?: string
  /** How long the alive key lives that servers of metroplex 1.x look at, in ms; at least 300. @default 300000 */
  interval?: number
  /**
   * How long before its expiry the alive key is renewed, in ms; less than `interval`. @default 2000, or `interval /
   * 2` if that is less
   */
  latency?: number
  /**
   * The URL at which peers reach exactly this process: `http://10.0.0.5:8080`, without a path. Two processes with one
   * address: the second one emits `EADDRESS`. @default the address at which the HTTP server listens
   */
  address?: string
  metroplex?: {
    /** The name of this server for operators, in the registry; not empty. @default `METROPLEX_NAME`, else `host:pid` */
    name?: string
    /**
     * How long peers consider this server alive after a beat, in ms; at least 300, at most `interval`.
     *
     * A beat comes every third of it, and a crash is noticed within five thirds of it. A lease shorter than the
     * longest pause of the event loop declares healthy servers dead; they come back by themselves.
     * @default the lesser of `interval` and 15000
     */
    lease?: number
    /**
     * The secret with which servers sign the messages to each other; at least 16 bytes. Of an array the first one
     * signs, and all are accepted. To rotate it, give all servers `[old, new]`, then `[new, old]`, then `[new]`.
     * Servers with different secrets fail with `EAUTH`.
     * @default `METROPLEX_SECRET`, else a secret that the servers generate and keep in Redis, where every reader of
     * Redis finds it
     */
    secret?: string | readonly string[]
    /**
     * Deadline of an operation in Redis, and of a forward or a call as a whole, in ms; at least 1. Then it fails with
     * `EREGISTRY` or `EDEADLINE`. @default 5000
     */
    timeout?: number
    /**
     * How much may wait to be sent to peers. A message above it fails at once with `EBUSY`. @default { messages:
     * 100000, bytes: 67108864, total: 268435456 }
     */
    maxQueue?: Partial<MaxQueue>
    /**
     * How many unsent bytes the socket of a client may hold after a write. Above it the connection is ended, and
     * counted as `ended` in `stats()`; the client reconnects. 0: no limit. @default 67108864
     */
    maxBuffered?: number
    /**
     * A private listener for peers, which then use it instead of the public port. `address` becomes its address,
     * unless you set one. `false`: no such listener. Only for the transport `'http'`.
     * @default `{}` in a worker of node:cluster without an `address`, because its public port is shared; it uses the
     * interface of the public port, if that is bound to one. Else `false`. PM2's cluster mode uses node:cluster too.
     */
    listen?: Listen | false
    /**
     * How servers talk to each other; the same on all servers. `'redis'`: through Redis, for platforms where servers
     * cannot reach each other. An object: a transport of your own, see `Transport`.
     * @default 'http'
     */
    transport?: 'http' | 'redis' | Transport
    /**
     * Whether peers are reached on the wire of omega-supreme: `'auto'`: those that run metroplex 1.x, and all peers
     * when the option `middleware` of omega-supreme is set. `false`: none.
     * @default 'auto'
     */
    omega?: 'auto' | false
    /**
     * The largest request that is sent or accepted, in bytes, and so the largest message; at least 1024. A larger
     * message fails with `ETOOBIG`. Through Redis a message has at most 1 MiB. @default 10485760
     */
    maxBody?: number
    /**
     * The number of registries into which the registry of the cluster is split, so that it spreads over the masters of
     * a Redis Cluster; from 1 to 256, the same on all servers. Above 1, servers of 1.x cannot take part, and
     * `namespace` must carry no braces.
     * @default 1
     */
    shards?: number
    /**
     * Names the user behind a spark; called when the spark connects. Returns a string of 1 to 1024 bytes, or a
     * promise of one; `undefined` or `null`: no user yet.
     *
     * When it throws or returns another value, the spark has no user. Each kind of failure is one `error` (`EUSER`) a
     * minute.
     * @default sparks have no users
     */
    user?: UserOption
    /**
     * Names the groups that a spark is in from its start; called when it connects, after `user` has answered. Returns a
     * string of 1 to 1024 bytes, an array of them, or a promise of either; `undefined` or `null`: no group.
     *
     * When it throws, returns something else, or has not answered within `timeout`, the spark is in no group until it
     * does. Each kind of that is one `error` (`EGROUP`) a minute.
     * @default sparks are in no group
     */
    groups?: GroupsOption
    /**
     * How long the last spark of a user, or in a group, may be gone until `watch` tells that it has ended, in ms; from
     * 0 to 2147483647, the same on all servers. A return within that time is not told. Without it, presence costs
     * nothing, and `watch` throws.
     * @default presence is not told
     */
    grace?: number
    /**
     * How many sparks a user may have at a time, on all servers together; the same on all of them. The sparks that go
     * are ended, and their clients do not reconnect; the event `refused` names each on its server.
     *
     * * `sparks`: from 1 to 1000.
     * * `over`: `'oldest'`: a new spark stays, and the oldest one of its user goes. `'refuse'`: the new spark goes,
     *   after the servers of the others have confirmed that they are there; one that does not answer within `timeout`
     *   does not count. A connection that has broken without a word counts until Primus notices.
     *
     * While Redis cannot be asked, all sparks stay; who is over the limit goes when it is back.
     * @default any number of sparks
     */
    limit?: { sparks: number; over?: 'oldest' | 'refuse' }
    /**
     * What a spark is, for `describe` and `sessions`; at most 1024 bytes of JSON. A function is called when a spark
     * connects, and may return a promise; any other value is that of all sparks of this server.
     *
     * When the function throws, returns something else, or has not answered within `timeout`, the spark has no info
     * until it does. Each kind of that is one `error` (`EINFO`) a minute.
     * @default sparks have no info
     */
    info?: InfoOption
    /**
     * Whether this server evens out its sparks by itself, as `balance` does, each time the cluster has been quiet for a
     * while. `true`: with the defaults of `balance`. @default false
     */
    balance?: boolean | BalanceOptions
    /**
     * TLS for peers whose address is `https://`. With `key` and `cert` the private listener speaks TLS too. @default
     * as in Node.js
     */
    tls?: TlsOptions
  }
}

/** The options of omega-supreme that metroplex reads. They lie in the same flat object. */
export interface OmegaOptions {
  url?: string
  method?: string
  username?: string
  password?: string
  /**
   * Called with each request of omega-supreme instead of reading its body. It passes the raw text of the body to
   * `parse`.
   */
  middleware?: (
    primus: Primus,
    parse: (primus: Primus, raw: string, res: ServerResponse) => void,
    req: IncomingMessage,
    res: ServerResponse,
    next: (error?: Error) => void
  ) => void
}

/** The options of a Primus with this plugin that metroplex reads. */
export type PrimusOptions = MetroplexOptions &
  OmegaOptions & {
    /**
     * The parser between clients and servers: the name of one that comes with Primus, or an object. Give all servers
     * the same. @default 'json'
     */
    parser?: unknown
  }

/** Options of `createClient`: for a process that uses a cluster without being one of its servers. */
export interface ClientOptions extends Pick<MetroplexOptions, 'redis' | 'namespace'> {
  /**
   * The parser of the servers. A name needs Primus and the package of that parser. An object, `{ encoder, decoder }`,
   * needs neither. @default 'json'
   */
  parser?: PrimusOptions['parser']
  /** The same options as those of a server. `secret`, `transport` and `shards` must equal those of the servers. */
  metroplex?: Pick<
    NonNullable<MetroplexOptions['metroplex']>,
    'name' | 'lease' | 'secret' | 'timeout' | 'maxBody' | 'maxQueue' | 'transport' | 'shards' | 'grace' | 'tls'
  >
}
