import entry from './index.js'

// The same objects as `require('metroplex/metrics')` returns, as named exports.
export const { livenessHandler, metrics, metricsHandler, readinessHandler } = entry
export default entry
export type {
  HandledRequest,
  HandledResponse,
  MeasuredProcess,
  MetricsHandlerOptions,
  MetricsOptions,
  ProbedServer,
  HttpHandler
} from './index.js'
