import { randomBytes } from 'node:crypto'
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

  /** Find a Redis; servers and clients may come then. */
  async build(): Promise<void> {
    const namespace = `metroplex-demo-${randomBytes(6).toString('hex')}`
    const registry = await this.#own(openRegistry(namespace, line => { this.narrator.tell('Redis', line) }))
    this.narrator.tell('Redis', registry.description)
    const company = this.#company = new Company({
      redisUrl: registry.url,
      redisDirectory: registry.directory,
      namespace,
      lease: LEASE
    })
    for (const [number, name] of NAMES.entries()) {
      // Not all go the same way when a server dies.
      const stops = number % 2 === 0 ? () => company.playing : () => [...company.playing].reverse()
      this.#clients.push(new Client(name, stops))
    }
    this.#undo.push(async () => {
      for (const client of this.#clients) client.close()
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
