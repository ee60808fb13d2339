import cluster, { type Worker } from 'node:cluster'
import { Supervisor, type SupervisorOptions, type WorkerEvent, type WorkerType } from '../../lib/supervisor'
import { LEASE, type Ground } from '../faults/ground'
import { adopt } from '../support/dispose'
import { reservePort } from '../support/ports'
import { PROGRAM } from '../support/server-pool'
import { ServerProcess, settingsOf, type ServerOptions } from '../support/server'
import { SETTINGS } from '../support/server-wire'
import { eventually } from '../support/wait'

const host = '127.0.0.1'

/** How long a worker here may take to end, in ms. */
export const GRACE = 8000

/** What makes a process a server of a ground's cluster which starts by itself: its environment. */
export function environment(ground: Ground, port: number, more: Partial<ServerOptions> = {}): Record<string, string> {
  return {
    [SETTINGS]: JSON.stringify(
      settingsOf({
        redis: { url: ground.redis.url, namespace: ground.space },
        primus: { metroplex: { lease: LEASE } },
        port,
        page: true,
        ...more
      })
    )
  }
}

/** Servers that are workers of a supervisor in this process, on one port. */
export class Fleet {
  readonly supervisor: Supervisor
  /** All workers that there have ever been, by the ids of their processes. */
  readonly #known = new Map<number, ServerProcess>()
  readonly #fork = (worker: Worker): void => {
    const { process } = worker
    this.#known.set(process.pid ?? 0, new ServerProcess(host, process))
  }
  /** The names and ids of those that have died. */
  readonly deaths: WorkerEvent[] = []
  /** The least number of workers that were ready, at any event, since `watch`. */
  fewest = Infinity
  #watching = false

  private constructor(
    readonly port: number,
    readonly count: number,
    env: Record<string, string>,
    options: SupervisorOptions,
    terms: Partial<WorkerType>
  ) {
    const supervisor = (this.supervisor = new Supervisor(
      { web: { exec: PROGRAM, count, env, grace: GRACE, ...terms } },
      { signals: false, output: 'event', ...options }
    ))
    cluster.on('fork', this.#fork)
    supervisor.on('death', worker => {
      this.deaths.push(worker)
    })
    for (const event of ['online', 'ready', 'ended', 'death', 'recycle', 'drain', 'message'] as const)
      supervisor.on(event, () => {
        this.#look()
      })
  }

  /** Start one; it is not ready yet. Inside a test it ends with that; else `stop` is the duty of a hook. */
  static async make(
    ground: Ground,
    count: number,
    more: Partial<ServerOptions> = {},
    options: SupervisorOptions = {},
    terms: Partial<WorkerType> = {}
  ): Promise<Fleet> {
    const port = await reservePort()
    const fleet = new Fleet(port, count, environment(ground, port, more), options, terms)
    adopt(() => fleet.stop())
    return fleet
  }

  /** Where clients connect. */
  get url(): string {
    return `http://${host}:${this.port}`
  }

  /** The workers that are ready, by their names. */
  get ready(): Map<string, ServerProcess> {
    return new Map(
      this.supervisor.workers().flatMap(({ name, pid = 0, state }) => {
        const server = this.#known.get(pid)
        return state === 'ready' && server !== undefined ? [[name, server]] : []
      })
    )
  }

  /** Those workers. */
  get servers(): ServerProcess[] {
    return [...this.ready.values()]
  }

  /** All workers that there have ever been, in the order of their starts. */
  get all(): ServerProcess[] {
    return [...this.#known.values()]
  }

  /** The worker of this name. */
  worker(name: string): ServerProcess {
    const server = this.ready.get(name)
    if (server === undefined) throw new Error(`${name} is not ready`)
    return server
  }

  /** From now on note how many are ready. */
  watch(): void {
    this.#watching = true
    this.#look()
  }

  /** Until as many are ready as there are to be, and none of these is among them. */
  async whole(...gone: readonly ServerProcess[]): Promise<ServerProcess[]> {
    return eventually(
      () => {
        const { servers } = this
        return servers.length === this.count && !servers.some(server => gone.includes(server)) && servers
      },
      { within: 30_000, what: 'workers that are all ready' }
    )
  }

  /** End all of them. */
  async stop(): Promise<void> {
    await this.supervisor.stop({ grace: GRACE })
    cluster.removeListener('fork', this.#fork)
  }

  #look(): void {
    if (this.#watching)
      this.fewest = Math.min(this.fewest, this.supervisor.workers().filter(({ state }) => state === 'ready').length)
  }
}
