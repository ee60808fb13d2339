/** What a supervisor runs of one type. */
export interface WorkerType {
  /** The program: a path, from the working directory on, or a `file:` URL. */
  readonly exec: string | URL
  /** What it is given in `process.argv` after its own path. @default none */
  readonly args?: readonly string[]
  /** What its environment has beside that of this process. @default nothing */
  readonly env?: Readonly<Record<string, string>>
  /** How many workers there are to be; at least 0. @default 1 */
  readonly count?: number
  /**
   * After how many ms all workers are replaced, one after the other, and again so long after that; at least 1000, at most 2147483647 (24.8 days).
   * @default they are not
   */
  readonly recycle?: number
  /** How long a worker that is told to end may take, in ms; then it is killed. 0: it is killed at once. @default 10000 */
  readonly grace?: number
  /** How long a worker may take from its start until it reports ready, in ms; at least 1. Then it is killed, and that counts as a crash. @default 30000 */
  readonly boot?: number
}

/** How a supervisor goes about it. */
export interface SupervisorOptions {
  /**
   * How long the place of a worker that died stays empty: `min` ms after its first death, twice as long after each one that follows, `max` at the most; from the
   * beginning again after one that had been ready for `reset` ms.
   * @default { min: 100, max: 30000, reset: 60000 }
   */
  readonly backoff?: { readonly min?: number; readonly max?: number; readonly reset?: number }
  /**
   * A worker is flapping when it has crashed `crashes` times within `window` ms of being ready: what it takes to boot, and what it waits before, does not count.
   * @default { crashes: 5, window: 60000 }
   */
  readonly flap?: { readonly crashes?: number; readonly window?: number }
  /** Whether SIGTERM and SIGINT end all workers and then this process, and SIGUSR2 replaces all workers. @default true */
  readonly signals?: boolean
  /** Whether workers write to the output of this process, or have each line told as an event `output`. @default 'inherit' */
  readonly output?: 'inherit' | 'event'
}

/**
 * How a worker stands: it has been started and has not reported ready; it has; it was told to end, or ends by itself, and lets go of its work; it has let go and
 * is ending, or is being killed; it has died, and its place is empty for a while.
 */
export type WorkerState = 'starting' | 'ready' | 'draining' | 'stopping' | 'backoff'

/** A worker, at one moment. */
export interface WorkerInfo {
  /** `web-1`: that of its place, which its successor has too. While it is being replaced there are two of one name. */
  readonly name: string
  readonly type: string
  /** One of its own, which no other worker of this supervisor ever has; absent in `backoff`, and `0` when no process could even be tried. */
  readonly id?: number
  /** Its process; absent in `backoff`, and when none could be started. */
  readonly pid?: number
  readonly state: WorkerState
}

/** Whom an event is about. */
export interface WorkerEvent {
  readonly name: string
  readonly type: string
  readonly id: number
  /** `0` when no process could be started. */
  readonly pid: number
  /** Of one that has gone: its exit code; `null` when a signal ended it. */
  readonly code?: number | null
  /** Of one that has gone: the signal that ended it. */
  readonly signal?: NodeJS.Signals | null
  /** Why it was killed, or is called flapping: a sentence. */
  readonly reason?: string
}

/** What happens, as it is told. */
export interface SupervisorEvents {
  /** Its process runs. */
  online: (worker: WorkerEvent) => void
  /** It can do its work. */
  ready: (worker: WorkerEvent) => void
  /** It has gone, because it was told to, or with exit code 0. */
  ended: (worker: WorkerEvent) => void
  /** It has gone in another way: crashed, or killed because it never became ready. */
  death: (worker: WorkerEvent) => void
  /** It is going to be replaced; its successor has been started. */
  recycle: (worker: WorkerEvent) => void
  /** It has been told to end. */
  drain: (worker: WorkerEvent) => void
  /** It has been started again after a drain. */
  resume: (worker: WorkerEvent) => void
  /** It keeps dying. Told once, until it has been ready for the time of `flap.window`; it is started again nevertheless, after ever longer pauses. */
  flapping: (worker: WorkerEvent) => void
  /** It has sent a message, by `worker().send` or `process.send`. */
  message: (worker: WorkerEvent, message: unknown) => void
  /** It has told something of its operation, by `worker().ops`. */
  ops: (worker: WorkerEvent, message: unknown) => void
  /** It has written a line; with `output: 'event'` alone. One of more than 65536 characters comes in pieces. */
  output: (worker: WorkerEvent, stream: 'stdout' | 'stderr', line: string) => void
  /** Something failed in the background, such as a recycling whose time had come; it is tried again. */
  error: (error: Error) => void
}

/** What has come of ending workers. */
export interface Ended {
  /** The names of those that did not end in time, and were killed. */
  readonly killed: readonly string[]
}
