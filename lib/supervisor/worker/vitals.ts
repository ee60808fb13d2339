import { performance } from 'node:perf_hooks'

/** The question for the vitals of a worker. */
export const VITALS = 'vitals'

/** How a worker is, as it says itself. */
export interface WorkerVitals {
  /** The resident set size of its process, in bytes. */
  readonly rss: number
  /** How long its event loop has been idle, in ms since its start. */
  readonly idle: number
  /** How long its event loop has been active, in ms since its start. */
  readonly active: number
  /** Whether a debugger can stop it: it then answers nothing for as long as its user looks at it. */
  readonly inspected: boolean
}

/** The vitals of this process. It takes some microseconds. */
export function readVitals(): WorkerVitals {
  const { idle, active } = performance.eventLoopUtilization()
  return {
    rss: process.memoryUsage.rss(),
    idle: Math.round(idle),
    active: Math.round(active),
    inspected: isInspected()
  }
}

/** The vitals in an answer; `undefined` when it has none. */
export function vitalsOf(answer: unknown): WorkerVitals | undefined {
  const { rss, idle, active, inspected } = (answer ?? {}) as Partial<Record<keyof WorkerVitals, unknown>>
  if (typeof rss !== 'number' || typeof idle !== 'number' || typeof active !== 'number') return undefined
  return { rss, idle, active, inspected: inspected === true }
}

/** Whether a debugger can connect: by a flag, by SIGUSR1, or by `inspector.open()`. */
function isInspected(): boolean {
  // Absent in a Node.js that was built without it. An import would fail there.
  const inspector = process.features.inspector ? process.getBuiltinModule('node:inspector') : undefined
  return inspector?.url() !== undefined
}
