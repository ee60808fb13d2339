/** The public types, by what they describe. */
export type {
  AskOptions,
  Called,
  ClientReply,
  EventContext,
  Handler,
  ManyRequestsOptions,
  Method,
  MethodContext,
  RequestTargets
} from './calls'
export type { Descriptions, InfoOption, SparkDescription } from './descriptions'
export type {
  ClientOptions,
  GroupsOption,
  Listen,
  MaxQueue,
  MetroplexOptions,
  OmegaOptions,
  PrimusOptions,
  RedisClient,
  TlsOptions,
  UserOption
} from './options'
export type { ConnectedSpark, Layer, Middleware, Primus, Spark } from './primus'
export type {
  Balanced,
  BalanceOptions,
  BalanceStop,
  BalanceTerms,
  DrainOptions,
  Drained,
  EndOptions,
  EndUserOptions,
  Failure,
  GroupOptions,
  GroupPlace,
  GroupSpark,
  Result,
  ResultCallback,
  UserPlace,
  UserPresence
} from './results'
export type { PresenceBegan, PresenceEnded, WatchHandlers } from './watch'
