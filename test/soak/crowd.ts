import { openClient, type Client } from '../support/client'
import type { ServerProcess } from '../support/server'
import type { Dice } from '../support/dice'

/** How many clients there are about, and how long the pause between two changes is, in ms. */
const [CLIENTS, PAUSE] = [60, 25]

/** Clients that come and go all the time. */
export class Crowd {
  readonly #clients = new Map<Client, ServerProcess>()
  #going = false
  #churning: Promise<void> = Promise.resolve()
  /** How many have come so far. */
  came = 0

  constructor(
    private readonly dice: Dice,
    private readonly open: () => readonly ServerProcess[]
  ) {}

  /** Begin to come and go. */
  start(): void {
    this.#going = true
    this.#churning = this.#churn()
  }

  /** Stay as you are; resolves when no client is on the way. */
  async stop(): Promise<void> {
    this.#going = false
    await this.#churning
  }

  /** The clients of a server that has gone are lost. */
  async lose(server: ServerProcess): Promise<void> {
    for (const [client, at] of this.#clients) {
      if (at !== server) continue
      this.#clients.delete(client)
      await client.close()
    }
  }

  async end(): Promise<void> {
    await this.stop()
    await Promise.all([...this.#clients.keys()].map(client => client.close()))
  }

  async #churn(): Promise<void> {
    while (this.#going) {
      if (this.dice.below(CLIENTS) >= this.#clients.size / 2) await this.#come()
      else await this.#go()
      await new Promise(resolve => setTimeout(resolve, PAUSE))
    }
  }

  async #come(): Promise<void> {
    const server = this.dice.one(this.open())
    // It may be harmed just now: that is what this is about.
    const client = await openClient(server.url, { options: { strategy: false } }).catch(() => undefined)
    if (client === undefined) return
    this.came++
    this.#clients.set(client, server)
  }

  async #go(): Promise<void> {
    const client = this.dice.one([...this.#clients.keys()])
    this.#clients.delete(client)
    await client.close()
  }
}
