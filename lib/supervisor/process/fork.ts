import cluster, { type Worker } from 'node:cluster'
import { isDirectory } from '../paths'
import type { SupervisorTerms, TypeTerms } from '../options'
import { ENVIRONMENT, type Badge } from '../worker/ipc'
import { flagsOf, nodeOptionsOf } from './node-flags'

/** Starts the process of a worker. @throws Error when it cannot be started; other failures are events of the worker */
export function forkWorker(name: string, terms: TypeTerms, output: SupervisorTerms['output']): Worker {
  const { type, exec, cwd, args, env, grace, home } = terms
  // Without this check, the error of Node.js would blame the executable of Node.js.
  if (!isDirectory(cwd)) throw new Error(`its working directory ${cwd} does not exist`)
  const badge: Badge = { name, type, grace, primary: process.pid }
  const { execArgv = process.execArgv } = cluster.settings
  cluster.setupPrimary({
    exec,
    cwd,
    args: [...args],
    silent: output === 'event',
    execArgv: flagsOf(execArgv, home),
    // Ports counted up from that of the supervisor may be taken by workers of another supervisor.
    ...(!('inspectPort' in cluster.settings) && { inspectPort: 0 })
  })
  const { NODE_OPTIONS } = process.env
  return cluster.fork({
    PWD: cwd,
    ...(NODE_OPTIONS !== undefined && { NODE_OPTIONS: nodeOptionsOf(NODE_OPTIONS) }),
    ...env,
    METROPLEX_NAME: name,
    [ENVIRONMENT]: JSON.stringify(badge)
  })
}
