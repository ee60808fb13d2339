import metroplex from './index.js'

// The same objects as `require('metroplex')` gives, by name.
export const { server, client, createClient, Metroplex, MetroplexError } = metroplex
export type Metroplex = metroplex.Metroplex
export type MetroplexError = metroplex.MetroplexError
export default metroplex
export type {
  AskOptions, Called, Client, ClientOptions, Drained, DrainOptions, EndOptions, ErrorCode, EventContext, Failure, Farewell, Forward, Handler, Health, Latency, Method,
  MethodContext, MetroplexEvents, MetroplexOptions, Primus, RedisClient, Result, ResultCallback, Spark, State, Statistics, TlsOptions, UserOption, UserPlace
} from './index.js'
