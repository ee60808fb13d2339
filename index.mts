import metroplex from './index.js'

// The same objects as `require('metroplex')` gives, by name.
export const { server, client, Metroplex, MetroplexError } = metroplex
export type Metroplex = metroplex.Metroplex
export type MetroplexError = metroplex.MetroplexError
export default metroplex
export type {
  Drained, DrainOptions, ErrorCode, Failure, Farewell, Forward, Health, Latency, MetroplexEvents, MetroplexOptions, Primus, RedisClient, Result, ResultCallback, Spark,
  State, Statistics, TlsOptions
} from './index.js'
