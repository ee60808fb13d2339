import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { Supervisor, type WorkerType } from 'metroplex/supervisor'
import { Actor } from './actor'
import { PART, type Part } from './part'
import type { Report } from './prompter'

/** How long a server may take to register, and to end when it is told to, in ms. */
const [BOOT, GRACE] = [15_000, 4000]

/** Where clients come in: all workers of one type share it. */
export interface Door {
  readonly transformer: Transformer
  readonly port: number
  readonly url: string
}

/** The transformers on the stage. */
export type Transformer = 'websockets' | 'sockjs'

/** What all servers are told. */
export interface Terms extends Part {
  /** In ms. */
  readonly lease: number
  /** On which port those of each transformer listen. */
  readonly ports: Readonly<Record<Transformer, number>>
}

/**
 * All servers of a run, those that have ended too. A supervisor keeps them running.
 *
 * Emits `enter` with a server that has registered; and, until they all have to leave, `drain`, `death` and `flapping` as the supervisor does.
 */
export class Company extends EventEmitter {
  /** Where clients come in. */
  readonly doors: readonly [Door, Door]
  readonly #supervisor: Supervisor
  /** By the ids of the workers. */
  readonly #actors = new Map<number, Actor>()
  #closed = false

  constructor({ lease, ports, ...part }: Terms) {
    super()
    const door = (transformer: Transformer): Door => ({ transformer, port: ports[transformer], url: `http://127.0.0.1:${ports[transformer]}` })
    const [web, sockjs] = this.doors = [door('websockets'), door('sockjs')]
    const type = ({ transformer, port }: Door, count: number): WorkerType => ({
      exec: join(__dirname, '..', 'server.js'),
      env: {
        REDIS_URL: part.redisUrl, NAMESPACE: part.namespace, PORT: String(port), TRANSFORMER: transformer, LEASE: String(lease),
        [PART]: JSON.stringify(part)
      },
      count,
      boot: BOOT,
      grace: GRACE
    })
    // What signals mean is said by who has started Redis, too.
    const supervisor = this.#supervisor = new Supervisor({ web: type(web, 2), sockjs: type(sockjs, 1) }, { signals: false })
    supervisor.on('online', worker => {
      this.#actors.set(worker.id, new Actor(worker, order => supervisor.send(worker.name, order)))
    })
    supervisor.on('message', ({ id }, message) => {
      const report = message as Report
      const actor = this.#actors.get(id)
      if (actor === undefined) return
      // One that Redis has forgotten registers again.
      const played = actor.plays
      actor.hear(report)
      if (actor.plays && !played) this.emit('enter', actor)
    })
    supervisor.on('drain', worker => { if (!this.#closed) this.emit('drain', worker) })
    supervisor.on('ended', ({ id }) => { this.#actors.get(id)?.end() })
    supervisor.on('death', worker => {
      this.#actors.get(worker.id)?.end()
      if (!this.#closed) this.emit('death', worker)
    })
    supervisor.on('flapping', worker => { this.emit('flapping', worker) })
  }

  /** Those that have registered and still run, in the order in which they came. */
  get playing(): readonly Actor[] {
    return [...this.#actors.values()].filter(actor => actor.plays)
  }

  /** Start all servers. Resolves when they are ready. */
  async start(): Promise<void> {
    if (this.#closed) throw new Error('the curtain has fallen')
    await this.#supervisor.start()
  }

  /** The server that has this name now. */
  find(name: string): Actor {
    const actor = this.playing.find(one => one.name === name)
    if (actor === undefined) throw new Error(`expected ${name} to run, but it does not`)
    return actor
  }

  /** What a server is called; of one that is not ours the address. */
  nameOf(address: string | null): string {
    const actor = [...this.#actors.values()].find(one => one.address === address)
    if (actor === undefined) return address ?? 'nobody'
    return actor.plays ? actor.name : `the old ${actor.name}`
  }

  /** Have all of them leave. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#supervisor.stop()
  }
}
