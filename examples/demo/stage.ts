import { randomBytes } from 'node:crypto'
import { globalAgent } from 'node:http'
import type { WorkerEvent } from 'metroplex/supervisor'
import { freePort } from '../../test/support/ports'
import type { Actor } from './actor'
import { Client } from './client'
import { Company } from './company'
import type { Narrator } from './narrator'
import { openPage, type Page } from './page'
import { openRegistry } from './registry'

/** How long the servers of the demo believe in a peer that is silent, in ms. */
export const LEASE = 2000

/** As many as are clients in the story. */
const NAMES = ['ann', 'bob', 'cat', 'dan', 'eve', 'fay', 'gus', 'hal', 'ivy', 'joe', 'kim', 'lou']

/** All that a run has started, and so has to end. */
export class Stage {
  #company: Company | undefined
  #closing: Promise<void> | undefined
  readonly #clients: Client[] = []
  readonly #undo: (() => Promise<void>)[] = []

  constructor(readonly narrator: Narrator) {}

  /** The servers. */
  get company(): Company {
    if (this.#company === undefined) throw new Error('there is no stage yet')
    return this.#company
  }

  /** The clients, connected or not. */
  get clients(): readonly Client[] {
    return this.#clients
  }

  /** Whether it has been closed, or is about to be. */
  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Find a Redis, and a port for each type of servers; they and the clients may come then. */
  async build(): Promise<void> {
    const namespace = `metroplex-demo-${randomBytes(6).toString('hex')}`
    const registry = await this.#own(openRegistry(namespace, line => { this.narrator.tell('Redis', line) }))
    this.narrator.tell('Redis', registry.description)
    const ports = { websockets: await freePort(), sockjs: await freePort() }
    if (this.closed) throw new Error('the curtain has fallen')
    const company = this.#company = new Company({ redisUrl: registry.url, redisDirectory: registry.directory, namespace, lease: LEASE, ports })
    watch(company, this.narrator)
    const [web, sockjs] = company.doors
    for (const [number, name] of NAMES.entries()) this.#clients.push(new Client(name, number % 3 === 1 ? sockjs : web))
    this.#undo.push(async () => {
      for (const client of this.#clients) client.close()
      // What SockJS's clients ask before they connect leaves connections that their server would wait for.
      globalAgent.destroy()
      await company.close()
    })
  }

  /** Serve the page to browsers. */
  async open(port: number): Promise<Page> {
    return this.#own(openPage(this.company, this.#clients, port))
  }

  /** End all that was started, the last first. */
  close(): Promise<void> {
    return this.#closing ??= this.#close()
  }

  async #close(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo()
  }

  /** Whatever opens after the end is closed at once. */
  async #own<Opened extends { close(): Promise<void> }>(opening: Promise<Opened>): Promise<Opened> {
    const opened = await opening
    if (this.#closing !== undefined) {
      await opened.close()
      throw new Error('the curtain has fallen')
    }
    this.#undo.push(() => opened.close())
    return opened
  }
}

/** Tell who comes and who dies, whatever else goes on. */
function watch(company: Company, narrator: Narrator): void {
  const former = new Map<string, number>()
  company.on('enter', ({ name, address, pid }: Actor) => {
    const predecessor = former.get(name)
    former.delete(name)
    const place = predecessor === undefined ? '' : `, in the place of ${predecessor}`
    narrator.tell(name, `registered as ${address}  (pid ${pid})${place}`)
  })
  company.on('drain', ({ name, pid }: WorkerEvent) => {
    former.set(name, pid)
    narrator.tell('supervisor', `${name} ends as it was told to  (pid ${pid}). Another one takes its place`)
  })
  company.on('death', ({ name, pid, code, signal, reason }: WorkerEvent) => {
    former.set(name, pid)
    narrator.tell('supervisor', `${name} has died: ${reason ?? signal ?? `exit code ${code ?? ''}`}  (pid ${pid}). Another one takes its place`)
  })
  company.on('flapping', ({ reason }: WorkerEvent) => { narrator.tell('supervisor', reason ?? '') })
}
