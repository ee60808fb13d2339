import type { WorkerInfo } from '../types'
import type { ControlRequest, SupervisorStatus } from './control-protocol'

/** What a supervisor does for commands. */
export interface Controlled {
  workers(): WorkerInfo[]
  scale(type: string, count: number): Promise<void>
  recycle(type?: string): Promise<void>
  replace(name: string): Promise<void>
}

/** Does what a command asks. Resolves with how the workers are then. @throws as the methods of the supervisor */
export async function obey(
  supervisor: Controlled,
  wanted: () => SupervisorStatus['wanted'],
  request: ControlRequest
): Promise<SupervisorStatus> {
  if (request.do !== 'workers') {
    const done = order(supervisor, request)
    // What is wrong with the request itself is known at once.
    await (request.wait ? done : Promise.race([done, new Promise(setImmediate)]))
  }
  return { pid: process.pid, at: Date.now(), wanted: wanted(), workers: supervisor.workers() }
}

function order(supervisor: Controlled, request: Exclude<ControlRequest, { do: 'workers' }>): Promise<void> {
  if (request.do === 'scale') return supervisor.scale(request.type, request.count)
  return request.do === 'recycle' ? supervisor.recycle(request.type) : supervisor.replace(request.worker)
}
