import { randomBytes } from 'node:crypto'
import { globalAgent } from 'node:http'
import type { WorkerEvent } from 'metroplex/supervisor'
import { reservePort } from '../../test/support/ports'
import type { ServerProcess } from './server-process'
import { Client } from './client'
import { ServerGroup } from './servers'
import type { Output } from './output'
import { openDashboard } from './dashboard'
import { openPage, type Page } from './page'
import { openRegistry } from './redis'

/** The lease of the demo's servers, in ms. */
export const LEASE = 2000

/** The names of the clients in the story. */
const NAMES = ['ann', 'bob', 'cat', 'dan', 'eve', 'fay', 'gus', 'hal', 'ivy', 'joe', 'kim', 'lou']

/** All parts of a run, which end with it. */
export class Run {
  #group: ServerGroup | undefined
  #closing: Promise<void> | undefined
  #cluster = { redisUrl: '', namespace: '' }
  readonly #clients: Client[] = []
  readonly #undo: (() => Promise<void>)[] = []

  constructor(readonly output: Output) {}

  /** The servers. */
  get group(): ServerGroup {
    if (this.#group === undefined) throw new Error('there is no stage yet')
    return this.#group
  }

  /** The clients, connected or not. */
  get clients(): readonly Client[] {
    return this.#clients
  }

  /** Whether it has been closed, or is closing. */
  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Finds a Redis, and a port for each type of servers. Then servers and clients can be started. */
  async build(): Promise<void> {
    const namespace = `metroplex-demo-${randomBytes(6).toString('hex')}`
    const registry = await this.#own(
      openRegistry(namespace, line => {
        this.output.tell('Redis', line)
      })
    )
    this.output.tell('Redis', registry.description)
    this.#cluster = { redisUrl: registry.url, namespace }
    const ports = { websockets: await reservePort(), sockjs: await reservePort() }
    if (this.closed) throw new Error('the run has ended')
    const group = (this.#group = new ServerGroup({
      redisUrl: registry.url,
      redisDirectory: registry.directory,
      namespace,
      lease: LEASE,
      ports
    }))
    watch(group, this.output)
    const [web, sockjs] = group.endpoints
    for (const [number, name] of NAMES.entries()) this.#clients.push(new Client(name, number % 3 === 1 ? sockjs : web))
    this.#undo.push(async () => {
      for (const client of this.#clients) client.close()
      // SockJS clients make HTTP requests before they connect. Their idle connections would delay the end of a
      // server.
      globalAgent.destroy()
      await group.close()
    })
  }

  /** Serves the page to browsers. */
  async open(port: number): Promise<Page> {
    return this.#own(openPage(this.group, this.#clients, port))
  }

  /** Serves the dashboard of the cluster. */
  async operate(port: number): Promise<Page> {
    return this.#own(openDashboard(this.#cluster, port))
  }

  /** Ends all parts, the last first. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo()
  }

  /** A part that opens after the end is closed at once. */
  async #own<Opened extends { close(): Promise<void> }>(opening: Promise<Opened>): Promise<Opened> {
    const opened = await opening
    if (this.#closing !== undefined) {
      await opened.close()
      throw new Error('the run has ended')
    }
    this.#undo.push(() => opened.close())
    return opened
  }
}

/** Prints which servers start and end. */
function watch(group: ServerGroup, output: Output): void {
  const former = new Map<string, number>()
  group.on('enter', ({ name, address, pid }: ServerProcess) => {
    const predecessor = former.get(name)
    former.delete(name)
    const place = predecessor === undefined ? '' : `, in the place of ${predecessor}`
    output.tell(name, `registered as ${address}  (pid ${pid})${place}`)
  })
  group.on('drain', ({ name, pid }: WorkerEvent) => {
    former.set(name, pid)
    output.tell('supervisor', `${name} ends as it was told to  (pid ${pid}). Another one takes its place`)
  })
  group.on('death', ({ name, pid, code, signal, reason }: WorkerEvent) => {
    former.set(name, pid)
    output.tell(
      'supervisor',
      `${name} has died: ${reason ?? signal ?? `exit code ${code ?? ''}`}  (pid ${pid}). Another one takes its place`
    )
  })
  group.on('flapping', ({ reason }: WorkerEvent) => {
    output.tell('supervisor', reason ?? '')
  })
}
