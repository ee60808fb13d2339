import { createClient, type Client as ClientClass } from './lib/api/cluster-client'
import { clientHalf } from './lib/browser/client-half'
import type * as contract from './lib/common/transport-contract'
import type { Forward as ForwardFunction } from './lib/delivery/forward-api'
import {
  MetroplexError as MetroplexErrorClass,
  type ClusterError as ClusterErrorType,
  type ErrorCode as ErrorCodeName,
  type UncodedError as UncodedErrorType
} from './lib/common/errors'
import { Metroplex } from './lib/api/metroplex'
import { server } from './lib/plugin/plugin'
import type * as reports from './lib/reporting/types'
import type * as tracing from './lib/reporting/tracing'
import type * as types from './lib/common/types'

// A class cannot be called without `new`; the function of 1.x could.
const metroplex: metroplex.Constructor = new Proxy(Metroplex, {
  apply: (target, _self, args: ConstructorParameters<typeof Metroplex>) => new target(...args)
}) as unknown as metroplex.Constructor
Object.assign(metroplex, {
  server,
  client: clientHalf,
  createClient,
  Metroplex: metroplex,
  MetroplexError: MetroplexErrorClass
})

declare namespace metroplex {
  /**
   * What `require('metroplex')` returns: the plugin, which is also the constructor, with or without `new`.
   *
   * `primus.plugin` throws a TypeError or RangeError for wrong options.
   *
   * @example
   * primus.plugin('metroplex', require('metroplex'))
   */
  export interface Constructor {
    new (primus?: Partial<types.Primus>, options?: types.MetroplexOptions): Metroplex
    (primus?: Partial<types.Primus>, options?: types.MetroplexOptions): Metroplex
    readonly prototype: Metroplex
    /** The server half of the plugin; Primus calls it. */
    readonly server: typeof server
    /**
     * The client half of the plugin; Primus bundles it into its library. It lets clients reply to `forward.request`.
     */
    readonly client: typeof clientHalf
    /** Creates a client: for a process that uses a cluster without being one of its servers. */
    readonly createClient: typeof createClient
    /** The constructor, for named imports. */
    readonly Metroplex: Constructor
    /** The class of the cluster's errors. */
    readonly MetroplexError: typeof MetroplexErrorClass
  }

  export type Metroplex = import('./lib/api/metroplex').Metroplex
  export type MetroplexError = MetroplexErrorClass
  export type ClusterError = ClusterErrorType
  export type ErrorCode = ErrorCodeName
  export type UncodedError = UncodedErrorType
  export type Forward = ForwardFunction
  export type Answer = contract.Answer
  export type AnswerTrace = tracing.AnswerTrace
  export type AskOptions = types.AskOptions
  export type Back = contract.Back
  export type Balanced = types.Balanced
  export type BalanceOptions = types.BalanceOptions
  export type BalanceStop = types.BalanceStop
  export type Called = types.Called
  export type CallTrace = tracing.CallTrace
  export type Client = ClientClass
  export type ClientOptions = types.ClientOptions
  export type ClientReply = types.ClientReply
  export type DeliverTrace = tracing.DeliverTrace
  export type Descriptions = types.Descriptions
  export type Drained = types.Drained
  export type DrainOptions = types.DrainOptions
  export type EndOptions = types.EndOptions
  export type EndUserOptions = types.EndUserOptions
  export type EventContext = types.EventContext
  export type Failure = types.Failure
  export type Farewell = reports.Farewell
  export type ForwardTrace = tracing.ForwardTrace
  export type GroupOptions = types.GroupOptions
  export type GroupPlace = types.GroupPlace
  export type GroupsOption = types.GroupsOption
  export type GroupSpark = types.GroupSpark
  export type Handler = types.Handler
  export type Health = reports.Health
  export type InfoOption = types.InfoOption
  export type Latency = reports.Latency
  export type Limits = contract.Limits
  export type Listen = types.Listen
  export type ManyRequestsOptions = types.ManyRequestsOptions
  export type MaxQueue = types.MaxQueue
  export type Method = types.Method
  export type MethodContext = types.MethodContext
  export type MetroplexEvents = reports.MetroplexEvents
  export type MetroplexOptions = types.MetroplexOptions
  export type Peer = contract.Peer
  export type PresenceBegan = types.PresenceBegan
  export type PresenceEnded = types.PresenceEnded
  export type Primus = types.Primus
  export type PublishTrace = tracing.PublishTrace
  export type Receiver = contract.Receiver
  export type RedisClient = types.RedisClient
  export type Request = contract.Request
  export type RequestTargets = types.RequestTargets
  export type RequestTrace = tracing.RequestTrace
  export type Result = types.Result
  export type ResultCallback = types.ResultCallback
  export type Spark = types.Spark
  export type SparkDescription = types.SparkDescription
  export type State = reports.State
  export type Statistics = reports.Statistics
  export type TlsOptions = types.TlsOptions
  export type Transport = contract.Transport
  export type UserOption = types.UserOption
  export type UserPlace = types.UserPlace
  export type UserPresence = types.UserPresence
  export type WatchHandlers = types.WatchHandlers
}

export = metroplex
