import { createClient, type Client as ClientClass } from './lib/client'
import { client } from './lib/client-half'
import type * as contract from './lib/contract'
import type { Forward as ForwardFunction } from './lib/delivery/surface'
import { MetroplexError as MetroplexErrorClass, type ErrorCode as ErrorCodeName } from './lib/errors'
import { Metroplex } from './lib/metroplex'
import { server } from './lib/plugin'
import type * as reports from './lib/reports'
import type * as types from './lib/types'

// A class cannot be called; 1.x could be.
const metroplex: metroplex.Constructor = new Proxy(Metroplex, {
  apply: (target, _self, args: ConstructorParameters<typeof Metroplex>) => new target(...args)
}) as unknown as metroplex.Constructor
Object.assign(metroplex, { server, client, createClient, Metroplex: metroplex, MetroplexError: MetroplexErrorClass })

declare namespace metroplex {
  /**
   * What `require('metroplex')` returns: the plugin, which is also the constructor, with or without `new`.
   *
   * @example
   * primus.plugin('metroplex', require('metroplex'))
   */
  export interface Constructor {
    new (primus?: Partial<types.Primus>, options?: types.MetroplexOptions): Metroplex
    (primus?: Partial<types.Primus>, options?: types.MetroplexOptions): Metroplex
    readonly prototype: Metroplex
    /** The server half of the plugin, for Primus. */
    readonly server: typeof server
    /** The client half of the plugin: Primus bundles it into its library. It has clients answer what `forward.request` asks. */
    readonly client: typeof client
    /** For processes that use a cluster without being one of its servers. */
    readonly createClient: typeof createClient
    /** The constructor, by its name. */
    readonly Metroplex: Constructor
    /** The class of the cluster's errors. */
    readonly MetroplexError: typeof MetroplexErrorClass
  }

  export type Metroplex = import('./lib/metroplex').Metroplex
  export type MetroplexError = MetroplexErrorClass
  export type ErrorCode = ErrorCodeName
  export type Forward = ForwardFunction
  export type Answer = contract.Answer
  export type AskOptions = types.AskOptions
  export type Back = contract.Back
  export type Called = types.Called
  export type Client = ClientClass
  export type ClientOptions = types.ClientOptions
  export type Drained = types.Drained
  export type DrainOptions = types.DrainOptions
  export type EndOptions = types.EndOptions
  export type EventContext = types.EventContext
  export type Failure = types.Failure
  export type Farewell = reports.Farewell
  export type Handler = types.Handler
  export type Health = reports.Health
  export type Latency = reports.Latency
  export type Limits = contract.Limits
  export type Listen = types.Listen
  export type MaxQueue = types.MaxQueue
  export type Method = types.Method
  export type MethodContext = types.MethodContext
  export type MetroplexEvents = reports.MetroplexEvents
  export type MetroplexOptions = types.MetroplexOptions
  export type Peer = contract.Peer
  export type Primus = types.Primus
  export type Receiver = contract.Receiver
  export type RedisClient = types.RedisClient
  export type Request = contract.Request
  export type Result = types.Result
  export type ResultCallback = types.ResultCallback
  export type Spark = types.Spark
  export type State = reports.State
  export type Statistics = reports.Statistics
  export type TlsOptions = types.TlsOptions
  export type Transport = contract.Transport
  export type UserOption = types.UserOption
  export type UserPlace = types.UserPlace
}

export = metroplex
