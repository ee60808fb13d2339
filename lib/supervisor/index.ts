/**
 * Keeps worker processes running on one machine; `require('metroplex/supervisor')`. It knows neither Primus nor Redis
 * and can be used without them.
 *
 * In the primary process:
 *
 * @example
 * const { Supervisor } = require('metroplex/supervisor')
 * const supervisor = new Supervisor({ web: { exec: './server.js', count: 4 } })
 * await supervisor.start()
 *
 * In a worker that does not load metroplex. Where metroplex is loaded, it does this for its server:
 *
 * @example
 * const me = require('metroplex/supervisor').worker()
 * server.listen(8080, () => me?.ready())
 */
export { MetroplexError, type ClusterError } from '../common/errors'
export { Supervisor } from './supervisor'
export type {
  Ended,
  SupervisorEvents,
  SupervisorOptions,
  WorkerEvent,
  WorkerInfo,
  WorkerState,
  WorkerType
} from './types'
export { worker, type DrainHandler, type SupervisedWorker } from './worker/worker'
