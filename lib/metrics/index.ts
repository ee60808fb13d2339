/**
 * The metrics of servers and clients for Prometheus, and probes for balancers; `require('metroplex/metrics')`.
 *
 * @example
 * const { metricsHandler } = require('metroplex/metrics')
 * http.createServer(metricsHandler(primus.metroplex)).listen(9100, '127.0.0.1')
 */
export {
  metrics,
  metricsHandler,
  type MeasuredProcess,
  type MetricsHandlerOptions,
  type MetricsOptions
} from './metrics'
export { livenessHandler, readinessHandler, type ProbedServer } from './probes'
export type { HandledRequest, HandledResponse, HttpHandler } from '../common/exposition/handler'
