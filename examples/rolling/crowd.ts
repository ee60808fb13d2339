import Primus from 'primus'
import { eventually } from '../../test/support/wait'

/** How long all of them may take to be connected, in ms. */
const PATIENCE = 30_000

/** How they come back: soon, and for as long as it takes. */
const RECONNECT = { min: 100, max: 1000, retries: 1000 }

/**
 * Real Primus clients, which know nothing of what happens behind the address that they connect to: when one is cut off, it connects again, as it always does.
 */
export class Crowd {
  /** How often each message has come, by its number. */
  readonly heard = new Map<string, number>()
  /** How often somebody has come back. */
  returns = 0
  /** The id of each one's spark; none while it is not connected. */
  readonly #ids = new Map<Primus.Socket, string>()
  readonly #sockets: Primus.Socket[] = []

  /** The ids of all sparks, as far as the clients know. */
  get ids(): string[] {
    return [...this.#ids.values()]
  }

  /** Connect so many. Resolves when all of them are. */
  async open(url: string, count: number): Promise<void> {
    const Socket = Primus.createSocket({ transformer: 'websockets' })
    while (this.#sockets.length < count) this.#add(new Socket(url, { reconnect: RECONNECT }))
    await this.complete()
  }

  /** Resolves when all are connected. */
  async complete(): Promise<void> {
    await eventually(() => this.#ids.size === this.#sockets.length, { within: PATIENCE, what: 'the connection of all clients' })
  }

  /** Close all of them for good. */
  close(): void {
    for (const socket of this.#sockets) socket.end()
  }

  #add(socket: Primus.Socket): void {
    this.#sockets.push(socket)
    // That it is cut off, and turned away, is what this is about.
    socket.on('error', () => undefined)
    socket.on('open', () => { socket.id(id => { this.#ids.set(socket, id) }) })
    socket.on('close', () => { this.#ids.delete(socket) })
    socket.on('reconnected', () => { this.returns++ })
    socket.on('data', message => {
      const { n } = message as { n: string }
      this.heard.set(n, (this.heard.get(n) ?? 0) + 1)
    })
  }
}
