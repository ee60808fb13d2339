import supervisor from './index.js'

// The same objects as `require('metroplex/supervisor')` returns, as named exports.
export const { MetroplexError, Supervisor, worker } = supervisor
export type MetroplexError = InstanceType<typeof supervisor.MetroplexError>
export type Supervisor = InstanceType<typeof supervisor.Supervisor>
export default supervisor
export type {
  ClusterError,
  DrainHandler,
  Ended,
  SupervisedWorker,
  SupervisorEvents,
  SupervisorOptions,
  WorkerEvent,
  WorkerInfo,
  WorkerState,
  WorkerType
} from './index.js'
