import type { ClusterError } from '../common/errors'

/** A type of workers. */
export interface WorkerType {
  /** The program: a path, relative to `cwd`, or a `file:` URL. Each start follows its symbolic links anew. */
  readonly exec: string | URL
  /**
   * The working directory of the workers: a path, relative to that of the supervisor, or a `file:` URL. Each start
   * follows its symbolic links anew.
   * @default the working directory under the name in `PWD`, symbolic links included; else `process.cwd()`
   */
  readonly cwd?: string | URL
  /** The arguments in `process.argv` behind the path of the program. @default none */
  readonly args?: readonly string[]
  /** Variables that are added to the environment of the supervisor. @default none */
  readonly env?: Readonly<Record<string, string>>
  /** How many workers to run; from 0 to 1024. @default 1 */
  readonly count?: number
  /**
   * All workers are replaced, one after the other, this many ms after their start, and again this long after each
   * replacement; at least 1000, at most 2147483647 (24.8 days).
   * @default never
   */
  readonly recycle?: number
  /**
   * How long a worker may take to end after the order to end, in ms; then it is killed. 0: it is killed at once.
   * @default 10000
   */
  readonly grace?: number
  /**
   * How long a worker may take from its start until it reports ready, in ms; at least 1. Then it is killed, which
   * counts as a crash. @default 30000
   */
  readonly boot?: number
  /**
   * The most memory of a worker, its resident set size: `'1gb'`, `'512mb'`, or a number of bytes; from 32 MB to 64 TB.
   * Units are powers of 1024. A worker that stays above it for five checks, at most 5 s, is replaced when its successor
   * is ready, one worker of the type at a time. A worker that has never been below it stays, and so does for a minute
   * at least the successor of one that was replaced for it. @default any amount
   */
  readonly memory?: string | number
  /**
   * A worker that is ready and whose event loop answers nothing for this many ms is killed, which counts as a crash; at
   * least 1000. `false`: never. Time in which the supervisor or the machine was paused does not count. A worker to
   * which a debugger can connect, and one that does not load metroplex or `metroplex/supervisor`, is never killed for
   * it.
   * @default 30000
   */
  readonly stall?: number | false
}

/** Options of a supervisor. */
export interface SupervisorOptions {
  /**
   * How long a slot stays empty after a worker has died: `min` ms after the first death, then twice as long after
   * each one, at most `max` ms. It starts again from `min` after a worker that was ready for `reset` ms.
   * @default { min: 100, max: 30000, reset: 60000 }
   */
  readonly backoff?: { readonly min?: number; readonly max?: number; readonly reset?: number }
  /**
   * A worker is flapping after `crashes` crashes within `window` ms of being ready. The time to boot and the pauses
   * do not count.
   * @default { crashes: 5, window: 60000 }
   */
  readonly flap?: { readonly crashes?: number; readonly window?: number }
  /**
   * Whether SIGTERM, SIGINT, SIGHUP and the message `'shutdown'` of PM2 end all workers and then this process, and
   * SIGUSR2 replaces all workers. The workers of its other supervisors end before this process, too. @default true
   */
  readonly signals?: boolean
  /**
   * `'inherit'`: workers write to the output of this process. `'event'`: each line is emitted as `output`. @default
   * 'inherit'
   */
  readonly output?: 'inherit' | 'event'
  /**
   * Where `metroplex ps`, `scale`, `recycle` and `drain --worker` reach this supervisor: the path of a Unix socket, of
   * at most 107 bytes (103 on other systems than Linux); or `true` for the first free one of `TYPE.sock`, `TYPE.2.sock`
   * and so on, TYPE being the first type, in `$XDG_RUNTIME_DIR/metroplex`, else in `metroplex-UID` of the directory for
   * temporary files. Only this user may enter its directory, which is made if it is not there. The socket of a
   * supervisor that has died is replaced, that of a living one is not. A socket that cannot be opened is an `error`,
   * and the workers run all the same.
   * @default false
   */
  readonly control?: string | boolean
  /**
   * Serves the metrics of all workers to Prometheus, at `http://host:port/metrics`. Port 0: one that the system
   * chooses, see `metricsUrl`. A worker that does not answer within `timeout` ms is left out of that answer. A port
   * that is taken is an `error`, and is tried again every 5 s. @default no port; host 127.0.0.1, timeout 1000
   */
  readonly metrics?: { readonly port: number; readonly host?: string; readonly timeout?: number }
}

/**
 * The state of a worker.
 *
 * * `'starting'`: started, and not ready yet.
 * * `'ready'`: it has reported ready.
 * * `'draining'`: it was told to end, or ends by itself, and finishes its work.
 * * `'stopping'`: its work is finished and it is exiting, or it is being killed.
 * * `'backoff'`: it died, and its slot stays empty for a while.
 */
export type WorkerState = 'starting' | 'ready' | 'draining' | 'stopping' | 'backoff'

/** A worker at one moment. */
export interface WorkerInfo {
  /**
   * The name of its slot, `web-1`, which its successor has too. While a worker is replaced there are two with this
   * name.
   */
  readonly name: string
  readonly type: string
  /**
   * An id that no other worker of this supervisor ever has. Absent in `backoff`; `0` when no process could be
   * started.
   */
  readonly id?: number
  /** The id of its process. Absent in `backoff`, and when no process could be started. */
  readonly pid?: number
  readonly state: WorkerState
  /** When it came to this state, in ms of Unix time. */
  readonly since: number
  /**
   * How often a worker of this slot was started because its predecessor had crashed, been killed or ended by itself,
   * since the supervisor started.
   */
  readonly restarts: number
  /** Its resident set size in bytes, as it last said. Absent until it has, and if it does not load metroplex. */
  readonly rss?: number
  /** The share of time in which its event loop was busy between its last two answers, from 0 to 1. Absent as `rss`. */
  readonly eventLoopUtilization?: number
  /** When it last answered the supervisor, in ms of Unix time; it is asked each second at least. Absent as `rss`. */
  readonly heard?: number
}

/** The worker that an event is about. */
export interface WorkerEvent {
  readonly name: string
  readonly type: string
  readonly id: number
  /** `0` when no process could be started. */
  readonly pid: number
  /** The exit code of a worker that has exited; `null` when a signal ended it. */
  readonly code?: number | null
  /** The signal that ended a worker. */
  readonly signal?: NodeJS.Signals | null
  /** Why the worker was killed, counts as flapping, or takes too much memory, in a sentence. */
  readonly reason?: string
}

/** The events of a supervisor. */
export interface SupervisorEvents {
  /** The process of a worker runs. */
  online: (worker: WorkerEvent) => void
  /** A worker has reported ready. */
  ready: (worker: WorkerEvent) => void
  /** A worker has exited because it was told to, or with code 0. */
  ended: (worker: WorkerEvent) => void
  /** A worker has exited otherwise: it crashed, or was killed because it never became ready. */
  death: (worker: WorkerEvent) => void
  /** A worker is about to be replaced: its successor starts now. */
  recycle: (worker: WorkerEvent) => void
  /**
   * A worker stays above its limit `memory`. Its `reason` says whether it is being replaced, or why it stays.
   */
  memory: (worker: WorkerEvent) => void
  /** A worker has been told to end, or has begun to end by itself. */
  drain: (worker: WorkerEvent) => void
  /** A worker has been started again after a drain. */
  resume: (worker: WorkerEvent) => void
  /**
   * A worker keeps crashing. Emitted once, until a worker in its slot has been ready for `flap.window` ms. The
   * supervisor keeps restarting it, after ever longer pauses.
   */
  flapping: (worker: WorkerEvent) => void
  /** A worker has sent a message with `worker().send` or `process.send`. */
  message: (worker: WorkerEvent, message: unknown) => void
  /** A worker has sent operational data with `worker().ops`. */
  ops: (worker: WorkerEvent, message: unknown) => void
  /** A worker has written a line; only with `output: 'event'`. A line of more than 65536 characters comes in pieces. */
  output: (worker: WorkerEvent, stream: 'stdout' | 'stderr', line: string) => void
  /** Something failed in the background, for example a scheduled recycle. It is tried again. */
  error: (error: ClusterError) => void
}

/** The result of ending workers. */
export interface Ended {
  /** The names of workers that did not end in time and were killed. */
  readonly killed: readonly string[]
}
