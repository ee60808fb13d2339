import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { Supervisor, type WorkerType } from 'metroplex/supervisor'
import { ServerProcess } from './server-process'
import { CLEANUP_TERMS, type CleanupTerms } from './cleanup-terms'
import type { Report } from './commands'

/** How long a server may take to register, and to end when it is told to, in ms. */
const [BOOT, GRACE] = [15_000, 4000]

/** Where clients connect. All workers of one type share it. */
export interface Endpoint {
  readonly transformer: Transformer
  readonly port: number
  readonly url: string
}

/** The transformers of the demo. */
export type Transformer = 'websockets' | 'sockjs'

/** What all servers are configured with. */
export interface Terms extends CleanupTerms {
  /** In ms. */
  readonly lease: number
  /** The port of the servers of each transformer. */
  readonly ports: Readonly<Record<Transformer, number>>
}

/**
 * All servers of a run, also those that have ended. A supervisor keeps them running.
 *
 * Emits `enter` with a server that has registered. Until the end of the run it also emits `drain`, `death` and
 * `flapping` of the supervisor.
 */
export class ServerGroup extends EventEmitter {
  /** Where clients connect. */
  readonly endpoints: readonly [Endpoint, Endpoint]
  readonly #supervisor: Supervisor
  /** By the ids of the workers. */
  readonly #processes = new Map<number, ServerProcess>()
  #closed = false

  constructor({ lease, ports, ...cleanupTerms }: Terms) {
    super()
    const endpoint = (transformer: Transformer): Endpoint => ({
      transformer,
      port: ports[transformer],
      url: `http://127.0.0.1:${ports[transformer]}`
    })
    const [web, sockjs] = (this.endpoints = [endpoint('websockets'), endpoint('sockjs')])
    const type = ({ transformer, port }: Endpoint, count: number): WorkerType => ({
      exec: join(__dirname, '..', 'server.js'),
      env: {
        REDIS_URL: cleanupTerms.redisUrl,
        NAMESPACE: cleanupTerms.namespace,
        PORT: String(port),
        TRANSFORMER: transformer,
        LEASE: String(lease),
        [CLEANUP_TERMS]: JSON.stringify(cleanupTerms)
      },
      count,
      boot: BOOT,
      grace: GRACE
    })
    // The process that has started Redis handles the signals.
    const supervisor = (this.#supervisor = new Supervisor(
      { web: type(web, 2), sockjs: type(sockjs, 1) },
      { signals: false }
    ))
    supervisor.on('online', worker => {
      this.#processes.set(worker.id, new ServerProcess(worker, command => supervisor.send(worker.name, command)))
    })
    supervisor.on('message', ({ id }, message) => {
      const report = message as Report
      const server = this.#processes.get(id)
      if (server === undefined) return
      // A server that registers again, after a flush of Redis, has entered before.
      const wasActive = server.active
      server.hear(report)
      if (server.active && !wasActive) this.emit('enter', server)
    })
    supervisor.on('drain', worker => {
      if (!this.#closed) this.emit('drain', worker)
    })
    supervisor.on('ended', ({ id }) => {
      this.#processes.get(id)?.end()
    })
    supervisor.on('death', worker => {
      this.#processes.get(worker.id)?.end()
      if (!this.#closed) this.emit('death', worker)
    })
    supervisor.on('flapping', worker => {
      this.emit('flapping', worker)
    })
  }

  /** The servers that are registered and running, in the order of their start. */
  get active(): readonly ServerProcess[] {
    return [...this.#processes.values()].filter(server => server.active)
  }

  /** Starts all servers. Resolves when they are ready. */
  async start(): Promise<void> {
    if (this.#closed) throw new Error('the run has ended')
    await this.#supervisor.start()
  }

  /** The running server with this name. */
  find(name: string): ServerProcess {
    const server = this.active.find(one => one.name === name)
    if (server === undefined) throw new Error(`expected ${name} to run, but it does not`)
    return server
  }

  /** The name of a server, or the address of one that is not ours. */
  nameOf(address: string | null): string {
    const server = [...this.#processes.values()].find(one => one.address === address)
    if (server === undefined) return address ?? 'no server'
    return server.active ? server.name : `the old ${server.name}`
  }

  /** Ends all servers. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#supervisor.stop()
  }
}
